"""Runs the control plane: bind, start, serve, stop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import os
import resource
import signal
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import FrameType
from typing import Any

import structlog
import uvicorn

from longshore.server import logs
from longshore.server.app import ControlPlane, build
from longshore.server.credentials import write_credentials, write_metrics_token
from longshore.server.http import Protocol
from longshore.server.settings import Settings
from longshore.server.tls import Certificate

log = structlog.get_logger()

#: Requests at work when the server stops get this long, seconds.
_GRACE = 10
#: Connections that may wait to be accepted: a fleet that comes back all at once.
_BACKLOG = 2048
#: An idle connection is kept longer than an agent's pause between two commands, seconds.
_KEEP_ALIVE = 120


class CannotListenError(Exception):
    """The address cannot be listened on; the message says why and what to do."""


def serve(settings: Settings, *, announce: Callable[[Settings, int, Path], None]) -> None:
    """Serve until SIGTERM or SIGINT; `announce` is called once, when requests are answered.

    Raises:
        CannotListenError: before anything is touched.
        OSError: the data directory cannot be used.
    """
    logs.configure(settings.log_format, settings.log_level)
    if settings.tls_cert:
        # Whoever renews the certificate may say so while this server starts, which must not end it.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    certificate = Certificate(settings.tls_cert, settings.tls_key) if settings.tls_cert and settings.tls_key else None
    _allow_many_connections()
    try:
        listening = _bind(settings)
    except OSError as error:
        where = f"{settings.host}:{settings.port}"
        raise CannotListenError(f"cannot listen on {where}: {error.strerror}.{_remedy(error)}") from None
    port: int = listening.getsockname()[1]
    plane = build(settings, port=port, certificate_sha256=certificate.sha256 if certificate is not None else "")
    if settings.database_url and not settings.s3_endpoint:
        log.warning("bundles_are_local", reason="another server on this database cannot read them; see --s3-endpoint")
    if settings.database_url and settings.aws_endpoint == "onebox":
        log.warning("onebox_is_local", reason="another server on this database has one of its own; see --aws-endpoint")
    path = write_credentials(settings, plane.root_key)
    write_metrics_token(settings, plane.metrics_token)

    is_stuck = False

    @contextlib.asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        nonlocal is_stuck
        plane.store.wakeup.attach(asyncio.get_running_loop())
        await asyncio.to_thread(plane.onebox.start)
        await asyncio.to_thread(plane.engine.start)
        plane.messenger.start()
        plane.auto_scaling.start()
        if plane.retention is not None:
            plane.retention.start()
        _spare_the_collector()
        renewed = (
            certificate.renewed(plane.certificate_renewed) if certificate is not None else contextlib.nullcontext()
        )
        try:
            async with plane.refusals.watching(), renewed:
                announce(settings, port, path)
                yield
        finally:
            plane.hook_logs.close()
            await asyncio.to_thread(plane.messenger.stop)
            await asyncio.to_thread(plane.auto_scaling.stop)
            if plane.retention is not None:
                await asyncio.to_thread(plane.retention.stop)
            is_stuck = not await asyncio.to_thread(plane.engine.stop)
            await asyncio.to_thread(plane.onebox.stop)
            await asyncio.to_thread(plane.store.close)

    config = uvicorn.Config(
        _with_lifespan(plane.app, lifespan),
        lifespan="on",
        http=Protocol,
        loop="uvloop",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=_GRACE,
    )
    config.load()
    config.ssl = certificate.context if certificate is not None else None
    server = _Server(config, plane)
    # uvicorn stops by itself on these, then raises them again: being asked to stop is no failure.
    for asked in (signal.SIGTERM, signal.SIGINT):
        signal.signal(asked, lambda *_: None)
    server.run(sockets=[listening])
    log.info("stopped")
    if is_stuck:
        # Its thread would keep the process; the rows have all that it had done, and somebody else goes on.
        os._exit(0)


class _Server(uvicorn.Server):
    """uvicorn, stopping as a control plane should.

    Asked once: nothing new begins, held polls are answered at once, requests and ticks at work end, and everything
    that is claimed is given back. Asked twice: it ends on the spot, which loses no more than a power cut would.
    """

    def __init__(self, config: uvicorn.Config, plane: ControlPlane) -> None:
        super().__init__(config)
        self._plane = plane

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.should_exit:
            signal.signal(sig, signal.SIG_DFL)
            signal.raise_signal(sig)
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._plane.readiness.is_stopping = True
        self._plane.engine.let_go()
        self._plane.waiting.close()
        await super().shutdown(sockets)


def _with_lifespan(app: Any, lifespan: Callable[[], contextlib.AbstractAsyncContextManager[None]]) -> Any:
    """`app`, answering the lifespan protocol too."""

    async def both(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await app(scope, receive, send)
            return
        await receive()
        try:
            async with lifespan():
                await send({"type": "lifespan.startup.complete"})
                await receive()
        except Exception as error:
            log.exception("lifespan_failed")
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.shutdown.complete"})

    return both


def _bind(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind((settings.host, settings.port))
    listening.set_inheritable(False)
    # From here on a client waits for its answer; it is not turned away while we open the data.
    listening.listen(_BACKLOG)
    return listening


def _remedy(error: OSError) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return " Is another server running? --listen 127.0.0.1:0 takes a free port."
        case errno.EACCES:
            return " Ports below 1024 are root's."
        case _:
            return " --listen takes an address of this machine."


def _spare_the_collector() -> None:
    """Keep what was loaded at start out of every later collection, and collect less often.

    A fleet's parked polls are many young objects that all live on: looking at them over and over finds nothing.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def _allow_many_connections() -> None:
    """One held connection a host: the usual 1,024 files would be the first thing to run out."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
