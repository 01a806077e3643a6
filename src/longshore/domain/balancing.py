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


class Wish(StrEnum):
    """What is to become of a host at its balancers."""

    #: It gets no request any more (BlockTraffic).
    OUT = "out"
    #: It gets requests (AllowTraffic).
    IN = "in"
    #: It is registered again; whether it is healthy is its own affair.
    BACK = "back"


@dataclass(frozen=True, kw_only=True, slots=True)
class Moves:
    """What is to be done at each balancer, and who is where he shall be."""

    register: Mapping[Balancer, frozenset[str]]
    deregister: Mapping[Balancer, frozenset[str]]
    #: Hosts that all balancers treat as wished.
    done: frozenset[str]
    #: Of the others: what they wait for, in a sentence's end.
    waiting: Mapping[str, str]


def moves(wishes: Mapping[str, Wish], seen: Mapping[Balancer, Mapping[str, Backend]]) -> Moves:
    """The moves that bring hosts where they shall be, from what the balancers say now.

    Right however often it is asked: who is on the way is not moved again, and nothing is remembered.
    """
    register: dict[Balancer, set[str]] = {}
    deregister: dict[Balancer, set[str]] = {}
    waiting: dict[str, str] = {}
    for balancer, backends in seen.items():
        for host, wish in wishes.items():
            backend = backends.get(host)
            state = None if backend is None else backend.state
            if wish is Wish.OUT:
                if state is None:
                    continue
                if state is not TrafficState.DRAINING:
                    deregister.setdefault(balancer, set()).add(host)
                waiting[host] = f"{balancer} still sends it what was under way"
                continue
            if state in (None, TrafficState.DRAINING):
                register.setdefault(balancer, set()).add(host)
                waiting[host] = f"{balancer} does not have it yet"
            elif wish is Wish.IN and state is not TrafficState.HEALTHY:
                said = f" ({backend.reason})" if backend is not None and backend.reason else ""
                waiting[host] = f"{balancer} calls it {state}{said}"
    return Moves(
        register={balancer: frozenset(hosts) for balancer, hosts in register.items()},
        deregister={balancer: frozenset(hosts) for balancer, hosts in deregister.items()},
        done=frozenset(wishes) - set(waiting),
        waiting=waiting,
    )
