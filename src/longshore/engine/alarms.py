"""Looks at the alarms of deployments, often enough and not too often (server.md S7.22, S7.23)."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from longshore.domain.alarms import Watch, firing, unreadable
from longshore.providers.ports import Access, Alarms, PermanentError, ProviderError

#: How often the alarms of a deployment are looked at, seconds: one that fires stops it within that.
LOOK_EVERY = 3.0
#: States that cannot be read this long are unreadable: one lost answer stops nobody's deployment. Seconds.
PATIENCE = 30.0
_REMEMBERED = 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """What a look at alarms came to."""

    #: Why the deployment must stop, if it must.
    stop: str | None = None
    #: The states could not be read, and it is too early to act on that.
    is_open: bool = False
    #: When the next one is due, epoch seconds.
    again_at: float


@dataclass(frozen=True, slots=True)
class _Seen:
    at: float
    look: Look
    unreadable_since: float | None


class AlarmWatch:
    """Alarm states through a source, each set looked at once in `LOOK_EVERY` seconds however many deployments ask."""

    def __init__(self, source: Alarms) -> None:
        self._source = source
        self._seen: dict[tuple[Access, Watch], _Seen] = {}
        self._lock = threading.Lock()

    def look(self, access: Access, watch: Watch, now: float) -> Look:
        """Whether these alarms stop a deployment now."""
        with self._lock:
            last = self._seen.get((access, watch))
        if last is not None and last.at <= now < last.at + LOOK_EVERY:
            return last.look
        seen = self._ask(access, watch, last, now)
        with self._lock:
            if len(self._seen) >= _REMEMBERED:
                self._seen.clear()
            self._seen[access, watch] = seen
        return seen.look

    def _ask(self, access: Access, watch: Watch, last: _Seen | None, now: float) -> _Seen:
        is_final, again_at = False, now + LOOK_EVERY
        try:
            states = self._source.states(access, watch.names)
            if stop := firing(watch, states):
                why = f"The deployment was stopped because of {stop}."
                return _Seen(now, Look(stop=why, again_at=again_at), None)
            problem = unreadable(watch, states)
        except ProviderError as error:
            problem, is_final = str(error), isinstance(error, PermanentError)
        if problem is None or watch.ignores_failures:
            return _Seen(now, Look(again_at=again_at), None)
        # An answer from long ago says nothing about the time since.
        is_going_on = last is not None and last.unreadable_since is not None and now < last.at + PATIENCE
        since = last.unreadable_since if last is not None and is_going_on else now
        assert since is not None
        if is_final or now >= since + PATIENCE:
            why = (
                f"The deployment was stopped because the states of its alarms cannot be read: {problem}. Mend that,"
                " or have it ignored (ignorePollAlarmFailure)."
            )
            return _Seen(now, Look(stop=why, again_at=again_at), since)
        return _Seen(now, Look(is_open=True, again_at=again_at), since)
