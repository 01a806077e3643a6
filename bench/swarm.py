"""Simulated agents: the real wire, signed, over kept connections, and nothing behind it.

They behave as `longshore.agent` does: one connection that always holds a poll, one for the deployment at work; the
specification once, an acknowledgement for every command, a completion for those that have something to run. They are
written to be cheap, since they share the machine with the server they measure.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import re
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from bench.bundles import HOOKS
from bench.setting import BenchError, Server

COMMANDS = ("codedeploy-commands", "CodeDeployCommandService_v20141006")
#: What has something to run; the others are acknowledged as no-ops.
_WORK = frozenset({"DownloadBundle", "Install", *HOOKS})
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_DONE = json.dumps({"error_code": 0, "script_name": "", "message": "Succeeded", "log": "[stdout] done\n"})
_TYPE = "application/x-amz-json-1.1"
_NAMES = "content-type;host;x-amz-codedeploy-agent-version;x-amz-content-sha256;x-amz-date;x-amz-target"
_INNER = bytes(byte ^ 0x36 for byte in range(256))
_OUTER = bytes(byte ^ 0x5C for byte in range(256))

OnAnswer = Callable[[bytes], None]


@dataclass(kw_only=True)
class Traffic:
    """What went over the wire, by operation."""

    requests: Counter[str] = field(default_factory=Counter)
    #: Bytes of bodies.
    asked: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)


class Signer:
    """Signs the requests of one key to one service, with everything kept that can be."""

    def __init__(self, *, host: str, region: str, service: str, key_id: str, secret: str) -> None:
        self._host = host
        self._region = region
        self._service = service
        self._key_id = key_id
        self._secret = secret
        self._second = 0
        self._moment = ""
        self._day = ""

    @classmethod
    def of_owner(cls, server: Server, service: str) -> Signer:
        """By the account owner's key."""
        return cls(
            host=urlsplit(server.url).netloc,
            region=server.region,
            service=service,
            key_id=server.access_key_id,
            secret=server.secret_access_key,
        )

    def request(self, target: str, body: bytes) -> bytes:
        """A whole signed request."""
        if (now := int(time.time())) != self._second:
            self._renew(now)
        digest = hashlib.sha256(body).hexdigest()
        host, moment = self._host, self._moment
        canonical = (
            f"POST\n/\n\ncontent-type:{_TYPE}\nhost:{host}\nx-amz-codedeploy-agent-version:LONGSHORE_BENCH\n"
            f"x-amz-content-sha256:{digest}\nx-amz-date:{moment}\nx-amz-target:{target}\n\n{_NAMES}\n{digest}"
        )
        inner = self._inner.copy()
        inner.update(f"{self._to_sign}{hashlib.sha256(canonical.encode()).hexdigest()}".encode())
        outer = self._outer.copy()
        outer.update(inner.digest())
        return (
            f"POST / HTTP/1.1\r\nhost: {host}\r\ncontent-type: {_TYPE}\r\nx-amz-target: {target}\r\n"
            f"x-amz-codedeploy-agent-version: LONGSHORE_BENCH\r\nx-amz-date: {moment}\r\n"
            f"x-amz-content-sha256: {digest}\r\nauthorization: {self._authorization}{outer.hexdigest()}\r\n"
            f"accept: */*\r\nuser-agent: longshore-bench\r\ncontent-length: {len(body)}\r\n\r\n"
        ).encode() + body

    def _renew(self, now: int) -> None:
        self._second = now
        self._moment = moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
        scope = f"{moment[:8]}/{self._region}/{self._service}/aws4_request"
        self._to_sign = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n"
        if moment[:8] == self._day:
            return
        self._day = moment[:8]
        self._authorization = f"AWS4-HMAC-SHA256 Credential={self._key_id}/{scope}, SignedHeaders={_NAMES}, Signature="
        key = f"AWS4{self._secret}".encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        block = key.ljust(64, b"\0")
        self._inner = hashlib.sha256(block.translate(_INNER))
        self._outer = hashlib.sha256(block.translate(_OUTER))


class Link(asyncio.Protocol):
    """One kept connection, one request at a time."""

    def __init__(self) -> None:
        self._received = b""
        self._needed = 0
        self._on_answer: OnAnswer | None = None
        self._transport: asyncio.Transport | None = None
        #: Why the connection is of no more use, and who is told so.
        self.broken: str | None = None
        self.on_break: Callable[[], object] | None = None

    @classmethod
    async def to(cls, host: str, port: int) -> Link:
        """A new connection."""
        _, link = await asyncio.get_running_loop().create_connection(cls, host, port)
        return link

    def send(self, request: bytes, on_answer: OnAnswer) -> None:
        """Send a request; `on_answer` is called with the body of its answer."""
        assert self._transport is not None
        assert self._on_answer is None
        if self.broken is not None:
            raise BenchError(f"The server answered {self.broken}")
        self._on_answer = on_answer
        self._transport.write(request)

    def close(self) -> None:
        """Hang up."""
        self.broken = "closed"
        self._on_answer = None
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def connection_lost(self, exc: Exception | None) -> None:
        self.broken = self.broken or f"with the end of the connection: {exc or 'it hung up'}"
        if self.on_break is not None:
            self.on_break()

    def data_received(self, data: bytes) -> None:
        self._received = received = self._received + data if self._received else data
        if not self._needed:
            end = received.find(b"\r\n\r\n")
            if end < 0:
                return
            length = _LENGTH.search(received, 0, end)
            assert length, received
            self._needed = end + 4 + int(length[1])
        if len(received) < self._needed:
            return
        body = received[received.find(b"\r\n\r\n") + 4 :]
        self._received, self._needed = b"", 0
        on_answer, self._on_answer = self._on_answer, None
        if not received.startswith(b"HTTP/1.1 200"):
            self.broken = received[:500].decode("latin-1")
            if self.on_break is not None:
                self.on_break()
        elif on_answer is not None:
            on_answer(body)

    async def call(self, request: bytes) -> dict[str, Any]:
        """Send a request and wait for its answer; BenchError if it is an error."""
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.send(request, answer.set_result)
        while not answer.done():
            if self.broken is not None:
                raise BenchError(f"The server answered {self.broken}")
            await asyncio.wait([answer], timeout=0.5)
        said: dict[str, Any] = json.loads(answer.result())
        return said


class Agent:
    """One simulated host."""

    def __init__(self, polling: Link, working: Link, signer: Signer, arn: str, traffic: Traffic) -> None:
        self._polling = polling
        self._working = working
        self._signer = signer
        self._arn = arn
        self._traffic = traffic
        self._waiting: deque[dict[str, str]] = deque()
        self._deployment = ""
        self._poll_body = json.dumps({"HostIdentifier": arn}).encode()

    @property
    def broken(self) -> str | None:
        """What went wrong, if anything did."""
        return self._polling.broken or self._working.broken

    def poll(self) -> None:
        """Park a poll."""
        self._send(self._polling, "PollHostCommand", self._poll_body, self._take)

    def close(self) -> None:
        """Leave."""
        self._polling.close()
        self._working.close()

    def _take(self, body: bytes) -> None:
        offered = json.loads(body).get("HostCommand")
        self.poll()
        if offered is None:
            return
        self._waiting.append(offered)
        if len(self._waiting) == 1:
            self._begin(offered)

    def _begin(self, command: dict[str, str]) -> None:
        if command["DeploymentExecutionId"] == self._deployment:
            self._acknowledge(b"")
            return
        self._deployment = command["DeploymentExecutionId"]
        asked = {"DeploymentExecutionId": self._deployment, "HostIdentifier": self._arn}
        self._send(self._working, "GetDeploymentSpecification", json.dumps(asked).encode(), self._acknowledge)

    def _acknowledge(self, _specification: bytes) -> None:
        command = self._waiting[0]
        is_noop = command["CommandName"] not in _WORK
        said = {
            "HostCommandIdentifier": command["HostCommandIdentifier"],
            "Diagnostics": {"Format": "JSON", "Payload": '{"IsCommandNoop":%s}' % json.dumps(is_noop)},  # noqa: UP031
        }
        self._send(self._working, "PutHostCommandAcknowledgement", json.dumps(said).encode(), self._work)

    def _work(self, body: bytes) -> None:
        if json.loads(body)["CommandStatus"] == "Succeeded":
            self._ended(b"")
            return
        said = {
            "HostCommandIdentifier": self._waiting[0]["HostCommandIdentifier"],
            "CommandStatus": "Succeeded",
            "Diagnostics": {"Format": "JSON", "Payload": _DONE},
        }
        self._send(self._working, "PutHostCommandComplete", json.dumps(said).encode(), self._ended)

    def _ended(self, _body: bytes) -> None:
        self._waiting.popleft()
        if self._waiting:
            self._begin(self._waiting[0])

    def _send(self, link: Link, operation: str, body: bytes, on_answer: OnAnswer) -> None:
        traffic = self._traffic

        def heard(answer: bytes) -> None:
            traffic.requests[operation] += 1
            traffic.asked[operation] += len(body)
            traffic.answered[operation] += len(answer)
            on_answer(answer)

        link.send(self._signer.request(f"{COMMANDS[1]}.{operation}", body), heard)
