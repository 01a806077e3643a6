"""What Prometheus reads: counted in plain numbers on the path of every call, looked up at the scrape for the rest.

docs/operations.md says what each metric means; a test holds the two together.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from longshore.domain.deployment import DeploymentStatus

#: Upper bounds of the latencies' buckets, seconds.
_BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class _Latency:
    """A histogram for one thread: a list and a sum, some ten times quicker than one that any thread may use."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(_BOUNDS) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(_BOUNDS, seconds)] += 1
        self.total += seconds

    @property
    def buckets(self) -> list[tuple[str, float]]:
        """As Prometheus has them: each holds what the ones before it hold."""
        held: list[tuple[str, float]] = []
        so_far = 0
        for bound, count in zip([*map(str, _BOUNDS), "+Inf"], self.counts, strict=True):
            so_far += count
            held.append((bound, so_far))
        return held


@dataclass(frozen=True, kw_only=True, slots=True)
class Stored:
    """What the database tells at each scrape."""

    #: Deployments that the engine should have looked at by now.
    due: int
    #: Notifications that are not delivered yet.
    notifications: int
    #: Deployments by status.
    deployments: dict[str, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Depths:
    """What is looked up at each scrape."""

    #: Long polls held at this moment.
    held_polls: int
    #: Writes that wait for the database's writer.
    queued_writes: int
    #: None while the database is out of reach.
    stored: Stored | None


class Metrics(Collector):
    """The control plane's own metrics. `answered` and `offered` are for the event loop's thread alone."""

    def __init__(self, depths: Callable[[], Depths], *, waits: Iterable[str], now: Callable[[], float]) -> None:
        """`waits` are the operations that are held on purpose: how long says nothing of us."""
        self._depths = depths
        self._waits = frozenset(waits)
        self._now = now
        self._answers: defaultdict[tuple[str, str, str], int] = defaultdict(int)
        self._latencies: defaultdict[tuple[str, str], _Latency] = defaultdict(_Latency)
        self._dispatches = _Latency()
        self.registry = CollectorRegistry()
        self.registry.register(self)
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)

    def answered(self, service: str, operation: str, code: str, seconds: float) -> None:
        """A request was answered, with an error's `code` or none."""
        self._answers[service, operation, code] += 1
        if operation not in self._waits:
            self._latencies[service, operation].add(seconds)

    def offered(self, ready_since: float) -> None:
        """A command that was ready since then was given to its host's agent."""
        self._dispatches.add(max(0.0, self._now() - ready_since))

    def collect(self) -> Iterator[Metric]:
        """The metrics as they are; called at each scrape, and it may block."""
        yield from self._calls()
        yield _histogram(
            "longshore_dispatch_seconds",
            "From the commit that made a host's command ready to its agent's answer being sent.",
            (),
            [((), self._dispatches)],
        )
        depths = self._depths()
        yield GaugeMetricFamily("longshore_held_polls", "Agents' polls that are held now.", depths.held_polls)
        yield GaugeMetricFamily(
            "longshore_queued_writes", "Writes that wait for the database's writer.", depths.queued_writes
        )
        if depths.stored is not None:
            yield from _stored(depths.stored)

    def _calls(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "longshore_requests",
            "Calls answered, by the error's code; OK where there was none.",
            labels=["service", "operation", "code"],
        )
        # A copy: the event loop goes on counting.
        for (service, operation, code), count in list(self._answers.items()):
            requests.add_metric([service, operation, code or "OK"], count)
        yield requests
        yield _histogram(
            "longshore_request_seconds",
            "How long a call took, from its arrival to its answer; calls that are held on purpose are left out.",
            ("service", "operation"),
            list(self._latencies.items()),
        )


def _stored(stored: Stored) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "longshore_due_deployments", "Deployments whose next look by the engine is overdue.", stored.due
    )
    yield GaugeMetricFamily(
        "longshore_queued_notifications", "Notifications that wait to be delivered.", stored.notifications
    )
    statuses = GaugeMetricFamily("longshore_deployments", "Deployments by status.", labels=["status"])
    for status in DeploymentStatus:
        statuses.add_metric([status.value], stored.deployments.get(status.value, 0))
    yield statuses


def _histogram(
    name: str, meaning: str, labels: Sequence[str], latencies: Iterable[tuple[Sequence[str], _Latency]]
) -> Metric:
    family = HistogramMetricFamily(name, meaning, labels=labels)
    for values, latency in latencies:
        family.add_metric(values, latency.buckets, latency.total)
    return family
