"""EC2 and load balancers in memory, as far as Auto Scaling sees them. Killing and losing is up to the test."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from longshore.onebox.machinery.records import Owner
from longshore.onebox.services.autoscaling.ground import Machine, RefusedError
from longshore.wire.service import Call

ZONES = ("us-east-1a", "us-east-1b", "us-east-1c")
SUBNETS = {f"subnet-{zone[-1]}": zone for zone in ZONES}
TEMPLATES = {"web": "lt-0123456789abcdef0"}


class SmallMachines:
    """EC2: instances that begin as `pending` and become what a test says."""

    def __init__(self, *, boots: bool = True) -> None:
        self.known: dict[str, Machine] = {}
        self.tags: dict[str, Mapping[str, str]] = {}
        self.launches: dict[str, str] = {}
        self.is_refusing = False
        #: Whether whoever is launched runs at once.
        self.boots = boots
        self._numbers = itertools.count(1)

    def launch(
        self,
        owner: Owner,
        launch: Mapping[str, Any],
        *,
        zone: str,
        subnet: str | None,
        client_token: str,
        tags: Mapping[str, str],
    ) -> str:
        if client_token in self.launches:
            return self.launches[client_token]
        if self.is_refusing:
            raise RefusedError("There are no addresses left.")
        instance_id = f"i-{next(self._numbers):017x}"
        self.launches[client_token] = instance_id
        self.tags[instance_id] = tags
        self.become(instance_id, "running" if self.boots else "pending", zone)
        return instance_id

    def become(self, instance_id: str, state: str, zone: str | None = None) -> None:
        zone = zone or self.known[instance_id].zone
        self.known = {**self.known, instance_id: Machine(state=state, zone=zone, type="t3.micro", template_version="3")}

    def forget(self, instance_id: str) -> None:
        self.known = {one: machine for one, machine in self.known.items() if one != instance_id}

    @property
    def running(self) -> list[str]:
        return [one for one, machine in self.known.items() if machine.state in ("pending", "running")]

    def terminate(self, owner: Owner, instance_ids: Sequence[str]) -> None:
        for instance_id in instance_ids:
            if instance_id in self.known:
                self.become(instance_id, "terminated")

    def machines(self, owner: Owner, instance_ids: Collection[str]) -> Mapping[str, Machine]:
        return {one: self.known[one] for one in instance_ids if one in self.known}

    def template(self, owner: Owner, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        for name, template_id in TEMPLATES.items():
            if asked.get("LaunchTemplateName") == name or asked.get("LaunchTemplateId") == template_id:
                version = asked.get("Version", "$Default")
                return {"LaunchTemplateId": template_id, "LaunchTemplateName": name, "Version": version}
        raise RefusedError("The specified launch template does not exist.")

    def zones(self, owner: Owner, asked: Sequence[str]) -> Sequence[str]:
        missing = [subnet for subnet in asked if subnet not in SUBNETS]
        if missing:
            raise RefusedError(f"The subnet ID '{missing[0]}' does not exist")
        return [SUBNETS[subnet] for subnet in asked]

    def every_zone(self, owner: Owner) -> Collection[str]:
        return ZONES

    async def require_may_launch(self, call: Call, launch: Mapping[str, Any]) -> None:
        """Anybody may."""


class SmallBalancers:
    """Target groups, which are there when a test says so; who leaves drains until the test lets go."""

    def __init__(self, *groups: str, drains: bool = False) -> None:
        self.targets: dict[str, dict[str, str]] = {group: {} for group in groups}
        self.drains = drains
        #: Of groups that are not for instances.
        self.others: dict[str, str] = {}

    def kinds(self, owner: Owner, target_groups: Collection[str]) -> Mapping[str, str]:
        return {arn: self.others.get(arn, "instance") for arn in target_groups if arn in self.targets}

    def register(self, owner: Owner, target_group: str, instance_ids: Sequence[str]) -> None:
        if target_group not in self.targets:
            raise RefusedError("One or more target groups not found")
        group = self.targets[target_group]
        self.targets = {**self.targets, target_group: {**group, **dict.fromkeys(instance_ids, "healthy")}}

    def deregister(self, owner: Owner, target_group: str, instance_ids: Sequence[str]) -> None:
        if target_group not in self.targets:
            raise RefusedError("One or more target groups not found")
        for instance_id in instance_ids:
            if self.drains and instance_id in self.targets[target_group]:
                self.become(target_group, instance_id, "draining")
            else:
                self.let_go(target_group, instance_id)

    def become(self, target_group: str, instance_id: str, health: str) -> None:
        self.targets = {**self.targets, target_group: {**self.targets[target_group], instance_id: health}}

    def let_go(self, target_group: str, instance_id: str) -> None:
        left = {one: health for one, health in self.targets[target_group].items() if one != instance_id}
        self.targets = {**self.targets, target_group: left}

    def health(self, owner: Owner, target_group: str) -> Mapping[str, str] | None:
        return self.targets.get(target_group)
