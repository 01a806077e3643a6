"""One HTTP/1.1 answer, read whole: what the poller needs of HTTP.

Small and its own: `http.client` and the mail parser it reads headers with would be a tenth of the idle poller's memory.
"""

from __future__ import annotations

import io
import socket
from typing import NamedTuple

#: Bytes of the answer's head, and of a line of it.
_MAX_HEAD = 64 * 1024


class BadAnswerError(Exception):
    """What came is no HTTP answer, or only half of one."""


class NoAnswerError(BadAnswerError):
    """The connection was closed before an answer began."""


class Answer(NamedTuple):
    """What came back."""

    status: int
    #: By lower-case name; several of one name are joined with a comma.
    headers: dict[str, str]
    body: bytes
    #: Whether another request may follow on the connection.
    is_kept: bool


def read(connection: socket.socket, *, at_most: int) -> Answer:
    """The answer to a POST, with a body of so many bytes `at_most`; raises BadAnswerError and OSError."""
    # Nothing follows an answer before the next request, so nothing is lost in the buffer.
    with connection.makefile("rb") as stream:
        while True:
            version, status = _status(_line(stream))
            headers = _headers(stream)
            if status >= 200 or status == 101:
                break
        body, has_end = _body(stream, status, headers, at_most)
    asked = headers.get("connection", "").lower()
    stays = "close" not in asked if version == b"HTTP/1.1" else "keep-alive" in asked
    return Answer(status, headers, body, is_kept=has_end and stays)


def _line(stream: io.BufferedReader) -> bytes:
    line = stream.readline(_MAX_HEAD)
    if not line:
        raise NoAnswerError("the connection was closed")
    if not line.endswith(b"\n"):
        raise BadAnswerError("a line of it is too long or cut off")
    return line.rstrip(b"\r\n")


def _status(line: bytes) -> tuple[bytes, int]:
    version, _, rest = line.partition(b" ")
    code = rest[:3]
    if version not in (b"HTTP/1.1", b"HTTP/1.0") or not code.isdigit() or len(code) < 3 or rest[3:4] not in (b"", b" "):
        raise BadAnswerError(f"it begins with {line[:40]!r}")
    return version, int(code)


def _headers(stream: io.BufferedReader) -> dict[str, str]:
    headers: dict[str, str] = {}
    size = 0
    while line := _next(stream):
        size += len(line)
        name, colon, value = line.decode("latin-1").partition(":")
        if size > _MAX_HEAD or not colon or name != name.strip() or not name:
            raise BadAnswerError(f"a header is {line[:40]!r}")
        key, text = name.lower(), value.strip()
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return headers


def _next(stream: io.BufferedReader) -> bytes:
    try:
        return _line(stream)
    except NoAnswerError:
        raise BadAnswerError("it was cut off") from None


def _body(stream: io.BufferedReader, status: int, headers: dict[str, str], at_most: int) -> tuple[bytes, bool]:
    """The body, and whether its end could be told from the connection's."""
    coding = headers.get("transfer-encoding", "").lower()
    if status in (101, 204, 304):
        return b"", status != 101
    if coding:
        if coding != "chunked":
            raise BadAnswerError(f"its transfer encoding is {coding[:40]!r}")
        return _chunks(stream, at_most), True
    length = headers.get("content-length")
    if length is None:
        body = stream.read(at_most + 1)
        _require_size(len(body), at_most)
        return body, False
    if not (length.isascii() and length.isdigit()):
        raise BadAnswerError(f"its length is {length[:40]!r}")
    _require_size(int(length), at_most)
    return _exactly(stream, int(length)), True


def _chunks(stream: io.BufferedReader, at_most: int) -> bytes:
    body = bytearray()
    while True:
        said = _next(stream).partition(b";")[0].strip()
        if not said or said.strip(b"0123456789abcdefABCDEF") or len(said) > 16:
            raise BadAnswerError(f"a chunk's size is {said[:40]!r}")
        size = int(said, 16)
        if size == 0:
            _headers(stream)
            return bytes(body)
        _require_size(len(body) + size, at_most)
        body += _exactly(stream, size)
        if _next(stream):
            raise BadAnswerError("a chunk is longer than it says")


def _exactly(stream: io.BufferedReader, size: int) -> bytes:
    body = stream.read(size)
    if len(body) < size:
        raise BadAnswerError("it was cut off")
    return body


def _require_size(size: int, at_most: int) -> None:
    if size > at_most:
        raise BadAnswerError(f"it is larger than {at_most} bytes")
