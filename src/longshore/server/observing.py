"""What becomes of every answer: it is counted, logged, and recorded if it is a refusal."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from typing import Any

import structlog

from longshore.api import recording
from longshore.commands import host_command
from longshore.domain.audit import resources_in
from longshore.server.metrics import Metrics
from longshore.server.refusals import Refusals
from longshore.store import audit
from longshore.store.database import Store
from longshore.wire.service import Answered, Observer

log = structlog.get_logger()


class Observing(Observer):
    """Hears of every call, for the metrics, the log and the audit."""

    def __init__(self, store: Store, metrics: Metrics, refusals: Refusals, *, changes: Collection[str]) -> None:
        """`changes` are the operations that change something."""
        self._store = store
        self._metrics = metrics
        self._refusals = refusals
        self._changes = frozenset(changes)
        self._tells_changes, self._tells_all = (log.is_enabled_for(level) for level in (logging.INFO, logging.DEBUG))

    def answered(self, answer: Answered) -> None:
        self._metrics.answered(answer.service, answer.operation, answer.code, answer.seconds)
        # Looks and the reports of agents are most of all calls, and say little.
        if answer.error is None:
            if answer.operation in self._changes:
                if self._tells_changes:
                    log.info("request", **request_line(answer))
            elif self._tells_all:
                log.debug("request", **request_line(answer))

    async def refused(self, answer: Answered) -> None:
        # In a flood they are counted only, on the disk that the log is on too.
        if self._refusals.are_few(answer):
            log.info("request", **request_line(answer))
            await self._refusals.record(answer)
        else:
            log.debug("request", **request_line(answer))
            self._refusals.count(answer)

    async def changed(self, answer: Answered) -> None:
        entry = recording.change(answer)
        await self._store.submit(lambda tx: audit.append(tx, entry))


def request_line(answer: Answered) -> dict[str, Any]:
    """What a line of the log says of a call; what is not known is left out."""
    resources = resources_in(answer.given, answer.output)
    caller = answer.caller
    fields = {
        "request_id": answer.request_id,
        "service": answer.service or None,
        "operation": answer.operation or None,
        "status": answer.status,
        "code": answer.code or None,
        "duration_ms": round(answer.seconds * 1000, 3),
        "account": caller and caller.account,
        "principal": caller and caller.arn,
        "source": answer.source or None,
        # By the name that the engine's lines have for it.
        "deployment": _deployment(answer.given, dict(resources)),
        "resources": [f"{name}={value}" for name, value in resources] or None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _deployment(given: Mapping[str, Any] | None, resources: Mapping[str, str]) -> str | None:
    """The id of the deployment that a call is about."""
    if identifier := (given or {}).get("HostCommandIdentifier"):
        command = host_command.read(identifier)
        return command.deployment_id if command is not None else None
    execution = resources.get("DeploymentExecutionId")
    return resources.get("deploymentId") or (execution and execution.rpartition("/")[2])
