"""What a store of objects speaks of.

StoreRefusal
├── StoreInUse         another process has this root open
├── NoSuchBucket
├── BucketExists
├── BucketNotEmpty
├── NoSuchKey          nothing under the key, or a delete marker on top
├── NoSuchVersion
├── NotAnObject        the version asked for is a delete marker
├── NoSuchUpload
└── InvalidPart        a part to complete with was never uploaded, or is another
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class StoreRefusal(Exception):  # noqa: N818, its subclasses carry S3's own names
    """Something asked of the store cannot be done; nothing was changed."""


class StoreInUse(StoreRefusal):
    """Another process has this root open."""


class NoSuchBucket(StoreRefusal):
    """There is no such bucket."""


class BucketExists(StoreRefusal):
    """The name is taken; the bucket that has it is in `bucket`."""

    def __init__(self, bucket: StoredBucket) -> None:
        super().__init__(bucket.name)
        self.bucket = bucket


class BucketNotEmpty(StoreRefusal):
    """The bucket still holds objects, old versions or delete markers."""


class NoSuchKey(StoreRefusal):
    """Nothing is stored under the key; `marker` is the delete marker that hides it, if one does."""

    def __init__(self, key: str, marker: StoredObject | None = None) -> None:
        super().__init__(key)
        self.marker = marker


class NoSuchVersion(StoreRefusal):
    """The key has no such version."""


class NotAnObject(StoreRefusal):
    """The version asked for is a delete marker, `marker`."""

    def __init__(self, marker: StoredObject) -> None:
        super().__init__(marker.key)
        self.marker = marker


class NoSuchUpload(StoreRefusal):
    """The multipart upload never was, or was completed or aborted."""


class InvalidPart(StoreRefusal):
    """A part named in a completion was never uploaded, or its ETag is another's."""


class Versioning(StrEnum):
    """What a bucket does with an object that is overwritten or deleted."""

    #: It is gone. The state of a new bucket, and not to be returned to.
    NEVER = ""
    #: It is kept as an older version.
    ENABLED = "Enabled"
    #: Older versions are kept; new objects share the version ``null``.
    SUSPENDED = "Suspended"


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredBucket:
    """A bucket; its name is unique over all accounts."""

    name: str
    account: str
    region: str
    #: Epoch seconds.
    created_at: float
    versioning: Versioning


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredChecksum:
    """A checksum as the client sees it, kept and given back, not understood here."""

    #: S3's name: CRC32, CRC32C, CRC64NVME, SHA1 or SHA256.
    algorithm: str
    #: Base 64; ``…-N`` when made of the checksums of N parts. "" for an upload, which has none yet.
    value: str
    #: FULL_OBJECT or COMPOSITE.
    kind: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Description:
    """What a client says of an object beside its bytes."""

    #: Content-Type, Cache-Control and the like, by lower-case name.
    headers: Mapping[str, str] = field(default_factory=dict)
    #: User metadata, by name without ``x-amz-meta-``.
    metadata: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredObject:
    """One version of an object, or a delete marker."""

    #: Grows with time; orders the versions of a key.
    id: int
    bucket: str
    key: str
    #: ``null`` where the bucket was not versioned.
    version_id: str
    is_latest: bool
    is_marker: bool
    size: int
    #: Without quotes.
    etag: str
    #: Epoch seconds.
    modified_at: float
    checksum: StoredChecksum | None
    #: How many parts it was uploaded in; 0 for one put.
    parts: int
    description: Description


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredPart:
    """One part of a multipart upload, or of the object it became."""

    number: int
    size: int
    #: Without quotes.
    etag: str
    #: Of the upload's algorithm, in base 64; None when the upload has none.
    checksum: str | None
    modified_at: float
    #: The name of its content file.
    content: str


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredUpload:
    """A multipart upload under way."""

    id: str
    bucket: str
    key: str
    #: Epoch seconds.
    started_at: float
    #: The algorithm its parts are checked with, if any.
    checksum: StoredChecksum | None
    description: Description
