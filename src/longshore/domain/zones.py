"""One availability zone after the other: which is deployed to, and how many of its hosts (server.md S2.22, S2.23)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from longshore.domain.health import Fleet, MinimumHealthyHosts, MinimumType, Verdict, judge, required_healthy, room

_NO_MINIMUM = MinimumHealthyHosts(type=MinimumType.FLEET_PERCENT, value=0)


@dataclass(frozen=True, kw_only=True, slots=True)
class ZoneRules:
    """What a `zonalConfig` says."""

    #: How many hosts of a zone must stay healthy.
    minimum: MinimumHealthyHosts
    #: How long is waited after the first zone, and after each other one, before the next begins, seconds.
    first_monitored: float
    monitored: float

    def required(self, hosts: int) -> int:
        """How many of a zone's hosts must stay healthy; per cents are rounded up over the zone."""
        return max(required_healthy(self.minimum, hosts, predefined=False), 0)

    def pauses(self, zones: int) -> float:
        """How long is waited altogether, seconds: after every zone but the last."""
        return 0.0 if zones < 2 else self.first_monitored + self.monitored * (zones - 2)


def zone_rules(zonal: Mapping[str, Any]) -> ZoneRules:
    """Read a `zonalConfig`. The first zone is monitored as long as the others if nothing else is said."""
    wanted = zonal.get("minimumHealthyHostsPerZone")
    monitored = float(zonal.get("monitorDurationInSeconds") or 0)
    first = zonal.get("firstZoneMonitorDurationInSeconds")
    return ZoneRules(
        minimum=MinimumHealthyHosts(type=MinimumType(wanted["type"]), value=wanted["value"]) if wanted else _NO_MINIMUM,
        first_monitored=monitored if first is None else float(first),
        monitored=monitored,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Zone:
    """One zone of a deployment."""

    name: str
    fleet: Fleet
    #: When one of its hosts changed last, epoch seconds; None before the first did.
    changed: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenZone:
    """The zone whose turn it is."""

    zone: Zone
    #: When its first host may start, epoch seconds: the zone before it is monitored till then.
    opens_at: float = 0.0

    def room(self, everyone: Fleet, now: float) -> int:
        """How many more of its hosts may be started now without going below its floor or everybody's."""
        if now < self.opens_at:
            return 0
        return min(room(self.zone.fleet), room(everyone))


def open_zone(zones: Sequence[Zone], rules: ZoneRules) -> OpenZone | None:
    """The first zone, in alphabetical order, that has not succeeded; None when all have.

    One that failed stays open: whoever judges it sees that no other may begin.
    """
    opens_at = 0.0
    for number, zone in enumerate(sorted(zones, key=lambda one: one.name)):
        if judge(zone.fleet) is not Verdict.SUCCEEDED:
            return OpenZone(zone=zone, opens_at=opens_at)
        opens_at = (zone.changed or 0.0) + (rules.first_monitored if number == 0 else rules.monitored)
    return None
