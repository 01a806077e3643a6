"""What an in-place deployment to hosts does next (server.md S2.13, S4, S6.5–S6.8)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from longshore.domain.deployment import DEPLOYMENT_TIMEOUT, START_TIMEOUT, DeploymentStatus, ErrorCode, Finish
from longshore.domain.health import Fleet, Verdict, judge, room
from longshore.domain.zones import OpenZone
from longshore.engine.plan import Plan


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a host failed."""

    sentence: str
    #: Set where that is the deployment's reason too.
    code: ErrorCode | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """All that a running deployment's next step depends on."""

    fleet: Fleet
    #: Epoch seconds.
    create_time: float
    #: Who asked to stop, if anyone did.
    stop_requested_by: str | None
    #: Why its alarms stop it, if they do.
    alarm: str | None
    #: Set when the application or the group was deleted under the deployment.
    missing: ErrorCode | None
    #: Hosts whose open command's deadline has passed.
    overdue: tuple[str, ...]
    #: When the next open command counts as lost.
    first_deadline: float | None
    #: Pending hosts in the order they may start, at least as many as may start now.
    pending: tuple[str, ...]
    #: Started hosts whose agent has not taken up its command.
    not_taken_up: tuple[str, ...]
    #: A sentence on the first host that failed.
    first_failure: Failure | None
    #: The zone whose turn it is, where one comes after the other, and hosts there that may start now.
    zone: OpenZone | None = None
    pending_there: tuple[str, ...] = ()
    #: Hosts that are being taken out of their load balancers.
    leaving: tuple[str, ...] = ()
    #: How many have ended, and are being put back.
    returning: int = 0


def decide(seen: Seen, now: float) -> Plan:
    """The next step of a deployment that is in progress.

    Pure, and called at every wake-up: it must be right when called twice, late, or after a crash half-way.
    """
    plan = _next(seen, now)
    if plan.finish is None or not seen.returning:
        return plan
    return replace(plan, finish=None, wake_at=_next_look(seen, now), reason="hosts are put back into traffic")


def _next(seen: Seen, now: float) -> Plan:
    if seen.overdue:
        return Plan(lose=seen.overdue, wake_at=now, reason=f"{len(seen.overdue)} host(s) gave no answer in time")
    verdict = _verdict(seen)
    if finish := _finished_by_itself(seen, verdict):
        return Plan(finish=finish, wake_at=now, reason="every host has ended")
    if ending := _ending(seen, now):
        return _close(seen, ending, now)
    if verdict is Verdict.DOOMED:
        return _give_up(seen, now)
    if verdict is Verdict.FAILED:
        return Plan(skip=seen.pending, finish=_too_many_failed(seen), wake_at=now, reason="too many hosts failed")
    starting = seen.pending[: room(seen.fleet)] if seen.zone is None else seen.pending_there
    if starting:
        return Plan(start=starting, wake_at=now + START_TIMEOUT, reason=f"{len(starting)} host(s) may start")
    return Plan(wake_at=_next_look(seen, now), reason="hosts are at work")


def _verdict(seen: Seen) -> Verdict:
    """What the counts say: everybody's, and those of the zone whose turn it is."""
    verdict = judge(seen.fleet)
    if seen.zone is None or verdict not in (Verdict.OPEN, Verdict.SUCCEEDED):
        return verdict
    there = judge(seen.zone.zone.fleet)
    return there if there in (Verdict.DOOMED, Verdict.FAILED) else verdict


def _finished_by_itself(seen: Seen, verdict: Verdict) -> Finish | None:
    if seen.fleet.total == 0:
        # `updateOutdatedInstancesOnly` with nothing outdated (S6.17).
        said = "Every instance of the deployment group has the revision already, so none was deployed to."
        return Finish(status=DeploymentStatus.SUCCEEDED, message=said)
    if verdict is Verdict.SUCCEEDED and not seen.fleet.skipped:
        return Finish(status=DeploymentStatus.SUCCEEDED)
    return None


def _ending(seen: Seen, now: float) -> Finish | None:
    """Why the deployment ends before its hosts are through, if it does."""
    if ending := ending_of(seen.missing, seen.alarm, seen.stop_requested_by):
        return ending
    if now >= seen.create_time + DEPLOYMENT_TIMEOUT:
        return Finish(
            status=DeploymentStatus.FAILED,
            code=ErrorCode.TIMEOUT,
            message=f"The deployment took longer than {DEPLOYMENT_TIMEOUT / 3600:.0f} hours.",
        )
    return None


def ending_of(missing: ErrorCode | None, alarm: str | None, stop_requested_by: str | None) -> Finish | None:
    """What somebody else did that ends a deployment: deleted its group, let an alarm fire, asked for a stop."""
    if missing is not None:
        thing = "application" if missing is ErrorCode.APPLICATION_MISSING else "deployment group"
        return Finish(
            status=DeploymentStatus.FAILED,
            code=missing,
            message=f"The {thing} was deleted while the deployment was running.",
        )
    if alarm is not None:
        return Finish(status=DeploymentStatus.STOPPED, code=ErrorCode.ALARM_ACTIVE, message=alarm)
    if stop_requested_by is not None:
        return Finish(
            status=DeploymentStatus.STOPPED,
            code=ErrorCode.MANUAL_STOP,
            message=f"The deployment was stopped by {stop_requested_by}.",
        )
    return None


def _close(seen: Seen, ending: Finish, now: float) -> Plan:
    """Schedule nothing more; what runs may finish its event (S6.5)."""
    # A host on its way out of traffic has not been touched yet, and turns back.
    idle = (*seen.not_taken_up, *seen.leaving)
    given_up = (*seen.pending, *idle)
    if seen.fleet.in_flight > len(idle):
        return Plan(
            skip=given_up, halt=True, wake_at=_next_look(seen, now), reason=f"{ending.code}: waiting for running events"
        )
    return Plan(skip=given_up, finish=ending, wake_at=now, reason=str(ending.code))


def _give_up(seen: Seen, now: float) -> Plan:
    """Start no more hosts, but let those at work go through to their end (S2.13 c)."""
    return Plan(skip=seen.pending, wake_at=_next_look(seen, now), reason="too many hosts failed; others finish")


def _too_many_failed(seen: Seen) -> Finish:
    fleet = seen.fleet
    unattempted = fleet.pending + fleet.skipped
    message = (
        f"{fleet.succeeded} of {fleet.total} instance(s) succeeded, {fleet.failed} failed and {unattempted} were not "
        f"attempted; the deployment needs at least {max(fleet.required, 1)} to succeed."
    )
    if seen.zone is not None:
        there = seen.zone.zone.fleet
        message += (
            f" In {seen.zone.zone.name} {there.succeeded} of {there.total} succeeded, and at least"
            f" {max(there.required, 1)} must."
        )
    if seen.first_failure:
        message += f" First failure: {seen.first_failure.sentence}"
    code = seen.first_failure and seen.first_failure.code
    return Finish(status=DeploymentStatus.FAILED, code=code or ErrorCode.HEALTH_CONSTRAINTS, message=message)


def _next_look(seen: Seen, now: float) -> float:
    # A deadline made after this look cannot come sooner than START_TIMEOUT from now, so this misses none.
    latest = min(now + START_TIMEOUT, max(now, seen.create_time + DEPLOYMENT_TIMEOUT))
    if seen.zone is not None and seen.zone.opens_at > now:
        latest = min(latest, seen.zone.opens_at)
    return latest if seen.first_deadline is None else min(latest, seen.first_deadline)
