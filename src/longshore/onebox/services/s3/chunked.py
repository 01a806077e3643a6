"""Undoing `Content-Encoding: aws-chunked`: chunks that may each be signed, then trailers.

    <hex size>[;chunk-signature=<hex>]CRLF <data> CRLF  …  0[;chunk-signature=<hex>]CRLF  trailers  CRLF

https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html and …/sigv4-streaming-trailers.html
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from enum import Enum, auto

from longshore.auth.keyring import SigningKey
from longshore.auth.sigv4 import TERMINATOR, Claim
from longshore.onebox.services.s3.errors import S3Error

_LONGEST_LINE = 4096
_MOST_TRAILERS = 32
_NO_BYTES = hashlib.sha256(b"").hexdigest()


class ChunkSigner:
    """Checks that each chunk was signed by who signed the request, and stands where it stood."""

    def __init__(self, claim: Claim, signing_key: SigningKey) -> None:
        self._key = signing_key
        self._when = f"{claim.timestamp}\n{claim.date}/{claim.region}/{claim.service}/{TERMINATOR}"
        self._previous = claim.signature

    def check_chunk(self, digest: str, signature: str) -> None:
        """Raises SignatureDoesNotMatch."""
        self._check(f"AWS4-HMAC-SHA256-PAYLOAD\n{self._when}\n{self._previous}\n{_NO_BYTES}\n{digest}", signature)

    def check_trailers(self, trailers: str, signature: str) -> None:
        """Raises SignatureDoesNotMatch."""
        digest = hashlib.sha256(trailers.encode("latin-1")).hexdigest()
        self._check(f"AWS4-HMAC-SHA256-TRAILER\n{self._when}\n{self._previous}\n{digest}", signature)

    def _check(self, to_sign: str, signature: str) -> None:
        expected = self._key.sign(to_sign.encode("latin-1"))
        if not hmac.compare_digest(expected.encode(), signature.encode("latin-1")):
            raise S3Error("SignatureDoesNotMatch")
        self._previous = expected


class _Expecting(Enum):
    SIZE = auto()
    DATA = auto()
    END_OF_DATA = auto()
    TRAILER = auto()
    NOTHING = auto()


class ChunkedDecoder:
    """Takes the body in pieces of any size and gives the data in it. Holds at most one line back."""

    def __init__(self, signer: ChunkSigner | None, *, has_trailers: bool) -> None:
        self._signer = signer
        self._has_trailers = has_trailers
        self._expecting = _Expecting.SIZE
        self._line = bytearray()
        self._left = 0
        self._digest = hashlib.sha256()
        self._signature = ""
        #: By lower-case name; complete once `finish` has returned.
        self.trailers: dict[str, str] = {}

    def feed(self, body: bytes) -> Iterator[memoryview]:
        """The data in the next piece of the body. Raises S3Error at the first chunk that is malformed or forged."""
        view = memoryview(body)
        position = 0
        while position < len(view):
            if self._expecting is _Expecting.DATA:
                data = view[position : position + self._left]
                position += len(data)
                self._left -= len(data)
                if self._signer:
                    self._digest.update(data)
                if not self._left:
                    self._expecting = _Expecting.END_OF_DATA
                yield data
                continue
            end = body.find(b"\n", position) + 1 or len(body)
            self._line += view[position:end]
            position = end
            if len(self._line) > _LONGEST_LINE:
                raise _malformed("a line is too long")
            if self._line.endswith(b"\n"):
                line = self._line.decode("latin-1").rstrip("\r\n")
                self._line.clear()
                self._take(line)

    def finish(self) -> None:
        """The body has ended. Raises IncompleteBody when the last chunk has not come."""
        if self._expecting is not _Expecting.NOTHING:
            raise S3Error("IncompleteBody", "The request body ended before its last chunk.")

    def _take(self, line: str) -> None:
        match self._expecting:
            case _Expecting.SIZE:
                self._start_chunk(line)
            case _Expecting.END_OF_DATA:
                if line:
                    raise _malformed("a chunk is longer than it says")
                self._end_chunk()
                self._expecting = _Expecting.SIZE
            case _Expecting.TRAILER:
                self._take_trailer(line)
            case _:
                raise _malformed("there is more after the last chunk")

    def _start_chunk(self, line: str) -> None:
        size, _, extension = line.partition(";")
        name, _, self._signature = extension.partition("=")
        if self._signer and name != "chunk-signature":
            raise _malformed("a chunk is not signed")
        try:
            # int() would also take a sign, white space and underscores.
            self._left = int(size, 16) if size.isalnum() else -1
        except ValueError:
            self._left = -1
        if self._left < 0:
            raise _malformed("a chunk has no size")
        if self._left:
            self._expecting = _Expecting.DATA
        else:
            self._end_chunk()
            self._expecting = _Expecting.TRAILER

    def _end_chunk(self) -> None:
        if self._signer:
            self._signer.check_chunk(self._digest.hexdigest(), self._signature)
            self._digest = hashlib.sha256()

    def _take_trailer(self, line: str) -> None:
        if not line:
            self._end_trailers()
            return
        name, colon, value = line.partition(":")
        name = name.strip().lower()
        if not colon or not self._has_trailers or name in self.trailers or len(self.trailers) >= _MOST_TRAILERS:
            raise S3Error("MalformedTrailerError")
        self.trailers[name] = value.strip()

    def _end_trailers(self) -> None:
        signature = self.trailers.pop("x-amz-trailer-signature", "")
        if self._signer and self._has_trailers:
            signed = "".join(f"{name}:{value}\n" for name, value in sorted(self.trailers.items()))
            self._signer.check_trailers(signed, signature)
        self._expecting = _Expecting.NOTHING


def _malformed(why: str) -> S3Error:
    return S3Error("InvalidRequest", f"The aws-chunked request body is malformed: {why}.")
