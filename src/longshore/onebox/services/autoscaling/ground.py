"""What Auto Scaling stands on: machines and load balancers, in its own words."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from longshore.onebox.machinery.records import Owner
from longshore.wire.service import Call


class RefusedError(Exception):
    """What was asked can never be done as it was asked; the text says why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """An instance as EC2 knows it."""

    #: pending, running, stopping, stopped, shutting-down or terminated.
    state: str
    zone: str
    type: str | None = None
    #: Of the launch template that it was launched from: a number, whatever was asked for.
    template_version: str | None = None

    @property
    def is_gone(self) -> bool:
        return self.state == "terminated"


class Machines(Protocol):
    """EC2."""

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
        """Launch one instance and return its id; the same token gives the same instance.

        `launch` is a LaunchTemplate as the API spells it, or the members of a launch configuration.

        Raises:
            RefusedError: EC2 would not.
        """

    def terminate(self, owner: Owner, instance_ids: Sequence[str]) -> None:
        """Terminate instances; of one that is gone already nothing is wanted."""

    def machines(self, owner: Owner, instance_ids: Collection[str]) -> Mapping[str, Machine]:
        """Those of these instances that EC2 knows, by id."""

    def template(self, owner: Owner, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        """The launch template that is meant, with its id, its name and the version that was asked for.

        Raises:
            RefusedError: there is none such.
        """

    def zones(self, owner: Owner, asked: Sequence[str]) -> Sequence[str]:
        """The zones of these subnets, in their order.

        Raises:
            RefusedError: one of them is not there.
        """

    def every_zone(self, owner: Owner) -> Collection[str]:
        """The zones there are in a region."""

    async def require_may_launch(self, call: Call, launch: Mapping[str, Any]) -> None:
        """Raise AwsError unless the caller may have instances launched so: they get the role that it names."""


class Balancers(Protocol):
    """Elastic Load Balancing: target groups by ARN, targets by instance id."""

    def kinds(self, owner: Owner, target_groups: Collection[str]) -> Mapping[str, str]:
        """What is registered with those of these groups that are there, by ARN: instance or ip."""

    def register(self, owner: Owner, target_group: str, instance_ids: Sequence[str]) -> None:
        """Have the group send traffic to these.

        Raises:
            RefusedError: there is no such group, or they cannot be targets of it.
        """

    def deregister(self, owner: Owner, target_group: str, instance_ids: Sequence[str]) -> None:
        """Have the group send them no new traffic; they drain meanwhile."""

    def health(self, owner: Owner, target_group: str) -> Mapping[str, str] | None:
        """How each target is: initial, healthy, unhealthy, unused, draining; None where there is no such group."""
