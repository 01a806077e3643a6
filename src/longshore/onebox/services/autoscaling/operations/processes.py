"""Processes, suspended and resumed; and what is asked about that a group here never has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from longshore.onebox.services.autoscaling.desk import Asked, Desk, owner_of
from longshore.onebox.services.autoscaling.errors import validation_error
from longshore.onebox.services.autoscaling.group import Process
from longshore.onebox.services.autoscaling.operations.groups import MOST_GROUPS, TERMINATION_POLICIES
from longshore.wire.service import Call

_MOST_LAUNCH_CONFIGURATIONS = 200


def suspend_processes(desk: Desk, call: Call, asked: Asked) -> None:
    chosen = _chosen(asked)
    with desk.groups.changing(owner_of(call)) as rows:
        group = rows.group(asked["AutoScalingGroupName"])
        now = dict.fromkeys(chosen, "User suspended")
        rows.put(replace(group, suspended={**now, **group.suspended}))


def resume_processes(desk: Desk, call: Call, asked: Asked) -> None:
    chosen = _chosen(asked)
    with desk.groups.changing(owner_of(call)) as rows:
        group = rows.group(asked["AutoScalingGroupName"])
        left = {name: why for name, why in group.suspended.items() if name not in chosen}
        rows.put(replace(group, suspended=left))


def _chosen(asked: Asked) -> list[str]:
    """The processes that are named; all when none is."""
    known = [one.value for one in Process]
    for name in asked.get("ScalingProcesses", ()):
        if name not in known:
            raise validation_error(f"The process {name} is not valid; it must be one of {', '.join(known)}.")
    return list(asked.get("ScalingProcesses") or known)


def describe_scaling_process_types(_desk: Desk, _call: Call, _asked: Asked) -> Mapping[str, Any]:
    return {"Processes": [{"ProcessName": one.value} for one in Process]}


def describe_termination_policy_types(_desk: Desk, _call: Call, _asked: Asked) -> Mapping[str, Any]:
    return {"TerminationPolicyTypes": list(TERMINATION_POLICIES)}


def describe_account_limits(desk: Desk, call: Call, _asked: Asked) -> Mapping[str, Any]:
    with desk.groups.reading(owner_of(call)) as rows:
        groups, configurations = len(rows.all()), len(rows.launch_configurations())
    return {
        "MaxNumberOfAutoScalingGroups": MOST_GROUPS,
        "MaxNumberOfLaunchConfigurations": _MOST_LAUNCH_CONFIGURATIONS,
        "NumberOfAutoScalingGroups": groups,
        "NumberOfLaunchConfigurations": configurations,
    }


def describe_policies(desk: Desk, call: Call, asked: Asked) -> Mapping[str, Any]:
    """No operation here makes a scaling policy, so there is none."""
    _check_group(desk, call, asked)
    return {"ScalingPolicies": []}


def describe_scheduled_actions(desk: Desk, call: Call, asked: Asked) -> Mapping[str, Any]:
    """Nor a scheduled action."""
    _check_group(desk, call, asked)
    return {"ScheduledUpdateGroupActions": []}


def describe_notification_configurations(_desk: Desk, _call: Call, _asked: Asked) -> Mapping[str, Any]:
    """Nor a notification."""
    return {"NotificationConfigurations": []}


def _check_group(desk: Desk, call: Call, asked: Asked) -> None:
    if "AutoScalingGroupName" in asked:
        with desk.groups.reading(owner_of(call)) as rows:
            rows.group(asked["AutoScalingGroupName"])
