"""uvicorn's HTTP protocol, with one write for the head of an answer and what follows it.

uvicorn writes an answer's head and body apart. Sent as two segments, an agent that delays its acknowledgements waits
some 44 ms for the second (agent.md 1.1.11), and every answer costs one system call more.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class _Joined:
    """A transport that sends a head with what follows it in the same turn of the event loop."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held: list[bytes] = []

    def write(self, data: bytes) -> None:
        if self._held:
            self._held.append(data)
            self._flush()
        else:
            self._held.append(data)
            self._loop.call_soon(self._flush)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._held:
            held, self._held = self._held, []
            self._transport.write(b"".join(held))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


#: An idle client gets so long to answer the goodbye of a server that stops, seconds.
_GOODBYE = 1.0


class Protocol(HttpToolsProtocol):
    """HTTP/1.1 as uvicorn speaks it, joined up."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(_Joined(transport, self.loop))  # type: ignore[arg-type]  # all that uvicorn uses of it

    def shutdown(self) -> None:
        super().shutdown()
        if self.transport.is_closing():
            # TLS ends when both sides have said so, and a client that keeps a connection for later listens to nobody.
            self.loop.call_later(_GOODBYE, self.transport.abort)
