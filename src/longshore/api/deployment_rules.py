"""What a deployment may ask for, by its platform and its group (server.md S6; lambda_ecs_appspec.md A14–A21, D11)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from longshore.api.group_rules import check_alarms, check_auto_rollback, check_processes_to_suspend
from longshore.api.limits import Limits
from longshore.domain.blue_green import options_of
from longshore.domain.config import ComputePlatform
from longshore.domain.deployment import DeploymentMode
from longshore.domain.group import BadTagFilterError, tag_filter
from longshore.wire.service import AwsError

Document = Mapping[str, Any]


def is_restart(asked: Document) -> bool:
    return asked.get("deploymentMode") == DeploymentMode.RESTART


def check_revision_is_asked_for(asked: Document) -> None:
    """A deployment names its revision, unless the group's own is meant (S6.21); a restart must not name one."""
    if is_restart(asked):
        if "revision" in asked:
            raise AwsError(
                "InvalidRevisionException",
                "A deployment with deploymentMode RESTART uses the revision of the group's last successful deployment;"
                " leave out revision.",
            )
    elif "revision" not in asked and not asked.get("updateOutdatedInstancesOnly"):
        raise AwsError("RevisionRequiredException", "A revision is required.")


def check_options(asked: Document, platform: ComputePlatform, group: Document, limits: Limits) -> None:
    """Everything CreateDeployment takes beside names and revision, in the order in which the model lists the errors.

    `group` is the group's document.
    """
    in_place = group["deploymentStyle"].get("deploymentType") == "IN_PLACE"
    is_server = platform is ComputePlatform.SERVER
    if "targetInstances" in asked:
        copies = options_of(group.get("blueGreenDeploymentConfiguration", {})).copies_group
        _check_target_instances(asked["targetInstances"], limits, is_wanted=is_server and not in_place and not copies)
    check_alarms(asked.get("overrideAlarmConfiguration", {}), limits)
    check_auto_rollback(asked.get("autoRollbackConfiguration", {}))
    if "fileExistsBehavior" in asked and not is_server:
        raise AwsError(
            "InvalidFileExistsBehaviorException",
            f"A deployment on {platform} installs no files: leave out fileExistsBehavior.",
        )
    _check_mode(asked, platform, in_place=in_place)
    for member, code in (
        ("updateOutdatedInstancesOnly", "InvalidUpdateOutdatedInstancesOnlyValueException"),
        ("ignoreApplicationStopFailures", "InvalidIgnoreApplicationStopFailuresValueException"),
    ):
        if asked.get(member) and not is_server:
            raise AwsError(code, f"{member} must be false on {platform}: there are no instances.")
    check_processes_to_suspend(asked.get("ec2DeploymentOptions", {}), group)


def _check_mode(asked: Document, platform: ComputePlatform, *, in_place: bool) -> None:
    """A restart is for instances that are deployed to in place, and for all of them."""
    if not is_restart(asked):
        return
    if platform is not ComputePlatform.SERVER:
        raise AwsError(
            "InvalidComputePlatformException", f"deploymentMode RESTART is for Server applications, not for {platform}."
        )
    if asked.get("updateOutdatedInstancesOnly"):
        raise AwsError(
            "InvalidUpdateOutdatedInstancesOnlyValueException",
            "A deployment with deploymentMode RESTART restarts every instance: updateOutdatedInstancesOnly must be"
            " false.",
        )
    if not in_place:
        raise AwsError("InvalidInputException", "deploymentMode RESTART is for groups that are deployed to in place.")


def _check_target_instances(asked: Document, limits: Limits, *, is_wanted: bool) -> None:
    """Which instances are the replacements of a blue/green deployment (S6.18).

    Whether a tag is on any instance, and whether an Auto Scaling group exists, is not asked of AWS.
    """

    def refused(why: str) -> AwsError:
        return AwsError("InvalidTargetInstancesException", why)

    if not is_wanted:
        raise refused(
            "targetInstances names the replacements of a blue/green deployment that discovers existing instances;"
            " this deployment is none: leave it out."
        )
    flat, sets = asked.get("tagFilters", ()), asked.get("ec2TagSet", {}).get("ec2TagSetList", ())
    if flat and sets:
        raise refused("Give tagFilters or ec2TagSet in targetInstances, not both.")
    if len(sets) > limits.tag_groups:
        raise refused(f"ec2TagSet has {len(sets)} groups of filters; the most is {limits.tag_groups}.")
    if any(not filters for filters in sets):
        raise refused("ec2TagSet has an empty group of filters, which no instance would match. Leave it out.")
    for filters in (flat, *sets):
        if len(filters) > limits.filters_per_tag_list:
            raise refused(f"{len(filters)} tag filters are in one list; the most is {limits.filters_per_tag_list}.")
        for each in filters:
            try:
                tag_filter(each)
            except BadTagFilterError as problem:
                raise refused(f"A tag filter of targetInstances is not valid: {problem}.") from None
    groups = asked.get("autoScalingGroups", ())
    if len(groups) > limits.auto_scaling_groups:
        raise refused(f"{len(groups)} Auto Scaling groups were named; the most is {limits.auto_scaling_groups}.")


def check_is_supported(platform: ComputePlatform) -> None:
    """Say no to what is right and would be silently left out: what this server cannot carry out yet."""

    def refuse(what: str) -> AwsError:
        return AwsError(
            "OperationNotSupportedException",
            f"{what} is not supported yet by this server; docs/compatibility.md says what is.",
        )

    if platform is not ComputePlatform.SERVER:
        raise refuse(f"A deployment on {platform}")
