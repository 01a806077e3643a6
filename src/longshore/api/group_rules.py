"""What a deployment group may be (server.md S7; lambda_ecs_appspec.md L1–L3, E1–E8).

A group's document holds the members a user sets, as the API spells them. An update is checked as the group it would
make, so that no order of updates leads to a group that could not have been created.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from longshore.api.limits import Limits
from longshore.domain.balancing import ADDRESS_TAG
from longshore.domain.blue_green import options_of
from longshore.domain.config import ComputePlatform
from longshore.domain.group import BadTagFilterError, demands, on_premises_tag_set, tag_filter
from longshore.domain.notification import TriggerEvent
from longshore.domain.rollback import RollbackEvent
from longshore.wire.service import AwsError

Document = Mapping[str, Any]

#: The members of an input that a group's document keeps.
MEMBERS = (
    "ec2TagFilters",
    "onPremisesInstanceTagFilters",
    "autoScalingGroups",
    "triggerConfigurations",
    "alarmConfiguration",
    "autoRollbackConfiguration",
    "outdatedInstancesStrategy",
    "deploymentStyle",
    "blueGreenDeploymentConfiguration",
    "loadBalancerInfo",
    "ec2TagSet",
    "onPremisesTagSet",
    "ecsServices",
    "ec2DeploymentOptions",
    "terminationHookEnabled",
)
#: Two ways to say which hosts, of which a group has one: flat member, set member, the set's list, the error of both.
_TAG_FORMS = (
    ("ec2TagFilters", "ec2TagSet", "ec2TagSetList", "InvalidEC2TagCombinationException"),
    (
        "onPremisesInstanceTagFilters",
        "onPremisesTagSet",
        "onPremisesTagSetList",
        "InvalidOnPremisesTagCombinationException",
    ),
)
_WITH_TRAFFIC_CONTROL = "WITH_TRAFFIC_CONTROL"
_SHIFTING = {"deploymentType": "BLUE_GREEN", "deploymentOption": _WITH_TRAFFIC_CONTROL}
#: The style of a group that names none (S1.17, L1).
DEFAULT_STYLE = {
    ComputePlatform.SERVER: {"deploymentType": "IN_PLACE", "deploymentOption": "WITHOUT_TRAFFIC_CONTROL"},
    ComputePlatform.LAMBDA: _SHIFTING,
    ComputePlatform.ECS: _SHIFTING,
}
#: Longest wait for a ContinueDeployment, minutes (S4.6, E5), and before originals are terminated (S4.7, E6).
_LONGEST_READY_WAIT = {ComputePlatform.SERVER: 2880, ComputePlatform.ECS: 7200}
_LONGEST_TERMINATION_WAIT = 2880
_ROLE = re.compile(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/\S+")
_TRIGGER_EVENTS = frozenset(TriggerEvent)
_ROLLBACK_EVENTS = frozenset(RollbackEvent)


def changed_document(before: Document, asked: Document, platform: ComputePlatform, limits: Limits) -> dict[str, Any]:
    """The document of a group that was `before` and is asked to change (S7.19); `before` is empty for a new group.

    An absent member stays, a present one replaces wholly, an empty one clears. Naming hosts in one of the two tag
    forms clears the other. Raises the error of the first rule that the outcome breaks.
    """
    for flat, form, several, error in _TAG_FORMS:
        if asked.get(flat) and _is_set(asked, form, several):
            raise AwsError(error, f"Give {flat} or {form}, not both.")
    document = dict(before)
    for member in MEMBERS:
        if member not in asked:
            continue
        if _is_empty(asked[member]):
            document.pop(member, None)
        else:
            document[member] = asked[member]
    for flat, form, several, _error in _TAG_FORMS:
        if asked.get(flat):
            document.pop(form, None)
        elif _is_set(asked, form, several):
            document.pop(flat, None)
    document = _with_defaults(document, platform)
    for rule in _RULES[platform]:
        rule(document, limits)
    check_processes_to_suspend(asked.get("ec2DeploymentOptions", {}), document)
    return document


def _is_set(document: Document, form: str, several: str) -> bool:
    return bool((document.get(form) or {}).get(several))


def _is_empty(value: Any) -> bool:
    """Is nothing said here? ``[]``, ``{}`` and ``{"elbInfoList": []}`` say nothing; false and 0 do."""
    if isinstance(value, Mapping):
        return all(_is_empty(part) for part in value.values())
    return isinstance(value, list | tuple) and not value


def _with_defaults(document: Document, platform: ComputePlatform) -> dict[str, Any]:
    full = {"outdatedInstancesStrategy": "UPDATE", "terminationHookEnabled": False, **document}
    if platform is ComputePlatform.SERVER or "deploymentStyle" not in document:
        full["deploymentStyle"] = DEFAULT_STYLE[platform] | document.get("deploymentStyle", {})
    blue_green = document.get("blueGreenDeploymentConfiguration")
    if blue_green is not None:
        full["blueGreenDeploymentConfiguration"] = _with_waits(blue_green, platform)
    return full


def _with_waits(blue_green: Document, platform: ComputePlatform) -> dict[str, Any]:
    """The same with its waits spelt out: `aws ecs deploy` reads them unguarded (E7)."""
    full = dict(blue_green)
    if ready := full.get("deploymentReadyOption"):
        unused = platform is ComputePlatform.SERVER and ready.get("actionOnTimeout") == "CONTINUE_DEPLOYMENT"
        full["deploymentReadyOption"] = {
            **ready,
            "waitTimeInMinutes": 0 if unused else ready.get("waitTimeInMinutes", 0),
        }
    termination = full.get("terminateBlueInstancesOnDeploymentSuccess")
    if termination and termination.get("action") == "TERMINATE":
        full["terminateBlueInstancesOnDeploymentSuccess"] = {"terminationWaitTimeInMinutes": 0, **termination}
    return full


def check_role(arn: str) -> None:
    if not _ROLE.fullmatch(arn):
        raise AwsError(
            "InvalidRoleException",
            f"serviceRoleArn {arn[:200]!r} is not the ARN of an IAM role; one looks like"
            " arn:aws:iam::123456789012:role/name.",
        )


def check_alarms(configuration: Document, limits: Limits) -> None:
    """An alarmConfiguration, of a group or of one deployment (S7.21, S6.19)."""
    names = [alarm.get("name", "") for alarm in configuration.get("alarms", ())]
    if len(names) > limits.alarms:
        raise AwsError("AlarmsLimitExceededException", f"{len(names)} alarms were named; the most is {limits.alarms}.")
    if not all(names):
        raise _refused("InvalidAlarmConfig", "An alarm has no name.")
    if len(set(names)) < len(names):
        raise _refused("InvalidAlarmConfig", "An alarm is named twice.")
    if configuration.get("enabled") and not names:
        raise _refused(
            "InvalidAlarmConfig", "alarmConfiguration is enabled and names no alarm: name one, or disable it."
        )


def check_auto_rollback(configuration: Document) -> None:
    """An autoRollbackConfiguration, of a group or of one deployment (S5.2)."""
    events = configuration.get("events", ())
    if unknown := [event for event in events if event not in _ROLLBACK_EVENTS]:
        raise _refused("InvalidAutoRollbackConfig", f"{unknown[0]} is no event that can start a rollback.")
    if configuration.get("enabled") and not events:
        raise _refused(
            "InvalidAutoRollbackConfig",
            "autoRollbackConfiguration is enabled and lists no event: list one, or disable it.",
        )


def check_triggers(triggers: Sequence[Document], limits: Limits) -> None:
    """The triggerConfigurations of a group (S7.27)."""
    if len(triggers) > limits.triggers:
        raise AwsError(
            "TriggerTargetsLimitExceededException",
            f"{len(triggers)} triggers were given; the most is {limits.triggers}.",
        )
    for trigger in triggers:
        events = trigger.get("triggerEvents")
        if not trigger.get("triggerName") or not trigger.get("triggerTargetArn") or not events:
            raise _refused(
                "InvalidTriggerConfig", "A trigger needs a triggerName, a triggerTargetArn and triggerEvents."
            )
        if unknown := [event for event in events if event not in _TRIGGER_EVENTS]:
            raise _refused("InvalidTriggerConfig", f"{unknown[0]} is no event that a trigger can be sent for.")
    names = [trigger["triggerName"] for trigger in triggers]
    if len(set(names)) < len(names):
        raise _refused("InvalidTriggerConfig", "Two triggers have the same name.")


def _check_tags(document: Document, limits: Limits) -> None:
    """Tag filters and tag sets, EC2's and on-premises (S7.3, S7.4)."""
    for (flat, form, several, _error), code in zip(_TAG_FORMS, ("InvalidEC2Tag", "InvalidTag"), strict=True):
        groups = (document.get(form) or {}).get(several) or []
        if len(groups) > limits.tag_groups:
            raise AwsError(
                "TagSetListLimitExceededException",
                f"{form} has {len(groups)} groups of filters; the most is {limits.tag_groups}.",
            )
        if any(not group for group in groups):
            raise _refused(code, f"{form} has an empty group of filters, which no instance would match. Leave it out.")
        for filters in [document.get(flat) or [], *groups]:
            if len(filters) > limits.filters_per_tag_list:
                raise _refused(
                    code, f"{len(filters)} tag filters are in one list; the most is {limits.filters_per_tag_list}."
                )
            for asked in filters:
                try:
                    tag_filter(asked)
                except BadTagFilterError as problem:
                    raise _refused(code, f"A tag filter is not valid: {problem}.") from None


def _check_auto_scaling_groups(document: Document, limits: Limits) -> None:
    """The names of a Server group's Auto Scaling groups (S1.13); whether they exist is not asked of AWS."""
    names = document.get("autoScalingGroups", ())
    if len(names) > limits.auto_scaling_groups:
        raise _refused(
            "InvalidAutoScalingGroup",
            f"{len(names)} Auto Scaling groups were named; the most is {limits.auto_scaling_groups}.",
        )
    if len(set(names)) < len(names):
        raise _refused("InvalidAutoScalingGroup", "An Auto Scaling group is named twice.")


def check_processes_to_suspend(options: Document, group: Document) -> None:
    """An ec2DeploymentOptions, of a group or of one deployment: for Auto Scaling groups that are deployed to in place.

    Asked of what a call says and not of what a group keeps, so that its Auto Scaling groups can be taken away and
    given back (S14.7).
    """
    processes = options.get("autoScalingGroupProcessesToSuspend", ())
    if not processes:
        return
    code = "InvalidAutoScalingGroupProcessToSuspend"
    if len(set(processes)) < len(processes):
        raise _refused(code, "A process is named twice in autoScalingGroupProcessesToSuspend.")
    if group["deploymentStyle"].get("deploymentType") != "IN_PLACE" or not group.get("autoScalingGroups"):
        raise _refused(
            code,
            "autoScalingGroupProcessesToSuspend is for a group with Auto Scaling groups that is deployed to in place;"
            " leave it out, or name the Auto Scaling groups.",
        )


def _check_triggers(document: Document, limits: Limits) -> None:
    check_triggers(document.get("triggerConfigurations", ()), limits)


def _check_alarms(document: Document, limits: Limits) -> None:
    check_alarms(document.get("alarmConfiguration", {}), limits)


def _check_auto_rollback(document: Document, _limits: Limits) -> None:
    check_auto_rollback(document.get("autoRollbackConfiguration", {}))


def _check_load_balancers(document: Document, limits: Limits) -> None:
    """Load balancers of a Server group (S7.8, S7.9, S1.14)."""
    info = document.get("loadBalancerInfo", {})
    if info.get("targetGroupPairInfoList"):
        raise _refused(
            "InvalidLoadBalancerInfo",
            "targetGroupPairInfoList is for ECS; a Server group has elbInfoList or targetGroupInfoList.",
        )
    named = 0
    for member in ("elbInfoList", "targetGroupInfoList"):
        balancers = info.get(member) or ()
        if len(balancers) > limits.load_balancers:
            raise _refused(
                "InvalidLoadBalancerInfo",
                f"{member} has {len(balancers)} entries; the most is {limits.load_balancers}.",
            )
        if any(not balancer.get("name") for balancer in balancers):
            raise _refused("InvalidLoadBalancerInfo", f"An entry of {member} has no name.")
        named += len(balancers)
    if document["deploymentStyle"].get("deploymentOption") == _WITH_TRAFFIC_CONTROL and not named:
        raise _refused(
            "InvalidLoadBalancerInfo",
            "A group WITH_TRAFFIC_CONTROL needs a load balancer: name it in elbInfoList or targetGroupInfoList.",
        )


def _check_server_style(document: Document, _limits: Limits) -> None:
    """In place or blue/green, and with which traffic (S7.7, S7.8)."""
    style = document["deploymentStyle"]
    if style["deploymentType"] not in ("IN_PLACE", "BLUE_GREEN"):
        raise _refused("InvalidDeploymentStyle", f"deploymentType {style['deploymentType']} is not known.")
    if style["deploymentOption"] not in (_WITH_TRAFFIC_CONTROL, "WITHOUT_TRAFFIC_CONTROL"):
        raise _refused("InvalidDeploymentStyle", f"deploymentOption {style['deploymentOption']} is not known.")
    if style["deploymentType"] == "IN_PLACE":
        return
    if style["deploymentOption"] != _WITH_TRAFFIC_CONTROL:
        raise _refused(
            "InvalidDeploymentStyle", "A BLUE_GREEN deployment moves traffic: it must be WITH_TRAFFIC_CONTROL."
        )
    on_premises = on_premises_tag_set(document)
    if on_premises and not demands(on_premises, ADDRESS_TAG):
        raise _refused(
            "InvalidDeploymentStyle",
            "On-premises instances are deployed to in place only; leave their tags out of a BLUE_GREEN group."
            " Those that load balancers can find may be in it: let one list of filters in onPremisesTagSet ask for"
            f" {ADDRESS_TAG} alone.",
        )


def _check_server_blue_green(document: Document, _limits: Limits) -> None:
    """The blueGreenDeploymentConfiguration of a Server group (S4.6, S4.7, S7.14–S7.17)."""
    configuration = document.get("blueGreenDeploymentConfiguration")
    if configuration is None:
        if document["deploymentStyle"]["deploymentType"] == "BLUE_GREEN":
            raise _refused(
                "InvalidBlueGreenDeploymentConfiguration", "A BLUE_GREEN group needs blueGreenDeploymentConfiguration."
            )
        return
    _check_action(configuration, "deploymentReadyOption", "actionOnTimeout", ("CONTINUE_DEPLOYMENT", "STOP_DEPLOYMENT"))
    _check_action(
        configuration, "greenFleetProvisioningOption", "action", ("DISCOVER_EXISTING", "COPY_AUTO_SCALING_GROUP")
    )
    _check_action(configuration, "terminateBlueInstancesOnDeploymentSuccess", "action", ("TERMINATE", "KEEP_ALIVE"))
    _check_waits(configuration, ComputePlatform.SERVER)
    copies = document["deploymentStyle"]["deploymentType"] == "BLUE_GREEN" and options_of(configuration).copies_group
    if copies and len(document.get("autoScalingGroups", ())) != 1:
        raise _refused(
            "InvalidBlueGreenDeploymentConfiguration",
            "COPY_AUTO_SCALING_GROUP copies the one Auto Scaling group of the deployment group: name exactly one in"
            " autoScalingGroups.",
        )
    if copies and on_premises_tag_set(document):
        raise _refused(
            "InvalidBlueGreenDeploymentConfiguration",
            "COPY_AUTO_SCALING_GROUP makes no on-premises instances: leave their tags out, or use DISCOVER_EXISTING.",
        )


def _check_action(configuration: Document, option: str, member: str, allowed: Sequence[str]) -> None:
    if option in configuration and configuration[option].get(member) not in allowed:
        raise _refused(
            "InvalidBlueGreenDeploymentConfiguration", f"{option} needs its {member}: {' or '.join(allowed)}."
        )


def _check_waits(configuration: Document, platform: ComputePlatform) -> None:
    for option, member, longest in (
        ("deploymentReadyOption", "waitTimeInMinutes", _LONGEST_READY_WAIT[platform]),
        ("terminateBlueInstancesOnDeploymentSuccess", "terminationWaitTimeInMinutes", _LONGEST_TERMINATION_WAIT),
    ):
        wait = configuration.get(option, {}).get(member, 0)
        if not 0 <= wait <= longest:
            raise _refused(
                "InvalidBlueGreenDeploymentConfiguration",
                f"The {member} of {option} is {wait}; it must be from 0 to {longest}.",
            )


def _check_shifting_style(document: Document, _limits: Limits) -> None:
    """Lambda and ECS deployments shift traffic, and do nothing else (L1, E1)."""
    style = document["deploymentStyle"]
    if not style.get("deploymentType") or not style.get("deploymentOption"):
        raise _refused(
            "InvalidDeploymentStyle",
            "deploymentStyle needs a deploymentType and a deploymentOption, or must be left out.",
        )
    if style != _SHIFTING:
        raise _refused("InvalidDeploymentStyle", "The group must be BLUE_GREEN and WITH_TRAFFIC_CONTROL.")


def _forbid(member: str, code: str) -> Rule:
    """A rule that a platform's groups go without this member."""

    def rule(document: Document, _limits: Limits) -> None:
        if member in document:
            raise _refused(code, f"{member} cannot be given for a group of this application's compute platform.")

    return rule


def _check_ecs_load_balancer(document: Document, _limits: Limits) -> None:
    """One pair of target groups, and nothing else (E1, E2)."""
    info = document.get("loadBalancerInfo", {})
    if info.get("elbInfoList") or info.get("targetGroupInfoList"):
        raise _refused(
            "InvalidLoadBalancerInfo", "An ECS group has targetGroupPairInfoList and no other load balancers."
        )
    pairs: Sequence[Document] = info.get("targetGroupPairInfoList", ())
    if len(pairs) != 1:
        raise _refused("InvalidLoadBalancerInfo", "An ECS group needs exactly one entry in targetGroupPairInfoList.")
    names = [group.get("name") for group in pairs[0].get("targetGroups", ())]
    if len(names) != 2 or not all(names) or names[0] == names[1]:
        raise _refused("InvalidTargetGroupPair", "targetGroups needs the names of two different target groups.")
    for route, needed in (("prodTrafficRoute", True), ("testTrafficRoute", False)):
        listeners = pairs[0].get(route, {}).get("listenerArns", ())
        if (needed or listeners) and (len(listeners) != 1 or not listeners[0]):
            raise _refused("InvalidTargetGroupPair", f"{route} needs exactly one entry in listenerArns.")


def _check_ecs_blue_green(document: Document, _limits: Limits) -> None:
    """When traffic moves, and when the original task set goes (E1, E5, E6)."""
    code = "InvalidBlueGreenDeploymentConfiguration"
    configuration = document.get("blueGreenDeploymentConfiguration", {})
    for option in ("deploymentReadyOption", "terminateBlueInstancesOnDeploymentSuccess"):
        if not configuration.get(option):
            raise _refused(code, f"An ECS group needs {option} in its blueGreenDeploymentConfiguration.")
    if configuration.get("greenFleetProvisioningOption"):
        raise _refused(code, "greenFleetProvisioningOption is for instances; leave it out of an ECS group.")
    _check_action(configuration, "deploymentReadyOption", "actionOnTimeout", ("CONTINUE_DEPLOYMENT", "STOP_DEPLOYMENT"))
    _check_action(configuration, "terminateBlueInstancesOnDeploymentSuccess", "action", ("TERMINATE",))
    _check_waits(configuration, ComputePlatform.ECS)
    ready = configuration["deploymentReadyOption"]
    if (ready["actionOnTimeout"] == "STOP_DEPLOYMENT") != (ready["waitTimeInMinutes"] > 0):
        raise _refused(
            code, "waitTimeInMinutes must be at least 1 with STOP_DEPLOYMENT and 0 with CONTINUE_DEPLOYMENT."
        )


def _check_ecs_service(document: Document, _limits: Limits) -> None:
    services: Sequence[Document] = document.get("ecsServices", ())
    if len(services) != 1 or not services[0].get("serviceName") or not services[0].get("clusterName"):
        raise _refused(
            "InvalidECSService",
            "An ECS group needs exactly one entry in ecsServices, with a serviceName and clusterName.",
        )


def _refused(code: str, why: str) -> AwsError:
    return AwsError(f"{code}Exception", why)


Rule = Callable[[Document, Limits], None]

_NO_INSTANCES = (
    _forbid("ec2TagFilters", "InvalidEC2Tag"),
    _forbid("ec2TagSet", "InvalidEC2Tag"),
    _forbid("onPremisesInstanceTagFilters", "InvalidTag"),
    _forbid("onPremisesTagSet", "InvalidTag"),
    _forbid("autoScalingGroups", "InvalidAutoScalingGroup"),
)
_SHARED = (_check_triggers, _check_alarms, _check_auto_rollback)

#: Each platform's rules, in the order in which the model lists their errors (S0.7).
_RULES: Mapping[ComputePlatform, Sequence[Rule]] = {
    ComputePlatform.SERVER: (
        _check_tags,
        _check_auto_scaling_groups,
        *_SHARED,
        _check_load_balancers,
        _check_server_style,
        _check_server_blue_green,
        _forbid("ecsServices", "InvalidECSService"),
    ),
    ComputePlatform.LAMBDA: (
        *_NO_INSTANCES,
        *_SHARED,
        _forbid("loadBalancerInfo", "InvalidLoadBalancerInfo"),
        _check_shifting_style,
        _forbid("blueGreenDeploymentConfiguration", "InvalidBlueGreenDeploymentConfiguration"),
        _forbid("ecsServices", "InvalidECSService"),
    ),
    ComputePlatform.ECS: (
        *_NO_INSTANCES,
        *_SHARED,
        _check_ecs_load_balancer,
        _check_shifting_style,
        _check_ecs_blue_green,
        _check_ecs_service,
    ),
}
