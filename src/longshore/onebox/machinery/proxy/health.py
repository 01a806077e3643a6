"""How endpoints are, as the proxy itself sees them: by this, and by nothing else, it chooses whom to ask."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

#: Cluster, address, port.
Place = tuple[str, str, int]


class Health(StrEnum):
    """What the proxy thinks of an endpoint."""

    #: It was not checked yet, and is not asked.
    UNKNOWN = "unknown"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"


class Failure(StrEnum):
    """Why a check failed."""

    #: There was an answer, but of another code.
    CODE = "ACTIVE"
    NETWORK = "NETWORK"
    TIMEOUT = "NETWORK_TIMEOUT"


@dataclass(frozen=True, kw_only=True, slots=True)
class EndpointState:
    """An endpoint as it is now."""

    health: Health
    is_drained: bool
    #: Requests, and connections, that are under way there; a connection may be idle.
    requests: int
    connections: int
    #: Of the last check of an unhealthy one; None while it is not known yet.
    failure: Failure | None = None
    #: That it answered with; 0 where there was no answer.
    code: int = 0


def states(document: dict[str, Any]) -> dict[Place, EndpointState]:
    """What Envoy's list of clusters says."""
    return {
        (cluster["name"], *_place(host["address"])): _state(host)
        for cluster in document.get("cluster_statuses", ())
        for host in cluster.get("host_statuses", ())
    }


def _place(address: dict[str, Any]) -> tuple[str, int]:
    inside = address["socket_address"]
    return inside["address"], inside["port_value"]


def _state(host: dict[str, Any]) -> EndpointState:
    said = host["health_status"]
    if said.get("pending_active_hc"):
        health = Health.UNKNOWN
    elif said.get("failed_active_health_check"):
        health = Health.UNHEALTHY
    else:
        health = Health.HEALTHY
    counted = {one["name"]: int(one.get("value", 0)) for one in host["stats"]}
    return EndpointState(
        health=health,
        is_drained=said.get("eds_health_status") == "DRAINING",
        requests=counted["rq_active"] + counted["rq_pending_active"],
        connections=counted["cx_active"],
    )


class Failures:
    """The last failed check of each endpoint, from the log that the proxy writes of them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._file = 0
        self._position = 0
        self._last: dict[Place, tuple[Failure, int]] = {}

    def of(self, places: set[Place]) -> dict[Place, tuple[Failure, int]]:
        """Why, and with which code; those that are no longer among the proxy's endpoints are forgotten."""
        with self._lock:
            self._read_on()
            self._last = {place: why for place, why in self._last.items() if place in places}
            return dict(self._last)

    def _read_on(self) -> None:
        try:
            with self._path.open("rb") as log:
                # A log that is begun anew is another file.
                number = self._path.stat().st_ino
                if number != self._file:
                    self._file, self._position = number, 0
                log.seek(self._position)
                read = log.read()
        except FileNotFoundError:
            return
        whole, _, _ = read.rpartition(b"\n")
        self._position += len(whole) + 1 if whole else 0
        for line in whole.splitlines():
            event = json.loads(line)
            place = (event["cluster_name"], *_place(event["host"]))
            if failed := event.get("health_check_failure_event"):
                self._last[place] = (Failure(failed["failure_type"]), failed["http_status_code"])
            elif "add_healthy_event" in event:
                self._last.pop(place, None)
