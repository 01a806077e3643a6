"""What is known of a deployment while it is watched, and what each new look changed. Values only; no calls."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

#: All but tab and newline.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
FINAL = frozenset({"Succeeded", "Failed", "Stopped"})
FINAL_TARGET = frozenset({"Succeeded", "Failed", "Skipped"})
#: Targets in the order in which somebody watching wants to see them.
WORST_FIRST = ("Failed", "InProgress", "Unknown", "Ready", "Pending", "Succeeded", "Skipped")

#: Silent hosts that a hint names.
_MOST_NAMED = 3


@dataclass(frozen=True, kw_only=True)
class Event:
    """One lifecycle event on one target."""

    name: str
    status: str
    start: datetime | None = None
    end: datetime | None = None
    error_code: str = ""
    script: str = ""
    message: str = ""
    log_tail: str = ""

    def seconds(self, now: datetime) -> float | None:
        """How long it took, or has taken so far; None when it never started."""
        if self.start is None:
            return None
        return max(0.0, ((self.end or now) - self.start).total_seconds())


@dataclass(frozen=True, kw_only=True)
class Target:
    """One target of the deployment."""

    id: str
    status: str
    events: tuple[Event, ...] = ()
    #: Its side in a blue/green deployment, `Blue` or `Green`.
    label: str = ""

    @property
    def is_final(self) -> bool:
        return self.status in FINAL_TARGET

    @property
    def failed_event(self) -> Event | None:
        """The event that failed it; None when it failed otherwise, as when its agent never answered."""
        return next((event for event in self.events if event.status == "Failed"), None)

    @property
    def awaits_agent(self) -> bool:
        """Whether an event is due here that nobody has begun."""
        return self.status == "InProgress" and all(event.status != "InProgress" for event in self.events)

    @property
    def started(self) -> datetime | None:
        return next((event.start for event in self.events if event.start is not None), None)

    @property
    def ended(self) -> datetime | None:
        return max((event.end for event in self.events if event.end is not None), default=None)


@dataclass(frozen=True, kw_only=True)
class Progress:
    """A deployment at one moment."""

    id: str
    status: str
    application: str = ""
    group: str = ""
    config: str = ""
    created: datetime | None = None
    completed: datetime | None = None
    #: Targets in each status, as `deploymentOverview` tells.
    counts: Mapping[str, int] = field(default_factory=dict)
    error_code: str = ""
    error_message: str = ""
    #: What becomes of it now that it has ended: a sentence, and the deployment that rolls it back.
    rollback_message: str = ""
    rollback_id: str = ""
    #: What there is to say of one that went well.
    status_message: str = ""
    #: The originals of a blue/green deployment wait to be terminated, or are going.
    is_terminating: bool = False
    #: Those that are looked at, worst first: all of a small deployment, some of a large one.
    targets: tuple[Target, ...] = ()
    #: Of these, the ones whose agent has let an event wait for a while.
    silent: tuple[str, ...] = ()

    @property
    def is_final(self) -> bool:
        return self.status in FINAL

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def done(self) -> int:
        return sum(self.counts.get(status, 0) for status in FINAL_TARGET)

    @property
    def failed_targets(self) -> tuple[Target, ...]:
        return tuple(target for target in self.targets if target.status == "Failed")

    @property
    def hint(self) -> str:
        """What somebody could do now to have it go on; empty when there is nothing."""
        go_on = f"aws deploy continue-deployment --deployment-id {self.id} --deployment-wait-type"
        if self.status == "Ready":
            return f"Traffic stays where it is until somebody says: {go_on} READY_WAIT"
        if self.is_terminating and not self.is_final:
            return f"The originals wait to be terminated, unless somebody says: {go_on} TERMINATION_WAIT"
        if self.silent and not self.is_final:
            named, more = self.silent[:_MOST_NAMED], len(self.silent) - _MOST_NAMED
            who = f"{', '.join(named)}{f' and {more} more' if more > 0 else ''}"
            return (
                f"Nothing is heard of {who}. Does the agent run there, and does it reach this server? On the host,"
                " `longshore agent doctor` says."
            )
        return ""

    @property
    def sees_all(self) -> bool:
        """Whether every target is looked at one by one."""
        return len(self.targets) >= self.total

    def seconds(self, now: datetime) -> float:
        """How long the deployment took, or has taken so far."""
        if self.created is None:
            return 0.0
        return max(0.0, ((self.completed or now) - self.created).total_seconds())


def progress(info: Mapping[str, Any], targets: Sequence[Target] = ()) -> Progress:
    """A deployment as GetDeployment describes it, with the targets that were looked at."""
    error = info.get("errorInformation") or {}
    rollback = info.get("rollbackInfo") or {}
    return Progress(
        id=info["deploymentId"],
        status=info["status"],
        application=info.get("applicationName", ""),
        group=info.get("deploymentGroupName", ""),
        config=info.get("deploymentConfigName", ""),
        created=info.get("createTime"),
        completed=info.get("completeTime"),
        counts={status: count for status, count in (info.get("deploymentOverview") or {}).items() if count},
        error_code=error.get("code") or "",
        error_message=plain(error.get("message")),
        rollback_message=plain(rollback.get("rollbackMessage")),
        rollback_id=rollback.get("rollbackDeploymentId", ""),
        status_message=plain(info.get("additionalDeploymentStatusInfo")),
        is_terminating=bool(info.get("instanceTerminationWaitTimeStarted")),
        targets=tuple(sorted(targets, key=_worst_first)),
    )


def target(described: Mapping[str, Any]) -> Target:
    """A target as BatchGetDeploymentTargets describes it, of whatever platform."""
    body: Mapping[str, Any] = next((value for key, value in described.items() if key.endswith("Target")), {})
    return Target(
        id=body.get("targetId", "?"),
        status=body.get("status", "Unknown"),
        events=tuple(_event(event) for event in body.get("lifecycleEvents") or ()),
        label=body.get("instanceLabel") or "",
    )


class Changes:
    """What happened since the last look, one line each: nothing is told twice, nothing that was not seen."""

    def __init__(self) -> None:
        self._before: Progress | None = None
        #: Of every target ever looked at, as a large deployment's come and go.
        self._known: dict[str, Target] = {}

    def since_last(self, now: Progress) -> Iterator[str]:
        """The lines for this look."""
        before, self._before = self._before, now
        has_moved = before is None or before.status != now.status
        if has_moved and not now.is_final:
            where = f" {now.application} to {now.group} with {now.config}" if before is None else ""
            yield f"deployment {now.id}{where}: {now.status}"
        for target in sorted(now.targets, key=lambda target: (target.ended or _NEVER, target.id)):
            yield from _target_changes(self._known.get(target.id), target, every_event=now.sees_all)
            self._known[target.id] = target
        if (before is None or before.counts != now.counts) and now.total:
            yield f"targets: {counted(now)}"
        if now.hint and (before is None or before.hint != now.hint):
            yield now.hint
        if has_moved and now.is_final:
            because = f" because of {now.error_code}: {now.error_message}" if now.error_code else ""
            yield f"deployment {now.id}: {now.status}{because}"
            yield from filter(None, (now.status_message, rollback_line(now)))


def counted(progress: Progress) -> str:
    """The targets in words: `3 of 5 succeeded, 1 in progress, 1 pending`."""
    words = {"InProgress": "in progress"}
    counts = progress.counts
    first = f"{counts.get('Succeeded', 0)} of {progress.total} succeeded"
    others = [f"{counts[name]} {words.get(name, name.lower())}" for name in WORST_FIRST if counts.get(name)]
    return ", ".join([first, *(other for other in others if not other.endswith("succeeded"))])


def rollback_line(ended: Progress) -> str:
    """Whether a deployment that ended is rolled back, and how to see that; empty when nobody asked for it."""
    watch = f" See it with: longshore watch {ended.rollback_id}" if ended.rollback_id else ""
    return f"{ended.rollback_message}{watch}"


def failure_lines(failed: Target) -> Iterator[str]:
    """Why a target failed, for people: the event, the script, the code, the message and the end of the log."""
    event = failed.failed_event
    if event is None:
        yield f"{failed.id} failed before any lifecycle event ended: its agent gave no answer. Is it running?"
        return
    script = f" in {event.script}" if event.script else ""
    yield f"{failed.id} failed at {event.name}{script}: {event.error_code or 'no error code'}"
    if event.message:
        yield f"  {event.message}"
    for line in event.log_tail.splitlines():
        yield f"  | {line}"


_NEVER = datetime.min.replace(tzinfo=UTC)


def _target_changes(before: Target | None, after: Target, *, every_event: bool) -> Iterator[str]:
    if every_event:
        known = {event.name: event.status for event in before.events} if before else {}
        for event in after.events:
            if event.status not in ("Pending", "Skipped") and event.status != known.get(event.name):
                yield f"{after.id}: {event.name} {event.status}{_took(event)}"
    if before is not None and before.status == after.status:
        return
    if after.status == "Failed":
        yield from failure_lines(after)
    elif after.is_final and every_event:
        yield f"{after.id}: {after.status}"


def _took(event: Event) -> str:
    if event.start is None or event.end is None:
        return ""
    return f" ({(event.end - event.start).total_seconds():.1f} s)"


def _worst_first(target: Target) -> tuple[int, str]:
    place = WORST_FIRST.index(target.status) if target.status in WORST_FIRST else len(WORST_FIRST)
    return place, target.id


def _event(described: Mapping[str, Any]) -> Event:
    said = described.get("diagnostics") or {}
    return Event(
        name=described.get("lifecycleEventName", "?"),
        status=described.get("status", "Unknown"),
        start=described.get("startTime"),
        end=described.get("endTime"),
        error_code=said.get("errorCode") or "",
        script=plain(said.get("scriptName")),
        message=plain(said.get("message")),
        log_tail=plain(said.get("logTail")),
    )


def plain(text: str | None) -> str:
    """Without control characters: a host's log must not move the cursor of who reads it."""
    return _CONTROL.sub("", text or "")
