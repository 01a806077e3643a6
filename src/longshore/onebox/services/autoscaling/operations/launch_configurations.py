"""Launch configurations, thin: what a launch template says, under a name, once and for all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from longshore.onebox.services.autoscaling.desk import Asked, Desk, owner_of
from longshore.onebox.services.autoscaling.errors import already_exists, resource_in_use, validation_error
from longshore.wire.service import Call

#: What is kept and told.
_KEPT = ("ImageId", "InstanceType", "KeyName", "SecurityGroups", "UserData", "IamInstanceProfile")


def create_launch_configuration(desk: Desk, call: Call, asked: Asked) -> None:
    owner, name = owner_of(call), asked["LaunchConfigurationName"]
    for member in ("ImageId", "InstanceType"):
        if member not in asked:
            raise validation_error(f"{member} is required.")
    document = {
        **{member: asked[member] for member in _KEPT if member in asked},
        "LaunchConfigurationName": name,
        "LaunchConfigurationARN": f"arn:aws:autoscaling:{owner.region}:{owner.account}:launchConfiguration:"
        f"{desk.new_id()}:launchConfigurationName/{name}",
        "CreatedTime": call.now,
    }
    with desk.groups.changing(owner) as rows:
        if rows.launch_configuration(name) is not None:
            raise already_exists(
                "Launch Configuration by this name already exists - A launch configuration already exists with the"
                f" name {name}"
            )
        rows.put_launch_configuration(name, document)


def describe_launch_configurations(desk: Desk, call: Call, asked: Asked) -> Mapping[str, Any]:
    names = asked.get("LaunchConfigurationNames")
    with desk.groups.reading(owner_of(call)) as rows:
        found = [one for name, one in rows.launch_configurations().items() if not names or name in names]
    page, token = desk.page(call, asked, found, of=repr(names), key=lambda one: str(one["LaunchConfigurationName"]))
    shown = [{"KeyName": "", "SecurityGroups": [], "UserData": "", "BlockDeviceMappings": [], **one} for one in page]
    return {"LaunchConfigurations": shown, "NextToken": token}


def delete_launch_configuration(desk: Desk, call: Call, asked: Asked) -> None:
    name = asked["LaunchConfigurationName"]
    with desk.groups.changing(owner_of(call)) as rows:
        if rows.launch_configuration(name) is None:
            raise validation_error(f"Launch configuration name not found - Launch configuration {name} not found")
        for group in rows.all():
            if group.launch.get("LaunchConfigurationName") == name:
                raise resource_in_use(
                    f"Cannot delete launch configuration {name} because it is attached to AutoScalingGroup {group.name}"
                )
        rows.remove_launch_configuration(name)
