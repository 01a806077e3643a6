"""Deployments: create, get, list, stop (server.md S6, S12.21–S12.25)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from longshore.api.deployment_rules import (
    check_is_supported,
    check_options,
    check_revision_is_asked_for,
    is_restart,
)
from longshore.api.existing import existing_application_and_group, existing_config, existing_deployment
from longshore.api.operations import Call, reads, writes
from longshore.api.pages import page
from longshore.api.revisions import check_location
from longshore.domain import revision
from longshore.domain.balancing import balancers_of, out_of
from longshore.domain.blue_green import Phase, options_of
from longshore.domain.deployment import DeploymentMode, DeploymentStatus, TargetStatus
from longshore.domain.ids import Scope, new_deployment_id
from longshore.domain.rollback import as_stopped
from longshore.domain.target import stays_out
from longshore.store import applications, deployment_groups, deployments, revisions, targets
from longshore.store.applications import Application
from longshore.store.database import Transaction
from longshore.store.deployment_groups import DeploymentGroup
from longshore.store.deployments import Deployment
from longshore.wire.service import AwsError

if TYPE_CHECKING:
    from mypy_boto3_codedeploy import type_defs as t

#: Members of CreateDeployment that DeploymentInfo gives back as they came.
_KEPT = (
    "description",
    "ignoreApplicationStopFailures",
    "updateOutdatedInstancesOnly",
    "overrideAlarmConfiguration",
    "targetInstances",
)


def _foresee(tx: Transaction, scope: Scope, asked: t.CreateDeploymentInputTypeDef) -> None:
    applications.foresee_with_group(tx, scope, asked["applicationName"], asked["deploymentGroupName"])


@writes("CreateDeployment", quick=True, foresee=_foresee)
def create_deployment(call: Call, asked: t.CreateDeploymentInputTypeDef) -> Any:
    return create(call, asked, {})


def create(call: Call, asked: t.CreateDeploymentInputTypeDef, parameters: dict[str, str]) -> Any:
    """Record the wish to deploy. Everything about the hosts shows later, on the deployment itself (S6.1)."""
    active = deployments.counting_active(call.tx, call.scope)
    wanted = resolve(call, asked)
    _require_free(call, wanted.application, wanted.group, active())
    check_is_supported(wanted.application.compute_platform)

    last_id = wanted.group.last_successful_deployment_id
    if is_restart(asked) and not parameters and last_id is not None:
        last = deployments.get(call.tx, last_id)
        parameters = {} if last is None else last.parameters  # what is restarted was started with these
    deployment = _new(call, asked, wanted, parameters)
    revisions.use(
        call.tx,
        wanted.application.id,
        wanted.location,
        description=f"Registered by deployment {deployment.id}",
        now=call.now,
    )
    deployments.add(call.tx, deployment)
    return {"deploymentId": deployment.id}


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What a deployment would be of, and how."""

    application: Application
    group: DeploymentGroup
    #: The revision's, as the API spells it.
    location: dict[str, Any]
    config_name: str


def resolve(call: Call, asked: t.CreateDeploymentInputTypeDef) -> Wanted:
    """Find what CreateDeployment names, and check all that does not depend on the moment."""
    check_revision_is_asked_for(asked)
    application, group = existing_application_and_group(call, asked["applicationName"], asked["deploymentGroupName"])
    platform = application.compute_platform
    check_options(asked, platform, group.document, call.limits)
    location = _revision(asked, application, group)
    config_name = asked.get("deploymentConfigName") or group.deployment_config_name
    config = existing_config(call, config_name)
    if config.platform is not platform:
        raise AwsError(
            "InvalidDeploymentConfigNameException",
            f"{config_name} is for {config.platform}; {application.name} is for {platform}. Name a config for"
            f" {platform}.",
        )
    if config.zonal is not None and group.document["deploymentStyle"].get("deploymentType") == "BLUE_GREEN":
        raise AwsError(
            "InvalidDeploymentConfigNameException",
            f"{config_name} deploys zone by zone, which is for deployments in place; {group.name} is blue/green. Name a"
            " config without zonalConfig.",
        )
    return Wanted(application=application, group=group, location=location, config_name=config_name)


@reads("GetDeployment", quick=True)
def get_deployment(call: Call, asked: t.GetDeploymentInputTypeDef) -> Any:
    beside = _Beside(call, asked["deploymentId"])
    return {"deploymentInfo": _info(call, existing_deployment(call, asked["deploymentId"]), beside)}


@reads("BatchGetDeployments")
def batch_get_deployments(call: Call, asked: t.BatchGetDeploymentsInputTypeDef) -> Any:
    """Several deployments; unknown ids are left out (S12.0c)."""
    ids = asked["deploymentIds"]
    if not ids:
        raise AwsError("DeploymentIdRequiredException", "At least one deployment id is required.")
    if len(ids) > call.limits.batch:
        raise AwsError(
            "BatchLimitExceededException",
            f"{len(ids)} deployments were asked for; one call takes {call.limits.batch}. Ask in several calls.",
        )
    found = [(one, _Beside(call, one.id)) for one in deployments.find_all(call.tx, call.scope, ids)]
    return {"deploymentsInfo": [_info(call, one, beside) for one, beside in found]}


@reads("ListDeployments", quick=True)
def list_deployments(call: Call, asked: t.ListDeploymentsInputTypeDef) -> Any:
    """Ids, newest first; a group's, or the whole account's (S12.24)."""
    group = _listed_group(asked)
    window = asked.get("createTimeRange") or {}
    since, until = _seconds(window.get("start")), _seconds(window.get("end"))
    if since is not None and until is not None and until < since:
        raise AwsError("InvalidTimeRangeException", "createTimeRange ends before it starts: exchange start and end.")
    group_id = None if group is None else existing_application_and_group(call, *group)[1].id
    if asked.get("externalId"):
        # External ids are CloudFormation's own; no deployment here has one.
        return {"deployments": []}
    statuses = sorted(set(asked.get("includeOnlyStatuses") or ()))
    shown, token = page(
        call,
        ("ListDeployments", group_id, statuses, since, until),
        asked.get("nextToken"),
        lambda before, count: deployments.page(
            call.tx,
            call.scope,
            group_id=group_id,
            statuses=statuses,
            since=since,
            until=until,
            before=(float(before[0]), str(before[1])) if before else None,
            limit=count,
        ),
        list,
    )
    return {"deployments": [identifier for _, identifier in shown], "nextToken": token}


@writes("StopDeployment")
def stop_deployment(call: Call, asked: t.StopDeploymentInputTypeDef) -> Any:
    """Ask for a stop: nothing more is scheduled, and what runs may finish its event (S6.5–S6.8)."""
    deployment = existing_deployment(call, asked["deploymentId"])
    if deployment.status is DeploymentStatus.STOPPED:
        # What it says of itself says whom it left out of traffic.
        return {"status": "Succeeded", "statusMessage": deployment.error_message or "The deployment has stopped."}
    if deployment.status.is_final:
        raise AwsError(
            "DeploymentAlreadyCompletedException",
            f"{deployment.id} has already ended: it {deployment.status}. To go back to another revision, deploy that.",
        )
    if deployment.phase is Phase.RETIRE:
        # Originals may be gone already: there is no way back (S6.9).
        raise AwsError(
            "UnsupportedActionForDeploymentTypeException",
            f"{deployment.id} is retiring its original instances and cannot be stopped any more. Let it end; to go"
            " back, deploy the revision before.",
        )
    if deployment_groups.by_id(call.tx, deployment.group_id) is None:
        raise AwsError(
            "DeploymentGroupDoesNotExistException",
            f"The deployment group of {deployment.id} has been deleted, and the deployment ends by itself.",
        )
    if "autoRollbackEnabled" in asked:
        configuration = as_stopped(
            deployment.document.get("autoRollbackConfiguration", {}), rolls_back=asked["autoRollbackEnabled"]
        )
        document = {**deployment.document, "autoRollbackConfiguration": configuration}
        deployments.keep_document(call.tx, deployment.id, document)
    # In the same commit: from the moment of the answer on, no host starts another event.
    targets.halt(call.tx, deployment.id)
    deployments.ask_to_stop(call.tx, deployment.id, by=call.caller, now=call.now)
    is_busy = targets.any_running(call.tx, deployment.id) or bool(targets.errands(call.tx, deployment.id))
    said = [
        "Nothing more will be scheduled; lifecycle events that are running may finish."
        if is_busy
        else "Nothing was running, and nothing more will be scheduled."
    ]
    away = targets.taken_out(call.tx, deployment.id) if deployment.has_traffic else []
    if left := [row.target_id for row in away if stays_out(row.target)]:
        said.append(
            f"{out_of(left, balancers_of(deployment.document))}, and half deployed to. A deployment, be it a rollback,"
            " puts back whom it succeeds on; or register them there yourself."
        )
    return {"status": "Pending" if is_busy else "Succeeded", "statusMessage": " ".join(said)}


def _revision(
    asked: t.CreateDeploymentInputTypeDef, application: Application, group: DeploymentGroup
) -> dict[str, Any]:
    if "revision" in asked:
        return check_location(asked["revision"], application.compute_platform)
    if group.target_revision is not None:
        return group.target_revision
    if is_restart(asked):
        raise AwsError(
            "RevisionDoesNotExistException",
            f"No deployment to {group.name} has succeeded yet, so there is nothing to restart. Deploy a revision.",
        )
    raise AwsError(
        "RevisionRequiredException",
        f"A revision is required: no deployment to {group.name} has succeeded yet, so it has none of its own.",
    )


def _require_free(call: Call, application: Application, group: DeploymentGroup, active: int) -> None:
    if group.active_deployment_id is not None:
        # Deployment tools look for these words and take the id out of them (S6.2).
        raise AwsError(
            "DeploymentLimitExceededException",
            f"The deployment group '{group.name}' already has an active Deployment '{group.active_deployment_id}'",
        )
    if active >= call.limits.active_deployments:
        raise AwsError(
            "DeploymentLimitExceededException",
            f"{call.limits.active_deployments} deployments are active, the most an account may have. "
            f"Wait for one to end before deploying {application.name}.",
        )


def _new(call: Call, asked: t.CreateDeploymentInputTypeDef, wanted: Wanted, parameters: dict[str, str]) -> Deployment:
    application, group = wanted.application, wanted.group
    document: dict[str, Any] = {name: asked[name] for name in _KEPT if name in asked}  # type: ignore[literal-required]
    document["fileExistsBehavior"] = asked.get("fileExistsBehavior", "DISALLOW")
    document["deploymentStyle"] = group.document["deploymentStyle"]
    if is_restart(asked):
        document["deploymentMode"] = DeploymentMode.RESTART.value
    for name in ("autoRollbackConfiguration", "loadBalancerInfo", "ec2DeploymentOptions"):
        # What a deployment says is in the group's place, be it that nothing shall be done.
        if value := asked.get(name) or group.document.get(name):
            document[name] = value
    if document["deploymentStyle"]["deploymentType"] == "BLUE_GREEN":
        document["blueGreenDeploymentConfiguration"] = group.document["blueGreenDeploymentConfiguration"]
    return Deployment(
        id=new_deployment_id(),
        account=call.scope.account,
        region=call.scope.region,
        application_id=application.id,
        group_id=group.id,
        application_name=application.name,
        group_name=group.name,
        compute_platform=application.compute_platform.value,
        config_name=wanted.config_name,
        status=DeploymentStatus.CREATED,
        creator="user",
        create_time=call.now,
        start_time=None,
        complete_time=None,
        revision=wanted.location,
        revision_identity=revision.identity(wanted.location),
        previous_revision=group.target_revision,
        document=document,
        parameters=parameters,
        error_code=None,
        error_message=None,
        rollback_info=None,
        required_healthy=None,
        total_targets=None,
        stop_requested_by=None,
        bundle=None,
    )


class _Beside:
    """What other rows tell of a deployment: asked for before an answer is waited for, so that it comes with that."""

    def __init__(self, call: Call, deployment_id: str) -> None:
        self.standing = targets.counting(call.tx, deployment_id)
        self.updates = deployments.finding_updates_of(call.tx, deployment_id)


def _info(call: Call, deployment: Deployment, beside: _Beside) -> dict[str, Any]:
    """DeploymentInfo, with the members that are always there (S3.24–S3.26)."""
    document = deployment.document
    info: dict[str, Any] = {
        "applicationName": deployment.application_name,
        "deploymentGroupName": deployment.group_name,
        "deploymentConfigName": deployment.config_name,
        "deploymentId": deployment.id,
        "revision": deployment.revision,
        "status": deployment.status.value,
        "createTime": deployment.create_time,
        "creator": deployment.creator,
        "ignoreApplicationStopFailures": False,
        "updateOutdatedInstancesOnly": False,
        **document,
        "rollbackInfo": deployment.rollback_info or {},
        "instanceTerminationWaitTimeStarted": _waits_for_termination(deployment),
        "deploymentStatusMessages": [],
        "computePlatform": deployment.compute_platform,
        "deploymentOverview": _overview(call, deployment, beside),
    }
    times = {"startTime": deployment.start_time, "completeTime": deployment.complete_time}
    info.update({name: value for name, value in times.items() if value is not None})
    if deployment.previous_revision is not None:
        info["previousRevision"] = deployment.previous_revision
    if deployment.status_message is not None:
        # The older member has it too.
        info["additionalDeploymentStatusInfo"] = deployment.status_message
        info["deploymentStatusMessages"] = [deployment.status_message]
    if related := _related(deployment, beside):
        info["relatedDeployments"] = related
    if deployment.error_code is not None:
        info["errorInformation"] = {"code": deployment.error_code, "message": deployment.error_message}
    return info


def _related(deployment: Deployment, beside: _Beside) -> dict[str, Any]:
    """What brought its late joiners up to date, or whose late joiners it does (S9.6)."""
    if deployment.root_deployment_id is not None:
        return {"autoUpdateOutdatedInstancesRootDeploymentId": deployment.root_deployment_id}
    updates = beside.updates()
    return {"autoUpdateOutdatedInstancesDeploymentIds": updates} if updates else {}


def _waits_for_termination(deployment: Deployment) -> bool:
    """From the moment on that originals wait to be terminated (S6.13)."""
    options = options_of(deployment.document.get("blueGreenDeploymentConfiguration", {}))
    return options.termination_wait is not None and deployment.phase in (Phase.TERMINATION_WAIT, Phase.RETIRE)


def _overview(call: Call, deployment: Deployment, beside: _Beside) -> dict[str, int]:
    numbers = targets.overview(call.tx, deployment.id, deployment.phase, beside.standing)
    shown = ("Pending", "InProgress", "Succeeded", "Failed", "Skipped", "Ready")
    return {name: numbers.get(TargetStatus(name), 0) for name in shown}


def _listed_group(asked: t.ListDeploymentsInputTypeDef) -> tuple[str, str] | None:
    """Application and name of the group whose deployments are meant; None for everybody's."""
    application_name, group_name = asked.get("applicationName"), asked.get("deploymentGroupName")
    if application_name is None and group_name is None:
        return None
    if application_name is None:
        raise AwsError(
            "ApplicationNameRequiredException",
            "A deployment group is named together with its application: add applicationName.",
        )
    if group_name is None:
        raise AwsError(
            "DeploymentGroupNameRequiredException",
            "An application is named together with one of its groups: add deploymentGroupName, or leave both out.",
        )
    return application_name, group_name


def _seconds(moment: Any) -> float | None:
    return None if moment is None else float(moment)
