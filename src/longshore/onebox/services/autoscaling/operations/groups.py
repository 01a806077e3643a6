"""Groups themselves: made, changed, told, deleted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from longshore.onebox.machinery.records import Owner
from longshore.onebox.services.autoscaling.decide import leave
from longshore.onebox.services.autoscaling.desk import Asked, Desk, owner_of
from longshore.onebox.services.autoscaling.errors import (
    already_exists,
    limit_exceeded,
    resource_in_use,
    scaling_activity_in_progress,
    validation_error,
)
from longshore.onebox.services.autoscaling.ground import RefusedError
from longshore.onebox.services.autoscaling.group import Group
from longshore.onebox.services.autoscaling.groups import Rows
from longshore.onebox.services.autoscaling.operations.hooks import hook_of, with_hook
from longshore.onebox.services.autoscaling.operations.tags import checked_tags, shown_tags, with_tags
from longshore.onebox.services.autoscaling.operations.target_groups import fit_target_groups
from longshore.wire.service import Call

MOST_GROUPS = 500
#: How an instance that must go is found here.
TERMINATION_POLICIES = ("Default", "NewestInstance", "OldestInstance")
#: Members that would change what a group does and are not done: told rather than left out.
_NOT_DONE = (
    "MixedInstancesPolicy",
    "InstanceId",
    "LoadBalancerNames",
    "MaxInstanceLifetime",
    "TrafficSources",
    "InstanceMaintenancePolicy",
    "AvailabilityZoneIds",
    "CapacityReservationSpecification",
    "InstanceLifecyclePolicy",
    "PlacementGroup",
)


def create_auto_scaling_group(desk: Desk, call: Call, asked: Asked) -> None:
    owner, name = owner_of(call), asked["AutoScalingGroupName"]
    _refuse_what_is_not_done(asked)
    if ":" in name:
        raise validation_error(f"AutoScalingGroupName {name} must not have a colon.")
    launch = _launch(desk, owner, asked)
    if launch is None:
        raise validation_error("Valid requests must contain either LaunchTemplate or LaunchConfigurationName.")
    subnets = _subnets(desk, owner, asked)
    zones = _zones(desk, owner, asked, subnets)
    if not zones:
        raise validation_error("At least one Availability Zone or VPC Subnet is required.")
    group = Group(
        name=name,
        arn=f"arn:aws:autoscaling:{owner.region}:{owner.account}:autoScalingGroup:{desk.new_id()}"
        f":autoScalingGroupName/{name}",
        created=call.now,
        minimum=asked["MinSize"],
        maximum=asked["MaxSize"],
        desired=asked["DesiredCapacity"] if "DesiredCapacity" in asked else asked["MinSize"],
        launch=launch,
        zones=zones,
        subnets=subnets,
        target_groups=fit_target_groups(desk, owner, asked.get("TargetGroupARNs", ())),
        tags={},
        suspended={},
        **_settings(asked),
    )
    _check_sizes(group)
    for one in asked.get("LifecycleHookSpecificationList", ()):
        group = with_hook(group, hook_of(None, one))
    group = with_tags(group, checked_tags(asked.get("Tags", ()), of=name))
    with desk.groups.changing(owner) as rows:
        if rows.find(name) is not None:
            raise already_exists(
                f"AutoScalingGroup by this name already exists - A group with the name {name} already exists"
            )
        if len(rows.all()) >= MOST_GROUPS:
            raise limit_exceeded(f"There are {MOST_GROUPS} Auto Scaling groups already. Delete one first.")
        _check_launch_configuration(rows, group.launch)
        rows.put(group)


def update_auto_scaling_group(desk: Desk, call: Call, asked: Asked) -> None:
    owner = owner_of(call)
    _refuse_what_is_not_done(asked)
    launch = _launch(desk, owner, asked)
    subnets = _subnets(desk, owner, asked)
    zones = _zones(desk, owner, asked, subnets)
    with desk.groups.changing(owner) as rows:
        before = _existing(rows, asked["AutoScalingGroupName"])
        group = replace(
            before,
            minimum=asked.get("MinSize", before.minimum),
            maximum=asked.get("MaxSize", before.maximum),
            launch=launch or before.launch,
            zones=zones or before.zones,
            subnets=subnets if zones else before.subnets,
            **_settings(asked),
        )
        if "DesiredCapacity" in asked:
            group = replace(group, desired=asked["DesiredCapacity"])
        else:
            # A limit that is moved past the desired capacity takes it along.
            group = replace(group, desired=min(max(group.desired, group.minimum), max(group.maximum, group.minimum)))
        _check_sizes(group)
        _check_launch_configuration(rows, group.launch)
        # Whoever changes a group that could not launch wants to see at once whether it can now.
        rows.put(replace(group, failures=0, retry_at=0.0))


def describe_auto_scaling_groups(desk: Desk, call: Call, asked: Asked) -> Mapping[str, Any]:
    names, filters = asked.get("AutoScalingGroupNames"), asked.get("Filters", ())
    with desk.groups.reading(owner_of(call)) as rows:
        found = [group for group in rows.all() if not names or group.name in names]
    found = [group for group in found if all(_matches(group, one) for one in filters)]
    page, token = desk.page(call, asked, found, of=repr((names, filters)), key=lambda group: str(group.name))
    with_instances = asked.get("IncludeInstances", True)
    return {
        "AutoScalingGroups": [_shown(group, with_instances=with_instances) for group in page],
        "NextToken": token,
    }


def delete_auto_scaling_group(desk: Desk, call: Call, asked: Asked) -> None:
    with desk.groups.changing(owner_of(call)) as rows:
        group = _existing(rows, asked["AutoScalingGroupName"])
        if asked.get("ForceDelete"):
            for member in group.members:
                if member.instance_id is not None:
                    why = "a user request force-deleted the AutoScalingGroup."
                    group = leave(group, member, why, call.now, desk.new_id, without_hooks=True)
            group = replace(group, is_being_deleted=True, desired=0, minimum=0)
        elif group.staying:
            raise resource_in_use(
                "You cannot delete an AutoScalingGroup while there are instances or pending Spot instance request(s)"
                " still in the group."
            )
        elif group.members:
            raise scaling_activity_in_progress(
                "You cannot delete an AutoScalingGroup while there are scaling activities in progress for that group."
            )
        if group.members:
            rows.put(group)
        else:
            rows.remove(group.name)


def set_desired_capacity(desk: Desk, call: Call, asked: Asked) -> None:
    wanted = asked["DesiredCapacity"]
    with desk.groups.changing(owner_of(call)) as rows:
        group = _existing(rows, asked["AutoScalingGroupName"])
        if wanted > group.maximum:
            raise validation_error(
                f"New SetDesiredCapacity value {wanted} is above max value {group.maximum} for the AutoScalingGroup."
            )
        if wanted < group.minimum:
            raise validation_error(
                f"New SetDesiredCapacity value {wanted} is below min value {group.minimum} for the AutoScalingGroup."
            )
        if asked.get("HonorCooldown") and call.now < _cooled(group):
            raise scaling_activity_in_progress(
                f"The cooldown of {group.cooldown} seconds after the last scaling activity is not over."
            )
        rows.put(replace(group, desired=wanted, failures=0, retry_at=0.0))


def _existing(rows: Rows, name: str) -> Group:
    """A group that may be changed: one that is going away is none."""
    group = rows.group(name)
    if group.is_being_deleted:
        raise scaling_activity_in_progress(f"The AutoScalingGroup {name} is being deleted.")
    return group


def _cooled(group: Group) -> float:
    last = max((one.end or one.start for one in group.activities), default=0.0)
    return last + group.cooldown


def _settings(asked: Asked) -> dict[str, Any]:
    """What may be said when a group is made and whenever it is changed; only what is said."""
    said: dict[str, Any] = {}
    for member, name in (
        ("DefaultCooldown", "cooldown"),
        ("HealthCheckGracePeriod", "grace"),
        ("NewInstancesProtectedFromScaleIn", "protects_new"),
    ):
        if member in asked:
            said[name] = asked[member]
    if "HealthCheckType" in asked:
        if asked["HealthCheckType"] not in ("EC2", "ELB"):
            raise validation_error(f"HealthCheckType is {asked['HealthCheckType']}; it must be EC2 or ELB.")
        said["health_check"] = asked["HealthCheckType"]
    if "TerminationPolicies" in asked:
        for policy in asked["TerminationPolicies"]:
            if policy not in TERMINATION_POLICIES:
                allowed = ", ".join(TERMINATION_POLICIES)
                raise validation_error(
                    f"The termination policy {policy} is not supported by this server; use {allowed}."
                )
        said["termination_policies"] = tuple(asked["TerminationPolicies"]) or ("Default",)
    if any(said.get(name, 0) < 0 for name in ("cooldown", "grace")):
        raise validation_error("DefaultCooldown and HealthCheckGracePeriod must not be negative.")
    return said


def _refuse_what_is_not_done(asked: Asked) -> None:
    for member in _NOT_DONE:
        if asked.get(member):
            raise validation_error(f"{member} is not supported by this server; leave it out.")


def _check_sizes(group: Group) -> None:
    if group.minimum < 0 or group.maximum < 0:
        raise validation_error("MinSize and MaxSize must not be negative.")
    if group.minimum > group.maximum:
        raise validation_error(
            f"Max bound, {group.maximum}, must be greater than or equal to min bound, {group.minimum}"
        )
    if not group.minimum <= group.desired <= group.maximum:
        raise validation_error(
            f"Desired capacity:{group.desired} must be between the specified min size:{group.minimum} and max"
            f" size:{group.maximum}"
        )


def _launch(desk: Desk, owner: Owner, asked: Asked) -> Mapping[str, Any] | None:
    """What instances are made of, if it is said."""
    template, configuration = asked.get("LaunchTemplate"), asked.get("LaunchConfigurationName")
    if template is not None and configuration is not None:
        raise validation_error(
            "Valid requests must contain either LaunchTemplate or LaunchConfigurationName, and not both."
        )
    if configuration is not None:
        return {"LaunchConfigurationName": configuration}
    if template is None:
        return None
    if ("LaunchTemplateId" in template) == ("LaunchTemplateName" in template):
        raise validation_error("Valid requests must contain either launchTemplateId or LaunchTemplateName")
    try:
        return {"LaunchTemplate": dict(desk.machines.template(owner, template))}
    except RefusedError as why:
        raise validation_error(f"You must use a valid fully-formed launch template. {why}") from None


def _check_launch_configuration(rows: Rows, launch: Mapping[str, Any]) -> None:
    name = launch.get("LaunchConfigurationName")
    if name is not None and rows.launch_configuration(name) is None:
        raise validation_error(
            f"Launch configuration name not found - A launch configuration with the name: {name} does not exist"
        )


def _subnets(desk: Desk, owner: Owner, asked: Asked) -> dict[str, str]:
    """The subnet of each zone, where subnets were given."""
    named = [one.strip() for one in asked.get("VPCZoneIdentifier", "").split(",") if one.strip()]
    if not named:
        return {}
    try:
        zones = desk.machines.zones(owner, named)
    except RefusedError as why:
        raise validation_error(str(why)) from None
    return dict(zip(zones, named, strict=True))


def _zones(desk: Desk, owner: Owner, asked: Asked, subnets: Mapping[str, str]) -> tuple[str, ...]:
    named: Sequence[str] = asked.get("AvailabilityZones", ())
    if named and not subnets:
        there = desk.machines.every_zone(owner)
        for zone in named:
            if zone not in there:
                raise validation_error(f"Invalid availability zone: [{zone}]")
    if named and subnets and set(named) != set(subnets):
        raise validation_error("The availability zones of the specified subnets and AvailabilityZones do not match.")
    return tuple(dict.fromkeys(subnets or named))


def _matches(group: Group, wanted: Mapping[str, Any]) -> bool:
    name, values = wanted.get("Name", ""), wanted.get("Values", ())
    if name == "tag-key":
        return any(key in values for key in group.tags)
    if name == "tag-value":
        return any(value in values for value, _ in group.tags.values())
    if name.startswith("tag:"):
        return group.tags.get(name.removeprefix("tag:"), ("", False))[0] in values and name[4:] in group.tags
    raise validation_error(f"Filter type {name} is not correct. Allowed Filter types are: tag-key tag-value tag:<key>")


def _shown(group: Group, *, with_instances: bool) -> dict[str, Any]:
    return {
        "AutoScalingGroupName": group.name,
        "AutoScalingGroupARN": group.arn,
        **group.launch,
        "MinSize": group.minimum,
        "MaxSize": group.maximum,
        "DesiredCapacity": group.desired,
        "DefaultCooldown": group.cooldown,
        "AvailabilityZones": list(group.zones),
        "LoadBalancerNames": [],
        "TargetGroupARNs": list(group.target_groups),
        "HealthCheckType": group.health_check,
        "HealthCheckGracePeriod": group.grace,
        "Instances": shown_instances(group) if with_instances else [],
        "CreatedTime": group.created,
        "SuspendedProcesses": [
            {"ProcessName": name, "SuspensionReason": why} for name, why in sorted(group.suspended.items())
        ],
        "VPCZoneIdentifier": ",".join(group.subnets.values()),
        "EnabledMetrics": [],
        "Status": "Delete in progress" if group.is_being_deleted else None,
        "Tags": shown_tags(group),
        "TerminationPolicies": list(group.termination_policies),
        "NewInstancesProtectedFromScaleIn": group.protects_new,
        "CapacityRebalance": False,
    }


def shown_instances(group: Group) -> list[dict[str, Any]]:
    """The members that are instances, as DescribeAutoScalingGroups tells them."""
    return [
        {
            "InstanceId": one.instance_id,
            "InstanceType": one.instance_type,
            "AvailabilityZone": one.zone,
            "LifecycleState": one.state.value,
            "HealthStatus": "Healthy" if one.is_healthy else "Unhealthy",
            "ProtectedFromScaleIn": one.is_protected,
            **one.launched_from,
        }
        for one in group.members
        if one.instance_id is not None
    ]
