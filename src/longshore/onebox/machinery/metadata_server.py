"""The instance metadata service, version 2: each host finds it at an address of its own, and nobody else may ask.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import selectors
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from longshore.onebox.machinery import peers

#: Not 80, as on AWS: there the address is a link's, here it is the host's own, whose port 80 is its programs'.
PORT = 16925
_LONGEST_TOKEN_SECONDS = 21_600
#: Seconds that a client may take over its request.
_PATIENCE = 10.0
_TOKEN = "x-aws-ec2-metadata-token"  # noqa: S105 - a header
_TTL = "x-aws-ec2-metadata-token-ttl-seconds"

#: What stands at a path, or None; called for every answer.
Answers = Callable[[str], str | bytes | None]


class AddressTakenError(Exception):
    """Somebody else listens at the host's address."""


class MetadataServer:
    """Listens for every host; one thread waits for all of them."""

    def __init__(self) -> None:
        #: Tokens of an earlier run are good for nothing: clients get new ones.
        self._secret = os.urandom(32)
        self._doors: dict[str, _Door] = {}
        self._lock = threading.Lock()
        self._selector = selectors.DefaultSelector()
        self._woken, self._wake = socket.socketpair()
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._thread: threading.Thread | None = None

    def open(self, address: str, answers: Answers, first_process: Callable[[], int | None]) -> None:
        """Answer the processes of one host, if that is not done yet; raises `AddressTakenError`."""
        with self._lock:
            if address in self._doors:
                return
            try:
                door = _Door(address, self._secret, answers, first_process)
            except OSError as error:
                raise AddressTakenError(
                    f"cannot listen at {address}:{PORT} for the host's metadata: {error.strerror}"
                ) from None
            self._doors[address] = door
            self._selector.register(door, selectors.EVENT_READ, door)
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="instance-metadata", daemon=True)
                self._thread.start()
        self._wake.send(b"w")

    def close(self, address: str) -> None:
        """Answer at this address no more."""
        with self._lock:
            door = self._doors.pop(address, None)
            if door is not None:
                self._selector.unregister(door)
                door.server_close()

    def stop(self) -> None:
        """Answer nobody any more."""
        for address in list(self._doors):
            self.close(address)
        self._wake.close()
        if self._thread is not None:
            self._thread.join(_PATIENCE)
        self._woken.close()
        self._selector.close()

    def _serve(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.data is None:
                    if not self._woken.recv(64):
                        return
                    continue
                with self._lock:
                    is_open = self._doors.get(key.data.address) is key.data
                    if is_open:
                        # It takes one connection and hands it to a thread: it does not wait.
                        key.data.handle_request()


class _Door(ThreadingHTTPServer):
    """Where one host finds its metadata."""

    daemon_threads = True
    block_on_close = False
    timeout = 0
    request_queue_size = 64

    def __init__(self, address: str, secret: bytes, answers: Answers, first_process: Callable[[], int | None]) -> None:
        self.address = address
        super().__init__((address, PORT), _Exchange)
        self.answers = answers
        self._secret = hmac.digest(secret, address.encode(), "sha256")
        self._first_process = first_process

    def server_bind(self) -> None:
        # HTTPServer would ask for the address's name, of whoever answers such questions here.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.address, PORT

    def token(self, seconds: int) -> str:
        """A token that is good here for so long."""
        ends = int(time.time() + seconds).to_bytes(8, "big")
        return base64.urlsafe_b64encode(ends + hmac.digest(self._secret, ends, "sha256")).decode().rstrip("=")

    def is_good(self, token: str) -> bool:
        try:
            sealed = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        except (binascii.Error, ValueError):
            return False
        ends, mac = sealed[:8], sealed[8:]
        if not hmac.compare_digest(mac, hmac.digest(self._secret, ends, "sha256")):
            return False
        return time.time() < int.from_bytes(ends, "big")

    def is_own(self, peer: Any, local: Any) -> bool:
        """Whether the caller is a process of this host."""
        first = self._first_process()
        return first is not None and peers.is_of_host(peer[:2], local[:2], first)

    def handle_error(self, _request: Any, _client_address: Any) -> None:
        """A client that went away in the middle; it will ask again."""


class _Exchange(BaseHTTPRequestHandler):
    """One connection: requests of the metadata service."""

    server: _Door
    server_version = "EC2ws"
    sys_version = ""
    protocol_version = "HTTP/1.1"
    timeout = _PATIENCE

    def do_PUT(self) -> None:
        """Give out a token: the only thing that can be put."""
        length = self.headers.get("content-length", "0")
        self.close_connection = self.close_connection or length != "0"
        if self.path != "/latest/api/token":
            self._answer(404 if self._is_own() else 403)
        elif not self._is_own() or self.headers.get("x-forwarded-for"):
            # What came through a proxy did not begin on the host.
            self._answer(403)
        else:
            seconds = self.headers.get(_TTL, "")
            if seconds.isascii() and seconds.isdecimal() and 1 <= int(seconds[:9]) <= _LONGEST_TOKEN_SECONDS:
                self._answer(200, self.server.token(int(seconds)), {_TTL: seconds})
            else:
                self._answer(400)

    def do_GET(self) -> None:
        """Tell what stands at a path."""
        if not self._is_own():
            self._answer(403)
        elif not self.server.is_good(self.headers.get(_TOKEN, "")):
            # Also version 1, which shows no token: a request that a program was tricked into could not have one.
            self._answer(401)
        else:
            said = self.server.answers(self.path.partition("?")[0])
            if said is None:
                self._answer(404)
            else:
                self._answer(200, said)

    do_HEAD = do_GET  # noqa: N815 - the name it is called by

    def _is_own(self) -> bool:
        return self.server.is_own(self.client_address, self.connection.getsockname())

    def _answer(self, status: int, said: str | bytes = "", headers: Mapping[str, str] | None = None) -> None:
        body = said.encode() if isinstance(said, str) else said
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            with suppress(OSError):
                self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """It answers a host's own questions; who asks for what is nobody's business."""
