"""What EventBridge is told of deployments and instances (server.md S10.7 to S10.9).

The event bus is one more topic, told by a trigger that nobody made: of everything, in a form of its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from longshore.domain.ids import Scope

if TYPE_CHECKING:
    from longshore.domain.notification import Told

#: `state` by the trigger's event; the others are no events of EventBridge.
_STATES = {
    "DeploymentStart": "START",
    "DeploymentSuccess": "SUCCESS",
    "DeploymentFailure": "FAILURE",
    "DeploymentStop": "STOP",
    "DeploymentReady": "READY",
    "InstanceStart": "START",
    "InstanceSuccess": "SUCCESS",
    "InstanceFailure": "FAILURE",
    "InstanceReady": "READY",
}


def bus_trigger(scope: Scope) -> Mapping[str, Any]:
    """A trigger that tells the default event bus of everything."""
    arn = f"arn:aws:events:{scope.region}:{scope.account}:event-bus/default"
    return {"triggerName": "", "triggerTargetArn": arn, "triggerEvents": list(_STATES)}


def is_bus(arn: str) -> bool:
    """Whether this is an event bus and no topic."""
    return arn.startswith("arn:aws:events:")


def told_of(event: str, told: Told, instance_arn: str | None) -> tuple[str, str]:
    """The detail-type of an event, and a JSON object of its ``resources`` and ``detail``."""
    kind = "Deployment" if instance_arn is None else "Instance"
    detail = {
        "region": told.scope.region,
        "deploymentId": told.deployment_id,
        "application": told.application,
        "deploymentGroup": told.group,
        "instanceGroupId": told.group_id,
        "state": _STATES[event],
    }
    resources = [
        told.scope.application_arn(told.application),
        told.scope.deployment_group_arn(told.application, told.group),
    ]
    if instance_arn is not None:
        name = instance_arn.rpartition("/")[2]
        # An on-premises instance's ARN has letters of ours after the name.
        detail["instanceId"] = name.rpartition("_")[0] if ":codedeploy:" in instance_arn else name
        resources.append(instance_arn)
    message = json.dumps({"resources": resources, "detail": detail}, ensure_ascii=False)
    return f"CodeDeploy {kind} State-change Notification", message
