"""Which load balancers' target groups a group's instances are put into."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from longshore.onebox.services.autoscaling.desk import Asked, Desk, owner_of
from longshore.onebox.services.autoscaling.group import Group, State
from longshore.wire.service import Call


def attach_load_balancer_target_groups(desk: Desk, call: Call, asked: Asked) -> Mapping[str, Any]:
    with desk.groups.changing(owner_of(call)) as rows:
        group = rows.group(asked["AutoScalingGroupName"])
        arns = tuple(dict.fromkeys((*group.target_groups, *asked["TargetGroupARNs"])))
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


def _state(group: Group, arn: str) -> str:
    serving = [one for one in group.members if one.state is State.IN_SERVICE]
    return "Added" if all(arn in one.settled for one in serving) else "Adding"
