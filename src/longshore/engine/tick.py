"""One look at one deployment: observe, decide, apply. Nothing is remembered from one tick to the next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import structlog

from longshore.domain.alarms import Watch, effective, watch_of
from longshore.domain.blue_green import Phase
from longshore.domain.deployment import DeploymentStatus, ErrorCode
from longshore.domain.lifecycle import ALLOW_TRAFFIC
from longshore.domain.rollback import CREATOR
from longshore.engine import starting
from longshore.engine.apply import apply
from longshore.engine.plan import Plan, fail
from longshore.engine.server import blue_green
from longshore.engine.server.decide import decide
from longshore.engine.server.observe import observe
from longshore.engine.server.replacing import asks_aws
from longshore.engine.world import World
from longshore.providers.ports import Access
from longshore.store import deployment_groups, deployments, targets
from longshore.store.database import Transaction
from longshore.store.deployment_groups import DeploymentGroup
from longshore.store.deployments import Claim, Deployment, LeaseLostError
from longshore.store.errors import DatabaseError

log = structlog.get_logger()

_GIVEN_UP = "The server failed repeatedly; its log says why."


@dataclass(frozen=True, kw_only=True, slots=True)
class _Seen:
    """A deployment that has not ended."""

    deployment: Deployment
    #: The alarms to look at, and by which role.
    watch: tuple[Access, Watch] | None
    #: Its next step; None when that depends on more than the rows.
    plan: Plan | None


def tick(world: World, claim: Claim, now: float) -> None:
    """Move a claimed deployment one step on and give it back.

    Raises:
        LeaseLostError: another tick has taken over meanwhile.
    """
    ((_, seen),) = world.store.read(lambda tx: _see(tx, world, [claim], now))
    if seen is None:
        return
    deployment = seen.deployment
    if seen.watch is None:
        plan = seen.plan or _plan_asking(world, claim, deployment, now)
    else:
        deployment, plan = _plan_watched(world, claim, deployment, *seen.watch, now)
    world.store.write(_step(world, claim, deployment, plan, now))


def tick_by_rows(world: World, claims: Sequence[Claim], now: float) -> dict[Claim, float | Exception | None]:
    """`tick` for those of these whose next step the rows alone decide, with one look and one commit for all.

    Returns when to look at each next, None when it is over, or what went wrong. The claims that are not among them are
    for `tick`.
    """
    seen = world.store.read(lambda tx: _see(tx, world, claims, now))
    over = [claim for claim, one in seen if one is None]
    steps = {
        claim: _step(world, claim, one.deployment, one.plan, now)
        for claim, one in seen
        if one is not None and one.plan is not None
    }
    if not steps:
        return dict.fromkeys(over)
    outcomes = world.store.write_each([lambda tx: deployment_groups.foresee_claimed(tx, steps), *steps.values()])
    return dict.fromkeys(over) | dict(zip(steps, outcomes[1:], strict=True))


def _step(
    world: World, claim: Claim, deployment: Deployment, plan: Plan, now: float
) -> Callable[[Transaction], float | None]:
    log.info("tick", deployment=deployment.id, reason=plan.reason, finish=plan.finish and plan.finish.status.value)
    return lambda tx: apply(tx, claim, deployment, plan, now, has_event_bus=world.has_event_bus(deployment.scope))


def abandon(world: World, claim: Claim, now: float) -> None:
    """Give up a deployment that this server cannot tick: better an honest failure than a group held for ever.

    Its hosts begin nothing more; the next ticks put back into traffic whom they can, and end it. Given up again, it
    ends at once.
    """

    def work(tx: Transaction) -> None:
        deployment = deployments.get(tx, claim.deployment_id)
        if deployment is None or deployment.status.is_final:
            return
        if _is_given_up(deployment):
            plan = _end_given_up(tx, deployment, now)
        else:
            deployments.check_claim(tx, claim)
            deployments.close(tx, deployment.id, code=ErrorCode.INTERNAL_ERROR, message=_GIVEN_UP)
            arriving = {one.target_id for one in targets.errands(tx, deployment.id) if one.event == ALLOW_TRAFFIC[1]}
            idle = tuple(one for one in targets.idle(tx, deployment.id) if one not in arriving)
            plan = Plan(skip=idle, halt=True, wake_at=now, reason=_GIVEN_UP)
        apply(tx, claim, deployment, plan, now, has_event_bus=world.has_event_bus(deployment.scope))

    world.store.write(work)


def _is_given_up(deployment: Deployment) -> bool:
    return deployment.error_code == ErrorCode.INTERNAL_ERROR


def _end_given_up(tx: Transaction, deployment: Deployment, now: float) -> Plan:
    end = fail(ErrorCode.INTERNAL_ERROR, _GIVEN_UP, now)
    return replace(end, skip=tuple(targets.idle(tx, deployment.id)), halt=True, leaves_out=True)


def _plan_given_up(world: World, claim: Claim, deployment: Deployment, now: float) -> Plan:
    """The next step of one that was given up: its hosts get their traffic back, if that much can be done."""
    is_broken, look_again = False, None
    try:
        look_again = world.traffic.attend(world.store, claim, deployment, now)
    except (LeaseLostError, DatabaseError):
        raise
    except Exception:
        # What broke it may be in here: then who is left out is told (`apply`).
        log.exception("hosts_left_out", deployment=deployment.id)
        is_broken = True

    def plan(tx: Transaction) -> Plan:
        if overdue := targets.overdue(tx, deployment.id, now):
            return Plan(lose=tuple(overdue), wake_at=now, reason=f"{len(overdue)} host(s) gave no answer in time")
        deadline = targets.first_deadline(tx, deployment.id)
        if deadline is None or (is_broken and not targets.any_running(tx, deployment.id)):
            return _end_given_up(tx, deployment, now)
        wake_at = deadline if look_again is None else min(deadline, look_again)
        return Plan(wake_at=wake_at, reason="given up; hosts finish their events, and are put back into traffic")

    return world.store.read(plan)


def _see(tx: Transaction, world: World, claims: Sequence[Claim], now: float) -> list[tuple[Claim, _Seen | None]]:
    """The deployments as they stand; None for one of which there is nothing more to do."""
    found = deployment_groups.with_deployments(tx, [claim.deployment_id for claim in claims])

    def seen(deployment: Deployment, group: DeploymentGroup | None) -> _Seen | None:
        if deployment.status.is_final:
            return None
        watch = _watch(deployment, group)
        plan = _plan_by_rows(tx, world, deployment, group, now) if watch is None else None
        return _Seen(deployment=deployment, watch=watch, plan=plan)

    return [(claim, seen(*one) if (one := found.get(claim.deployment_id)) else None) for claim in claims]


def _watch(deployment: Deployment, group: DeploymentGroup | None) -> tuple[Access, Watch] | None:
    """The alarms to look at.

    A rollback looks at none: what fires may well be what it mends (S5.8). Neither does a deployment to one instance:
    its revision is the good one, and capacity that is wanted now may be the remedy too.
    """
    if deployment.creator == CREATOR or deployment.instance_id is not None or deployment.error_code is not None:
        return None
    if deployment.phase is Phase.RETIRE:
        return None  # nothing stops it any more (S6.9)
    watch = None if group is None else watch_of(effective(deployment.document, group.document))
    if group is None or watch is None:
        return None
    return Access(scope=deployment.scope, role_arn=group.service_role_arn), watch


def _close(tx: Transaction, *, claim: Claim, deployment: Deployment, why: str) -> Deployment:
    """From this commit on no host starts another event, however the alarms go on."""
    deployments.check_claim(tx, claim)
    targets.halt(tx, deployment.id)
    deployments.close(tx, deployment.id, code=ErrorCode.ALARM_ACTIVE, message=why)
    return replace(deployment, error_code=ErrorCode.ALARM_ACTIVE.value, error_message=why)


def _plan_watched(
    world: World, claim: Claim, deployment: Deployment, access: Access, watch: Watch, now: float
) -> tuple[Deployment, Plan]:
    """The next step of a deployment that alarms may stop, and the deployment as that leaves it."""
    look = world.alarms.look(access, watch, now)
    if look.stop is not None:
        deployment = world.store.write(partial(_close, claim=claim, deployment=deployment, why=look.stop))
    elif look.is_open and deployment.status is DeploymentStatus.CREATED:
        return deployment, Plan(wake_at=look.again_at, reason="its alarms cannot be read yet")
    plan = world.store.read(
        lambda tx: _plan_by_rows(tx, world, deployment, deployment_groups.by_id(tx, deployment.group_id), now)
    )
    plan = plan or _plan_asking(world, claim, deployment, now)
    if plan.finish is None:
        plan = replace(plan, wake_at=min(plan.wake_at, look.again_at))
    return deployment, plan


def _plan_by_rows(
    tx: Transaction, world: World, deployment: Deployment, group: DeploymentGroup | None, now: float
) -> Plan | None:
    """The next step, as far as alarms have no say in it; None when others must be asked first."""
    if _is_given_up(deployment):
        return None
    if deployment.status is not DeploymentStatus.CREATED:
        if targets.errands(tx, deployment.id) or asks_aws(deployment):
            return None
        return _go_on(tx, deployment, now)
    return starting.plan_by_rows(tx, world, deployment, group, now)


def _plan_asking(world: World, claim: Claim, deployment: Deployment, now: float) -> Plan:
    """The next step of a deployment that depends on others than the rows."""
    if _is_given_up(deployment):
        return _plan_given_up(world, claim, deployment, now)
    if deployment.status is DeploymentStatus.CREATED:
        return starting.plan(world, deployment, now)
    look_again = world.traffic.attend(world.store, claim, deployment, now)
    if asks_aws(deployment):
        plan = world.replacing.plan_step(deployment, now)
    else:
        plan = world.store.read(lambda tx: _go_on(tx, deployment, now))
    return plan if look_again is None else replace(plan, wake_at=min(plan.wake_at, look_again))


def _go_on(tx: Transaction, deployment: Deployment, now: float) -> Plan:
    """The next step of one that has begun, by the rows alone."""
    if deployment.is_blue_green:
        return blue_green.plan_step(tx, deployment, now)
    return decide(observe(tx, deployment, now), now)
