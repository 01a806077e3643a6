"""Who takes part in a deployment to hosts, in which order, and whether it can be done at all (server.md S2, S6)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from longshore.domain.config import DeploymentConfig
from longshore.domain.deployment import ErrorCode
from longshore.domain.health import MinimumHealthyHosts, Turn, required_healthy, turn
from longshore.domain.zones import ZoneRules, zone_rules


@dataclass(frozen=True, kw_only=True, slots=True)
class Host:
    """A member of the deployment group."""

    name: str
    arn: str
    #: Who polls for it (Scope.host).
    poller: str
    #: Its availability zone; None for an on-premises instance.
    zone: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Circumstances:
    """All that a lineup depends on."""

    hosts: Sequence[Host]
    #: Per host: healthy, and the identity of the revision it runs; unknown hosts are absent (S2.11).
    health: Mapping[str, tuple[bool, str | None]]
    #: Identity of the group's last successful revision.
    current_revision: str | None
    #: None when it was deleted after the deployment was created.
    config: DeploymentConfig | None
    #: Only hosts without this revision take part (S6.17); None: all do.
    only_without: str | None
    #: Most hosts one deployment may have.
    limit: int
    #: How many more hosts the account's deployments may have at once, and how many altogether.
    account_room: int
    account_limit: int
    #: A rollback goes to the hosts of all zones at once (S2.23).
    ignores_zones: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """Why a deployment fails before it touches a host."""

    code: ErrorCode
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Lineup:
    """The hosts that take part, in the order in which they start."""

    hosts: tuple[tuple[Host, Turn], ...] = ()
    #: How many of them must stay healthy.
    required: int = 0
    #: Set where hosts start zone by zone, which is their order then.
    zones: ZoneRules | None = None
    refusal: Refusal | None = None

    @property
    def at_once(self) -> int:
        """How many may be at work at a time while none fails."""
        return max(len(self.hosts) - self.required, 0)

    def waves(self) -> list[tuple[Host, ...]]:
        """The hosts that start together, if all take equally long and none fails."""
        found = []
        for _, together in groupby(self.hosts, key=lambda one: one[0].zone if self.zones else None):
            names = [host for host, _ in together]
            free = self.at_once if self.zones is None else len(names) - self.zones.required(len(names))
            size = max(min(self.at_once, free), 1)
            found += [tuple(names[start : start + size]) for start in range(0, len(names), size)]
        return found

    @property
    def pauses(self) -> float:
        """How long is waited between zones, seconds."""
        return 0.0 if self.zones is None else self.zones.pauses(len({host.zone for host, _ in self.hosts}))


def line_up(seen: Circumstances) -> Lineup:
    """Everyone who takes part; with a refusal where the deployment cannot be done."""
    if seen.config is None or seen.config.minimum is None:
        return _refused(ErrorCode.INTERNAL_ERROR, "The deployment configuration was deleted before the start.")
    if not seen.hosts:
        return _refused(
            ErrorCode.NO_INSTANCES,
            "No instance belongs to the deployment group. Check its tag filters and the instances' tags, whether"
            " on-premises instances are registered, and whether its Auto Scaling groups have instances in service.",
        )
    zonal = None if seen.ignores_zones else seen.config.zonal
    zones = None if zonal is None else zone_rules(zonal)
    if zones is not None and any(host.zone is None for host in seen.hosts):
        return _refused(
            ErrorCode.HEALTH_CONSTRAINTS_INVALID,
            f"{seen.config.name} deploys zone by zone, and on-premises instances are in no availability zone. "
            "Use a deployment configuration without zonalConfig.",
        )
    hosts = [host for host in seen.hosts if not _is_left_out(seen, host)]
    if len(hosts) > seen.limit:
        return _refused(
            ErrorCode.OVER_MAX_INSTANCES,
            f"{len(hosts)} instances match the deployment group; one deployment may have {seen.limit}.",
        )
    if len(hosts) > seen.account_room:
        return _refused(
            ErrorCode.OVER_MAX_INSTANCES,
            f"{len(hosts)} instances match the deployment group; with those of the deployments under way they would be"
            f" more than the {seen.account_limit} that an account may deploy to at once. Deploy again when these end.",
        )
    placed = tuple(
        sorted(
            ((host, turn_of(seen, host)) for host in hosts),
            key=lambda one: ((one[0].zone or "") if zones else "", one[1], one[0].name),
        )
    )
    required = required_healthy(seen.config.minimum, len(hosts), predefined=seen.config.is_predefined)
    if hosts and required >= len(hosts):
        refusal = _unattainable(seen.config, seen.config.minimum, len(hosts), required)
        return Lineup(hosts=placed, required=required, zones=zones, refusal=refusal)
    low = None if zones is None else _unattainable_zone(seen.config, zones, placed)
    return Lineup(hosts=placed, required=max(required, 0), zones=zones, refusal=low)


def turn_of(seen: Circumstances, host: Host) -> Turn:
    """When a host's turn is: those with least to lose go first (S2.12)."""
    healthy, installed = seen.health.get(host.name, (False, None))
    return turn(healthy=healthy, installed=installed, current=seen.current_revision)


def _is_left_out(seen: Circumstances, host: Host) -> bool:
    # What it runs alone decides: of a host whose last attempt failed that is not known any more.
    _, installed = seen.health.get(host.name, (False, None))
    return installed is not None and installed == seen.only_without


def _refused(code: ErrorCode, message: str) -> Lineup:
    return Lineup(refusal=Refusal(code=code, message=message))


def _unattainable_zone(
    config: DeploymentConfig, zones: ZoneRules, placed: Sequence[tuple[Host, Turn]]
) -> Refusal | None:
    for zone, total in Counter(host.zone for host, _ in placed).items():
        if (required := zones.required(total)) >= total:
            return Refusal(
                code=ErrorCode.HEALTH_CONSTRAINTS_INVALID,
                message=f"{config.name} ({zones.minimum.type} {zones.minimum.value} per zone) wants {required} healthy"
                f" instances in {zone}, which has {total}: not one could be taken down to deploy to it. Lower the"
                " minimum or add instances.",
            )
    return None


def _unattainable(config: DeploymentConfig, minimum: MinimumHealthyHosts, total: int, required: int) -> Refusal:
    """S2.13 a."""
    return Refusal(
        code=ErrorCode.HEALTH_CONSTRAINTS_INVALID,
        message=f"{config.name} ({minimum.type} {minimum.value}) wants {required} healthy instances, and the deployment"
        f" has {total}: not one could be taken down to deploy to it. Lower the minimum or add instances.",
    )
