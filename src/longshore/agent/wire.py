"""The agent's side of CodeDeployCommandService: four calls over one kept connection (agent.md 1); and one of ours."""

from __future__ import annotations

import json
import re
import socket
import time
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from longshore.agent import http_answer
from longshore.agent.connecting import connect
from longshore.agent.errors import WireError
from longshore.agent.identity import Identity
from longshore.agent.pin import Pin
from longshore.agent.proxies import Proxies
from longshore.agent.signer import Signer
from longshore.agent.version import VERSION

#: Longshore's own service, beside CodeDeploy's.
OUR_SERVICE = "longshore"
OUR_TARGET = "Longshore_20261123"
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_SAFE_ID = re.compile(r"[A-Za-z0-9-]{1,100}")
#: Largest answer read: a specification is under 32 KiB.
MAX_ANSWER = 8 * 1024 * 1024
#: Longest that a call which tells what hooks say may take.
HOOK_LOG_SECONDS = 10.0
#: A clock difference worth correcting; servers allow five minutes.
SKEW_SECONDS = 60.0


class HostCommand(NamedTuple):
    """A command as the poll hands it over."""

    #: Names this one offer; sent back with the acknowledgement and the completion.
    identifier: str
    #: `…/<deployment id>`.
    execution_id: str
    #: Lifecycle event.
    name: str

    @property
    def deployment_id(self) -> str:
        """Last part of the execution id."""
        return self.execution_id.rsplit("/", 1)[-1]


class Client:
    """Calls one service of the control plane, signed as this host. One connection, one call at a time."""

    def __init__(
        self,
        endpoint: str,
        identity: Identity,
        *,
        service: str,
        target: str,
        read_timeout: float = 80,
        clock_offset: float = 0,
        proxies: Proxies | None = None,
        pin: Pin | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.identity = identity
        self.read_timeout = read_timeout
        #: Seconds the server's clock is ahead of ours.
        self.clock_offset = clock_offset
        self.proxies = proxies or Proxies()
        self.pin = pin
        #: Whether the process has nothing to do but to wait (`tls.secured`).
        self.stays_small = False
        parts = urlsplit(endpoint)
        assert parts.hostname
        self._tls = parts.scheme == "https"
        self._address = (parts.hostname, parts.port or (443 if self._tls else 80))
        self._host = parts.netloc.rpartition("@")[2]
        self._target = target
        self._signer = Signer(region=identity.region, service=service)
        self._socket: socket.socket | None = None

    def call(self, operation: str, body: dict[str, Any]) -> dict[str, Any]:
        """One call; sent twice only where a kept connection had died or our clock was wrong."""
        reused = self._socket is not None
        try:
            self._send(operation, body)
            return self._receive()
        except StaleConnectionError:
            if not reused:
                raise
        except WireError as error:
            if not self.correct_clock(error):
                raise
        self._send(operation, body)
        return self._receive()

    def correct_clock(self, error: WireError) -> bool:
        """Whether the error came from a wrong clock that is now allowed for."""
        if error.code not in WireError.SKEWED or not isinstance(error, _AnsweredError) or error.server_time is None:
            return False
        offset = error.server_time - time.time()
        if abs(offset - self.clock_offset) < SKEW_SECONDS:
            return False
        self.clock_offset = offset
        return True

    def close(self) -> None:
        """Drop the connection; the next call opens a new one."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, operation: str, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        headers = self._signer.sign(
            {
                "host": self._host,
                "content-type": "application/x-amz-json-1.1",
                "x-amz-target": f"{self._target}.{operation}",
                "x-amz-codedeploy-agent-version": f"LONGSHORE_{VERSION}",
            },
            content,
            self.identity.provider.credentials(),
            time.time() + self.clock_offset,
        )
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        request = (
            f"POST / HTTP/1.1\r\n{lines}accept: */*\r\nuser-agent: longshore-agent/{VERSION}\r\n"
            f"content-length: {len(content)}\r\n\r\n"
        )
        reused = self._socket is not None
        try:
            if self._socket is None:
                self._socket = self._connect()
            self._socket.settimeout(self.read_timeout)
            # One write: a request in two segments waits for a delayed acknowledgement (agent.md 1.1.11).
            self._socket.sendall(request.encode("latin-1") + content)
        except OSError as error:
            self.close()
            kind = StaleConnectionError if reused else WireError
            raise kind(f"cannot reach the control plane at {self.endpoint}: {error.strerror or error}") from None

    def _connect(self) -> socket.socket:
        proxy = self.proxies.to("deploy_control", self._address[0])
        pinned = self.pin and self.pin.of(*self._address)
        return connect(*self._address, encrypted=self._tls, proxy=proxy, pinned=pinned, stays_small=self.stays_small)

    def _receive(self) -> dict[str, Any]:
        assert self._socket
        try:
            response = http_answer.read(self._socket, at_most=MAX_ANSWER)
        except http_answer.NoAnswerError:
            self.close()
            raise StaleConnectionError(f"the control plane at {self.endpoint} closed the connection") from None
        except (OSError, http_answer.BadAnswerError) as error:
            self.close()
            what = "did not answer in time" if isinstance(error, TimeoutError) else f"gave no usable answer ({error!r})"
            raise WireError(f"the control plane at {self.endpoint} {what}") from None
        if not response.is_kept:
            self.close()
        content = response.body
        if response.status != 200:
            raise _AnsweredError.of(response)
        try:
            answer = json.loads(content) if content.strip() else {}
        except ValueError:
            raise WireError("the control plane's answer is not JSON", status=502) from None
        # A body that is no object counts as empty (agent.md 1.3.6).
        return answer if isinstance(answer, dict) else {}


class CommandClient(Client):
    """Calls the service that hands out commands, as this host."""

    def __init__(
        self,
        endpoint: str,
        identity: Identity,
        *,
        read_timeout: float = 80,
        auth_policy: bool = False,
        clock_offset: float = 0,
        proxies: Proxies | None = None,
        pin: Pin | None = None,
    ) -> None:
        super().__init__(
            endpoint,
            identity,
            service="codedeploy-commands-secure" if auth_policy else "codedeploy-commands",
            target="CodeDeployCommandService" if auth_policy else "CodeDeployCommandService_v20141006",
            read_timeout=read_timeout,
            clock_offset=clock_offset,
            proxies=proxies,
            pin=pin,
        )
        self.auth_policy = auth_policy

    def twin(self) -> CommandClient:
        """A client for another process: same identity and clock, its own connection."""
        return CommandClient(
            self.endpoint,
            self.identity,
            read_timeout=self.read_timeout,
            auth_policy=self.auth_policy,
            clock_offset=self.clock_offset,
            proxies=self.proxies,
            pin=self.pin,
        )

    def for_hook_logs(self) -> HookLogClient:
        """A client that tells what hooks say: same identity and clock, its own connection, little patience."""
        return HookLogClient(
            self.endpoint,
            self.identity,
            service=OUR_SERVICE,
            target=OUR_TARGET,
            read_timeout=min(self.read_timeout, HOOK_LOG_SECONDS),
            clock_offset=self.clock_offset,
            proxies=self.proxies,
            pin=self.pin,
        )

    # The poll is split in two so that the poller can wait for other things while the server holds it.

    def ask_for_command(self) -> socket.socket:
        """Send a poll; returns the socket that becomes readable when the answer comes."""
        self._send("PollHostCommand", {"HostIdentifier": self.identity.host_identifier})
        assert self._socket
        return self._socket

    def take_command(self) -> HostCommand | None:
        """The answer to the poll."""
        answer = self._receive()
        offered = answer.get("HostCommand")
        if offered is None:
            return None
        return self._checked(offered)

    def specification(self, command: HostCommand) -> dict[str, Any]:
        """GetDeploymentSpecification's answer."""
        return self.call(
            "GetDeploymentSpecification",
            {"DeploymentExecutionId": command.execution_id, "HostIdentifier": self.identity.host_identifier},
        )

    def acknowledge(self, command: HostCommand, *, is_noop: bool) -> str | None:
        """Say that the command was received; returns the CommandStatus answered."""
        payload = json.dumps({"IsCommandNoop": is_noop}, separators=(",", ":"))
        answer = self.call(
            "PutHostCommandAcknowledgement",
            {"HostCommandIdentifier": command.identifier, "Diagnostics": {"Format": "JSON", "Payload": payload}},
        )
        status = answer.get("CommandStatus")
        return status if isinstance(status, str) else None

    def complete(self, identifier: str, *, status: str, diagnostics: dict[str, Any]) -> None:
        """Report how the command ended."""
        self.call(
            "PutHostCommandComplete",
            {
                "HostCommandIdentifier": identifier,
                "CommandStatus": status,
                "Diagnostics": {"Format": "JSON", "Payload": json.dumps(diagnostics)},
            },
        )

    def _checked(self, offered: object) -> HostCommand:
        if not isinstance(offered, dict):
            raise WireError("the poll was answered with a HostCommand that is not an object", status=200)
        values = [offered.get(key) for key in ("HostCommandIdentifier", "DeploymentExecutionId", "CommandName")]
        if not all(isinstance(value, str) and value for value in values):
            raise WireError("the poll was answered with a HostCommand that lacks members", status=200)
        host = offered.get("HostIdentifier")
        if not isinstance(host, str) or not host or host not in self.identity.host_identifier:
            raise WireError(f"the poll was answered with a command for another host ({host})", status=200)
        command = HostCommand(*(str(value) for value in values))
        if not _SAFE_ID.fullmatch(command.deployment_id):
            raise WireError(f"the poll was answered with a command for {command.deployment_id!r}", status=200)
        return command


class HookLogClient(Client):
    """Tells the control plane what hooks say while they run."""

    def put_hook_log(self, identifier: str, sequence: int, text: str, dropped_lines: int) -> bool:
        """Tell what a hook said; whether more is wanted."""
        answer = self.call(
            "PutHookLog",
            {
                "hostCommandIdentifier": identifier,
                "sequence": sequence,
                "text": text,
                "droppedLines": dropped_lines,
            },
        )
        return answer.get("isWanted") is True


class StaleConnectionError(WireError):
    """The connection was gone before an answer began."""


class _AnsweredError(WireError):
    """An error the server answered with."""

    server_time: float | None = None

    @classmethod
    def of(cls, response: http_answer.Answer) -> _AnsweredError:
        try:
            said = json.loads(response.body)
        except ValueError:
            said = {}
        if not isinstance(said, dict):
            said = {}
        code = str(said.get("__type") or said.get("code") or response.headers.get("x-amzn-errortype") or "")
        code = code.split(":")[0].rpartition("#")[2]
        message = str(said.get("message") or said.get("Message") or "no message")[:500]
        server_time = moment_of(response.headers.get("date", ""))
        error = cls(
            f"the control plane answered {response.status} {code}: {message}",
            status=response.status,
            code=code,
            retry_after=retry_after(response.headers.get("retry-after"), server_time or time.time()),
        )
        error.said = message
        error.server_time = server_time
        return error


def moment_of(date: str) -> float | None:
    """The time of a Date header (RFC 9110, 5.6.7); None: it is not in the one form that servers send."""
    try:
        _, day, month, year, clock, _ = date.split()
        hour, minute, second = clock.split(":")
        parts = (int(year), _MONTHS.index(month) + 1, int(day), int(hour), int(minute), int(second))
        return datetime(*parts, tzinfo=UTC).timestamp()
    except (ValueError, OverflowError):
        return None


def retry_after(said: str | None, now: float) -> float | None:
    """What Retry-After asks for: seconds, or a moment by the server's clock."""
    if said is None or said.isdecimal():
        return said if said is None else float(said)
    moment = moment_of(said)
    return None if moment is None else max(0.0, moment - now)
