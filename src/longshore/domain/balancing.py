"""Load balancers, as far as deployments look at them (server.md S7.8–S7.10)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address
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


class Takes(StrEnum):
    """What a balancer registers."""

    #: EC2 instances, by their ids.
    INSTANCES = "instances"
    #: Addresses, with or without a port: on-premises hosts (`place_of`).
    ADDRESSES = "addresses"

    def is_one(self, place: str) -> bool:
        """Whether a place is something of this kind."""
        return place.startswith("i-") == (self is Takes.INSTANCES)


#: The tag of an on-premises instance that says where load balancers find it; ours, AWS knows none.
ADDRESS_TAG = "longshore:address"


class BadAddressError(ValueError):
    """An address tag that says no address."""


def place_of(tags: Iterable[tuple[str, str]]) -> str | None:
    """Where load balancers find an on-premises host by its tags, as in ``10.0.3.17:8081``; None: nowhere.

    Raises:
        BadAddressError: the tag is there and says no IPv4 address, with or without a port, or says several.
    """
    values = [value for key, value in tags if key == ADDRESS_TAG]
    if not values:
        return None
    if len(values) > 1:
        raise BadAddressError(f"the tag {ADDRESS_TAG} says several addresses: {', '.join(sorted(values))}")
    address, colon, port = values[0].partition(":")
    try:
        found = str(IPv4Address(address))
        if colon and not 1 <= int(port) <= 65535:
            raise ValueError(port)
    except ValueError:
        raise BadAddressError(
            f"the tag {ADDRESS_TAG} says {values[0]!r}; it must be an IPv4 address, or one with a port, as in"
            " 10.0.3.17:8081"
        ) from None
    return f"{found}:{int(port)}" if colon else found


def unplaceable(tags: Mapping[str, Sequence[tuple[str, str]]]) -> list[str]:
    """Why traffic cannot move between on-premises hosts with these tags; a sentence for each reason."""
    problems: list[str] = []
    places: dict[str, str] = {}
    for host, its_tags in sorted(tags.items()):
        try:
            place = place_of(its_tags)
        except BadAddressError as problem:
            problems.append(f"Load balancers cannot find {host}: {problem}.")
            continue
        if place is None:
            problems.append(f"Load balancers cannot find {host}: it has no tag {ADDRESS_TAG}.")
        else:
            places[host] = place
    problems += [
        f"{', '.join(hosts)} are all at {min(places[host] for host in hosts)}: load balancers cannot tell them apart."
        for hosts in sharing(places)
    ]
    return problems


def sharing(places: Mapping[str, str]) -> list[tuple[str, ...]]:
    """Hosts, from where each is, that a balancer may take for one: who says no port is at whatever port it uses."""
    at: dict[str, list[str]] = {}
    for host, place in sorted(places.items()):
        at.setdefault(place.partition(":")[0], []).append(host)
    together: list[list[str]] = []
    for address, hosts in at.items():
        if address in (places[host] for host in hosts):
            together.append(hosts)
            continue
        ports: dict[str, list[str]] = {}
        for host in hosts:
            ports.setdefault(places[host], []).append(host)
        together += ports.values()
    return [tuple(hosts) for hosts in together if len(hosts) > 1]


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


#: Hosts that a sentence names.
_MOST_NAMED = 5


def out_of(hosts: Sequence[str], balancers: Iterable[Balancer]) -> str:
    """Who gets no traffic, in words: as in ``i-1 and 3 more get no traffic: they are out of target group shop``."""
    more = len(hosts) - _MOST_NAMED
    named = ", ".join(hosts[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
    how = "gets no traffic: it is" if len(hosts) == 1 else "get no traffic: they are"
    return f"{named} {how} out of {' and '.join(map(str, balancers))}"


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
    """What is to be done at each balancer, by places: instance ids and addresses."""

    register: Mapping[Balancer, frozenset[str]]
    deregister: Mapping[Balancer, frozenset[str]]
    #: Places that all balancers treat as wished.
    done: frozenset[str]
    #: Of the others: what they wait for, in a sentence's end.
    waiting: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """What a balancer says."""

    takes: Takes
    #: By place.
    backends: Mapping[str, Backend]


def moves(wishes: Mapping[str, Wish], seen: Mapping[Balancer, Look]) -> Moves:
    """The moves that bring hosts where they shall be, from what the balancers say now.

    What a balancer does not take is none of its business: who is taken by none is done.
    Right however often it is asked: who is on the way is not moved again, and nothing is remembered.
    """
    register: dict[Balancer, set[str]] = {}
    deregister: dict[Balancer, set[str]] = {}
    waiting: dict[str, str] = {}
    for balancer, look in seen.items():
        for host, wish in wishes.items():
            if not look.takes.is_one(host):
                continue
            backend = look.backends.get(host)
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
