"""Elastic Load Balancing: Classic Load Balancers and target groups (`ports.LoadBalancers`)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from longshore.domain.balancing import Backend, Balancer, BalancerKind, Takes, TrafficState
from longshore.domain.ids import Scope
from longshore.providers.ports import Access, LoadBalancers, NoBalancerError
from longshore.providers.service_roles import RefusedError, ServiceRoles

#: Hosts named in one call. Services give no number; that many are known to be taken.
_AT_ONCE = 200
#: A host that cannot be registered: not running, in another network, unknown.
_BAD_HOST = frozenset({"InvalidTarget", "InvalidInstance"})
_REMEMBERED = 4096

_STATES = {
    "initial": TrafficState.INITIAL,
    "healthy": TrafficState.HEALTHY,
    "unhealthy": TrafficState.UNHEALTHY,
    "unhealthy.draining": TrafficState.DRAINING,
    "draining": TrafficState.DRAINING,
    "unused": TrafficState.UNUSED,
    # Nobody looks at its health, so requests come.
    "unavailable": TrafficState.HEALTHY,
}
#: The one whose state counts when a host has several ports in a target group: the one that is least ready.
_WORST = (
    TrafficState.DRAINING,
    TrafficState.UNHEALTHY,
    TrafficState.UNUSED,
    TrafficState.INITIAL,
    TrafficState.HEALTHY,
)


class ElasticLoadBalancing:
    """Load balancers of every kind."""

    def __init__(self, roles: ServiceRoles) -> None:
        self._kinds: Mapping[BalancerKind, LoadBalancers] = {
            BalancerKind.CLASSIC: _Classic(roles),
            BalancerKind.TARGET_GROUP: _TargetGroups(roles),
        }

    def takes(self, access: Access, balancer: Balancer) -> Takes:
        """See `ports.LoadBalancers`."""
        return self._kinds[balancer.kind].takes(access, balancer)

    def register(self, access: Access, balancer: Balancer, places: Collection[str]) -> Mapping[str, str]:
        """See `ports.LoadBalancers`."""
        return self._kinds[balancer.kind].register(access, balancer, places)

    def deregister(self, access: Access, balancer: Balancer, places: Collection[str]) -> None:
        """See `ports.LoadBalancers`."""
        self._kinds[balancer.kind].deregister(access, balancer, places)

    def backends(self, access: Access, balancer: Balancer) -> Mapping[str, Backend]:
        """See `ports.LoadBalancers`."""
        return self._kinds[balancer.kind].backends(access, balancer)


@dataclass(frozen=True, kw_only=True, slots=True)
class _TargetGroup:
    arn: str
    takes: Takes
    #: Of a target that names none.
    port: int

    def places(self, target: Mapping[str, Any]) -> set[str]:
        """What a registered target is called: an instance by its id, whatever the port; an address with and without."""
        name, port = target["Id"], target["Port"]
        if self.takes is Takes.INSTANCES:
            return {name}
        return {f"{name}:{port}", name} if port == self.port else {f"{name}:{port}"}


class _TargetGroups:
    def __init__(self, roles: ServiceRoles) -> None:
        self._roles = roles
        self._known: dict[tuple[Scope, str], _TargetGroup] = {}
        self._lock = threading.Lock()

    def takes(self, access: Access, balancer: Balancer) -> Takes:
        return self._look_up(access, balancer.name).takes

    def register(self, access: Access, balancer: Balancer, places: Collection[str]) -> Mapping[str, str]:
        def act(some: list[str]) -> None:
            self._on(access, balancer, "register_targets", Targets=list(map(_target, some)))

        return _in_parts(sorted(places), act)

    def deregister(self, access: Access, balancer: Balancer, places: Collection[str]) -> None:
        # At every port it is registered at; one call without ports would leave it at those that are not the group's.
        wanted, group = set(places), self._look_up(access, balancer.name)
        registered = [
            {"Id": one["Target"]["Id"], "Port": one["Target"]["Port"]}
            for one in self._described(access, balancer)
            if wanted & group.places(one["Target"]) and _state(one) is not TrafficState.DRAINING
        ]
        for start in range(0, len(registered), _AT_ONCE):
            some = registered[start : start + _AT_ONCE]
            self._on(access, balancer, "deregister_targets", Targets=some)

    def backends(self, access: Access, balancer: Balancer) -> Mapping[str, Backend]:
        found: dict[str, Backend] = {}
        group = self._look_up(access, balancer.name)
        for one in self._described(access, balancer):
            health = one["TargetHealth"]
            seen = Backend(state=_state(one), reason=health.get("Description") or health.get("Reason") or "")
            for place in group.places(one["Target"]):
                known = found.setdefault(place, seen)
                if _WORST.index(seen.state) < _WORST.index(known.state):
                    found[place] = seen
        return found

    def _described(self, access: Access, balancer: Balancer) -> list[Mapping[str, Any]]:
        answer = self._on(access, balancer, "describe_target_health")
        every: list[Mapping[str, Any]] = answer["TargetHealthDescriptions"]
        return [one for one in every if one["TargetHealth"].get("Reason") != "Target.NotRegistered"]

    def _on(self, access: Access, balancer: Balancer, operation: str, **asked: Any) -> Any:
        """Call an operation about a target group; one that was made anew under its name has another ARN."""
        arn = self._look_up(access, balancer.name).arn
        try:
            return self._roles.call(access, "elbv2", operation, TargetGroupArn=arn, **asked)
        except NoBalancerError:
            with self._lock:
                was_known = self._known.pop((access.scope, balancer.name), None)
            if was_known is None:
                raise
            arn = self._look_up(access, balancer.name).arn
            return self._roles.call(access, "elbv2", operation, TargetGroupArn=arn, **asked)

    def _look_up(self, access: Access, name: str) -> _TargetGroup:
        """A target group by its name or ARN, as it was when somebody asked first."""
        with self._lock:
            known = self._known.get((access.scope, name))
        if known is not None:
            return known
        asked = {"TargetGroupArns": [name]} if name.startswith("arn:") else {"Names": [name]}
        try:
            groups = self._roles.call(access, "elbv2", "describe_target_groups", **asked)["TargetGroups"]
        except NoBalancerError as error:
            # Which one is not in AWS's sentence.
            raise _missing(access, name) from error
        if not groups:
            raise _missing(access, name)
        found = _TargetGroup(
            arn=groups[0]["TargetGroupArn"],
            takes=Takes.ADDRESSES if groups[0].get("TargetType") == "ip" else Takes.INSTANCES,
            port=groups[0].get("Port", 0),
        )
        with self._lock:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[access.scope, name] = found
        return found


def _missing(access: Access, name: str) -> NoBalancerError:
    return NoBalancerError(
        f"there is no target group {name} in {access.scope.region}; make it, or name another one in the deployment"
        " group's loadBalancerInfo"
    )


class _Classic:
    def __init__(self, roles: ServiceRoles) -> None:
        self._roles = roles

    def takes(self, access: Access, balancer: Balancer) -> Takes:  # noqa: ARG002 - they are all alike
        return Takes.INSTANCES

    def register(self, access: Access, balancer: Balancer, places: Collection[str]) -> Mapping[str, str]:
        def act(some: list[str]) -> None:
            self._on(access, balancer, "register_instances_with_load_balancer", some)

        return _in_parts(sorted(places), act)

    def deregister(self, access: Access, balancer: Balancer, places: Collection[str]) -> None:
        registered = sorted(set(places) & set(self.backends(access, balancer)))
        for start in range(0, len(registered), _AT_ONCE):
            some = registered[start : start + _AT_ONCE]
            self._on(access, balancer, "deregister_instances_from_load_balancer", some)

    def backends(self, access: Access, balancer: Balancer) -> Mapping[str, Backend]:
        states = self._on(access, balancer, "describe_instance_health")["InstanceStates"]
        return {one["InstanceId"]: seen for one in states if (seen := _of_classic(one)) is not None}

    def _on(self, access: Access, balancer: Balancer, operation: str, ids: list[str] | None = None) -> Any:
        asked = {} if ids is None else {"Instances": [{"InstanceId": one} for one in ids]}
        try:
            return self._roles.call(access, "elb", operation, LoadBalancerName=balancer.name, **asked)
        except RefusedError as error:
            if error.is_not_done:
                raise NoBalancerError("there are no Classic Load Balancers here; name a target group") from error
            raise


def _in_parts(ids: list[str], act: Callable[[list[str]], None]) -> dict[str, str]:
    """Do it for all of these in few calls; who is refused, and why.

    A call is refused whole: asking again for parts finds out because of whom.
    """
    refused: dict[str, str] = {}
    waiting = [ids[start : start + _AT_ONCE] for start in range(0, len(ids), _AT_ONCE)]
    while waiting:
        some = waiting.pop()
        try:
            act(some)
        except RefusedError as error:
            if error.reason not in _BAD_HOST:
                raise
            if len(some) == 1:
                refused[some[0]] = str(error)
                continue
            # AWS names them in the sentence, most often.
            named = [one for one in some if one in str(error)]
            others = [one for one in some if one not in named]
            parts = [named, others] if named and others else [some[::2], some[1::2]]
            waiting += parts
    return refused


def _target(place: str) -> dict[str, Any]:
    """A place as RegisterTargets has it."""
    if Takes.INSTANCES.is_one(place):
        return {"Id": place}
    address, _, port = place.partition(":")
    # Not one of a network of AWS's, as far as anybody knows.
    return {"Id": address, "AvailabilityZone": "all", **({"Port": int(port)} if port else {})}


def _state(one: Mapping[str, Any]) -> TrafficState:
    return _STATES[one["TargetHealth"]["State"]]


def _of_classic(one: Mapping[str, Any]) -> Backend | None:
    """Classic Load Balancers have two states and say the rest in words."""
    said = one.get("Description") or ""
    reason = "" if said == "N/A" else said
    if "not currently registered" in said:
        return None
    if "deregistration currently in progress" in said:
        return Backend(state=TrafficState.DRAINING, reason=reason)
    if one["State"] == "InService":
        return Backend(state=TrafficState.HEALTHY)
    if "registration is still in progress" in said or "HealthyThreshold number of health checks" in said:
        is_first = "UnhealthyThreshold" not in said
        return Backend(state=TrafficState.INITIAL if is_first else TrafficState.UNHEALTHY, reason=reason)
    if one["State"] == "OutOfService" and one.get("ReasonCode") == "Instance":
        return Backend(state=TrafficState.UNHEALTHY, reason=reason)
    return Backend(state=TrafficState.UNUSED, reason=reason)
