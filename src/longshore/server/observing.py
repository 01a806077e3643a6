"""What becomes of every answer: it is counted."""

from __future__ import annotations

from longshore.server.metrics import Metrics
from longshore.wire.service import Observer


class Observing(Observer):
    """Hears of every call, for the metrics."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def answered(self, service: str, operation: str, code: str, seconds: float) -> None:
        self._metrics.answered(service, operation, code, seconds)
