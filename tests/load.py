"""Real HTTP servers to send requests to, and somebody who sends them without a pause and notes every answer."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from longshore.onebox.machinery.proxy.envoy import Envoy


def until(is_so: Callable[[], bool], *, seconds: float = 30) -> None:
    """Wait for a condition, and fail when it does not come about."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)


@contextlib.contextmanager
def ending_proxy(data_dir: Path) -> Iterator[None]:
    """End the proxy of a server's load balancers when the block is left: it outlives the server, not the test.

    The server must be gone by then, or it starts the proxy again.
    """
    try:
        yield
    finally:
        Envoy(data_dir / "onebox" / "proxy").stop()


class _Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def start(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


class Backend:
    """An HTTP/1.1 server that answers with its name; `/slow` when `release` is called, `/health` with `health`."""

    def __init__(self, name: str, address: str = "127.0.0.1", port: int = 0) -> None:
        self.name = name
        self.address = address
        #: The status it answers health checks with; 0: it does not answer them.
        self.health = 200
        self.asked = 0
        self.last_headers: dict[str, str] = {}
        self._loop = _Loop()
        self._may_go = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server = self._loop.do(asyncio.start_server(self._serve, address, port))
        self.port: int = self._server.sockets[0].getsockname()[1]

    def release(self) -> None:
        self._loop.do(self._set())

    def close(self) -> None:
        self._loop.do(self._shut())
        self._loop.close()

    async def _set(self) -> None:
        self._may_go.set()

    async def _shut(self) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
                while True:
                    await self._answer((await reader.readuntil(b"\r\n\r\n")).decode(), writer)
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _answer(self, head: str, writer: asyncio.StreamWriter) -> None:
        first, *lines = head.strip().split("\r\n")
        path = first.split(" ")[1]
        status = 200
        if path.startswith("/health"):
            status = self.health
            if not status:
                return
        else:
            self.asked += 1
            self.last_headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        if path.startswith("/slow"):
            await self._may_go.wait()
        body = self.name.encode()
        writer.write(b"HTTP/1.1 %d X\r\ncontent-length: %d\r\n\r\n%s" % (status, len(body), body))
        await writer.drain()


@dataclass
class Load:
    """What came of the requests so far."""

    #: How many were answered well, by the name of who answered.
    answered: Counter[str] = field(default_factory=Counter)
    #: What went wrong with each that was not.
    failed: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        return self.answered.total() + len(self.failed)

    def more(self, count: int = 200) -> None:
        """Wait for so many answers more."""
        goal = self.total + count
        until(lambda: self.total >= goal)


@contextlib.contextmanager
def load(address: str, port: int, *, connections: int = 8, pause: float = 0.01) -> Iterator[Load]:
    """Requests over lasting connections, as a browser or another service would send them, for as long as the block."""
    loop, seen, is_over = _Loop(), Load(), threading.Event()

    async def client() -> None:
        reader = writer = None
        while not is_over.is_set():
            try:
                if writer is None:
                    reader, writer = await asyncio.wait_for(asyncio.open_connection(address, port), 10)
                status, body, is_last = await asyncio.wait_for(_ask(reader, writer, f"{address}:{port}"), 10)
                if status == 200:
                    seen.answered[body] += 1
                else:
                    seen.failed.append(f"{status} {body}")
                if is_last:
                    writer.close()
                    writer = None
            except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
                seen.failed.append(repr(error))
                writer = None
            await asyncio.sleep(pause)
        if writer is not None:
            writer.close()

    clients = [loop.start(client()) for _ in range(connections)]
    try:
        yield seen
    finally:
        is_over.set()
        for one in clients:
            one.result(30)
        loop.close()


async def _ask(reader: Any, writer: asyncio.StreamWriter, host: str) -> tuple[int, str, bool]:
    writer.write(f"GET / HTTP/1.1\r\nhost: {host}\r\n\r\n".encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = int(head.partition("content-length: ")[2].partition("\r\n")[0] or 0)
    body = (await reader.readexactly(length)).decode()
    return int(head.split(" ", 2)[1]), body, "connection: close" in head
