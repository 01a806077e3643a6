"""Answers are read as the standard library reads them, and what is none is refused."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.agent import http_answer
from longshore.agent.http_answer import Answer, BadAnswerError, Incoming, NoAnswerError


def send(connection: socket.socket, sent: bytes) -> None:
    with contextlib.suppress(OSError):  # whoever has read enough hangs up
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)


def read(sent: bytes, *, at_most: int = 100_000) -> Answer:
    """What is read of these bytes, after which the connection is closed."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.settimeout(5)
        sender = threading.Thread(target=send, args=(ours, sent))
        sender.start()
        try:
            return http_answer.read(theirs, at_most=at_most)
        finally:
            theirs.close()
            sender.join()


def read_in_pieces(sent: bytes, piece: int) -> tuple[int, bytes]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.settimeout(5)
        sender = threading.Thread(target=send, args=(ours, sent))
        sender.start()
        try:
            with contextlib.closing(Incoming(theirs)) as incoming:
                body, buffer = bytearray(), memoryview(bytearray(piece))
                while size := incoming.readinto(buffer):
                    body += buffer[:size]
                return incoming.status, bytes(body)
        finally:
            theirs.close()
            sender.join()


def as_the_library_reads(sent: bytes) -> tuple[int, bytes, bool]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(sent)
        ours.shutdown(socket.SHUT_WR)
        response = http.client.HTTPResponse(theirs, method="POST")
        response.begin()
        body = response.read()
        return response.status, body, not response.will_close


def chunked(body: bytes, sizes: list[int]) -> bytes:
    out = b""
    for size in sizes:
        part, body = body[:size], body[size:]
        out += b"%x;name=value\r\n%s\r\n" % (len(part), part) if part else b""
    return out + (b"%X\r\n%s\r\n" % (len(body), body) if body else b"") + b"0\r\nTrailer: 1\r\n\r\n"


TOKEN = st.text("abcXYZ-", min_size=1, max_size=12)
VALUE = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=30)
RESERVED = {"content-length", "transfer-encoding", "connection", "keep-alive", "proxy-connection"}
HEADERS = st.lists(st.tuples(TOKEN.filter(lambda name: name.lower() not in RESERVED), VALUE), max_size=5)


@given(
    st.sampled_from([200, 201, 400, 404, 429, 500, 503]),
    st.sampled_from([b"HTTP/1.1", b"HTTP/1.0"]),
    HEADERS,
    st.binary(max_size=3000),
    st.sampled_from(["length", "chunks", "end"]),
    st.sampled_from([None, "close", "keep-alive", "Keep-Alive"]),
    st.lists(st.integers(1, 900), max_size=5),
    st.integers(1, 4000),
    st.sampled_from([b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"]),
)
def test_an_answer_is_read_as_the_standard_library_reads_it(
    status: int, version: bytes, headers: list[tuple[str, str]], body: bytes, how: str, connection: str | None,
    sizes: list[int], piece: int, before: bytes,
) -> None:  # fmt: skip
    if how == "chunks" and version == b"HTTP/1.0":
        how = "length"
    head = b"".join(f"{name}: {value}\r\n".encode() for name, value in headers)
    if connection is not None:
        head += f"Connection: {connection}\r\n".encode()
    if how == "length":
        head += b"Content-Length: %d\r\n" % len(body)
    if how == "chunks":
        head += b"Transfer-Encoding: chunked\r\n"
    sent = version + b" %d Reason given\r\n" % status + head + b"\r\n"
    sent += chunked(body, sizes) if how == "chunks" else body
    answer = read(before + sent)
    # The library takes every answer below 200 but 100 for the last one.
    wanted = as_the_library_reads(sent)
    assert (answer.status, answer.body, answer.is_kept) == wanted
    assert read_in_pieces(before + sent, piece) == wanted[:2]
    assert set(answer.headers) >= {name.lower() for name, _ in headers}


@given(st.binary(max_size=300))
def test_what_is_no_answer_is_refused_and_nothing_else_happens(sent: bytes) -> None:
    with pytest.raises(BadAnswerError):
        read(sent)


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort", "cut off"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n", "its length is '-1'"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5, 5\r\n\r\nhello", "its length is '5, 5'"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 100001\r\n\r\n", "larger than"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 100_001, "larger than"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffff\r\n", "larger than"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n-5\r\nhello\r\n", "a chunk's size"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhello\r\n", "longer than it says"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n", "its transfer encoding is 'gzip'"),
        (b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "a header is"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000, "too long"),
        (b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 40_000 + b"\r\n", "a header is"),
        (b"HTTP/1.1 2000\r\n\r\n", "it begins with"),
        (b"SSH-2.0-OpenSSH\r\n", "it begins with"),
        (b"HTTP/1.1 200 OK\r\n", "cut off"),
    ],
)
def test_half_and_hostile_answers_are_named(sent: bytes, said: str) -> None:
    with pytest.raises(BadAnswerError, match=said):
        read(sent)
    # How much there may be, and whether all of it came, is for whoever reads in pieces to say.
    if said != "larger than" and b"content-length: 10" not in sent:
        with pytest.raises(BadAnswerError, match=said):
            read_in_pieces(sent, 100)


def test_a_connection_that_was_closed_gave_no_answer() -> None:
    with pytest.raises(NoAnswerError):
        read(b"")
