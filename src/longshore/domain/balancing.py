"""Load balancers, as far as deployments look at them (server.md S7.8–S7.10)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class BalancerKind(StrEnum):
    """Which API a balancer is reached by."""

    #: A Classic Load Balancer (`elbInfoList`).
    CLASSIC = "classic"
    #: A target group of an Application or Network Load Balancer (`targetGroupInfoList`).
    TARGET_GROUP = "target group"


@dataclass(frozen=True, kw_only=True, slots=True)
class Balancer:
    """Where hosts are registered to get traffic: a Classic Load Balancer or a target group."""

    kind: BalancerKind
    name: str

    def __str__(self) -> str:
        return f"{'load balancer' if self.kind is BalancerKind.CLASSIC else 'target group'} {self.name}"


class TrafficState(StrEnum):
    """How a balancer sees one host. A host it does not know has no state."""

    #: Registered, and its first health checks are not through.
    INITIAL = "initial"
    #: It gets requests.
    HEALTHY = "healthy"
    #: It fails its health checks. A balancer whose hosts all do may still send them requests.
    UNHEALTHY = "unhealthy"
    #: Deregistered: it gets no new requests, and those under way may end.
    DRAINING = "draining"
    #: Registered, and no request can come: stopped, in a zone or a target group that no load balancer uses.
    UNUSED = "unused"


@dataclass(frozen=True, kw_only=True, slots=True)
class Backend:
    """One host of a balancer."""

    state: TrafficState
    #: What the balancer says of it, "" for nothing.
    reason: str = ""


def balancers_of(document: Mapping[str, Any]) -> tuple[Balancer, ...]:
    """The balancers of a deployment group's `loadBalancerInfo`; each once."""
    info = document.get("loadBalancerInfo") or {}
    named = [
        *((BalancerKind.CLASSIC, one.get("name")) for one in info.get("elbInfoList") or ()),
        *((BalancerKind.TARGET_GROUP, one.get("name")) for one in info.get("targetGroupInfoList") or ()),
    ]
    return tuple(dict.fromkeys(Balancer(kind=kind, name=name) for kind, name in named if name))
