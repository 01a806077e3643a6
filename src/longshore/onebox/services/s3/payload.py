"""A request's body on its way in: unwrapped, counted, and held against everything the client said of it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from longshore.auth import sigv4
from longshore.onebox.services.s3 import checksums
from longshore.onebox.services.s3.call import Answer, Call
from longshore.onebox.services.s3.checksums import Algorithm
from longshore.onebox.services.s3.chunked import ChunkedDecoder, ChunkSigner
from longshore.onebox.services.s3.errors import S3Error

#: Bytes a document in a request may have: a thousand keys of a kilobyte, each character escaped.
MAX_DOCUMENT = 8 * 2**20

_HEX_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Received:
    """A body that is what the client said it would be."""

    size: int
    #: Hexadecimal.
    md5: str
    algorithm: Algorithm | None
    #: Of that algorithm, in base 64; None without one.
    checksum: str | None


class Payload:
    """Checks a body while passing its data on to `write`."""

    def __init__(
        self,
        call: Call,
        write: Callable[[memoryview], None],
        *,
        algorithm: Algorithm | None = None,
        checksum_is_of_body: bool = True,
    ) -> None:
        """`algorithm` is the checksum to take when the client sends none. Raises S3Error for contradictions.

        Where `checksum_is_of_body` is false the checksum in the headers is another thing's, and not looked at.
        """
        self._write = write
        self._size = 0
        self._expected_size = _expected_size(call)
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._expected_md5 = _expected_md5(call)
        self._expected_sha256, self._chunks = _framing(call)
        self._sha256 = hashlib.sha256() if self._expected_sha256 else None
        self._trailer: str | None = None
        self._expected_checksum: str | None = None
        asked: Algorithm | None = None
        if checksum_is_of_body:
            self._trailer, asked, self._expected_checksum = _expected_checksum(call, self._chunks is not None)
        if algorithm and asked and asked is not algorithm:
            raise S3Error(
                "InvalidRequest",
                f"Checksum Type mismatch occurred, expected checksum Type: {algorithm.name.lower()}, "
                f"actual checksum Type: {asked.name.lower()}",
            )
        self._algorithm = asked or algorithm
        self._checksum = self._algorithm.begin() if self._algorithm else None

    @property
    def expected_size(self) -> int | None:
        """What the client said the size of the data is."""
        return self._expected_size

    def feed(self, body: bytes) -> None:
        """Take the next bytes from the wire. Raises S3Error, or OSError when the disk is full."""
        pieces: Iterable[memoryview] = self._chunks.feed(body) if self._chunks else (memoryview(body),)
        for data in pieces:
            self._size += len(data)
            if self._expected_size is not None and self._size > self._expected_size:
                raise S3Error("IncompleteBody", "The request body is longer than it was said to be.")
            self._md5.update(data)
            if self._sha256:
                self._sha256.update(data)
            if self._checksum:
                self._checksum.update(data)
            self._write(data)

    def finish(self) -> Received:
        """The body has ended. Raises IncompleteBody, BadDigest or XAmzContentSHA256Mismatch."""
        if self._chunks:
            self._chunks.finish()
        if self._expected_size is not None and self._size != self._expected_size:
            raise S3Error("IncompleteBody")
        if self._sha256 and self._sha256.hexdigest() != self._expected_sha256:
            raise S3Error(
                "XAmzContentSHA256Mismatch",
                details={
                    "ClientComputedContentSHA256": self._expected_sha256 or "",
                    "S3ComputedContentSHA256": self._sha256.hexdigest(),
                },
            )
        if self._expected_md5 and not hmac.compare_digest(self._md5.digest(), self._expected_md5):
            raise S3Error("BadDigest")
        return Received(
            size=self._size, md5=self._md5.hexdigest(), algorithm=self._algorithm, checksum=self._checked_checksum()
        )

    def _checked_checksum(self) -> str | None:
        if self._checksum is None or self._algorithm is None:
            return None
        expected = self._expected_checksum
        if self._trailer and self._chunks:
            sent = self._chunks.trailers.get(self._trailer)
            if sent is None:
                raise S3Error("MalformedTrailerError", f"The trailer {self._trailer} was announced and did not come.")
            expected = checksums.checked_value(self._algorithm, sent)
        value = checksums.encoded(self._checksum.digest())
        if expected not in (None, value):
            raise S3Error(
                "BadDigest", f"The {self._algorithm.name} you specified did not match the calculated checksum."
            )
        return value


class Document:
    """Receives a small body whole, then runs an operation."""

    def __init__(self, call: Call, operation: Callable[[Call], Answer], *, checksum_is_of_body: bool = True) -> None:
        self._call = call
        self._operation = operation
        self._body = bytearray()
        self._payload = Payload(call, self._keep, checksum_is_of_body=checksum_is_of_body)

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        self._payload.feed(data)

    def finish(self) -> Answer:
        """Run the operation with the body."""
        self._payload.finish()
        return self._operation(replace(self._call, body=bytes(self._body)))

    def abandon(self) -> None:
        """There is nothing to undo."""

    def _keep(self, data: memoryview) -> None:
        if len(self._body) + len(data) > MAX_DOCUMENT:
            raise S3Error("MalformedXML", f"A document may have {MAX_DOCUMENT} bytes at most.")
        self._body += data


def _expected_size(call: Call) -> int | None:
    text = call.headers.get("x-amz-decoded-content-length") or call.headers.get("content-length")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise S3Error("InvalidArgument", f"'{text}' is no length of a body.")
    return int(text)


def _expected_md5(call: Call) -> bytes | None:
    text = call.headers.get("content-md5")
    if text is None:
        return None
    try:
        digest = base64.b64decode(text, validate=True)
    except binascii.Error:
        digest = b""
    if len(digest) != 16:
        raise S3Error("InvalidDigest")
    return digest


def _framing(call: Call) -> tuple[str | None, ChunkedDecoder | None]:
    """The SHA-256 the body was signed with, and how to take it apart when it comes in chunks."""
    payload = call.payload
    if _HEX_SHA256.fullmatch(payload):
        return payload, None
    match payload:
        case sigv4.UNSIGNED_PAYLOAD:
            return None, None
        case "STREAMING-UNSIGNED-PAYLOAD-TRAILER":
            return None, ChunkedDecoder(None, has_trailers=True)
        case "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" | "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER" if call.sequence:
            signer = ChunkSigner(*call.sequence)
            return None, ChunkedDecoder(signer, has_trailers=payload.endswith("-TRAILER"))
    raise S3Error(
        "InvalidArgument",
        "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, "
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER or a valid sha256 value.",
        details={"ArgumentName": "x-amz-content-sha256", "ArgumentValue": payload},
    )


def _expected_checksum(call: Call, is_chunked: bool) -> tuple[str | None, Algorithm | None, str | None]:
    """The trailer to wait for, the algorithm, and the value where it came in a header."""
    named = [algorithm for header, algorithm in checksums.BY_HEADER.items() if header in call.headers]
    trailer = call.headers.get("x-amz-trailer", "").strip().lower() or None
    if trailer is not None:
        algorithm = checksums.BY_HEADER.get(trailer)
        if algorithm is None or not is_chunked:
            raise S3Error(
                "InvalidRequest", f"The value specified in the x-amz-trailer header is not supported: {trailer}"
            )
        if named:
            raise S3Error("InvalidRequest", "Expecting a single x-amz-checksum- header")
        return trailer, algorithm, None
    if len(named) > 1:
        raise S3Error("InvalidRequest", "Expecting a single x-amz-checksum- header")
    if named:
        return None, named[0], checksums.checked_value(named[0], call.headers[named[0].header])
    if "x-amz-sdk-checksum-algorithm" in call.headers:
        raise S3Error(
            "InvalidRequest",
            "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers "
            "were found.",
        )
    return None, None, None
