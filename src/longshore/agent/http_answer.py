"""One HTTP/1.1 answer, read whole or piece by piece: what an agent needs of HTTP.

Small and its own: `http.client` and the mail parser it reads headers with would be a tenth of the idle poller's memory,
and ten milliseconds of every deployment's worker.
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
        version, status, _, headers = _head(stream)
        body, has_end = _body(stream, status, headers, at_most)
    asked = headers.get("connection", "").lower()
    stays = "close" not in asked if version == b"HTTP/1.1" else "keep-alive" in asked
    return Answer(status, headers, body, is_kept=has_end and stays)


class Incoming:
    """An answer to a GET whose body is read as it comes; raises BadAnswerError and OSError."""

    def __init__(self, connection: socket.socket) -> None:
        """Wait for its head."""
        self._stream = connection.makefile("rb")
        try:
            self._begin()
        except BaseException:
            # The connection stays open as long as its stream does.
            self._stream.close()
            raise

    def _begin(self) -> None:
        _, self.status, self.reason, self.headers = _head(self._stream)
        coding = self.headers.get("transfer-encoding", "").lower()
        if coding not in ("", "chunked"):
            raise BadAnswerError(f"its transfer encoding is {coding[:40]!r}")
        self._is_chunked = bool(coding)
        #: Bytes that are to come; None: not said.
        self.length: int | None = None
        if self.status in (101, 204, 304):
            self.length = 0
        elif not self._is_chunked and (said := self.headers.get("content-length")) is not None:
            self.length = _length(said)
        #: Of the chunk that is being read; None: the next one's size comes first.
        self._chunk: int | None = None

    def readinto(self, buffer: memoryview) -> int:
        """Some of what comes next; 0 at the end, and where the connection was cut: compare with `length`."""
        if self._is_chunked:
            return self._of_chunk(buffer)
        size = self._stream.readinto1(buffer if self.length is None else buffer[: self.length])
        if self.length is not None:
            self.length -= size
        return size

    def read(self, at_most: int) -> bytes:
        """The beginning of it."""
        body = bytearray()
        buffer = memoryview(bytearray(at_most))
        while len(body) < at_most and (size := self.readinto(buffer[: at_most - len(body)])):
            body += buffer[:size]
        return bytes(body)

    def close(self) -> None:
        self._stream.close()

    def _of_chunk(self, buffer: memoryview) -> int:
        if self._chunk is None:
            self._chunk = _chunk_size(_next(self._stream))
            if self._chunk == 0:
                _headers(self._stream)
        if self._chunk == 0:
            return 0
        size = self._stream.readinto1(buffer[: self._chunk])
        if not size:
            raise BadAnswerError("it was cut off")
        self._chunk -= size
        if self._chunk == 0:
            if _next(self._stream):
                raise BadAnswerError("a chunk is longer than it says")
            self._chunk = None
        return size


def _head(stream: io.BufferedReader) -> tuple[bytes, int, str, dict[str, str]]:
    """Version, status, reason and headers of the answer itself, whatever was announced before it."""
    while True:
        version, status, reason = _status(_line(stream))
        headers = _headers(stream)
        if status >= 200 or status == 101:
            return version, status, reason, headers


def _line(stream: io.BufferedReader) -> bytes:
    line = stream.readline(_MAX_HEAD)
    if not line:
        raise NoAnswerError("the connection was closed")
    if not line.endswith(b"\n"):
        raise BadAnswerError("a line of it is too long or cut off")
    return line.rstrip(b"\r\n")


def _status(line: bytes) -> tuple[bytes, int, str]:
    version, _, rest = line.partition(b" ")
    code = rest[:3]
    if version not in (b"HTTP/1.1", b"HTTP/1.0") or not code.isdigit() or len(code) < 3 or rest[3:4] not in (b"", b" "):
        raise BadAnswerError(f"it begins with {line[:40]!r}")
    return version, int(code), rest[4:].decode("latin-1").strip()


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
    size = _length(length)
    _require_size(size, at_most)
    return _exactly(stream, size), True


def _length(said: str) -> int:
    if not (said.isascii() and said.isdigit() and len(said) <= 19):
        raise BadAnswerError(f"its length is {said[:40]!r}")
    return int(said)


def _chunks(stream: io.BufferedReader, at_most: int) -> bytes:
    body = bytearray()
    while True:
        size = _chunk_size(_next(stream))
        if size == 0:
            _headers(stream)
            return bytes(body)
        _require_size(len(body) + size, at_most)
        body += _exactly(stream, size)
        if _next(stream):
            raise BadAnswerError("a chunk is longer than it says")


def _chunk_size(line: bytes) -> int:
    said = line.partition(b";")[0].strip()
    if not said or said.strip(b"0123456789abcdefABCDEF") or len(said) > 16:
        raise BadAnswerError(f"a chunk's size is {said[:40]!r}")
    return int(said, 16)


def _exactly(stream: io.BufferedReader, size: int) -> bytes:
    body = stream.read(size)
    if len(body) < size:
        raise BadAnswerError("it was cut off")
    return body


def _require_size(size: int, at_most: int) -> None:
    if size > at_most:
        raise BadAnswerError(f"it is larger than {at_most} bytes")
