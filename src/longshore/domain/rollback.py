"""Whether a deployment that ended badly is rolled back (server.md S5, S6.7)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from longshore.domain.deployment import DeploymentStatus, ErrorCode

#: Who made a deployment that rolls another one back (S5.6).
CREATOR = "codeDeployRollback"


class RollbackEvent(StrEnum):
    """What can start a rollback by itself (S5.2)."""

    FAILURE = "DEPLOYMENT_FAILURE"
    STOP_ON_ALARM = "DEPLOYMENT_STOP_ON_ALARM"
    STOP_ON_REQUEST = "DEPLOYMENT_STOP_ON_REQUEST"


def is_wanted(configuration: Mapping[str, Any], ended_as: DeploymentStatus, code: ErrorCode | None) -> bool:
    """Whether a deployment with this autoRollbackConfiguration is rolled back now that it has ended so."""
    match ended_as, code:
        case DeploymentStatus.STOPPED, ErrorCode.ALARM_ACTIVE:
            event = RollbackEvent.STOP_ON_ALARM
        case DeploymentStatus.STOPPED, _:
            event = RollbackEvent.STOP_ON_REQUEST
        case DeploymentStatus.FAILED, _:
            event = RollbackEvent.FAILURE
        case _:
            return False
    return bool(configuration.get("enabled")) and event in configuration.get("events", ())


def as_stopped(configuration: Mapping[str, Any], *, rolls_back: bool) -> dict[str, Any]:
    """The configuration of a deployment once StopDeployment has said whether it shall be rolled back (S6.7)."""
    events = set(configuration.get("events", ())) if configuration.get("enabled") else set()
    events -= {RollbackEvent.STOP_ON_REQUEST.value}
    if rolls_back:
        events |= {RollbackEvent.STOP_ON_REQUEST.value}
    return {"enabled": bool(events), "events": sorted(events)}
