"""Attributes of load balancers and target groups: those that do something here, and those that stay as they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from longshore.onebox.services.elbv2 import errors


@dataclass(frozen=True, slots=True)
class Attribute:
    """What an attribute is when nobody said otherwise, and what it may be: nothing else where that is None."""

    default: str
    may_be: Allowed | None = None


@dataclass(frozen=True, slots=True)
class Allowed:
    """The values of an attribute, and the same in words."""

    test: Callable[[str], bool]
    words: str


def _whole(least: int, most: int) -> Allowed:
    return Allowed(lambda text: text.isascii() and text.isdigit() and least <= int(text) <= most, f"{least} to {most}")


def _one_of(*texts: str) -> Allowed:
    return Allowed(lambda text: text in texts, " or ".join(texts))


_SWITCH = _one_of("true", "false")

_EVERY_BALANCER = {
    "deletion_protection.enabled": Attribute("false", _SWITCH),
    "access_logs.s3.enabled": Attribute("false"),
    "access_logs.s3.bucket": Attribute(""),
    "access_logs.s3.prefix": Attribute(""),
    "load_balancing.cross_zone.enabled": Attribute("true"),
}

BALANCER_ATTRIBUTES: Mapping[str, Mapping[str, Attribute]] = {
    "application": {
        **_EVERY_BALANCER,
        "idle_timeout.timeout_seconds": Attribute("60", _whole(1, 4000)),
        "routing.http2.enabled": Attribute("true"),
        "routing.http.drop_invalid_header_fields.enabled": Attribute("false"),
        "routing.http.preserve_host_header.enabled": Attribute("true"),
        "routing.http.xff_client_port.enabled": Attribute("false"),
        "routing.http.xff_header_processing.mode": Attribute("append"),
    },
    "classic": {"idle_timeout.timeout_seconds": Attribute("60", _whole(1, 3600))},
    # It is an attribute of the listener there; here of all of them.
    "network": {**_EVERY_BALANCER, "idle_timeout.timeout_seconds": Attribute("350", _whole(60, 6000))},
}

_EVERY_GROUP = {
    "deregistration_delay.timeout_seconds": Attribute("300", _whole(0, 3600)),
    "stickiness.enabled": Attribute("false"),
    "load_balancing.cross_zone.enabled": Attribute("use_load_balancer_configuration"),
}

GROUP_ATTRIBUTES: Mapping[str, Mapping[str, Attribute]] = {
    "HTTP": {
        **_EVERY_GROUP,
        "slow_start.duration_seconds": Attribute("0"),
        "stickiness.type": Attribute("lb_cookie"),
        "load_balancing.algorithm.type": Attribute("round_robin", _one_of("round_robin", "least_outstanding_requests")),
    },
    "TCP": {
        **_EVERY_GROUP,
        "stickiness.type": Attribute("source_ip"),
        "proxy_protocol_v2.enabled": Attribute("false"),
        "preserve_client_ip.enabled": Attribute("false"),
        "deregistration_delay.connection_termination.enabled": Attribute("false"),
    },
}


class Attributes:
    """The attributes of one thing."""

    def __init__(self, kind: str, known: Mapping[str, Attribute], given: Mapping[str, str]) -> None:
        self._kind = kind
        self._known = known
        self._given = given

    def __getitem__(self, key: str) -> str:
        return self._given.get(key, self._known[key].default)

    def listed(self) -> list[dict[str, str]]:
        """All of them, as an answer has them."""
        return [{"Key": key, "Value": self[key]} for key in self._known]

    def changed(self, asked: list[dict[str, Any]]) -> dict[str, str]:
        """What is to be kept of a wish to change some; raises the error of what cannot be."""
        changed = {}
        for one in asked:
            key, value = one.get("Key") or "", one.get("Value") or ""
            attribute = self._known.get(key)
            if attribute is None:
                raise errors.validation(f"{self._kind} attribute key '{key[:256]}' is not recognized")
            if attribute.may_be is None:
                if value != attribute.default:
                    raise errors.not_configurable(f"{key} is always '{attribute.default}' here.")
            elif not attribute.may_be.test(value):
                allowed = attribute.may_be.words
                raise errors.validation(f"{self._kind} attribute {key} cannot be '{value[:100]}': give {allowed}")
            changed[key] = value
        return changed
