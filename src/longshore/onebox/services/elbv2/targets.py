"""Targets of a group: in, out, and how they are as the proxy sees them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from ipaddress import AddressValueError, IPv4Address
from typing import Any, NamedTuple, Protocol

from longshore.onebox.machinery.proxy.health import EndpointState, Failure, Health, Place
from longshore.onebox.machinery.records import Document, Owner
from longshore.onebox.services.elbv2 import errors
from longshore.onebox.services.elbv2.rows import GROUP, TARGETS, Ask, Input, Output, refuse, short
from longshore.onebox.services.elbv2.target_groups import drain_seconds
from longshore.wire.service import AwsError


class Instances(Protocol):
    """EC2, as far as targets are instances. Not called in a transaction."""

    def running(self, owner: Owner, ids: Collection[str]) -> Mapping[str, str]:
        """The private addresses of those of these that run."""

    def ended(self, owner: Owner, ids: Collection[str]) -> Collection[str]:
        """Those of these that will never run again."""

    def zone_of_subnet(self, owner: Owner, subnet_id: str) -> str:
        """The availability zone of a subnet; raises AwsError for one that is not there."""


_INSTANCE = re.compile("i-[0-9a-f]{8,17}")
_MOST = 1000


class Stands(NamedTuple):
    """What a target is told to be, and why."""

    state: str
    reason: str = ""
    description: str = ""


_REGISTERING = Stands("initial", "Elb.RegistrationInProgress", "Target registration is in progress")
_CHECKING = Stands("initial", "Elb.InitialHealthChecking", "Initial health checks in progress")
_HEALTHY = Stands("healthy")
_FAILED = Stands("unhealthy", "Target.FailedHealthChecks", "Health checks failed")
_TIMEOUT = Stands("unhealthy", "Target.Timeout", "Request timed out")
_DRAINING = Stands("draining", "Target.DeregistrationInProgress", "Target deregistration is in progress")
_STOPPED = Stands("unused", "Target.InvalidState", "Target is not in the running state")
_NOT_REGISTERED = Stands("unused", "Target.NotRegistered", "Target is not registered to the target group")
_NOT_IN_USE = Stands(
    "unused", "Target.NotInUse", "Target group is not configured to receive traffic from the load balancer"
)


def instances_in(targets: Iterable[Document]) -> list[str]:
    """The ids of these that are instances."""
    return [one["Id"] for one in targets if _INSTANCE.fullmatch(one["Id"])]


def register(ask: Ask, given: Input, running: Mapping[str, str]) -> Output:
    """One that is being drained comes back. `running` are the addresses of instances that run."""
    arn = given["TargetGroupArn"]
    group = ask.require(GROUP, arn)
    targets = ask.require(TARGETS, arn)
    not_running = []
    for one in given["Targets"]:
        if not _is_fit(group, one, running):
            not_running.append(one["Id"])
            continue
        refuse(one, "QuicServerId")
        target = {"Id": one["Id"], "Port": one.get("Port") or group["Port"]}
        if one.get("AvailabilityZone"):
            target["AvailabilityZone"] = one["AvailabilityZone"]
        targets[_key(target)] = target
    if not_running:
        named = ", ".join(f"'{one}'" for one in not_running)
        raise errors.invalid_target(
            f"The following targets are not in a running state and cannot be registered: {named}"
        )
    if len(targets) > _MOST:
        raise AwsError("TooManyTargets", f"A target group has at most {_MOST} targets; deregister some first.")
    ask.put(TARGETS, arn, targets)
    return {}


def deregister(ask: Ask, given: Input, *, is_in_use: bool) -> Output:
    """They get nothing new; what they began they may finish. One that is not registered is none the less out."""
    arn = given["TargetGroupArn"]
    group = ask.require(GROUP, arn)
    targets = ask.require(TARGETS, arn)
    for one in given["Targets"]:
        key = _key({"Id": one["Id"], "Port": one.get("Port") or group["Port"]})
        if not is_in_use:
            targets.pop(key, None)
        elif key in targets:
            # Asked twice, it does not begin again.
            targets[key].setdefault("DrainedUntil", ask.now + drain_seconds(group))
    ask.put(TARGETS, arn, targets)
    return {}


def health(
    group: Document,
    targets: Mapping[str, Document],
    asked: list[Document],
    *,
    is_in_use: bool,
    running: Mapping[str, str],
    states: Mapping[Place, EndpointState],
) -> Output:
    """How targets are: those asked for, or all that are registered. `states` are the proxy's."""
    wanted = [{"Id": one["Id"], "Port": one.get("Port") or group["Port"]} for one in asked] or targets.values()
    described = []
    for one in wanted:
        target = targets.get(_key(one))
        if target is None:
            stands = _NOT_REGISTERED
        elif "DrainedUntil" in target:
            stands = _DRAINING
        elif (where := address(group, target, running)) is None:
            stands = _STOPPED
        elif not is_in_use:
            stands = _NOT_IN_USE
        else:
            stands = _seen(states.get((short(group["TargetGroupArn"]), where, target["Port"])))
        described.append(_described(group, target or one, stands))
    return {"TargetHealthDescriptions": described}


def address(group: Document, target: Document, running: Mapping[str, str]) -> str | None:
    """Where a target is; None when its instance does not run."""
    identifier: str = target["Id"]
    return identifier if group["TargetType"] == "ip" else running.get(identifier)


def _key(target: Document) -> str:
    return f"{target['Id']}:{target['Port']}"


def _is_fit(group: Document, target: Document, running: Mapping[str, str]) -> bool:
    """Whether a target runs; raises the error of one that cannot be of this group."""
    identifier = target["Id"]
    if group["TargetType"] == "instance":
        if not _INSTANCE.fullmatch(identifier):
            raise errors.validation(f"Instance ID '{identifier[:100]}' is not valid")
        return identifier in running
    try:
        given = IPv4Address(identifier)
    except AddressValueError:
        raise errors.invalid_target(
            f"The target ID '{identifier[:100]}' is not an address of IPv4, like 10.0.3.17, as this target group takes"
        ) from None
    # Link-local is where metadata services give out credentials.
    if given.is_unspecified or given.is_multicast or given.is_link_local or given.is_reserved:
        raise errors.invalid_target(
            f"The address '{identifier}' cannot be the target of a load balancer: give that of a host"
        )
    return True


def _seen(state: EndpointState | None) -> Stands:
    if state is None:
        return _REGISTERING
    if state.health is Health.UNKNOWN:
        return _CHECKING
    if state.health is Health.HEALTHY:
        return _HEALTHY
    if state.failure is Failure.TIMEOUT:
        return _TIMEOUT
    if state.failure is Failure.CODE and state.code:
        failed = f"Health checks failed with these codes: [{state.code}]"
        return Stands("unhealthy", "Target.ResponseCodeMismatch", failed)
    return _FAILED


def _described(group: Document, target: Document, stands: Stands) -> Output:
    told: dict[str, Any] = {"State": stands.state}
    if stands.reason:
        told |= {"Reason": stands.reason, "Description": stands.description}
    port = group["HealthCheckPort"]
    return {
        "Target": {name: target[name] for name in ("Id", "Port", "AvailabilityZone") if name in target},
        "HealthCheckPort": str(target["Port"]) if port == "traffic-port" else port,
        "TargetHealth": told,
    }
