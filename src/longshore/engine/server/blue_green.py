"""Blue/green deployments to hosts, from rows to plans (domain.blue_green; server.md S2.9, S3.10–S3.12, S7.11)."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from longshore.domain.blue_green import (
    DEPLOYMENT_TIMEOUT,
    Phase,
    Seen,
    cannot_replace,
    group_after,
    is_to_be_switched,
    next_step,
    options_of,
    rolling,
)
from longshore.domain.bundle import BundleFacts
from longshore.domain.deployment import DeploymentStatus, ErrorCode, Finish, TargetStatus
from longshore.domain.health import Turn, required_healthy, room
from longshore.domain.lifecycle import BLUE_GREEN, BLUE_GREEN_ROLLBACK, Label
from longshore.domain.lineup import Circumstances, Host, line_up
from longshore.domain.rollback import CREATOR
from longshore.domain.target import begin as untouched
from longshore.domain.target import skip as skipped
from longshore.engine.plan import Begin, Plan
from longshore.engine.server.decide import ending_of
from longshore.engine.server.observe import first_failure, missing
from longshore.store import deployment_configs, deployment_groups, deployments, targets
from longshore.store.database import Transaction
from longshore.store.deployments import Deployment
from longshore.store.targets import NewTarget


@dataclass(frozen=True, kw_only=True, slots=True)
class Arranged:
    """How far the world outside is: the replacements that are to be there, the originals that are to go."""

    is_done: bool = False
    #: What is missing yet, or could not be done.
    why: str = ""
    #: Why it will never be done, and so ends the deployment.
    ending: Finish | None = None


def plan_step(tx: Transaction, deployment: Deployment, now: float, arranged: Arranged | None = None) -> Plan:
    """The next step of a blue/green deployment that has begun."""
    step = next_step(_observe(tx, deployment, now, arranged or Arranged()), now)
    return Plan(
        lose=step.lose,
        skip=step.skip,
        halt=step.halt,
        start=step.start,
        enter=step.enter,
        finish=step.finish,
        wake_at=step.look_at,
        reason=f"{deployment.phase}: {step.reason}",
    )


def _observe(tx: Transaction, deployment: Deployment, now: float, arranged: Arranged) -> Seen:
    phase = deployment.phase
    assert phase is not None
    sides = targets.sides(tx, deployment.id)
    green, blue = sides[Label.GREEN], sides[Label.BLUE]
    failure = first_failure(tx, deployment.id) if green.failed + blue.failed else None
    alarm = deployment.error_message if deployment.error_code == ErrorCode.ALARM_ACTIVE else None
    seen = Seen(
        phase=phase,
        since=deployment.phase_time or 0.0,
        create_time=deployment.create_time,
        options=options_of(deployment.document.get("blueGreenDeploymentConfiguration", {})),
        green=green,
        blue=blue,
        required=deployment.required_healthy or 0,
        is_arranged=arranged.is_done,
        unarranged=arranged.why,
        continued=deployment.continued,
        ending=ending_of(missing(tx, deployment), alarm, deployment.stop_requested_by) or arranged.ending,
        overdue=tuple(targets.overdue(tx, deployment.id, now)),
        first_deadline=targets.first_deadline(tx, deployment.id),
        is_running=targets.any_running(tx, deployment.id),
        first_failure=None if failure is None else failure.sentence,
        failure_code=None if failure is None else failure.code,
    )
    label, status = _AT_TURN.get(phase, (Label.GREEN, TargetStatus.PENDING))
    fleet = rolling(seen)
    # One that gives up needs all of its hosts; one that goes on as many as may start.
    may_give_up = seen.ending is not None or green.failed + blue.failed > 0 or now >= _patience_ends(seen)
    most = room(fleet) if fleet is not None and not may_give_up else green.total + blue.total
    return replace(
        seen,
        waiting=tuple(targets.waiting(tx, deployment.id, label, status, most)),
        idle=tuple(targets.idle(tx, deployment.id)) if may_give_up else (),
    )


def _patience_ends(seen: Seen) -> float:
    """From when on the deployment may end for having waited too long."""
    if seen.phase is Phase.READY_WAIT:
        return seen.since + (seen.options.ready_wait or 0.0)
    return seen.create_time + DEPLOYMENT_TIMEOUT


#: Which hosts a phase starts.
_AT_TURN = {
    Phase.REROUTE: (Label.GREEN, TargetStatus.READY),
    Phase.BLOCK: (Label.BLUE, TargetStatus.PENDING),
    Phase.RESTORE: (Label.BLUE, TargetStatus.PENDING),
}


def plan_provisioning(
    bundle: BundleFacts | None, replaced: tuple[str, ...], copy: str, *, account_limit: int, now: float
) -> Plan:
    """Begin with no hosts at all: they have to be made first, in `copy`, a group like the replaced one."""
    begin = Begin(
        targets=(),
        required=0,
        bundle=bundle,
        account_limit=account_limit,
        phase=Phase.PROVISION,
        replaced_groups=replaced,
        copied_group=copy,
    )
    return Plan(begin=begin, wake_at=now, reason="replacements are to be made")


def plan_sides(
    replacements: Circumstances,
    originals: Sequence[Host],
    *,
    bundle: BundleFacts | None,
    replaced: tuple[str, ...],
    copy: str | None,
    forgives_stop_failures: bool,
    now: float,
) -> Plan:
    """Begin with both sides, or fail at once and say why; minimum healthy hosts are of the replacements (S2.10)."""
    if objection := cannot_replace([host.name for host in replacements.hosts], replacements.health):
        return _refuse(objection)
    lineup = line_up(replacements)

    def new(host: Host, turn: Turn, label: Label) -> NewTarget:
        target = untouched(BLUE_GREEN[label], forgives_stop_failures=forgives_stop_failures, label=label)
        if lineup.refusal is not None:
            target = skipped(target, now)
        return NewTarget(target_id=host.name, target_arn=host.arn, host=host.poller, turn=turn, target=target)

    replacing = {host.name for host, _ in lineup.hosts}
    green = [new(host, turn, Label.GREEN) for host, turn in lineup.hosts]
    blue = [new(host, Turn.UNHEALTHY, Label.BLUE) for host in originals if host.name not in replacing]
    begin = Begin(
        targets=(*green, *blue),
        required=lineup.required,
        bundle=bundle,
        account_limit=replacements.account_limit,
        phase=Phase.INSTALL,
        replaced_groups=replaced,
        copied_group=copy,
    )
    reason = f"{len(green)} replacement(s), {len(blue)} original(s), {lineup.required} must serve"
    if lineup.refusal is None:
        return Plan(begin=begin, wake_at=now, reason=reason)
    finish = Finish(status=DeploymentStatus.FAILED, code=lineup.refusal.code, message=lineup.refusal.message)
    return Plan(begin=begin if green else None, finish=finish, wake_at=now, reason=lineup.refusal.message)


def late_originals(hosts: Sequence[Host], known: Container[str], *, forgives_stop_failures: bool) -> list[NewTarget]:
    """Who of these is no target yet, as an original: it came while the replacements were made ready."""
    target = untouched(BLUE_GREEN[Label.BLUE], forgives_stop_failures=forgives_stop_failures, label=Label.BLUE)
    return [
        NewTarget(target_id=host.name, target_arn=host.arn, host=host.poller, turn=Turn.UNHEALTHY, target=target)
        for host in hosts
        if host.name not in known
    ]


def plan_rollback(tx: Transaction, deployment: Deployment, account_limit: int, now: float) -> Plan:
    """Begin with the hosts whose traffic was moved, and move it back (S3.12)."""
    rolled_back = (deployment.rollback_info or {})["rollbackTriggeringDeploymentId"]
    rows = [row for row in targets.every(tx, rolled_back) if is_to_be_switched(row.target)]

    def new(row: targets.TargetRow) -> NewTarget:
        label = row.target.label
        assert label is not None
        forgives = row.target.forgives_stop_failures
        target = untouched(BLUE_GREEN_ROLLBACK[label], forgives_stop_failures=forgives, label=label)
        return NewTarget(
            target_id=row.target_id, target_arn=row.target_arn, host=row.host, turn=Turn.UNHEALTHY, target=target
        )

    originals = sum(row.target.label is Label.BLUE for row in rows)
    config = deployment_configs.find(tx, deployment.scope, deployment.config_name)
    # What the config asks for is a pace here: going back must not be refused for having too few to go back to.
    floor = (
        0 if config is None or config.minimum is None else required_healthy(config.minimum, originals, predefined=True)
    )
    begin = Begin(
        targets=tuple(map(new, rows)),
        required=max(floor, 0),
        bundle=deployment.bundle,
        account_limit=account_limit,
        phase=Phase.RESTORE,
        replaced_groups=tuple(deployment.replaced_groups or ()),
    )
    return Plan(begin=begin, wake_at=now, reason=f"{originals} original(s) get their traffic back")


def remember(tx: Transaction, deployment: Deployment, *, succeeded: bool) -> None:
    """Bring what the group knows of its hosts up to date after a blue/green deployment ended (S2.18, S7.15).

    One that failed has changed no host that is the group's: it installed on replacements alone.
    """
    if not succeeded and deployment.copied_group is not None:
        deployments.say(
            tx,
            deployment.id,
            f"The replacement instances in the Auto Scaling group {deployment.copied_group} are left to be looked at."
            " Delete the group when you have seen enough.",
        )
    group = deployment_groups.by_id(tx, deployment.group_id)
    if group is None or not succeeded:
        return
    if deployment.creator != CREATOR:
        deployments.remember_replacements(tx, deployment)
        deployment_groups.redefine(tx, group.id, group_after(group.document, replacements_of(deployment)))
    deployments.have_succeeded_last(tx, deployment)


def replacements_of(deployment: Deployment) -> Mapping[str, Any]:
    """Who the replacements are, spelled as `targetInstances`."""
    if deployment.copied_group is not None:
        return {"autoScalingGroups": [deployment.copied_group]}
    named: Mapping[str, Any] = deployment.document.get("targetInstances", {})
    return named


def _refuse(message: str) -> Plan:
    finish = Finish(status=DeploymentStatus.FAILED, code=ErrorCode.NO_INSTANCES, message=message)
    return Plan(finish=finish, wake_at=0.0, reason=message)
