"""Lifecycle hooks, and the answers of whoever was waited for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from longshore.onebox.services.autoscaling.decide import complete, heartbeat
from longshore.onebox.services.autoscaling.desk import Asked, Desk, owner_of
from longshore.onebox.services.autoscaling.errors import limit_exceeded, validation_error
from longshore.onebox.services.autoscaling.group import (
    DEFAULT_TIMEOUT,
    Action,
    Group,
    Hook,
    Member,
    Result,
    Transition,
)
from longshore.wire.service import Call

MOST_HOOKS = 50
_SHORTEST, _LONGEST = 30, 7200


def put_lifecycle_hook(desk: Desk, call: Call, asked: Asked) -> Mapping[str, Any]:
    with desk.groups.changing(owner_of(call)) as rows:
        group = rows.group(asked["AutoScalingGroupName"])
        before = next((one for one in group.hooks if one.name == asked["LifecycleHookName"]), None)
        rows.put(with_hook(group, hook_of(before, asked)))
    return {}


def describe_lifecycle_hooks(desk: Desk, call: Call, asked: Asked) -> Mapping[str, Any]:
    with desk.groups.reading(owner_of(call)) as rows:
        group = rows.group(asked["AutoScalingGroupName"])
    names = asked.get("LifecycleHookNames")
    return {"LifecycleHooks": [_shown(group, one) for one in group.hooks if not names or one.name in names]}


def delete_lifecycle_hook(desk: Desk, call: Call, asked: Asked) -> Mapping[str, Any]:
    """Who waits for it waits no longer: a launch is abandoned, a termination goes on."""
    with desk.groups.changing(owner_of(call)) as rows:
        group = rows.group(asked["AutoScalingGroupName"])
        hook = next((one for one in group.hooks if one.name == asked["LifecycleHookName"]), None)
        if hook is None:
            raise validation_error(f"No Lifecycle Hook found with name {asked['LifecycleHookName']} in {group.name}.")
        result = Result.ABANDON if hook.transition is Transition.LAUNCHING else Result.CONTINUE
        for member in group.members:
            if any(one.hook == hook.name and one.result is None for one in member.actions):
                group = complete(group, member, hook.name, result)
        rows.put(replace(group, hooks=tuple(one for one in group.hooks if one.name != hook.name)))
    return {}


def complete_lifecycle_action(desk: Desk, call: Call, asked: Asked) -> Mapping[str, Any]:
    if asked["LifecycleActionResult"] not in tuple(Result):
        raise validation_error(
            f"LifecycleActionResult is {asked['LifecycleActionResult']}; it must be CONTINUE or ABANDON."
        )
    with desk.groups.changing(owner_of(call)) as rows:
        group = rows.group(asked["AutoScalingGroupName"])
        member, action = _waiting(group, asked)
        rows.put(complete(group, member, action.hook, Result(asked["LifecycleActionResult"])))
    return {}


def record_lifecycle_action_heartbeat(desk: Desk, call: Call, asked: Asked) -> Mapping[str, Any]:
    with desk.groups.changing(owner_of(call)) as rows:
        group = rows.group(asked["AutoScalingGroupName"])
        member, action = _waiting(group, asked)
        rows.put(heartbeat(group, member, action.hook, call.now))
    return {}


def describe_lifecycle_hook_types(_desk: Desk, _call: Call, _asked: Asked) -> Mapping[str, Any]:
    return {"LifecycleHookTypes": [one.value for one in Transition]}


def hook_of(before: Hook | None, asked: Mapping[str, Any]) -> Hook:
    """The hook that is asked for; what is left out of one that is there stays."""
    if asked.get("NotificationTargetARN"):
        raise validation_error(
            "NotificationTargetARN is not supported by this server: DescribeAutoScalingGroups tells who waits."
        )
    transition = asked.get("LifecycleTransition", before and before.transition.value)
    if transition not in tuple(Transition):
        raise validation_error(f"LifecycleTransition is {transition}; it must be one of {', '.join(Transition)}.")
    default = asked.get("DefaultResult", before.default.value if before else Result.ABANDON.value)
    if default not in tuple(Result):
        raise validation_error(f"DefaultResult is {default}; it must be CONTINUE or ABANDON.")
    timeout = asked.get("HeartbeatTimeout", before.timeout if before else DEFAULT_TIMEOUT)
    if not _SHORTEST <= timeout <= _LONGEST:
        raise validation_error(f"HeartbeatTimeout is {timeout}; it must be from {_SHORTEST} to {_LONGEST} seconds.")
    return Hook(
        name=asked["LifecycleHookName"],
        transition=Transition(transition),
        default=Result(default),
        timeout=timeout,
        metadata=asked.get("NotificationMetadata", before and before.metadata),
    )


def with_hook(group: Group, hook: Hook) -> Group:
    others = tuple(one for one in group.hooks if one.name != hook.name)
    if len(others) >= MOST_HOOKS:
        raise limit_exceeded(f"{group.name} has {MOST_HOOKS} lifecycle hooks already, as many as a group may have.")
    return replace(group, hooks=(*others, hook))


def _waiting(group: Group, asked: Asked) -> tuple[Member, Action]:
    """The lifecycle action that is meant, by its token or its instance."""
    name, token, instance = asked["LifecycleHookName"], asked.get("LifecycleActionToken"), asked.get("InstanceId")
    if token is None and instance is None:
        raise validation_error("Give LifecycleActionToken or InstanceId.")
    for member in group.members:
        for action in member.actions:
            is_meant = (token is None or action.token == token) and (instance is None or member.instance_id == instance)
            if action.hook == name and action.result is None and is_meant:
                return member, action
    if token is not None:
        raise validation_error(f"No active Lifecycle Action found with token {token}")
    raise validation_error(f"No active Lifecycle Action found with instance ID {instance}")


def _shown(group: Group, hook: Hook) -> dict[str, Any]:
    return {
        "LifecycleHookName": hook.name,
        "AutoScalingGroupName": group.name,
        "LifecycleTransition": hook.transition.value,
        "HeartbeatTimeout": hook.timeout,
        "GlobalTimeout": hook.longest,
        "DefaultResult": hook.default.value,
        "NotificationMetadata": hook.metadata,
    }
