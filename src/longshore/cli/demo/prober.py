"""A customer of every host, in the background: were enough of them open at every moment?"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

_PAUSE_SECONDS = 0.04


@dataclass(frozen=True)
class Down:
    """A time in which a host surely did not answer: from the end of one failed try to the start of another."""

    start: float
    end: float


def most_at_once(downs: Mapping[str, Sequence[Down]]) -> int:
    """How many hosts were down at the same moment, at worst."""
    edges = [(down.start, 1) for spans in downs.values() for down in spans]
    edges += [(down.end, -1) for spans in downs.values() for down in spans]
    worst = current = 0
    # At the same instant a start counts first: those two hosts were both seen down then.
    for _, step in sorted(edges, key=lambda edge: (edge[0], -edge[1])):
        current += step
        worst = max(worst, current)
    return worst


class Prober:
    """Asks every host again and again, each in a thread of its own, while the `with` block runs."""

    def __init__(self, askers: Mapping[str, Callable[[], bool]], *, pause: float = _PAUSE_SECONDS) -> None:
        self._askers = askers
        self._pause = pause
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._downs: dict[str, list[Down]] = {name: [] for name in askers}
        self._well: dict[str, bool] = {}
        self._threads = [
            threading.Thread(target=self._ask, args=(name, asker), name=f"probe-{name}", daemon=True)
            for name, asker in askers.items()
        ]
        #: Answers and failures together.
        self.tries = 0

    def __enter__(self) -> Prober:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(10)

    @property
    def total(self) -> int:
        return len(self._askers)

    @property
    def answering(self) -> int:
        """How many answered when last asked."""
        with self._lock:
            return sum(self._well.values())

    @property
    def fewest(self) -> int:
        """How many answered at the worst moment so far."""
        with self._lock:
            return self.total - most_at_once(self._downs)

    def _ask(self, name: str, asker: Callable[[], bool]) -> None:
        was_well = True
        while not self._stopping.is_set():
            began = time.monotonic()
            is_well = asker()
            ended = time.monotonic()
            with self._lock:
                self.tries += 1
                self._well[name] = is_well
                if not is_well and was_well:
                    self._downs[name].append(Down(ended, ended))
                elif not is_well:
                    self._downs[name][-1] = Down(self._downs[name][-1].start, max(began, self._downs[name][-1].start))
            was_well = is_well
            self._stopping.wait(self._pause)
