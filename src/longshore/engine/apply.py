"""Carries out a plan: one transaction, fenced, right however often it is tried."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from longshore.domain.auto_scaling import Transition
from longshore.domain.balancing import balancers_of, out_of
from longshore.domain.deployment import START_TIMEOUT, DeploymentStatus, TargetStatus
from longshore.domain.lifecycle_hook import BOOT_TIMEOUT, transition_of
from longshore.domain.target import Target, is_left_out, lose, skip, start
from longshore.engine import rollback, triggers
from longshore.engine.plan import Plan
from longshore.engine.server import blue_green
from longshore.store import deployment_groups, deployments, targets
from longshore.store.database import Transaction
from longshore.store.deployments import Claim, Deployment


def apply(
    tx: Transaction, claim: Claim, deployment: Deployment, plan: Plan, now: float, *, has_event_bus: bool = False
) -> float | None:
    """Do what the plan says, and give the deployment back; returns until when, None when it has ended.

    `has_event_bus` has it told to EventBridge too.

    Every host is read again first: one that has moved since the plan was made is left as it is, and the next tick,
    woken by that very move, decides anew.

    Raises:
        LeaseLostError: another tick has taken over; nothing is written.
    """
    group = deployment_groups.of_claimed(tx, claim)
    if not _has_room(tx, deployment, plan):
        # Another deployment of the account began since the plan was made: look again, with that one in sight.
        return deployments.release(tx, claim, wake_at=now)
    subscribed = triggers.subscribed_to(group, deployment.scope, has_event_bus=has_event_bus)
    if deployment.status is DeploymentStatus.CREATED and (plan.begin or plan.finish):
        triggers.tell_start(tx, subscribed, deployment, now)
    if plan.begin is not None:
        targets.add(tx, deployment.id, plan.begin.targets, is_told=subscribed.wants_instances)
        deployments.begin(
            tx,
            deployment.id,
            now=now,
            bundle=plan.begin.bundle,
            required=plan.begin.required,
            total=len(plan.begin.targets),
        )
        if plan.begin.phase is not None:
            deployments.enter(tx, deployment.id, plan.begin.phase, now)
            deployments.keep_sides(tx, deployment.id, plan.begin.replaced_groups, plan.begin.copied_group)
    for target_id in plan.lose:
        _move(tx, deployment.id, target_id, now, lose)
    for target_id in plan.skip:
        _move(tx, deployment.id, target_id, now, skip)
    if plan.halt:
        targets.halt(tx, deployment.id)
    for target_id in plan.start:
        _move(tx, deployment.id, target_id, now, partial(start, patience=_patience(deployment)))
    if plan.enter is not None and not deployments.is_stopping(tx, deployment.id):
        # Who is asked to stop meanwhile stays where it is: from some phases there is no way back.
        deployments.enter(tx, deployment.id, plan.enter, now)
        targets.add(tx, deployment.id, plan.late, is_told=subscribed.wants_instances)
        triggers.tell_phase(tx, subscribed, deployment, plan.enter, now)
    is_behind = triggers.tell_instances(tx, subscribed, deployment, now)
    if plan.finish is None or is_behind:
        return deployments.release(tx, claim, wake_at=now if is_behind else plan.wake_at)
    # One that ends before it has begun has no hosts.
    has_hosts = deployment.status is not DeploymentStatus.CREATED or plan.begin is not None
    if has_hosts and not plan.leaves_out and targets.errands(tx, deployment.id):
        # Hosts that were given up are to get their traffic back first.
        return deployments.release(tx, claim, wake_at=now)
    standing = targets.counts(tx, deployment.id) if has_hosts else {}
    if TargetStatus.IN_PROGRESS in standing:
        # A host took its command up while this plan was made: it is not over yet.
        targets.halt(tx, deployment.id)
        return deployments.release(tx, claim, wake_at=now)
    after = rollback.aftermath(tx, deployment, plan.finish, now)
    left = _left_out(tx, deployment, after)
    deployments.finish(
        tx,
        deployment.id,
        status=plan.finish.status,
        code=plan.finish.code,
        message=" ".join(filter(None, (plan.finish.message, left))) or None,
        now=now,
        rollback_info=after.info or deployment.rollback_info,
    )
    # What one instance comes to says nothing of the others, nor of the group.
    is_success = plan.finish.status is DeploymentStatus.SUCCEEDED and deployment.instance_id is None
    if deployment.is_blue_green:
        blue_green.remember(tx, deployment, succeeded=is_success)
    elif (standing or is_success) and transition_of(deployment.creator) is not Transition.TERMINATING:
        deployments.remember_hosts(tx, deployment, succeeded=is_success)
    triggers.tell_end(tx, subscribed, deployment.id, now)
    if after.rollback is not None:
        rollback.begin(tx, after.rollback)
    return None


def _left_out(tx: Transaction, deployment: Deployment, after: rollback.Aftermath) -> str | None:
    """What to know, and to do, about hosts that a deployment in place took out of traffic and leaves there."""
    if not deployment.has_traffic or deployment.is_blue_green:
        return None
    left = [row.target_id for row in targets.taken_out(tx, deployment.id) if is_left_out(row.target)]
    if not left:
        return None
    if after.rollback is not None:
        remedy = f"Deployment {after.rollback.id}, which rolls this one back, puts back whom it succeeds on."
    else:
        remedy = "A deployment puts back whom it succeeds on; or register them there yourself."
    return f"{out_of(left, balancers_of(deployment.document))}. {remedy}"


def _has_room(tx: Transaction, deployment: Deployment, plan: Plan) -> bool:
    """Whether the account may have the hosts that the plan begins with; exact, for nobody else writes now."""
    if plan.begin is None or plan.finish is not None:
        return True
    active = deployments.count_active_targets(tx, deployment.scope)
    return active + len(plan.begin.targets) <= plan.begin.account_limit


def _patience(deployment: Deployment) -> float:
    """How long an agent has for its first event: one that is launched has yet to boot (S4.9)."""
    return BOOT_TIMEOUT if transition_of(deployment.creator) is Transition.LAUNCHING else START_TIMEOUT


def _move(
    tx: Transaction, deployment_id: str, target_id: str, now: float, move: Callable[[Target, float], Target]
) -> None:
    target = targets.progress(tx, deployment_id, target_id)
    if target is not None and (moved := move(target, now)) is not target:
        targets.save_progress(tx, deployment_id, target_id, moved, now)
