"""Follows a deployment through the AWS API, with as few calls as show what a person wants to see."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from botocore.exceptions import ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnectionError

from longshore.cli.watch_progress import WORST_FIRST, Progress, Target, progress, target

#: Targets looked at one by one: what fits on a screen. Of the others the counts are shown.
MOST_TARGETS = 40
#: Rows kept for failed targets when others are still at work.
_MOST_FAILED = MOST_TARGETS // 2
#: Most that one BatchGetDeploymentTargets takes.
_BATCH = 25
_PAUSE_SECONDS = 0.5
#: A server that is away this long is not waited for any more, seconds.
_PATIENCE_SECONDS = 60.0
_AWAY_SECONDS = 1.0
#: An agent that lets an event wait this long may not be there, seconds.
_SILENT_SECONDS = 20.0


class Follower:
    """Looks at one deployment again and again."""

    def __init__(self, codedeploy: Any, deployment_id: str, *, only: str | None = None) -> None:
        """With `only`, looks at no other target than that."""
        self._codedeploy = codedeploy
        self._id = deployment_id
        self._only = only
        self._ended: dict[str, Target] = {}
        self._all_ids: list[str] | None = None
        self._last: Progress | None = None
        #: Targets at which an event waits for the agent: how many events are over there, and since when that is so.
        self._waiting: dict[str, tuple[int, float]] = {}

    def look(self) -> Progress:
        """The deployment now. Asks for the targets only when some can have changed."""
        info = self._codedeploy.get_deployment(deploymentId=self._id)["deploymentInfo"]
        seen = progress(info)
        if seen.total:
            last = self._last
            is_still = last is not None and last.counts == seen.counts and not seen.counts.get("InProgress")
            seen = (
                replace(seen, targets=last.targets)
                if last and is_still
                else _counted(progress(info, self._targets(seen)))
            )
        self._last = seen = replace(seen, silent=self._silent(seen.targets))
        return seen

    def _silent(self, seen: Sequence[Target]) -> tuple[str, ...]:
        """Whose agent has let an event wait for a while, by the clock here alone."""
        now = time.monotonic()
        waiting = {
            target.id: sum(event.end is not None for event in target.events) for target in seen if target.awaits_agent
        }
        before, self._waiting = self._waiting, {}
        for name, over in waiting.items():
            known = before.get(name)
            self._waiting[name] = known if known is not None and known[0] == over else (over, now)
        return tuple(name for name, (_, since) in sorted(self._waiting.items()) if now - since >= _SILENT_SECONDS)

    def _targets(self, seen: Progress) -> list[Target]:
        ids = self._ids(seen)
        asked = [one for one in ids if one not in self._ended]
        found: list[Target] = []
        for start in range(0, len(asked), _BATCH):
            found += self._get(asked[start : start + _BATCH])
        self._ended.update({target.id: target for target in found if target.is_final})
        return [*found, *(self._ended[one] for one in ids if one not in asked)]

    def _get(self, ids: list[str]) -> list[Target]:
        answer = self._codedeploy.batch_get_deployment_targets(deploymentId=self._id, targetIds=ids)
        return [target(described) for described in answer["deploymentTargets"]]

    def _ids(self, seen: Progress) -> list[str]:
        """The targets to show: all of a small deployment, of a large one the worst and the active."""
        if self._only is not None:
            return [self._only]
        if seen.total <= MOST_TARGETS:
            if self._all_ids is None or len(self._all_ids) < seen.total:
                self._all_ids = self._list()
            return self._all_ids
        chosen: list[str] = []
        for status in WORST_FIRST:
            room = MOST_TARGETS - len(chosen)
            if status == "Failed" and not seen.is_final:
                room = _MOST_FAILED
            if room and seen.counts.get(status):
                chosen += self._list(status)[:room]
        return list(dict.fromkeys(chosen))

    def _list(self, status: str | None = None) -> list[str]:
        """The first page is enough: it holds more than is shown."""
        filters = {"targetFilters": {"TargetStatus": [status]}} if status else {}
        return list(self._codedeploy.list_deployment_targets(deploymentId=self._id, **filters)["targetIds"])


def _counted(seen: Progress) -> Progress:
    """Counted anew where all targets are looked at: that was a moment after the deployment counted them."""
    if len(seen.targets) != seen.total:
        return seen
    return replace(seen, counts=Counter(target.status for target in seen.targets))


class Look(Protocol):
    """What was seen at one moment."""

    @property
    def is_final(self) -> bool:
        """Whether there will be nothing more to see."""


L = TypeVar("L", bound=Look, covariant=True)


class Looks(Protocol[L]):
    """Can be asked to look again and again."""

    def look(self) -> L:
        """What there is to see now."""


def follow(
    follower: Looks[L],
    *,
    every: float = _PAUSE_SECONDS,
    away: Callable[[str], None] = lambda _: None,
) -> Iterator[L]:
    """Each look at the deployment until it ends.

    A server that was there and goes away is tried again for a minute, and `away` told once; then the error is raised.
    """
    last_seen: float | None = None
    is_away = False
    while True:
        try:
            seen = follower.look()
        except (NoConnectionError, HTTPClientError, ClientError) as error:
            if isinstance(error, ClientError) and not _may_pass(error):
                raise
            if last_seen is None or time.monotonic() - last_seen > _PATIENCE_SECONDS:
                raise
            if not is_away:
                away(str(error))
            is_away = True
        else:
            is_away = False
            last_seen = time.monotonic()
            yield seen
            if seen.is_final:
                return
        time.sleep(max(every, _AWAY_SECONDS) if is_away else every)


def _may_pass(error: ClientError) -> bool:
    status: int = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    # A deployment that has only just begun has no targets to list yet.
    not_yet: bool = error.response.get("Error", {}).get("Code") == "DeploymentNotStartedException"
    return not_yet or status >= 500 or status == 429
