"""A web server as bundles come from: real HTTP or TLS, on loopback, that answers, cuts and redirects as a test says."""

from __future__ import annotations

import datetime
import io
import ipaddress
import socket
import ssl
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


@dataclass
class Asked:
    """A request as it came in."""

    path: str
    headers: dict[str, str]

    @property
    def host(self) -> str:
        return self.headers["host"]


@dataclass
class Answer:
    """What is said to it."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: Body | bytes = b""
    #: Bytes of the body after which the connection is cut.
    cut: int | None = None


@dataclass
class Body:
    """A large body that lies nowhere: `head`, then a repeated pattern, then `tail`."""

    head: bytes
    pattern: bytes
    filling: int
    tail: bytes

    def __len__(self) -> int:
        return len(self.head) + self.filling + len(self.tail)

    def chunks(self, start: int) -> Iterator[bytes]:
        place = 0
        for part in self._parts():
            if place + len(part) > start:
                yield part[max(0, start - place) :]
            place += len(part)

    def _parts(self) -> Iterator[bytes]:
        yield self.head
        for done in range(0, self.filling, len(self.pattern)):
            yield self.pattern[: self.filling - done]
        yield self.tail


def large_tar(megabytes: int, files: dict[str, bytes]) -> Body:
    """A tar bundle of these files and one, `large`, of so many megabytes."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        large = tarfile.TarInfo("large")
        large.size = megabytes * 1024 * 1024
        head = made.getvalue() + large.tobuf()
    return Body(head, bytes(range(256)) * 4096, large.size, b"\0" * 1024)


class BundleHost:
    """Serves what `answer` says."""

    def __init__(self, answer: Callable[[Asked], Answer], *, certificate: tuple[Path, Path] | None = None) -> None:
        self.asked: list[Asked] = []
        self.answer = answer
        host = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                asked = Asked(self.path, {name.lower(): value for name, value in self.headers.items()})
                host.asked.append(asked)
                self._say(host.answer(asked))

            def do_PUT(self) -> None:
                self.do_GET()

            def _say(self, answer: Answer) -> None:
                self.send_response(answer.status)
                body = answer.body
                start = 0
                headers = dict(answer.headers)
                if headers.pop("x-part-from", None):
                    start = int(self.headers["range"].removeprefix("bytes=").removesuffix("-"))
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(body) - start))
                self.end_headers()
                left = answer.cut
                for chunk in body.chunks(start) if isinstance(body, Body) else [body[start:]]:
                    part = chunk if left is None else chunk[:left]
                    with suppress(OSError):
                        self.wfile.write(part)
                    if left is not None:
                        left -= len(part)
                        if left == 0:
                            # A lost connection, not a polite end.
                            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                            self.close_connection = True
                            return

            def log_message(self, format: str, *args: Any) -> None:
                """Quiet."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                """Clients that give up are what some tests are about."""

        self._server = Server(("127.0.0.1", 0), Handler)
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port: int = self._server.server_address[1]
        self.url = f"http{'s' if certificate else ''}://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def file(
    body: Body | bytes, *, etag: str = '"one"', cut_after: Iterator[int] | None = None
) -> Callable[[Asked], Answer]:
    """A file whose server knows ranges; each answer is cut after the next number of bytes, while there are numbers."""

    def answer(asked: Asked) -> Answer:
        headers = {"etag": etag}
        cut = next(cut_after, None) if cut_after is not None else None
        if "range" in asked.headers and asked.headers.get("if-range") == etag:
            start = asked.headers["range"].removeprefix("bytes=").removesuffix("-")
            headers |= {"content-range": f"bytes {start}-{len(body) - 1}/{len(body)}", "x-part-from": "yes"}
            return Answer(206, headers, body, cut)
        return Answer(200, headers, body, cut)

    return answer


class ConnectProxy:
    """A proxy that takes `CONNECT`; with `instead`, every name leads to that port of this machine."""

    def __init__(self, *, instead: int | None = None) -> None:
        self.asked: list[str] = []
        self._instead = instead
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self.authorizations: list[str] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def stop(self) -> None:
        self._listening.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                threading.Thread(target=self._tunnel, args=(client,), daemon=True).start()

    def _tunnel(self, client: socket.socket) -> None:
        said = b""
        while b"\r\n\r\n" not in said:
            said += client.recv(4096)
        first, *headers = said.decode().split("\r\n")
        target = first.split()[1]
        self.asked.append(target)
        self.authorizations += [line for line in headers if line.lower().startswith("proxy-authorization:")]
        server = socket.create_connection(("127.0.0.1", self._instead or int(target.rpartition(":")[2])))
        client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        for one, other in ((client, server), (server, client)):
            threading.Thread(target=_pump, args=(one, other), daemon=True).start()


def _pump(one: socket.socket, other: socket.socket) -> None:
    with suppress(OSError):
        while chunk := one.recv(65536):
            other.sendall(chunk)
    with suppress(OSError):
        other.shutdown(socket.SHUT_RDWR)


def certificate_for(folder: Path, *names: str) -> tuple[Path, Path]:
    """A self-signed certificate for these names and 127.0.0.1, and its key; the certificate is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "bundle host")])
    alternatives = [*map(x509.DNSName, names), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "host.pem", folder / "host.key"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths
