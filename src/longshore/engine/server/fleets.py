"""Both sides of a blue/green deployment at AWS: finds or makes replacements, lets originals go (S7.12–S7.16).

Nothing is remembered of what was asked: every look begins with what is there, so each may be the first after a crash.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from longshore.domain.blue_green import COPY_TAG, SUSPENDED, TRAFFIC_PROCESS
from longshore.domain.deployment import ErrorCode
from longshore.domain.group import auto_scaling_groups, ec2_tag_set
from longshore.domain.lineup import Host
from longshore.providers.ports import (
    Access,
    AutoScalingGroups,
    Instances,
    Members,
    NoAutoScalingGroupError,
    PermanentError,
)


class NothingToCopyError(PermanentError):
    """The Auto Scaling group that is to be copied has no instance in service (S7.12)."""

    code = ErrorCode.NO_INSTANCES


class NotYetError(Exception):
    """What was asked for is under way."""


class Fleets:
    """Originals and replacements. Methods raise what `ports.Access` says."""

    def __init__(self, members: Members, instances: Instances, scaling: AutoScalingGroups) -> None:
        self._members = members
        self._instances = instances
        self._scaling = scaling

    def members(self, access: Access, group: Mapping[str, Any]) -> list[Host]:
        """Who belongs to a deployment group with this document."""
        tags, names = ec2_tag_set(group), auto_scaling_groups(group)
        return self._members.hosts(access, tags, names) if tags or names else []

    def provision(self, access: Access, original: str, copy: str, deployment_id: str) -> list[Host]:
        """The instances of `copy`, a group like `original` with as many as that has in service and healthy (S7.13).

        Raises:
            NotYetError: they are not all in service yet.
            NothingToCopyError: the original has none.
        """
        known = self._scaling.describe(access, [original, copy])
        if original not in known:
            raise NoAutoScalingGroupError(f"there is no Auto Scaling group {original}")
        made = known.get(copy)
        if made is None or made.desired == 0:
            like = known[original]
            size = sum(member.is_healthy for member in like.in_service)
            if not size:
                raise NothingToCopyError(f"the Auto Scaling group {original} has no healthy instance in service")
            self._scaling.copy(access, original, copy, tags={COPY_TAG: deployment_id}, suspended=SUSPENDED)
            sizes = {"min_size": min(like.min_size, size), "max_size": max(like.max_size, size)}
            self._scaling.resize(access, copy, **sizes, desired=size)
            raise NotYetError(f"{size} instance(s) of {copy} are being launched.")
        if len(made.in_service) < made.desired:
            raise NotYetError(f"{len(made.in_service)} of {made.desired} instances of {copy} are in service.")
        return self._members.hosts(access, (), [copy])

    def release(self, access: Access, copy: str) -> None:
        """Let a copy whose instances serve run like any Auto Scaling group."""
        self._scaling.resume(access, copy, SUSPENDED)

    def shut_out(self, access: Access, groups: Collection[str]) -> None:
        """Have what these Auto Scaling groups launch from now on get no traffic: their instances are losing theirs."""
        for group in groups:
            self._scaling.suspend(access, group, [TRAFFIC_PROCESS])

    def let_in(self, access: Access, groups: Collection[str]) -> None:
        """Have it get traffic again."""
        for group in groups:
            self._scaling.resume(access, group, [TRAFFIC_PROCESS])

    def terminate(self, access: Access, instance_ids: Collection[str], groups: Collection[str]) -> None:
        """End these instances, and these Auto Scaling groups with all that they have.

        Raises:
            NotYetError: some are still there.
        """
        known = self._scaling.describe(access, groups) if groups else {}
        for group in known.values():
            if not group.is_being_deleted:
                self._scaling.delete(access, group.name)
        # Whoever is still in a group goes with it; terminated alone, it would be replaced.
        grouped = {member.instance_id for group in known.values() for member in group.members}
        left = [one.id for one in self._instances.find(access, instance_ids) if not one.state.is_over]
        if alone := [instance_id for instance_id in left if instance_id not in grouped]:
            self._instances.terminate(access, alone)
        if left or known:
            raise NotYetError(f"{len(left)} original instance(s) and {len(known)} Auto Scaling group(s) are left.")
