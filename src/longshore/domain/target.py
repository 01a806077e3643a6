"""One host of a deployment, and what each report of its agent does to it.

Progress is one pure function over one value: `advance`. It is idempotent: a report that comes twice, late or
for another attempt changes nothing (agent.md 13.6).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from longshore.domain.deployment import (
    RETURN_TIMEOUT,
    RUN_TIMEOUT,
    START_TIMEOUT,
    EventStatus,
    ScriptCode,
    TargetStatus,
)
from longshore.domain.lifecycle import ALLOW_TRAFFIC, BLOCK_TRAFFIC, ENGINES, FORGIVABLE, READY_AT, Label


@dataclass(frozen=True, kw_only=True, slots=True)
class Diagnostics:
    """How the scripts of an event ended."""

    error_code: ScriptCode
    script_name: str
    message: str
    #: The end of what the scripts wrote, at most 4 KB.
    log_tail: str


@dataclass(frozen=True, kw_only=True, slots=True)
class LifecycleEvent:
    """One lifecycle event on one target; times are epoch seconds."""

    name: str
    status: EventStatus = EventStatus.PENDING
    start_time: float | None = None
    #: Skipped events have an end and no start (S3.4).
    end_time: float | None = None
    diagnostics: Diagnostics | None = None


class CommandState(StrEnum):
    """Where the command for the current event stands; a target has at most one open command (agent.md 1.4.11)."""

    #: None is open: not started yet, or ended.
    NONE = ""
    #: To be offered to the host's next poll.
    READY = "ready"
    #: Acknowledged by the agent; never offered again (agent.md 1.4.10).
    RUNNING = "running"
    #: None for the agent: the engine carries the event out, and says by `settle` how that went.
    ENGINE = "engine"
    #: The host has ended without its revision being touched, and the engine is to put it back where it took it out.
    RETURN = "return"

    @property
    def is_open(self) -> bool:
        """Whether the host's agent may report on it."""
        return self in (CommandState.READY, CommandState.RUNNING)


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """The progress of one host in one deployment."""

    status: TargetStatus
    events: tuple[LifecycleEvent, ...]
    #: Index of the event that is due or running.
    position: int = 0
    command: CommandState = CommandState.NONE
    #: The attempt whose acknowledgement was accepted; only it may report.
    attempt: str = ""
    #: When the open command counts as lost, epoch seconds.
    deadline: float | None = None
    #: The deployment is stopping: no further event starts here (S6.5).
    halted: bool = False
    #: `ignoreApplicationStopFailures` of the deployment (S6.15).
    forgives_stop_failures: bool = False
    #: Its side in a blue/green deployment.
    label: Label | None = None
    #: The engine took it out of its load balancers, or was about to, and has not put it back.
    taken_out: bool = False

    @property
    def event(self) -> LifecycleEvent:
        return self.events[self.position]

    @property
    def awaits_engine(self) -> bool:
        """Whether it goes no further before the engine has looked at the deployment."""
        return self.status.is_final or self.status is TargetStatus.READY or self.command is CommandState.ENGINE

    @property
    def seconds(self) -> float | None:
        """How long it was at work, from its first event's start to its last one's end; None when no event was run.

        A replacement has two stretches of work: what it waits between them for its traffic is none.
        """
        parts = (self.events[:READY_AT], self.events[READY_AT:]) if self.label is Label.GREEN else (self.events,)
        spans = [span for span in map(_span, parts) if span is not None]
        return sum(spans) if spans else None


def _span(events: Sequence[LifecycleEvent]) -> float | None:
    """From the first start of these events to the last end, seconds; None when none of them was run."""
    ran = [
        (event.start_time, event.end_time)
        for event in events
        if event.start_time is not None and event.end_time is not None
    ]
    return max(end for _, end in ran) - min(start for start, _ in ran) if ran else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What an agent says of one command."""

    position: int
    attempt: str
    #: None: acknowledged, about to run. Otherwise how the event ended.
    outcome: Diagnostics | None = None


def begin(events: Sequence[str], *, forgives_stop_failures: bool = False, label: Label | None = None) -> Target:
    """A target that has not been touched yet."""
    return Target(
        status=TargetStatus.PENDING,
        events=tuple(LifecycleEvent(name=name) for name in events),
        forgives_stop_failures=forgives_stop_failures,
        label=label,
    )


def start(target: Target, now: float, patience: float = START_TIMEOUT) -> Target:
    """Make its first event due, or the first after it got Ready; the agent has `patience` seconds to take it up.

    One that does not wait for that is left as it is.
    """
    if target.status not in (TargetStatus.PENDING, TargetStatus.READY):
        return target
    return replace(
        target,
        status=TargetStatus.IN_PROGRESS,
        command=CommandState.READY,
        deadline=now + patience,
    )


def advance(target: Target, report: Report, now: float) -> Target:
    """What a report makes of a target; the same target when the report is stale, repeated or somebody else's."""
    if not target.command.is_open or report.position != target.position:
        return target
    if target.halted and target.command is CommandState.READY:
        # Taken up after the stop: too late. Whoever stopped the deployment ends this host.
        return target
    if target.command is CommandState.RUNNING and report.attempt != target.attempt:
        return target
    if report.outcome is None:
        return _acknowledged(target, report.attempt, now)
    return _finished(target, report.outcome, now)


def settle(target: Target, outcome: Diagnostics, now: float) -> Target:
    """What comes of an event that the engine has carried out; the same target when none of those is due."""
    if target.command is not CommandState.ENGINE:
        return target
    if outcome.error_code is ScriptCode.SUCCESS and target.event.name == ALLOW_TRAFFIC[1]:
        target = replace(target, taken_out=False)
    return _finished(target, outcome, now)


def returned(target: Target, problem: str | None = None) -> Target:
    """A target that was to be put back where it was taken out; it stays out when there is a problem, which it tells."""
    if target.command is not CommandState.RETURN:
        return target
    events = target.events
    if problem is not None:
        at = next(index for index, event in enumerate(events) if event.name == BLOCK_TRAFFIC[1])
        told = Diagnostics(error_code=ScriptCode.UNKNOWN_ERROR, script_name="", message=problem, log_tail="")
        events = (*events[:at], replace(events[at], diagnostics=told), *events[at + 1 :])
    return replace(target, events=events, command=CommandState.NONE, deadline=None, taken_out=problem is not None)


def stays_out(target: Target) -> bool:
    """Whether it gets no traffic when it goes no further: it is out, and nobody puts back who is half deployed to."""
    return target.taken_out and _comes_back(target) and not _is_untouched(target)


def is_left_out(target: Target) -> bool:
    """Whether it has ended and gets no traffic, though its deployment meant to put it back."""
    return target.taken_out and _comes_back(target) and target.status.is_final


def lose(target: Target, now: float) -> Target:
    """Fail a target whose agent, or whose load balancer, gave no answer in time.

    An event that ran too long is Failed itself; one that never started leaves every event Skipped (S3.6). A target that
    still has time is left as it is.
    """
    if target.deadline is None or now < target.deadline:
        return target
    match target.command:
        case CommandState.RETURN:
            return returned(target, "The load balancer did not take it back in time: it gets no traffic.")
        case CommandState.RUNNING:
            why = "the host went silent"
        case CommandState.ENGINE:
            why = "the load balancer did not follow"
        case _:
            return _end(target, target.events, TargetStatus.FAILED, now)
    too_long = Diagnostics(
        error_code=ScriptCode.UNKNOWN_ERROR,
        script_name="",
        message=f"The lifecycle event did not finish within {RUN_TIMEOUT:.0f} seconds; {why}.",
        log_tail="",
    )
    events = _with(target, _ended(target.event, EventStatus.FAILED, too_long, now))
    return _end(target, events, TargetStatus.FAILED, now)


def skip(target: Target, now: float) -> Target:
    """End a target without an attempt at the rest (S3.5, S6.8); one whose agent is at work is left as it is."""
    if target.status.is_final or target.attempt:
        return target
    events = target.events
    if target.command is CommandState.ENGINE:
        events = _with(target, replace(target.event, status=EventStatus.SKIPPED, end_time=now))
    return _end(target, events, TargetStatus.SKIPPED, now)


def _acknowledged(target: Target, attempt: str, now: float) -> Target:
    if target.command is CommandState.RUNNING:
        return target
    event = replace(target.event, status=EventStatus.IN_PROGRESS, start_time=now)
    return replace(
        target,
        events=_with(target, event),
        command=CommandState.RUNNING,
        attempt=attempt,
        deadline=now + RUN_TIMEOUT,
    )


def _finished(target: Target, outcome: Diagnostics, now: float) -> Target:
    succeeded = outcome.error_code is ScriptCode.SUCCESS
    status = EventStatus.SUCCEEDED if succeeded else EventStatus.FAILED
    events = _with(target, _ended(target.event, status, outcome, now))
    if not succeeded and not (target.forgives_stop_failures and target.event.name in FORGIVABLE):
        return _end(target, events, TargetStatus.FAILED, now)
    if target.position + 1 == len(events):
        return _end(target, events, TargetStatus.SUCCEEDED, now)
    if target.halted:
        return _end(target, events, TargetStatus.SKIPPED, now)
    return _next(replace(target, events=events, position=target.position + 1, attempt=""), now)


def _next(target: Target, now: float) -> Target:
    """Make the event at its position due, for whoever carries it out."""
    if target.label is Label.GREEN and (target.position, target.event.name) == (READY_AT, ALLOW_TRAFFIC[0]):
        # The revision is installed; traffic comes to the fleet as a whole (S3.10, S6.11).
        return replace(target, status=TargetStatus.READY, command=CommandState.NONE, deadline=None)
    if target.event.name in ENGINES:
        event = replace(target.event, status=EventStatus.IN_PROGRESS, start_time=now)
        deadline = now + RUN_TIMEOUT
        return replace(target, events=_with(target, event), command=CommandState.ENGINE, deadline=deadline)
    return replace(target, command=CommandState.READY, deadline=now + START_TIMEOUT)


def _ended(event: LifecycleEvent, status: EventStatus, outcome: Diagnostics, now: float) -> LifecycleEvent:
    # A completion may come without an acknowledgement (agent.md 1.4.8): the event then started when it ended.
    started = now if event.start_time is None else event.start_time
    return replace(event, status=status, start_time=started, end_time=now, diagnostics=outcome)


def _with(target: Target, event: LifecycleEvent) -> tuple[LifecycleEvent, ...]:
    """The target's events, the current one replaced."""
    return (*target.events[: target.position], event, *target.events[target.position + 1 :])


def _end(target: Target, events: tuple[LifecycleEvent, ...], status: TargetStatus, now: float) -> Target:
    skipped = tuple(
        replace(event, status=EventStatus.SKIPPED, end_time=now) if event.status is EventStatus.PENDING else event
        for event in events
    )
    ended = replace(target, status=status, events=skipped, command=CommandState.NONE, attempt="", deadline=None)
    if status is not TargetStatus.SUCCEEDED and _is_untouched(ended):
        return replace(ended, command=CommandState.RETURN, deadline=now + RETURN_TIMEOUT)
    return ended


def _is_untouched(target: Target) -> bool:
    """Whether it was taken out of traffic to be put back, and runs what it ran when it was."""
    if not target.taken_out or not _comes_back(target):
        return False
    return all(event.start_time is None for event in target.events if event.name == "ApplicationStop")


def _comes_back(target: Target) -> bool:
    """Whether its deployment means to put it back once it has taken it out."""
    return any(event.name == ALLOW_TRAFFIC[1] for event in target.events)
