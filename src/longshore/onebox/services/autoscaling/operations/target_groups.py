"""Which load balancers' target groups a group's instances are put into."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from longshore.onebox.machinery.records import Owner
from longshore.onebox.services.autoscaling.desk import Asked, Desk, owner_of
from longshore.onebox.services.autoscaling.errors import validation_error
from longshore.onebox.services.autoscaling.group import Group, State
from longshore.wire.service import Call


def attach_load_balancer_target_groups(desk: Desk, call: Call, asked: Asked) -> Mapping[str, Any]:
    owner = owner_of(call)
    with desk.groups.reading(owner) as rows:
        rows.group(asked["AutoScalingGroupName"])
    wanted = fit_target_groups(desk, owner, asked["TargetGroupARNs"])
    with desk.groups.changing(owner) as rows:
        group = rows.group(asked["AutoScalingGroupName"])
        arns = tuple(dict.fromkeys((*group.target_groups, *wanted)))
        rows.put(replace(group, target_groups=arns))
    return {}


def detach_load_balancer_target_groups(desk: Desk, call: Call, asked: Asked) -> Mapping[str, Any]:
    with desk.groups.changing(owner_of(call)) as rows:
        group = rows.group(asked["AutoScalingGroupName"])
        arns = tuple(arn for arn in group.target_groups if arn not in asked["TargetGroupARNs"])
        rows.put(replace(group, target_groups=arns))
    return {}


def describe_load_balancer_target_groups(desk: Desk, call: Call, asked: Asked) -> Mapping[str, Any]:
    with desk.groups.reading(owner_of(call)) as rows:
        group = rows.group(asked["AutoScalingGroupName"])
    known = {arn: _state(group, arn) for arn in group.target_groups}
    for member in group.members:
        known |= {arn: "Removing" for arn in member.settled if arn not in group.target_groups}
    found = [{"LoadBalancerTargetGroupARN": arn, "State": known[arn]} for arn in sorted(known)]
    page, token = desk.page(call, asked, found, of=group.name, key=lambda one: str(one["LoadBalancerTargetGroupARN"]))
    return {"LoadBalancerTargetGroups": page, "NextToken": token}


def fit_target_groups(desk: Desk, owner: Owner, arns: Sequence[str]) -> tuple[str, ...]:
    """These, each once; a ValidationError in AWS's words where one is not there, or is not for instances."""
    wanted = tuple(dict.fromkeys(arns))
    kinds = desk.balancers.kinds(owner, wanted)
    if set(wanted) - set(kinds):
        raise validation_error("Provided Target Groups may not be valid. Please ensure they exist and try again.")
    for arn in wanted:
        if kinds[arn] != "instance":
            raise validation_error(
                f"Provided Target Group '{arn}' has invalid target type. Please ensure all provided Target Groups have"
                " target type of instance."
            )
    return wanted


def _state(group: Group, arn: str) -> str:
    serving = [one for one in group.members if one.state is State.IN_SERVICE]
    return "Added" if all(arn in one.settled for one in serving) else "Adding"
