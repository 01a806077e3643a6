"""What triggers tell, and in which words (server.md S10)."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from longshore.domain.deployment import DeploymentStatus, EventStatus, TargetStatus
from longshore.domain.event_bus import is_bus, told_of
from longshore.domain.ids import Scope
from longshore.domain.target import Target

#: SNS takes no longer subject.
_LONGEST_SUBJECT = 100


class TriggerEvent(StrEnum):
    """What a trigger can be sent for (S10.1)."""

    DEPLOYMENT_START = "DeploymentStart"
    DEPLOYMENT_SUCCESS = "DeploymentSuccess"
    DEPLOYMENT_FAILURE = "DeploymentFailure"
    DEPLOYMENT_STOP = "DeploymentStop"
    DEPLOYMENT_ROLLBACK = "DeploymentRollback"
    DEPLOYMENT_READY = "DeploymentReady"
    INSTANCE_START = "InstanceStart"
    INSTANCE_SUCCESS = "InstanceSuccess"
    INSTANCE_FAILURE = "InstanceFailure"
    INSTANCE_READY = "InstanceReady"


#: Events of single instances.
INSTANCE_EVENTS = frozenset(
    {
        TriggerEvent.INSTANCE_START,
        TriggerEvent.INSTANCE_SUCCESS,
        TriggerEvent.INSTANCE_FAILURE,
        TriggerEvent.INSTANCE_READY,
    }
)

#: `status` of a deployment's message: not the API's words (S10.4).
_STATUS = {
    TriggerEvent.DEPLOYMENT_START: "CREATED",
    TriggerEvent.DEPLOYMENT_SUCCESS: "SUCCEEDED",
    TriggerEvent.DEPLOYMENT_FAILURE: "FAILED",
    TriggerEvent.DEPLOYMENT_STOP: "ABORTED",
    TriggerEvent.DEPLOYMENT_ROLLBACK: "IN_PROGRESS",
    TriggerEvent.DEPLOYMENT_READY: "READY",
    TriggerEvent.INSTANCE_START: "IN_PROGRESS",
    TriggerEvent.INSTANCE_READY: "READY",
    TriggerEvent.INSTANCE_SUCCESS: "SUCCEEDED",
    TriggerEvent.INSTANCE_FAILURE: "FAILED",
}
_ENDS = {
    DeploymentStatus.SUCCEEDED: TriggerEvent.DEPLOYMENT_SUCCESS,
    DeploymentStatus.FAILED: TriggerEvent.DEPLOYMENT_FAILURE,
    DeploymentStatus.STOPPED: TriggerEvent.DEPLOYMENT_STOP,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Notification:
    """A message to the subscribers of a topic, or an event for a bus (`event_bus`)."""

    topic_arn: str
    subject: str
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """What is told of a deployment."""

    scope: Scope
    deployment_id: str
    application: str
    group: str
    #: What the API calls the group's deploymentGroupId.
    group_id: str
    create_time: float
    complete_time: float | None = None
    #: Targets by status; None at the start, when they are not known.
    overview: Mapping[TargetStatus, int] | None = None
    error_code: str | None = None
    error_message: str | None = None
    #: RollbackInfo as the API spells it.
    rollback_info: Mapping[str, Any] | None = None


def end_of(status: DeploymentStatus) -> TriggerEvent:
    """The event of a deployment that ended so."""
    return _ENDS[status]


def of_deployment(triggers: Sequence[Mapping[str, Any]], event: TriggerEvent, told: Told) -> Iterator[Notification]:
    """One message for each trigger that wants this event (S10.2, S10.6)."""
    status = _STATUS[event]
    body = {
        "region": told.scope.region,
        "accountId": told.scope.account,
        "applicationName": told.application,
        "deploymentId": told.deployment_id,
        "deploymentGroupName": told.group,
        "createTime": _moment(told.create_time),
        "completeTime": None if told.complete_time is None else _moment(told.complete_time),
        "status": status,
    }
    # These are texts that hold JSON, as consumers have come to expect (S10.4).
    if told.overview is not None:
        shown = ["Succeeded", "Failed", "Skipped", "InProgress", "Pending"]
        if TargetStatus.READY in told.overview:
            shown.append("Ready")
        body["deploymentOverview"] = json.dumps({name: told.overview.get(TargetStatus(name), 0) for name in shown})
    if told.error_code is not None:
        body["errorInformation"] = json.dumps({"ErrorCode": told.error_code, "ErrorMessage": told.error_message})
    if told.rollback_info:
        spelled = {f"{name[0].upper()}{name[1:]}": value for name, value in told.rollback_info.items()}
        body["rollbackInformation"] = json.dumps(spelled)
    yield from _for_each(triggers, event, status, told, body, None)


def of_instance(
    triggers: Sequence[Mapping[str, Any]], event: TriggerEvent, told: Told, arn: str, target: Target, now: float
) -> Iterator[Notification]:
    """One message for each trigger that wants this event of an instance (S10.3)."""
    status = _STATUS[event]
    events = [
        {
            "LifecycleEvent": one.name,
            "LifecycleEventStatus": one.status.value,
            "StartTime": None if one.start_time is None else _moment(one.start_time),
            "EndTime": None if one.end_time is None else _moment(one.end_time),
        }
        for one in target.events
        if one.status is not EventStatus.PENDING or event is TriggerEvent.INSTANCE_START
    ]
    body = {
        "region": told.scope.region,
        "accountId": told.scope.account,
        "deploymentId": told.deployment_id,
        "instanceId": arn,
        "lastUpdatedAt": _moment(now),
        "instanceStatus": status,
        "lifecycleEvents": json.dumps(events),
    }
    yield from _for_each(triggers, event, status, told, body, arn)


def of_setup(scope: Scope, application: str, group: str, trigger: Mapping[str, Any]) -> Notification:
    """The test message that a new or changed trigger sends (S7.27)."""
    body = {
        "region": scope.region,
        "accountId": scope.account,
        "eventTriggerName": trigger["triggerName"],
        "applicationName": application,
        "deploymentGroupName": group,
        "message": f"This topic is told of {', '.join(trigger['triggerEvents'])} from now on.",
    }
    subject = f"TEST: AWS CodeDeploy trigger {trigger['triggerName']} in {scope.region} of {application}"
    return Notification(
        topic_arn=trigger["triggerTargetArn"], subject=_fitting(subject), message=json.dumps(body, ensure_ascii=False)
    )


def _for_each(
    triggers: Sequence[Mapping[str, Any]],
    event: TriggerEvent,
    status: str,
    told: Told,
    body: Mapping[str, Any],
    instance_arn: str | None,
) -> Iterator[Notification]:
    # The words of S10.5.
    subject = f"{status}: AWS CodeDeploy {told.deployment_id} in {told.scope.region} to {told.application}"
    for trigger in triggers:
        if event not in trigger["triggerEvents"]:
            continue
        if is_bus(trigger["triggerTargetArn"]):
            detail_type, message = told_of(event, told, instance_arn)
            yield Notification(topic_arn=trigger["triggerTargetArn"], subject=detail_type, message=message)
        else:
            message = json.dumps({**body, "eventTriggerName": trigger["triggerName"]}, ensure_ascii=False)
            yield Notification(topic_arn=trigger["triggerTargetArn"], subject=_fitting(subject), message=message)


def _fitting(subject: str) -> str:
    # One line of ASCII: what SNS takes.
    plain = "".join(one if " " <= one <= "~" else "?" for one in subject)
    return plain if len(plain) <= _LONGEST_SUBJECT else plain[: _LONGEST_SUBJECT - 3] + "..."


def _moment(seconds: float) -> str:
    """As in `Thu Oct 13 15:50:45 UTC 2022` (S10.4)."""
    return time.strftime("%a %b %d %H:%M:%S UTC %Y", time.gmtime(seconds))
