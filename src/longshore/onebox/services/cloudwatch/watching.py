"""Looks at alarms whenever what they watch may have changed: when a stretch of time ends, and when data comes late."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable

import structlog

from longshore.onebox.machinery.records import Owner, Records
from longshore.onebox.services.cloudwatch.alarms import ALARM, Alarms, watched
from longshore.onebox.services.cloudwatch.metrics import Metric, Metrics

log = structlog.get_logger()

#: How often it is looked for what to forget, seconds.
_SWEEP_EVERY = 3600.0
_PAUSE_AFTER_ERROR = 5.0

_Named = tuple[Owner, str]


class Watching:
    """Looks until stopped. What it knows of alarms is in memory, and made of the records when it starts."""

    def __init__(
        self, records: Records, metrics: Metrics, alarms: Alarms, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._records = records
        self._metrics = metrics
        self._alarms = alarms
        self._clock = clock
        self._lock = threading.Lock()
        #: Seconds between two looks at each metric alarm, and when the next one is due.
        self._every: dict[_Named, int] = {}
        self._due: dict[_Named, float] = {}
        self._watchers: dict[tuple[Owner, str], set[str]] = defaultdict(set)
        self._composites: dict[Owner, set[str]] = defaultdict(set)
        self._sweep_at = 0.0
        self._news = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="cloudwatch", daemon=True)

    def start(self) -> None:
        with self._records.transaction() as tx:
            known = tx.everyones(ALARM)
        for owner, name, _ in known:
            self.changed(owner, [name])
        self._thread.start()

    def stop(self) -> None:
        self._stopping = True
        self._news.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def changed(self, owner: Owner, names: Iterable[str]) -> None:
        """Alarms of these names are new, others than they were, or gone: look at them now."""
        names = list(names)
        with self._records.transaction() as tx:
            found = {name: tx.get(ALARM, owner, name) for name in names}
        with self._lock:
            for name, document in found.items():
                self._forget(owner, name)
                if document is None:
                    continue
                given = document["given"]
                if "AlarmRule" in given:
                    self._composites[owner].add(name)
                else:
                    self._every[owner, name] = min(given["Period"], 60)
                    self._watchers[owner, watched(given).id].add(name)
                self._due[owner, name] = 0.0
            # A rule may name what has just come or gone.
            self._due |= {(owner, name): 0.0 for name in self._composites[owner]}
        self._news.set()

    def told(self, owner: Owner, name: str) -> None:
        """Somebody has put an alarm into a state: until its next look that holds, and rules go by it."""
        with self._lock:
            self._due |= {(owner, one): 0.0 for one in self._composites[owner] if one != name}
        self._news.set()

    def late(self, owner: Owner, metrics: Iterable[Metric]) -> None:
        """There is new data of these metrics' past."""
        with self._lock:
            names = {name for metric in metrics for name in self._watchers.get((owner, metric.id), ())}
            self._due |= {(owner, name): 0.0 for name in names}
        if names:
            self._news.set()

    def _forget(self, owner: Owner, name: str) -> None:
        self._every.pop((owner, name), None)
        self._due.pop((owner, name), None)
        self._composites[owner].discard(name)
        for watching in self._watchers.values():
            watching.discard(name)

    def _run(self) -> None:
        while not self._stopping:
            self._news.clear()
            try:
                self._news.wait(self._look())
            except Exception:
                log.exception("alarms_not_looked_at")
                self._news.wait(_PAUSE_AFTER_ERROR)

    def _look(self) -> float:
        """Look at what is due; returns how long nothing else is, seconds."""
        now = self._clock()
        if now >= self._sweep_at:
            self._sweep_at = now + _SWEEP_EVERY
            self._metrics.sweep(now)
            self._alarms.forget_old(now)
        with self._lock:
            due = [named for named, at in self._due.items() if at <= now]
            for owner, name in due:
                every = self._every.get((owner, name))
                # Composite alarms change with others, and only then.
                self._due[owner, name] = float("inf") if every is None else (now // every + 1) * every
        for owner, name in due:
            if self._stopping:
                return 0.0
            if self._alarms.look(owner, name, now):
                log.info("alarm_changed", alarm=name, account=owner.account, region=owner.region)
                with self._lock:
                    self._due |= {(owner, one): 0.0 for one in self._composites[owner] if one != name}
        with self._lock:
            first = min(self._due.values(), default=self._sweep_at)
        return max(min(first, self._sweep_at) - self._clock(), 0.0)
