"""The operations behind the wire, and the same for onebox's other services."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from longshore import models
from longshore.onebox.machinery.proxy import Proxy, ProxyError
from longshore.onebox.machinery.proxy.health import EndpointState, Place
from longshore.onebox.machinery.records import Owner, Records
from longshore.onebox.services.elbv2 import listeners, load_balancers, rules, tags, target_groups, targets
from longshore.onebox.services.elbv2.actions import balancers_of_groups
from longshore.onebox.services.elbv2.reconciler import Reconciler
from longshore.onebox.services.elbv2.rows import GROUP, TARGETS, Ask, Input, Output, refuse, short
from longshore.onebox.services.elbv2.targets import Instances
from longshore.wire.constraints import explain_as
from longshore.wire.service import AwsError, Call, Handler, Service

#: How long a call that changed something waits until the proxy has taken it up; after that it is on its way.
_SETTLE_SECONDS = 10.0

Operation = Callable[[Ask, Input], Output]


class Elbv2:
    """Load balancers on this machine."""

    def __init__(self, records: Records, directory: Path, instances: Instances, *, now: Callable[[], float]) -> None:
        """`directory` is the proxy's."""
        self._records = records
        self.instances = instances
        self._now = now
        self._proxy = Proxy(directory)
        self._reconciler = Reconciler(records, self._proxy, instances, now=now)
        operations: dict[str, Operation] = {
            **load_balancers.OPERATIONS,
            **listeners.OPERATIONS,
            **rules.OPERATIONS,
            **target_groups.OPERATIONS,
            **tags.OPERATIONS,
            "DeregisterTargets": _deregister,
        }
        changes = frozenset(name for name in operations if not name.startswith("Describe")) | {
            "CreateLoadBalancer",
            "RegisterTargets",
        }
        handlers = {
            **{name: handler(partial(self.do, one, changes=name in changes)) for name, one in operations.items()},
            "CreateLoadBalancer": handler(self._create),
            "RegisterTargets": handler(self._register),
            "DescribeTargetHealth": handler(self._health),
        }
        self.service = Service(
            model=models.load_later("elbv2"),
            handlers=handlers,
            explain=explain_as("ValidationError"),
            signing_names=frozenset({"elasticloadbalancing"}),
            unrecorded=changes,
        )

    def start(self) -> None:
        """Find the proxy again, or start it, and keep it in line from now on."""
        self._reconciler.start()

    def stop(self) -> None:
        """Do nothing more; the proxy goes on."""
        self._reconciler.stop()

    def wake(self) -> None:
        """An instance began, stopped or moved."""
        self._reconciler.wake()

    def target_types(self, owner: Owner, target_groups: Collection[str]) -> Mapping[str, str]:
        """The TargetType of those of these target groups that are there, by ARN."""
        with self._records.transaction() as tx:
            ask = Ask(tx=tx, owner=owner, now=self._now())
            found = {arn: ask.find(GROUP, arn) for arn in target_groups}
        return {arn: group["TargetType"] for arn, group in found.items() if group is not None}

    def register(self, owner: Owner, target_group: str, identifiers: Sequence[str]) -> None:
        """Have a target group send traffic to these, at its own port. Raises AwsError."""
        self._register(owner, _input(target_group, identifiers))

    def deregister(self, owner: Owner, target_group: str, identifiers: Sequence[str]) -> None:
        """Have it send them nothing new; they are drained meanwhile. Raises AwsError."""
        self.do(_deregister, owner, _input(target_group, identifiers))

    def health(self, owner: Owner, target_group: str) -> Mapping[str, str] | None:
        """How each target is, in the words of DescribeTargetHealth; None where there is no such group.

        Raises AwsError when the proxy does not say it.
        """
        try:
            described = self._health(owner, {"TargetGroupArn": target_group})["TargetHealthDescriptions"]
        except AwsError as error:
            if error.code != "TargetGroupNotFound":
                raise
            return None
        found: dict[str, str] = {}
        for one in described:
            # One that is there at several ports is as it is at the worst.
            if found.get(one["Target"]["Id"], "healthy") == "healthy":
                found[one["Target"]["Id"]] = one["TargetHealth"]["State"]
        return found

    def do(
        self, operation: Operation, owner: Owner, given: Input, *, changes: bool = True, is_classic: bool = False
    ) -> Output:
        """Carry an operation out, and have the proxy heard of what it changed."""
        with self._records.transaction() as tx:
            answer = operation(Ask(tx=tx, owner=owner, now=self._now(), is_classic=is_classic), given)
        if changes:
            self._reconciler.settle(_SETTLE_SECONDS)
        return answer

    def _create(self, owner: Owner, given: Input) -> Output:
        zones = self.zones(owner, load_balancers.subnets_of(given))
        return self.do(partial(load_balancers.create, zones=zones), owner, given)

    def zones(self, owner: Owner, subnets: Sequence[str]) -> Mapping[str, str]:
        """The zones of subnets; raises AwsError for one that is not there."""
        try:
            return {one: self.instances.zone_of_subnet(owner, one) for one in subnets}
        except AwsError as error:
            raise AwsError("SubnetNotFound", error.message) from None

    def _register(self, owner: Owner, given: Input) -> Output:
        named = targets.instances_in(given["Targets"])
        running = self.instances.running(owner, named) if named else {}
        return self.do(partial(targets.register, running=running), owner, given)

    def _health(self, owner: Owner, given: Input) -> Output:
        refuse(given, "Include")
        arn = given["TargetGroupArn"]
        with self._records.transaction() as tx:
            ask = Ask(tx=tx, owner=owner, now=self._now())
            group, registered = ask.require(GROUP, arn), ask.require(TARGETS, arn)
            is_in_use = arn in balancers_of_groups(ask)
        named = targets.instances_in(registered.values())
        return targets.health(
            group,
            registered,
            given.get("Targets") or [],
            is_in_use=is_in_use,
            running=self.instances.running(owner, named) if named else {},
            states=self.states([arn]) if is_in_use and registered else {},
        )

    def states(self, groups: Sequence[str]) -> Mapping[Place, EndpointState]:
        """How the targets of these groups are; raises AwsError when the proxy does not say it."""
        try:
            return self._proxy.states([short(arn) for arn in groups])
        except ProxyError as error:
            raise AwsError("HealthUnavailable", f"{error} Try again.", 500) from None


def handler(do: Callable[[Owner, Input], Output]) -> Handler:
    """A handler that does it in a thread."""

    async def handle(call: Call, given: Input) -> Output:
        return await asyncio.to_thread(do, Owner(call.caller.account, call.caller.region), given)

    return handle


def _deregister(ask: Ask, given: Input) -> Output:
    return targets.deregister(ask, given, is_in_use=given["TargetGroupArn"] in balancers_of_groups(ask))


def _input(target_group: str, identifiers: Sequence[str]) -> dict[str, Any]:
    return {"TargetGroupArn": target_group, "Targets": [{"Id": one} for one in identifiers]}
