"""The instances of groups: told, terminated, attached, detached, marked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from longshore.onebox.services.autoscaling.decide import leave
from longshore.onebox.services.autoscaling.desk import Asked, Desk, owner_of
from longshore.onebox.services.autoscaling.errors import scaling_activity_in_progress, validation_error
from longshore.onebox.services.autoscaling.group import Activity, Group, Member, State
from longshore.onebox.services.autoscaling.groups import Rows
from longshore.onebox.services.autoscaling.operations.groups import shown_instances
from longshore.wire.service import Call


def describe_auto_scaling_instances(desk: Desk, call: Call, asked: Asked) -> Mapping[str, Any]:
    ids = asked.get("InstanceIds")
    with desk.groups.reading(owner_of(call)) as rows:
        told = [
            {"AutoScalingGroupName": group.name, **one}
            for group in rows.all()
            for one in shown_instances(group)
            if not ids or one["InstanceId"] in ids
        ]
    # This operation alone spells health in capitals.
    found = sorted(
        ({**one, "HealthStatus": one["HealthStatus"].upper()} for one in told), key=lambda one: str(one["InstanceId"])
    )
    page, token = desk.page(call, asked, found, of=repr(ids), key=lambda one: str(one["InstanceId"]))
    return {"AutoScalingInstances": page, "NextToken": token}


def terminate_instance_in_auto_scaling_group(desk: Desk, call: Call, asked: Asked) -> Mapping[str, Any]:
    if asked.get("InstanceIds") or "InstanceId" not in asked:
        raise validation_error("Give one InstanceId; InstanceIds is not supported by this server.")
    with desk.groups.changing(owner_of(call)) as rows:
        group, member = rows.group_of(asked["InstanceId"])
        if member.state.is_leaving:
            raise scaling_activity_in_progress(f"{member.instance_id} is {member.state} already.")
        if asked.get("ShouldDecrementDesiredCapacity"):
            group = _shrunk(group, 1)
        why = f"instance {member.instance_id} was taken out of service in response to a user request."
        group = leave(group, member, why, call.now, desk.new_id)
        rows.put(group)
    return {"Activity": shown_activity(group, group.activities[0])}


def detach_instances(desk: Desk, call: Call, asked: Asked) -> Mapping[str, Any]:
    with desk.groups.changing(owner_of(call)) as rows:
        group = rows.group(asked["AutoScalingGroupName"])
        members = [_in_service(group, instance_id) for instance_id in asked.get("InstanceIds", ())]
        if asked["ShouldDecrementDesiredCapacity"]:
            group = _shrunk(group, len(members))
        for member in members:
            why = f"instance {member.instance_id} was detached in response to a user request."
            group = leave(group, member, why, call.now, desk.new_id, state=State.DETACHING)
        rows.put(group)
    return {"Activities": [shown_activity(group, one) for one in reversed(group.activities[: len(members)])]}


def attach_instances(desk: Desk, call: Call, asked: Asked) -> None:
    owner, ids = owner_of(call), list(dict.fromkeys(asked.get("InstanceIds", ())))
    found = desk.machines.machines(owner, ids)
    for instance_id in ids:
        if instance_id not in found or found[instance_id].state != "running":
            raise validation_error(f"Invalid Instance ID(s): [{instance_id}]. It must be there and running.")
    with desk.groups.changing(owner) as rows:
        group = rows.group(asked["AutoScalingGroupName"])
        _check_are_free(rows, ids)
        if group.desired + len(ids) > group.maximum:
            raise validation_error(
                f"AutoScalingGroup '{group.name}' has desired={group.desired} and max={group.maximum}; attaching"
                f" {len(ids)} instance(s) would exceed it. Raise MaxSize first."
            )
        for instance_id in ids:
            machine = found[instance_id]
            if machine.zone not in group.zones:
                raise validation_error(f"{instance_id} is in {machine.zone}, which is no zone of {group.name}.")
            member = Member(
                token=desk.new_id(),
                zone=machine.zone,
                launched_from={},
                state=State.PENDING,
                since=call.now,
                instance_id=instance_id,
                is_protected=group.protects_new,
                activity=desk.new_id(),
            )
            activity = Activity(
                id=member.activity,
                description=f"Attaching an existing EC2 instance: {instance_id}",
                cause="An instance was attached in response to a user request.",
                start=call.now,
                status="InProgress",
                progress=0,
            )
            group = replace(
                group,
                desired=group.desired + 1,
                members=(*group.members, member),
                activities=(activity, *group.activities),
            )
        rows.put(group)


def set_instance_health(desk: Desk, call: Call, asked: Asked) -> None:
    if asked["HealthStatus"] not in ("Healthy", "Unhealthy"):
        raise validation_error(f"HealthStatus is {asked['HealthStatus']}; it must be Healthy or Unhealthy.")
    is_healthy = asked["HealthStatus"] == "Healthy"
    with desk.groups.changing(owner_of(call)) as rows:
        group, member = rows.group_of(asked["InstanceId"])
        in_grace = member.state is not State.IN_SERVICE or call.now < member.since + group.grace
        if not is_healthy and in_grace and asked.get("ShouldRespectGracePeriod", True):
            return
        rows.put(group.with_member(replace(member, is_healthy=is_healthy)))


def set_instance_protection(desk: Desk, call: Call, asked: Asked) -> Mapping[str, Any]:
    with desk.groups.changing(owner_of(call)) as rows:
        group = rows.group(asked["AutoScalingGroupName"])
        for instance_id in asked["InstanceIds"]:
            member = _in_service(group, instance_id)
            group = group.with_member(replace(member, is_protected=asked["ProtectedFromScaleIn"]))
        rows.put(group)
    return {}


def describe_scaling_activities(desk: Desk, call: Call, asked: Asked) -> Mapping[str, Any]:
    name, ids = asked.get("AutoScalingGroupName"), asked.get("ActivityIds")
    with desk.groups.reading(owner_of(call)) as rows:
        groups = [rows.group(name)] if name is not None else rows.all()
    found = [(group, one) for group in groups for one in group.activities if not ids or one.id in ids]
    # Newest first: the key grows as time goes back.
    ordered = sorted(found, key=lambda one: _backwards(one[1]))
    page, token = desk.page(call, asked, ordered, of=repr((name, ids)), key=lambda one: _backwards(one[1]))
    return {"Activities": [shown_activity(group, one) for group, one in page], "NextToken": token}


def _backwards(activity: Activity) -> str:
    return f"{1e11 - activity.start:020.6f} {activity.id}"


def shown_activity(group: Group, activity: Activity) -> dict[str, Any]:
    """An activity as the API tells it."""
    return {
        "ActivityId": activity.id,
        "AutoScalingGroupName": group.name,
        "AutoScalingGroupARN": group.arn,
        "Description": activity.description,
        "Cause": activity.cause,
        "StartTime": activity.start,
        "EndTime": activity.end,
        "StatusCode": activity.status,
        "StatusMessage": activity.message,
        "Progress": activity.progress,
        "Details": "{}",
    }


def _in_service(group: Group, instance_id: str) -> Member:
    member = group.member(instance_id)
    if member is None:
        raise validation_error(f"The instance {instance_id} is not part of Auto Scaling group {group.name}.")
    if member.state is not State.IN_SERVICE:
        raise validation_error(f"The instance {instance_id} is not in InService, it is {member.state}.")
    return member


def _shrunk(group: Group, by: int) -> Group:
    if group.desired - by < group.minimum:
        raise validation_error(
            f"Currently, desiredSize equals {group.desired} and minSize {group.minimum}. Terminating or detaching {by}"
            " instance(s) without replacement will violate group's min size constraint. Either set"
            " shouldDecrementDesiredCapacity flag to false or lower group's min size."
        )
    return replace(group, desired=group.desired - by)


def _check_are_free(rows: Rows, ids: list[str]) -> None:
    for group in rows.all():
        for instance_id in ids:
            if group.member(instance_id) is not None:
                raise validation_error(f"The instance {instance_id} is already part of AutoScalingGroup: {group.name}")
