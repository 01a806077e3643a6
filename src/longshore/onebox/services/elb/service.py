"""The operations of Classic Load Balancers behind the wire."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from longshore import models
from longshore.onebox.machinery.records import Document, Owner
from longshore.onebox.services.elb import load_balancers
from longshore.onebox.services.elbv2 import Elbv2, targets
from longshore.onebox.services.elbv2.load_balancers import subnets_of
from longshore.onebox.services.elbv2.rows import Ask, Input, Output
from longshore.onebox.services.elbv2.service import handler
from longshore.wire.constraints import explain_as
from longshore.wire.service import Service

#: What an instance is, from what its targets are: the first of these that one is. The words are the service's own.
_STATES: Mapping[str, tuple[str, str, str]] = {
    "draining": ("InService", "N/A", "Instance deregistration currently in progress."),
    "unused": ("OutOfService", "Instance", "Instance is in stopped state."),
    "unhealthy": (
        "OutOfService",
        "Instance",
        "Instance has failed at least the UnhealthyThreshold number of health checks consecutively.",
    ),
    "initial": ("OutOfService", "ELB", "Instance registration is still in progress."),
    "healthy": ("InService", "N/A", "N/A"),
}
_NOT_REGISTERED = ("OutOfService", "Instance", "Instance is not currently registered with the LoadBalancer.")

_Groups = dict[str, tuple[Document, Document]]


class Elb:
    """Classic Load Balancers on this machine."""

    def __init__(self, elb: Elbv2) -> None:
        self._elb = elb
        operations = load_balancers.OPERATIONS
        changes = frozenset(name for name in operations if not name.startswith("Describe")) | {
            "CreateLoadBalancer",
            "RegisterInstancesWithLoadBalancer",
        }
        do = {name: partial(elb.do, one, changes=name in changes, is_classic=True) for name, one in operations.items()}
        self.service = Service(
            model=models.load_later("elb"),
            handlers={
                **{name: handler(one) for name, one in do.items()},
                "CreateLoadBalancer": handler(self._create),
                "RegisterInstancesWithLoadBalancer": handler(self._register),
                "DescribeInstanceHealth": handler(self._health),
            },
            explain=explain_as("ValidationError"),
            signing_names=frozenset({"elasticloadbalancing"}),
            unrecorded=changes,
        )

    def _create(self, owner: Owner, given: Input) -> Output:
        zones = self._elb.zones(owner, subnets_of(given))
        return self._elb.do(partial(load_balancers.create, zones=zones), owner, given, is_classic=True)

    def _register(self, owner: Owner, given: Input) -> Output:
        running = self._elb.instances.running(owner, _ids(given))
        return self._elb.do(partial(load_balancers.register, running=running), owner, given, is_classic=True)

    def _health(self, owner: Owner, given: Input) -> Output:
        groups: _Groups = {}
        registered: list[str] = []

        def look(ask: Ask, given: Input) -> Output:
            balancer = load_balancers.require(ask, given["LoadBalancerName"])
            groups.update(load_balancers.serving(ask, balancer))
            registered.extend(load_balancers.registered_ids(ask, balancer))
            return {}

        self._elb.do(look, owner, given, changes=False, is_classic=True)
        states = self._states(owner, groups)
        shown = _ids(given) or list(dict.fromkeys([*registered, *states]))
        if not groups:
            states = dict.fromkeys(registered, "initial")
        described = [(one, *(_STATES[states[one]] if one in states else _NOT_REGISTERED)) for one in shown]
        names = ("InstanceId", "State", "ReasonCode", "Description")
        return {"InstanceStates": [dict(zip(names, one, strict=True)) for one in described]}

    def _states(self, owner: Owner, groups: _Groups) -> dict[str, str]:
        """How each instance is, at the listener where it is worst."""
        ids = {one["Id"] for _, some in groups.values() for one in some.values()}
        if not ids:
            return {}
        running, seen = self._elb.instances.running(owner, ids), self._elb.states(list(groups))
        worst: dict[str, str] = {}
        order = list(_STATES)
        for group, some in groups.values():
            described = targets.health(group, some, [], is_in_use=True, running=running, states=seen)
            for one in described["TargetHealthDescriptions"]:
                identifier, state = one["Target"]["Id"], one["TargetHealth"]["State"]
                worst[identifier] = min(state, worst.get(identifier, state), key=order.index)
        return worst


def _ids(given: Input) -> list[str]:
    return [one.get("InstanceId") or "" for one in given.get("Instances") or ()]
