"""How a deployment to hosts starts: who takes part, how many must stay up, is it possible at all (server.md S2, S6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from longshore.domain.bundle import BundleFacts
from longshore.domain.config import DeploymentConfig
from longshore.domain.deployment import DeploymentStatus, ErrorCode
from longshore.domain.health import MinimumHealthyHosts, Turn, required_healthy, turn
from longshore.domain.lifecycle import IN_PLACE
from longshore.domain.target import begin as untouched
from longshore.domain.target import skip
from longshore.engine.plan import Begin, Finish, Plan
from longshore.store.targets import NewTarget


@dataclass(frozen=True, kw_only=True, slots=True)
class Host:
    """A member of the deployment group."""

    name: str
    arn: str
    #: Who polls for it (Scope.host).
    poller: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SeenGroup:
    """All that the start of a deployment depends on."""

    hosts: Sequence[Host]
    #: Per host: healthy, and the identity of the revision it runs; unknown hosts are absent (S2.11).
    health: Mapping[str, tuple[bool, str | None]]
    #: Identity of the group's last successful revision.
    current_revision: str | None
    #: None when it was deleted after the deployment was created.
    config: DeploymentConfig | None
    only_outdated: bool
    forgives_stop_failures: bool
    #: Most hosts one deployment may have.
    limit: int
    #: How many more hosts the account's deployments may have at once, and how many altogether.
    account_room: int
    account_limit: int
    bundle: BundleFacts | None


def plan_start(seen: SeenGroup, now: float) -> Plan:
    """Begin with every host that takes part, or fail at once and say why; no host is touched here."""
    if seen.config is None or seen.config.minimum is None:
        return _refuse(now, ErrorCode.INTERNAL_ERROR, "The deployment configuration was deleted before the start.")
    if not seen.hosts:
        return _refuse(
            now,
            ErrorCode.NO_INSTANCES,
            "No registered instance has tags that match the deployment group. "
            "Check the group's tag filters and the instances' tags.",
        )
    if seen.config.zonal:
        return _refuse(
            now,
            ErrorCode.HEALTH_CONSTRAINTS_INVALID,
            f"{seen.config.name} deploys zone by zone, and on-premises instances are in no availability zone. "
            "Use a deployment configuration without zonalConfig.",
        )
    turns = {host.name: _turn(seen, host) for host in seen.hosts}
    hosts = [host for host in seen.hosts if not (seen.only_outdated and _is_current(seen, host))]
    if len(hosts) > seen.limit:
        return _refuse(
            now,
            ErrorCode.OVER_MAX_INSTANCES,
            f"{len(hosts)} instances match the deployment group; one deployment may have {seen.limit}.",
        )
    if len(hosts) > seen.account_room:
        return _refuse(
            now,
            ErrorCode.OVER_MAX_INSTANCES,
            f"{len(hosts)} instances match the deployment group; with those of the deployments under way they would be"
            f" more than the {seen.account_limit} that an account may deploy to at once. Deploy again when these end.",
        )
    required = required_healthy(seen.config.minimum, len(hosts), predefined=seen.config.is_predefined)
    targets = tuple(_new_target(seen, host, turns[host.name]) for host in hosts)
    if hosts and required >= len(hosts):
        return _unattainable(seen.config, seen.config.minimum, targets, required, now)
    return Plan(
        begin=Begin(targets=targets, required=max(required, 0), bundle=seen.bundle),
        wake_at=now,
        reason=f"{len(targets)} host(s) take part, {required} must stay healthy",
    )


def _is_current(seen: SeenGroup, host: Host) -> bool:
    # Revision health alone decides (S6.17): a host whose last attempt failed is no longer known to be Current.
    _, installed = seen.health.get(host.name, (False, None))
    return installed is not None and installed == seen.current_revision


def _turn(seen: SeenGroup, host: Host) -> Turn:
    healthy, installed = seen.health.get(host.name, (False, None))
    return turn(healthy=healthy, installed=installed, current=seen.current_revision)


def _new_target(seen: SeenGroup, host: Host, its_turn: Turn) -> NewTarget:
    return NewTarget(
        target_id=host.name,
        target_arn=host.arn,
        host=host.poller,
        turn=its_turn,
        target=untouched(IN_PLACE, forgives_stop_failures=seen.forgives_stop_failures),
    )


def _unattainable(
    config: DeploymentConfig, minimum: MinimumHealthyHosts, targets: tuple[NewTarget, ...], required: int, now: float
) -> Plan:
    """S2.13 a: nothing is touched, and every target is there to be seen, Skipped."""
    skipped = tuple(
        NewTarget(
            target_id=one.target_id,
            target_arn=one.target_arn,
            host=one.host,
            turn=one.turn,
            target=skip(one.target, now),
        )
        for one in targets
    )
    message = (
        f"{config.name} ({minimum.type} {minimum.value}) wants {required} healthy instances, and the deployment has "
        f"{len(targets)}: not one could be taken down to deploy to it. Lower the minimum or add instances."
    )
    return Plan(
        begin=Begin(targets=skipped, required=required, bundle=None),
        finish=Finish(status=DeploymentStatus.FAILED, code=ErrorCode.HEALTH_CONSTRAINTS_INVALID, message=message),
        wake_at=now,
        reason="the floor cannot be kept",
    )


def _refuse(now: float, code: ErrorCode, message: str) -> Plan:
    finish = Finish(status=DeploymentStatus.FAILED, code=code, message=message)
    return Plan(finish=finish, wake_at=now, reason=message)
