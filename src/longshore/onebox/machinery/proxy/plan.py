"""What a proxy is to do: addresses to listen on, rules that choose, and clusters of endpoints that answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Speaks(StrEnum):
    """What is spoken on a connection."""

    HTTP = "HTTP"
    TCP = "TCP"


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """One that answers; what it has begun it may finish, when it is drained."""

    address: str
    port: int
    is_drained: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class HealthCheck:
    """How an endpoint shows that it is able to answer. Times in seconds."""

    speaks: Speaks
    #: With its query; of HTTP alone.
    path: str
    #: None: the endpoint's own.
    port: int | None
    #: First and last of each range of codes that are an answer; of HTTP alone.
    codes: Sequence[tuple[int, int]]
    interval: int
    timeout: int
    #: Checks in a row after which an endpoint counts as healthy again, or not any more.
    healthy_after: int
    unhealthy_after: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Cluster:
    """Endpoints that answer alike."""

    #: Letters, digits and hyphens: it names a file and a statistic.
    name: str
    speaks: Speaks
    endpoints: Sequence[Endpoint]
    check: HealthCheck
    #: Whether the one with the least to do is asked; else each in turn.
    to_least_busy: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Forward:
    """Hand on to clusters, by their names, each with its share."""

    shares: Sequence[tuple[str, int]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Respond:
    """Answer without asking anybody."""

    status: int
    content_type: str = ""
    body: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Redirect:
    """Send the client elsewhere; what is None stays as it was."""

    status: int
    scheme: str | None = None
    host: str | None = None
    port: int | None = None
    #: What comes before and after the path that was asked for.
    around_path: tuple[str, str] | None = None
    #: In the place of path and query.
    path: str | None = None
    drops_query: bool = False


Action = Forward | Respond | Redirect


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """Requests that match all of it are for this action."""

    action: Action
    #: Headers and what the whole of each must match (RE2); ``:path`` (with its query), ``:method`` and ``:authority``
    #: are some.
    headers: Sequence[tuple[str, str]] = ()
    #: Networks, one of which the connection comes from; none: from anywhere.
    sources: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Listener:
    """An address that is answered at, and by whom: the first route that matches."""

    #: Letters, digits and hyphens.
    name: str
    address: str
    port: int
    speaks: Speaks
    #: A single one that forwards, for TCP.
    routes: Sequence[Route]
    #: A connection on which nothing happens is closed after so many seconds.
    idle_seconds: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """All that a proxy is to do."""

    listeners: Sequence[Listener]
    clusters: Sequence[Cluster]
