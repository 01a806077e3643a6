"""Deployments as the API describes them, for tests of what is shown of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

NAMES = (
    "ApplicationStop",
    "DownloadBundle",
    "BeforeInstall",
    "Install",
    "AfterInstall",
    "ApplicationStart",
    "ValidateService",
)
BEGAN = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
NOW = BEGAN + timedelta(seconds=10)


def info(status: str = "InProgress", **changed: Any) -> dict[str, Any]:
    """What GetDeployment answers."""
    return {
        "deploymentId": "d-ABC123DEF",
        "status": status,
        "applicationName": "shop",
        "deploymentGroupName": "prod",
        "deploymentConfigName": "CodeDeployDefault.HalfAtATime",
        "createTime": BEGAN,
        **changed,
    }


def described(name: str, status: str, *, ended: int = 0, running: bool = False, failed: bool = False) -> dict[str, Any]:
    """A target as BatchGetDeploymentTargets gives it, of whose events so many have succeeded."""
    events: list[dict[str, Any]] = []
    for position, event in enumerate(NAMES):
        start = BEGAN + timedelta(seconds=position)
        times = {"startTime": start, "endTime": start + timedelta(seconds=0.5)}
        if position < ended:
            events.append({"lifecycleEventName": event, "status": "Succeeded", **times})
        elif position == ended and failed:
            diagnostics = {
                "errorCode": "ScriptFailed",
                "scriptName": "scripts/validate.sh",
                "message": "the script scripts/validate.sh failed with exit code 1",
                "logTail": "Script - scripts/validate.sh\n[stderr]no answer\n",
            }
            events.append({"lifecycleEventName": event, "status": "Failed", **times, "diagnostics": diagnostics})
        elif position == ended and running:
            events.append({"lifecycleEventName": event, "status": "InProgress", "startTime": start})
        else:
            after = "Skipped" if status in ("Failed", "Skipped") else "Pending"
            events.append({"lifecycleEventName": event, "status": after})
    return {
        "deploymentTargetType": "InstanceTarget",
        "instanceTarget": {"targetId": name, "status": status, "lifecycleEvents": events},
    }
