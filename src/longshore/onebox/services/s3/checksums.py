"""The checksums S3 clients send: which there are, how to take one, how those of parts make that of the whole."""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from longshore.onebox.machinery.objects import StoredChecksum, StoredPart
from longshore.onebox.services.s3.crc import CRC32, CRC32C, CRC64NVME, Crc, Polynomial, joined
from longshore.onebox.services.s3.errors import S3Error

FULL_OBJECT = "FULL_OBJECT"
COMPOSITE = "COMPOSITE"


class Running(Protocol):
    """A checksum being taken."""

    def update(self, data: bytes | memoryview, /) -> None:
        """Take `data` in."""

    def digest(self) -> bytes:
        """The checksum so far."""


class _ZlibCrc32:
    """The one CRC the standard library has."""

    def __init__(self) -> None:
        self._state = 0

    def update(self, data: bytes | memoryview, /) -> None:
        self._state = zlib.crc32(data, self._state)

    def digest(self) -> bytes:
        return self._state.to_bytes(4, "big")


@dataclass(frozen=True, kw_only=True, slots=True)
class Algorithm:
    """One of S3's checksum algorithms."""

    #: As in ``x-amz-checksum-algorithm``.
    name: str
    begin: Callable[[], Running]
    #: Bytes of a checksum.
    size: int
    #: The CRC it is, for the CRCs: those of parts can be joined.
    polynomial: Polynomial | None
    #: What a multipart upload uses when it does not say.
    default_kind: str
    #: What a multipart upload may use.
    kinds: frozenset[str]

    @property
    def header(self) -> str:
        """The header a value travels in."""
        return f"x-amz-checksum-{self.name.lower()}"

    @property
    def element(self) -> str:
        """The XML element a value travels in."""
        return f"Checksum{self.name}"


def _sha1() -> Running:
    return hashlib.sha1(usedforsecurity=False)


_BOTH = frozenset({FULL_OBJECT, COMPOSITE})
ALGORITHMS = {
    algorithm.name: algorithm
    for algorithm in (
        Algorithm(name="CRC32", begin=_ZlibCrc32, size=4, polynomial=CRC32, default_kind=COMPOSITE, kinds=_BOTH),
        Algorithm(
            name="CRC32C",
            begin=lambda: Crc(CRC32C),
            size=4,
            polynomial=CRC32C,
            default_kind=COMPOSITE,
            kinds=_BOTH,
        ),
        Algorithm(
            name="CRC64NVME",
            begin=lambda: Crc(CRC64NVME),
            size=8,
            polynomial=CRC64NVME,
            default_kind=FULL_OBJECT,
            kinds=frozenset({FULL_OBJECT}),
        ),
        Algorithm(
            name="SHA1",
            begin=_sha1,
            size=20,
            polynomial=None,
            default_kind=COMPOSITE,
            kinds=frozenset({COMPOSITE}),
        ),
        Algorithm(
            name="SHA256",
            begin=hashlib.sha256,
            size=32,
            polynomial=None,
            default_kind=COMPOSITE,
            kinds=frozenset({COMPOSITE}),
        ),
    )
}
BY_HEADER = {algorithm.header: algorithm for algorithm in ALGORITHMS.values()}


def algorithm_named(name: str) -> Algorithm:
    """The algorithm of this name, in whatever case. Raises InvalidRequest."""
    algorithm = ALGORITHMS.get(name.upper())
    if algorithm is None:
        raise S3Error("InvalidRequest", f"Checksum algorithm provided is unsupported: {name}.")
    return algorithm


def checked_value(algorithm: Algorithm, value: str) -> str:
    """`value` as given by a client. Raises InvalidRequest unless it can be one of this algorithm's."""
    try:
        decoded = base64.b64decode(value, validate=True)
    except ValueError:
        decoded = b""
    if len(decoded) != algorithm.size:
        raise S3Error("InvalidRequest", f"Value for {algorithm.header} header is invalid.")
    return value


def encoded(digest: bytes) -> str:
    """A digest as it travels."""
    return base64.b64encode(digest).decode()


def checksum_of_parts(wanted: StoredChecksum, parts: Sequence[StoredPart]) -> StoredChecksum:
    """The checksum of an object made of `parts`, of the algorithm and kind in `wanted`."""
    algorithm = ALGORITHMS[wanted.algorithm]
    digests = [base64.b64decode(part.checksum or "") for part in parts]
    if wanted.kind == COMPOSITE:
        whole = algorithm.begin()
        whole.update(b"".join(digests))
        value = f"{encoded(whole.digest())}-{len(parts)}"
    else:
        assert algorithm.polynomial is not None, "only CRCs have the kind FULL_OBJECT"
        total = digests[0]
        for part, digest in zip(parts[1:], digests[1:], strict=True):
            total = joined(algorithm.polynomial, total, digest, part.size)
        value = encoded(total)
    return StoredChecksum(algorithm=algorithm.name, value=value, kind=wanted.kind)
