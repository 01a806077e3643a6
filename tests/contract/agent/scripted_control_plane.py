"""A control plane that does what a test says: the agent's wire over real HTTP, with no deployment logic behind it."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests import ports

HOST = "arn:aws:iam::000000000000:user/CodeDeploy/web-1"
WAIT_SECONDS = 20.0


def wait_for(condition: Callable[[], Any], what: str, seconds: float = WAIT_SECONDS) -> Any:
    """The first true value of the condition; fails the test at the deadline."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.01)
    raise AssertionError(f"waited {seconds:g} seconds in vain for {what}")


def bundle_of(files: dict[str, str | tuple[str, int]]) -> bytes:
    """A zip bundle: name → content, or (content, mode); names that end in .sh are executable."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, given in files.items():
            content, mode = given if isinstance(given, tuple) else (given, 0o755 if name.endswith(".sh") else 0o644)
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (0o100000 | mode) << 16
            archive.writestr(entry, content)
    return made.getvalue()


@dataclass
class Completion:
    """A PutHostCommandComplete as it came in."""

    identifier: str
    status: str
    diagnostics: dict[str, Any]
    at: float

    @property
    def code(self) -> Any:
        return self.diagnostics["error_code"]

    @property
    def message(self) -> str:
        return str(self.diagnostics["message"])

    @property
    def log(self) -> str:
        return str(self.diagnostics["log"])


@dataclass
class ControlPlane:
    """What the server was told to say, and what it heard."""

    #: Seconds a poll is held when there is nothing to hand out.
    hold: float = 2.0
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    polls: list[float] = field(default_factory=list)
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    acknowledgements: list[tuple[str, bool]] = field(default_factory=list)
    completions: list[Completion] = field(default_factory=list)
    #: Every completion received, those answered with an error too.
    completion_attempts: list[Completion] = field(default_factory=list)
    specifications: dict[str, dict[str, Any]] = field(default_factory=dict)
    specification_fetches: list[str] = field(default_factory=list)
    bundles: dict[str, bytes] = field(default_factory=dict)
    #: Answers of the bundle store instead of the bundle: (status, headers, body, bytes to send before it hangs up).
    bundle_answers: deque[tuple[int, dict[str, str], bytes, int | None]] = field(default_factory=deque)
    bundle_requests: list[dict[str, str]] = field(default_factory=list)
    #: What PutHookLog told: (command, number of the call, text, lines dropped).
    hook_logs: list[tuple[str, int, str, int]] = field(default_factory=list)
    #: While this is not set, no PutHookLog is answered.
    hears_hooks: threading.Event = field(default_factory=threading.Event)
    #: Operation → answers to give first: (status, body).
    scripted: dict[str, deque[tuple[int, Any]]] = field(default_factory=lambda: defaultdict(deque))
    #: Headers of every answer that is an error.
    error_headers: dict[str, str] = field(default_factory=dict)
    acknowledge_with: str | None = "InProgress"
    #: Seconds added to the clock of the Date header and of the signature check.
    clock_ahead: float = 0.0
    check_clock: bool = False
    _offers: deque[dict[str, str]] = field(default_factory=deque)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _number: int = 0
    _starts: int = 0

    def __post_init__(self) -> None:
        self.hears_hooks.set()

    def start(self, port: int | None = None) -> None:
        plane = self

        class Handler(_Handler):
            control_plane = plane

        self._server = _Server(("127.0.0.1", port or ports.kept()), Handler)
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._server.hang_up()
        self.let_go()

    def let_go(self) -> None:
        """End the polls that are parked: a killed agent must not take what its successor is offered."""
        with self._changed:
            self._starts += 1
            self._changed.notify_all()

    # Given.

    def deployment(self, files: dict[str, Any] | None = None, *, deployment: str = "d-ONE", group: str = "g-1",
                   bundle: bytes | None = None, bundle_type: str = "zip", **members: Any) -> str:  # fmt: skip
        """A deployment of a bundle; returns its id."""
        content = bundle if bundle is not None else bundle_of(files or {})
        path = f"/bundles/{deployment}?X-Amz-Signature=sosecret"
        self.bundles[path] = content
        ours = {
            "BundleUrl": self.url + path,
            "BundleSha256": hashlib.sha256(content).hexdigest(),
            "BundleSize": len(content),
        } | members.pop("Longshore", {})
        revision = {"Bucket": "bundles", "Key": f"{deployment}.{bundle_type}", "BundleType": bundle_type}
        revision |= members.pop("S3Revision", {})
        self.specifications[deployment] = {
            "DeploymentId": deployment,
            "DeploymentGroupId": group,
            "DeploymentGroupName": "Fleet",
            "ApplicationName": "Shop",
            "DeploymentCreator": "user",
            "DeploymentType": "IN_PLACE",
            "Revision": {"RevisionType": "S3", "S3Revision": revision},
            "Longshore": {name: value for name, value in ours.items() if value is not None},
        } | members
        return deployment

    def offer(self, name: str, deployment: str = "d-ONE", *, identifier: str | None = None, execution: str = "") -> str:
        """Hand this command to the next poll; returns its identifier."""
        with self._changed:
            self._number += 1
            made = identifier or f"command-{self._number}"
            self._offers.append(
                {
                    "HostCommandIdentifier": made,
                    "HostIdentifier": HOST,
                    "DeploymentExecutionId": execution or f"CodeDeploy/us-east-1/Prod/{deployment}",
                    "CommandName": name,
                }
            )
            self._changed.notify_all()
        return made

    def envelope(self, deployment: str) -> dict[str, Any]:
        payload = json.dumps(self.specifications[deployment]).encode()
        public = self.key.public_key().public_bytes_raw()
        signed = {
            "payload": base64.b64encode(payload).decode(),
            "signature": base64.b64encode(self.key.sign(b"longshore-specification-v1\n" + payload)).decode(),
            "keyid": hashlib.sha256(public).digest()[:8].hex(),
            "publicKey": base64.b64encode(public).decode(),
        }
        return {
            "DeploymentSystem": "CodeDeploy",
            "DeploymentSpecification": {
                "GenericEnvelope": {"Format": "PKCS7/JSON", "Payload": "-----BEGIN PKCS7-----"},
                "VariantId": "longshore-ed25519",
                "VariantEnvelope": {"Format": "ED25519/JSON", "Payload": json.dumps(signed)},
            },
        }

    # When, then.

    def run(self, name: str, deployment: str = "d-ONE", seconds: float = WAIT_SECONDS) -> Completion:
        """Offer a command and wait for how it ended."""
        return self.completion(self.offer(name, deployment), seconds)

    def run_all(self, *names: str, deployment: str = "d-ONE") -> list[Completion]:
        return [self.run(name, deployment) for name in names]

    def completion(self, identifier: str, seconds: float = WAIT_SECONDS) -> Completion:
        return wait_for(
            lambda: next((done for done in list(self.completions) if done.identifier == identifier), None),
            f"the completion of {identifier}",
            seconds,
        )

    def of(self, identifier: str) -> list[Completion]:
        return [done for done in self.completion_attempts if done.identifier == identifier]

    # The operations.

    def answer(self, operation: str, body: dict[str, Any]) -> tuple[int, Any]:
        with self._changed:
            if operation == "PollHostCommand":
                self.polls.append(time.monotonic())
            scripted = self.scripted[operation].popleft() if self.scripted[operation] else None
        if operation == "PutHostCommandComplete":
            done = Completion(
                body["HostCommandIdentifier"],
                body["CommandStatus"],
                json.loads(body["Diagnostics"]["Payload"]),
                time.monotonic(),
            )
            self.completion_attempts.append(done)
            if scripted is None:
                self.completions.append(done)
            return scripted or (200, {})
        if scripted is not None:
            return scripted
        if operation == "PollHostCommand":
            return 200, self._poll()
        if operation == "GetDeploymentSpecification":
            deployment = body["DeploymentExecutionId"].rsplit("/", 1)[-1]
            self.specification_fetches.append(deployment)
            return 200, self.envelope(deployment)
        if operation == "PutHookLog":
            self.hears_hooks.wait(60)
            told = (body["hostCommandIdentifier"], body["sequence"], body["text"], body["droppedLines"])
            self.hook_logs.append(told)
            return 200, {"isWanted": True}
        assert operation == "PutHostCommandAcknowledgement", operation
        is_noop = json.loads(body["Diagnostics"]["Payload"])["IsCommandNoop"]
        self.acknowledgements.append((body["HostCommandIdentifier"], is_noop))
        return 200, {"CommandStatus": self.acknowledge_with} if self.acknowledge_with else {}

    def _poll(self) -> dict[str, Any]:
        with self._changed:
            # A poll of a server that was stopped must not take what is offered to its successor.
            starts = self._starts
            self._changed.wait_for(lambda: self._offers or self._starts != starts, self.hold)
            return {"HostCommand": self._offers.popleft()} if self._offers and self._starts == starts else {}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, *args: Any) -> None:
        self.connections: set[socket.socket] = set()
        super().__init__(*args)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections.add(request)
        super().process_request(request, client_address)

    def hang_up(self) -> None:
        for connection in list(self.connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that is killed is what some tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    control_plane: ControlPlane
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_POST(self) -> None:
        plane = self.control_plane
        body = self.rfile.read(int(self.headers["content-length"]))
        operation = self.headers["x-amz-target"].split(".")[1]
        plane.requests.append((operation, dict(self.headers.items()), body))
        status, answer = self._clock_error() or plane.answer(operation, json.loads(body))
        headers = {"content-type": "application/x-amz-json-1.1"} | (plane.error_headers if status != 200 else {})
        self._send(status, headers, json.dumps(answer).encode())

    def _clock_error(self) -> tuple[int, Any] | None:
        plane = self.control_plane
        if not plane.check_clock:
            return None
        import calendar

        said = calendar.timegm(time.strptime(self.headers["x-amz-date"], "%Y%m%dT%H%M%SZ"))
        if abs(time.time() + plane.clock_ahead - said) < 300:
            return None
        return 400, {"__type": "InvalidSignatureException", "message": "Signature not yet current"}

    def do_GET(self) -> None:
        plane = self.control_plane
        plane.bundle_requests.append({name.lower(): value for name, value in self.headers.items()})
        content = plane.bundles.get(self.path, b"")
        etag = '"' + hashlib.md5(content).hexdigest() + '"'
        if plane.bundle_answers:
            status, headers, body, cut = plane.bundle_answers.popleft()
            self._send(status, {"etag": etag} | headers, body or content, cut)
            return
        start = 0
        asked = self.headers.get("range")
        if asked and self.headers.get("if-range") == etag:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
        part = {"content-range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if start else {}
        self._send(206 if start else 200, {"etag": etag} | part, content[start:])

    def date_time_string(self, timestamp: float | None = None) -> str:
        return super().date_time_string(time.time() + self.control_plane.clock_ahead)

    def _send(self, status: int, headers: dict[str, str], body: bytes, cut: int | None = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if cut is None else body[:cut])
        self.wfile.flush()
        if cut is not None:
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


class Agent:
    """The real agent, as a process of its own."""

    def __init__(self, plane: ControlPlane, directory: Path, **settings: Any) -> None:
        self.directory = directory
        self.root = directory / "root"
        self.log_dir = directory / "log"
        public = base64.b64encode(plane.key.public_key().public_bytes_raw()).decode()
        self.settings: dict[str, Any] = {
            "region": "us-east-1",
            "iam_user_arn": HOST,
            "aws_access_key_id": "AKIDEXAMPLE",
            "aws_secret_access_key": "very-secret-key",
            "root_dir": str(self.root),
            "log_dir": str(self.log_dir),
            "pid_dir": str(directory / "pid"),
            "deploy_control_endpoint": plane.url,
            "specification_signer": public,
            "verbose": True,
        } | settings
        self.config = directory / "web-1.yml"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, **environment: str) -> Agent:
        kept = {name: value for name, value in self.settings.items() if value is not None}
        self.config.write_text(yaml.safe_dump(kept))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "longshore.agent", "run", "--config", str(self.config)],
            env=os.environ | environment,
            stderr=(self.directory / "stderr").open("ab"),
            start_new_session=True,
        )
        return self

    @property
    def pid(self) -> int:
        assert self.process
        return self.process.pid

    def log(self) -> str:
        path = self.log_dir / "codedeploy-agent.log"
        return path.read_text() if path.exists() else ""

    def stderr(self) -> str:
        return (self.directory / "stderr").read_text()

    def workers(self) -> list[int]:
        return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]

    def stop(self, seconds: float = 15) -> int:
        assert self.process
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def kill(self) -> None:
        """kill -9 of the agent's own process: its worker is orphaned."""
        assert self.process
        self.process.kill()
        self.process.wait(10)

    def end(self) -> None:
        """After a test: nothing may stay behind, whatever happened."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(2)
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(5)


@contextmanager
def running(plane: ControlPlane, directory: Path, **settings: Any) -> Iterator[Agent]:
    agent = Agent(plane, directory, **settings).start()
    try:
        yield agent
    finally:
        agent.end()
