"""Which proxy, if any, stands between this host and an endpoint (agent.md 7.8)."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

#: What a proxy of its own can be set for, as `<name>_proxy_uri`.
ENDPOINTS = ("deploy_control", "s3", "github", "git")


class Proxy(NamedTuple):
    """A proxy to which `CONNECT` is said."""

    host: str
    port: int
    #: `user:password`, decoded; a secret.
    login: str | None = None

    @classmethod
    def read(cls, said: str | None) -> Proxy | None:
        """The proxy of `http://[user:password@]host[:port]`; raises ValueError with a sentence."""
        if not said:
            return None
        parts = urlsplit(said if "://" in said else f"http://{said}")
        if parts.scheme != "http" or not parts.hostname or parts.port == 0:
            raise ValueError("a proxy is given as http://[user:password@]host:port")
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}" if parts.username else None
        return cls(parts.hostname, parts.port or 3128, login)

    @property
    def headers(self) -> dict[str, str]:
        """What the proxy must be told beside `CONNECT`."""
        if self.login is None:
            return {}
        return {"Proxy-Authorization": f"Basic {base64.b64encode(self.login.encode()).decode()}"}

    def __repr__(self) -> str:
        return f"Proxy({self.host}:{self.port})"


@dataclass(frozen=True, kw_only=True)
class Proxies:
    """The proxies of this host."""

    #: For every endpoint that has none of its own.
    everywhere: Proxy | None = None
    of_endpoint: Mapping[str, Proxy | None] = field(default_factory=dict)
    #: What `https_proxy` says; for downloads alone, as with the official agent.
    environment: Proxy | None = None
    #: Hosts that are reached directly: names, names of domains, addresses, or `*`.
    exempt: tuple[str, ...] = ()

    def to(self, endpoint: str, host: str) -> Proxy | None:
        """The proxy on the way to a host of one of `ENDPOINTS`; None: none is."""
        if any(_covers(pattern.lower(), host.lower()) for pattern in self.exempt):
            return None
        from_environment = None if endpoint == "deploy_control" else self.environment
        return self.of_endpoint.get(endpoint) or self.everywhere or from_environment


def _covers(pattern: str, host: str) -> bool:
    pattern = pattern.removeprefix("*") if pattern != "*" else pattern
    return pattern == "*" or host == pattern.removeprefix(".") or host.endswith("." + pattern.removeprefix("."))
