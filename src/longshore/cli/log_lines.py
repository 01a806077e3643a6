"""What hooks say: what the control plane got while they ran, and what was reported at their end."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from longshore.cli.watch_follow import Follower
from longshore.cli.watch_progress import Event, Progress, plain

#: An event on a host.
_Where = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of a host's log."""

    target: str
    event: str
    time: datetime | None
    #: As scripts.log has it, `[stdout]` or `[stderr]` first; without control characters.
    text: str = ""
    #: Instead of a text: so many lines are missing here.
    dropped: int = 0


@dataclass(frozen=True, kw_only=True)
class LogLook:
    """What was said since the last look, and how the deployment stood before that."""

    progress: Progress
    lines: tuple[Line, ...]

    @property
    def is_final(self) -> bool:
        return self.progress.is_final


class HookLog:
    """What the hooks of a deployment say, from where it was read last."""

    def __init__(
        self, longshore: Any, deployment_id: str, *, host: str | None = None, event: str | None = None
    ) -> None:
        """With `host` or `event`, nothing else."""
        self._longshore = longshore
        filters = {"deploymentId": deployment_id, "targetId": host, "lifecycleEventName": event}
        self._filters = {name: value for name, value in filters.items() if value is not None}
        self._token: str | None = None

    def page(self) -> list[Line]:
        """Some of what is new; nothing when there is no more."""
        while True:
            more = {"nextToken": self._token} if self._token else {}
            answer = self._longshore.get_hook_log(**self._filters, **more)
            self._token = answer["nextForwardToken"]
            lines = [line for entry in answer["entries"] for line in _lines(entry)]
            if lines or not answer["entries"]:
                return lines


class LogFollower:
    """Looks at a deployment and at what its hooks have said since."""

    def __init__(self, log: HookLog, follower: Follower, *, event: str | None) -> None:
        self._log = log
        self._follower = follower
        self._event = event
        self._lines: deque[Line] = deque()
        #: Of which something was told while they ran; those among them of which not everything was kept.
        self._live: set[_Where] = set()
        self._cut: set[_Where] = set()
        self._ended: set[_Where] = set()

    def look(self) -> LogLook:
        """What is new. The deployment is looked at first: of what has ended by then, the log is whole."""
        progress = self._follower.look()
        while page := self._log.page():
            self._live |= {(line.target, line.event) for line in page}
            self._cut |= {(line.target, line.event) for line in page if line.dropped}
            self._lines += page
        self._lines += self._tails(progress)
        lines, self._lines = tuple(self._lines), deque()
        return LogLook(progress=progress, lines=lines)

    def _tails(self, progress: Progress) -> Iterator[Line]:
        """The end of a log, as it was reported: all there is of a host whose agent tells nothing while hooks run."""
        ended = [
            (target.id, event)
            for target in progress.targets
            for event in target.events
            if event.end is not None and event.log_tail and self._event in (None, event.name)
        ]
        for target_id, event in sorted(ended, key=lambda one: (one[1].end, one[0])):
            where = (target_id, event.name)
            if where in self._ended:
                continue
            self._ended.add(where)
            if where not in self._live or where in self._cut:
                yield from _tail(target_id, event)


class LastWords:
    """What the hooks that run now said last, of a deployment whose targets are all looked at."""

    def __init__(self, log: HookLog) -> None:
        self._log: HookLog | None = log
        self._said: dict[_Where, Line] = {}

    def along(self, seen: Iterator[Progress]) -> Iterator[Progress]:
        """The same looks, each with `lines` brought up to date before it."""
        for progress in seen:
            running = {
                (target.id, event.name)
                for target in progress.targets
                for event in target.events
                if event.status == "InProgress"
            }
            if running and progress.sees_all:
                self._read()
            self._said = {where: line for where, line in self._said.items() if where in running}
            yield progress

    def lines(self) -> list[Line]:
        """One for each host, by name."""
        return [line for _, line in sorted(self._said.items())]

    def _read(self) -> None:
        try:
            page = self._log.page() if self._log is not None else []
        except (ClientError, BotoCoreError):
            # Some servers have no such thing, and not everybody may read it: there is the table still.
            self._log = None
            return
        self._said |= {(line.target, line.event): line for line in page if line.text.strip()}


def _lines(entry: Mapping[str, Any]) -> Iterator[Line]:
    target, event, time = entry["targetId"], entry["lifecycleEventName"], entry["time"]
    if dropped := entry.get("droppedLines", 0):
        yield Line(target=target, event=event, time=time, dropped=dropped)
    for text in entry["text"].removesuffix("\n").split("\n") if entry["text"] else ():
        yield Line(target=target, event=event, time=time, text=plain(text))


def _tail(target: str, event: Event) -> Iterator[Line]:
    for text in event.log_tail.splitlines():
        yield Line(target=target, event=event.name, time=event.end, text=text)
