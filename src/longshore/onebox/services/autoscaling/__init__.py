"""Auto Scaling on one machine: groups of real instances, with lifecycle hooks and load balancers."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Any

from longshore import models
from longshore.onebox.machinery.records import Records
from longshore.onebox.services.autoscaling.desk import Asked, Body, Desk
from longshore.onebox.services.autoscaling.errors import explain
from longshore.onebox.services.autoscaling.ground import Balancers, Machines
from longshore.onebox.services.autoscaling.groups import Groups
from longshore.onebox.services.autoscaling.keeper import Keeper
from longshore.onebox.services.autoscaling.operations import (
    groups,
    hooks,
    instances,
    launch_configurations,
    processes,
    tags,
    target_groups,
)
from longshore.wire.service import Call, Handler, Service

__all__ = ["AutoScaling"]

_OPERATIONS = (
    groups.create_auto_scaling_group,
    groups.update_auto_scaling_group,
    groups.describe_auto_scaling_groups,
    groups.delete_auto_scaling_group,
    groups.set_desired_capacity,
    instances.describe_auto_scaling_instances,
    instances.terminate_instance_in_auto_scaling_group,
    instances.attach_instances,
    instances.detach_instances,
    instances.set_instance_health,
    instances.set_instance_protection,
    instances.describe_scaling_activities,
    hooks.put_lifecycle_hook,
    hooks.describe_lifecycle_hooks,
    hooks.describe_lifecycle_hook_types,
    hooks.delete_lifecycle_hook,
    hooks.complete_lifecycle_action,
    hooks.record_lifecycle_action_heartbeat,
    processes.suspend_processes,
    processes.resume_processes,
    processes.describe_scaling_process_types,
    processes.describe_termination_policy_types,
    processes.describe_account_limits,
    processes.describe_policies,
    processes.describe_scheduled_actions,
    processes.describe_notification_configurations,
    target_groups.attach_load_balancer_target_groups,
    target_groups.detach_load_balancer_target_groups,
    target_groups.describe_load_balancer_target_groups,
    tags.create_or_update_tags,
    tags.describe_tags,
    tags.delete_tags,
    launch_configurations.create_launch_configuration,
    launch_configurations.describe_launch_configurations,
    launch_configurations.delete_launch_configuration,
)


class AutoScaling:
    """The service, and what looks after its groups."""

    def __init__(self, records: Records, machines: Machines, balancers: Balancers) -> None:
        self._groups = Groups(records, self.nudge)
        self._keeper = Keeper(self._groups, machines, balancers)
        self._machines = machines
        self._desk = Desk(groups=self._groups, machines=machines, balancers=balancers)

    def start(self) -> None:
        """Go on with every group where the last server left it."""
        self._keeper.start()

    def stop(self) -> None:
        """Do nothing more. Instances go on running."""
        self._keeper.stop()

    def nudge(self) -> None:
        """Something has changed: look at the groups soon."""
        self._keeper.nudge()

    def service(self) -> Service:
        named = {_name(body.__name__): body for body in _OPERATIONS}
        return Service(
            model=models.load_later("autoscaling"),
            handlers={name: self._handler(body) for name, body in named.items()},
            explain=explain,
            signing_names=frozenset({"autoscaling"}),
            unrecorded=frozenset(name for name in named if not name.startswith("Describe")),
        )

    def _handler(self, body: Body) -> Handler:
        async def handle(call: Call, asked: Asked) -> Mapping[str, Any] | None:
            if launch := _launch(call.operation, asked):
                await self._machines.require_may_launch(call, launch)
            return await asyncio.to_thread(body, self._desk, call, asked)

        return handle


def _launch(operation: str, asked: Asked) -> Mapping[str, Any] | None:
    """How instances are to be launched, where an operation says it."""
    if operation == "CreateLaunchConfiguration":
        return asked
    return {"LaunchTemplate": asked["LaunchTemplate"]} if "LaunchTemplate" in asked else None


def _name(function: str) -> str:
    """``set_desired_capacity`` answers SetDesiredCapacity."""
    return re.sub("(?:^|_)([a-z])", lambda found: found[1].upper(), function)
