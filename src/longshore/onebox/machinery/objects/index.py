"""The rows: which buckets, objects, versions and uploads there are, and which files they are made of."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from longshore.onebox.machinery.objects.values import (
    Description,
    StoredBucket,
    StoredChecksum,
    StoredObject,
    StoredPart,
    StoredUpload,
    Versioning,
)

# Keys are blobs: SQLite then compares them byte by byte, which is S3's order, and a NUL in one is nothing special.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS sequence (value INTEGER NOT NULL);
INSERT INTO sequence SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM sequence);
CREATE TABLE IF NOT EXISTS buckets (
    name TEXT PRIMARY KEY,
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    created_at REAL NOT NULL,
    versioning TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS objects (
    id INTEGER PRIMARY KEY,
    bucket TEXT NOT NULL REFERENCES buckets (name),
    key BLOB NOT NULL,
    version_id TEXT NOT NULL,
    is_latest INTEGER NOT NULL,
    is_marker INTEGER NOT NULL,
    size INTEGER NOT NULL,
    etag TEXT NOT NULL,
    modified_at REAL NOT NULL,
    checksum TEXT,
    parts INTEGER NOT NULL,
    description TEXT NOT NULL,
    UNIQUE (bucket, key, version_id)
);
CREATE INDEX IF NOT EXISTS versions_of_a_key ON objects (bucket, key, id DESC);
CREATE UNIQUE INDEX IF NOT EXISTS latest_of_a_key ON objects (bucket, key) WHERE is_latest = 1;
CREATE INDEX IF NOT EXISTS current_objects ON objects (bucket, key) WHERE is_latest = 1 AND is_marker = 0;
CREATE TABLE IF NOT EXISTS uploads (
    id TEXT PRIMARY KEY,
    bucket TEXT NOT NULL REFERENCES buckets (name),
    key BLOB NOT NULL,
    started_at REAL NOT NULL,
    checksum TEXT,
    description TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS uploads_of_a_bucket ON uploads (bucket, key, id);
CREATE TABLE IF NOT EXISTS pieces (
    content TEXT PRIMARY KEY,
    object_id INTEGER REFERENCES objects (id),
    upload_id TEXT REFERENCES uploads (id),
    number INTEGER NOT NULL,
    size INTEGER NOT NULL,
    etag TEXT NOT NULL,
    checksum TEXT,
    modified_at REAL NOT NULL
) WITHOUT ROWID;
CREATE UNIQUE INDEX IF NOT EXISTS pieces_of_an_object ON pieces (object_id, number) WHERE object_id IS NOT NULL;
CREATE UNIQUE INDEX IF NOT EXISTS parts_of_an_upload ON pieces (upload_id, number) WHERE upload_id IS NOT NULL;
"""


class Index:
    """One connection, one statement at a time: the disk under it is the limit, not the lock."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("PRAGMA journal_mode = WAL")
        # An object acknowledged is an object kept, through a power cut too.
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("PRAGMA foreign_keys = ON")
        self._connection.executescript(_SCHEMA)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Rows as they are; nothing changes under the reader."""
        with self._lock:
            yield self._connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: durable when the block ends, undone when it raises."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close the file. The index is of no use afterwards."""
        with self._lock:
            self._connection.close()


def bucket_of(row: sqlite3.Row) -> StoredBucket:
    """The bucket in a row of `buckets`."""
    return StoredBucket(
        name=row["name"],
        account=row["account"],
        region=row["region"],
        created_at=row["created_at"],
        versioning=Versioning(row["versioning"]),
    )


def object_of(row: sqlite3.Row) -> StoredObject:
    """The version or delete marker in a row of `objects`."""
    return StoredObject(
        id=row["id"],
        bucket=row["bucket"],
        key=bytes(row["key"]).decode(),
        version_id=row["version_id"],
        is_latest=bool(row["is_latest"]),
        is_marker=bool(row["is_marker"]),
        size=row["size"],
        etag=row["etag"],
        modified_at=row["modified_at"],
        checksum=_checksum_from(row["checksum"]),
        parts=row["parts"],
        description=_description_from(row["description"]),
    )


def upload_of(row: sqlite3.Row) -> StoredUpload:
    """The upload in a row of `uploads`."""
    return StoredUpload(
        id=row["id"],
        bucket=row["bucket"],
        key=bytes(row["key"]).decode(),
        started_at=row["started_at"],
        checksum=_checksum_from(row["checksum"]),
        description=_description_from(row["description"]),
    )


def part_of(row: sqlite3.Row) -> StoredPart:
    """The part in a row of `pieces`."""
    return StoredPart(
        number=row["number"],
        size=row["size"],
        etag=row["etag"],
        checksum=row["checksum"],
        modified_at=row["modified_at"],
        content=row["content"],
    )


def as_column(value: StoredChecksum | Description | None) -> str | None:
    """A checksum or description as it is kept in a row."""
    match value:
        case None:
            return None
        case StoredChecksum():
            return json.dumps([value.algorithm, value.value, value.kind])
        case Description():
            return json.dumps([dict(value.headers), dict(value.metadata), dict(value.tags)])


def _checksum_from(column: str | None) -> StoredChecksum | None:
    if column is None:
        return None
    algorithm, value, kind = json.loads(column)
    return StoredChecksum(algorithm=algorithm, value=value, kind=kind)


def _description_from(column: str) -> Description:
    headers, metadata, tags = json.loads(column)
    return Description(headers=headers, metadata=metadata, tags=tags)
