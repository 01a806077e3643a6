"""How a deployment to hosts starts (server.md S2, S6)."""

from __future__ import annotations

from collections.abc import Sequence

from longshore.domain.bundle import BundleFacts
from longshore.domain.deployment import DeploymentStatus, Finish
from longshore.domain.health import Turn
from longshore.domain.lineup import Circumstances, Host, line_up
from longshore.domain.target import begin as untouched
from longshore.domain.target import skip
from longshore.engine.plan import Begin, Plan
from longshore.store.targets import NewTarget


def plan_start(
    seen: Circumstances, *, events: Sequence[str], bundle: BundleFacts | None, forgives_stop_failures: bool, now: float
) -> Plan:
    """Begin with every host that takes part, or fail at once and say why; no host is touched here."""
    lineup = line_up(seen)

    def target(host: Host, its_turn: Turn) -> NewTarget:
        new = untouched(events, forgives_stop_failures=forgives_stop_failures)
        return NewTarget(
            target_id=host.name,
            target_arn=host.arn,
            host=host.poller,
            turn=its_turn,
            zone=host.zone if lineup.zones else None,
            # Of a deployment that cannot be done every target is there to be seen, Skipped (S2.13 a).
            target=new if lineup.refusal is None else skip(new, now),
        )

    targets = tuple(target(host, its_turn) for host, its_turn in lineup.hosts)
    begin = Begin(targets=targets, required=lineup.required, bundle=bundle, account_limit=seen.account_limit)
    if lineup.refusal is None:
        return Plan(
            begin=begin,
            wake_at=now,
            reason=f"{len(targets)} host(s) take part, {lineup.required} must stay healthy",
        )
    finish = Finish(status=DeploymentStatus.FAILED, code=lineup.refusal.code, message=lineup.refusal.message)
    return Plan(begin=begin if targets else None, finish=finish, wake_at=now, reason=lineup.refusal.message)
