"""Which alarms a deployment watches, and what they say of it (server.md S6.19, S7.21–S7.23)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class AlarmState(StrEnum):
    """Where an alarm stands, in CloudWatch's words."""

    OK = "OK"
    ALARM = "ALARM"
    INSUFFICIENT_DATA = "INSUFFICIENT_DATA"


@dataclass(frozen=True, kw_only=True, slots=True)
class Watch:
    """The alarms that may stop a deployment."""

    names: tuple[str, ...]
    #: `ignorePollAlarmFailure`: go on where their states cannot be read.
    ignores_failures: bool


def watch_of(configuration: Mapping[str, Any]) -> Watch | None:
    """The watch that an effective alarmConfiguration asks for; None: none."""
    if not configuration.get("enabled"):
        return None
    names = tuple(alarm["name"] for alarm in configuration.get("alarms", ()))
    return Watch(names=names, ignores_failures=bool(configuration.get("ignorePollAlarmFailure")))


def effective(deployments_own: Mapping[str, Any], groups: Mapping[str, Any]) -> Mapping[str, Any]:
    """The alarmConfiguration of a deployment, from its own document and its group's: its own counts alone (S6.19)."""
    override = deployments_own.get("overrideAlarmConfiguration")
    configuration: Mapping[str, Any] = groups.get("alarmConfiguration", {}) if override is None else override
    return configuration


def firing(watch: Watch, states: Mapping[str, AlarmState]) -> str | None:
    """Why these states stop a deployment, in words that name the alarms (S7.22); None when they do not."""
    names = [name for name in watch.names if states.get(name) is AlarmState.ALARM]
    if not names:
        return None
    return f"alarms in the state ALARM: {', '.join(names)}"


def unreadable(watch: Watch, states: Mapping[str, AlarmState]) -> str | None:
    """What is wrong with the answer: alarms that nobody knows; None when it is whole."""
    unknown = [name for name in watch.names if name not in states]
    return f"there is no alarm of this name: {', '.join(unknown)}" if unknown else None
