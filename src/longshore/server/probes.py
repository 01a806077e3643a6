"""The pages an operator's tools look at, unsigned: /healthz, /readyz and /metrics."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from longshore.wire.endpoint import ASGIApp, Receive, Scope, Send

log = structlog.get_logger()

#: How long the database may take over a look before it counts as out of reach, seconds.
_PATIENCE = 2.0


class Engine(Protocol):
    """As much of the engine as says whether it works."""

    @property
    def is_running(self) -> bool: ...


class Readiness:
    """Whether this server should be sent requests."""

    def __init__(self, *, is_current: Callable[[], bool], engine: Engine) -> None:
        """`is_current` says whether the database answers at the schema this code knows; it may block, and raise."""
        self._is_current = is_current
        self._engine = engine
        self._looking: asyncio.Future[bool] | None = None
        #: Set when the server begins to stop: from then on it is not ready.
        self.is_stopping = False

    async def obstacles(self) -> list[str]:
        """What stands against it; empty means ready."""
        found = []
        if self.is_stopping:
            found.append("The server is stopping.")
        elif not self._engine.is_running:
            found.append("The engine is not running: deployments are recorded and do not move.")
        try:
            if not await asyncio.wait_for(asyncio.shield(self._look()), _PATIENCE):
                found.append("The database's schema is not the one this version was made for.")
        except TimeoutError:
            found.append(f"The database gave no answer within {_PATIENCE:g} seconds.")
        except Exception:
            log.exception("database_unreachable")
            found.append("The database cannot be read; the log says why.")
        return found

    def _look(self) -> asyncio.Future[bool]:
        # One look at a time: while the database hangs, probes must not pile up threads.
        if self._looking is None or self._looking.done():
            self._looking = asyncio.ensure_future(asyncio.to_thread(self._is_current))
        return self._looking


def pages(readiness: Readiness, registry: CollectorRegistry, metrics_token: str) -> Mapping[str, ASGIApp]:
    """The pages by path. Metrics tell what is deployed and how often: they are for whoever shows the token."""

    async def healthz(scope: Scope, _receive: Receive, send: Send) -> None:
        await _answer(scope, send, 200, b"ok\n", b"text/plain; charset=utf-8")

    async def readyz(scope: Scope, _receive: Receive, send: Send) -> None:
        obstacles = await readiness.obstacles()
        body = json.dumps({"ready": not obstacles, "obstacles": obstacles}).encode()
        await _answer(scope, send, 503 if obstacles else 200, body + b"\n", b"application/json")

    async def metrics(scope: Scope, _receive: Receive, send: Send) -> None:
        if not _shows(scope, metrics_token):
            body = b"Metrics are for whoever shows the token in the data directory's file metrics-token.\n"
            extra = [(b"www-authenticate", b"Bearer")]
            return await _answer(scope, send, 401, body, b"text/plain; charset=utf-8", extra)
        body = await asyncio.to_thread(generate_latest, registry)
        await _answer(scope, send, 200, body, CONTENT_TYPE_LATEST.encode())

    return {"/healthz": healthz, "/readyz": readyz, "/metrics": metrics}


def _shows(scope: Scope, token: str) -> bool:
    authorization = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
    return hmac.compare_digest(authorization, b"Bearer " + token.encode())


async def _answer(
    scope: Scope,
    send: Send,
    status: int,
    body: bytes,
    content_type: bytes,
    extra: Sequence[tuple[bytes, bytes]] = (),
) -> None:
    headers = [
        (b"content-type", content_type),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
        *extra,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
