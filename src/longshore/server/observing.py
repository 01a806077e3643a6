"""What becomes of every answer: it is counted, and a refusal is recorded."""

from __future__ import annotations

from longshore.server.metrics import Metrics
from longshore.server.refusals import Refusals
from longshore.wire.service import Observer, Refusal


class Observing(Observer):
    """Hears of every call, for the metrics and for the audit."""

    def __init__(self, metrics: Metrics, refusals: Refusals) -> None:
        self._metrics = metrics
        self._refusals = refusals

    def answered(self, service: str, operation: str, code: str, seconds: float) -> None:
        self._metrics.answered(service, operation, code, seconds)

    async def refused(self, refusal: Refusal) -> None:
        await self._refusals.record(refusal)
