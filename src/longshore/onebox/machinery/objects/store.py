"""The verbs of object storage.

A file is durable before its row is written, and a row is gone before its file is deleted: a crash between the
two leaves a file nothing refers to, which the next start sweeps away, and never a row without its file.
Everything here blocks; call it from a thread.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from io import FileIO
from pathlib import Path

from longshore.onebox.machinery.objects.content import Content, Incoming
from longshore.onebox.machinery.objects.copying import CONTENT, INDEX
from longshore.onebox.machinery.objects.index import Index, as_column, bucket_of, object_of, part_of, upload_of
from longshore.onebox.machinery.objects.listing import Listing, Tie, walk
from longshore.onebox.machinery.objects.values import (
    BucketExists,
    BucketNotEmpty,
    Description,
    InvalidPart,
    NoSuchBucket,
    NoSuchKey,
    NoSuchUpload,
    NoSuchVersion,
    NotAnObject,
    StoredBucket,
    StoredChecksum,
    StoredObject,
    StoredPart,
    StoredUpload,
    StoreInUse,
    Versioning,
)

#: The version of whatever is stored while a bucket is not versioned.
NULL_VERSION = "null"

#: Asked, inside the transaction, whether the object now current (None: none) may be replaced; raises when not.
Condition = Callable[[StoredObject | None], None]


class ObjectStore:
    """Buckets, objects and their versions, and multipart uploads, under one folder. Threads may share it."""

    def __init__(self, root: Path) -> None:
        """Open the store in `root`, made if need be, and sweep what a crash left. Raises StoreInUse."""
        root.mkdir(parents=True, exist_ok=True)
        self._root_lock = _locked(root / "lock")
        self._content = Content(root / CONTENT)
        self._index = Index(root / INDEX)
        self._readers = _Readers()
        self._content.sweep(self._names_in_use)

    def close(self) -> None:
        """Let another process have the store."""
        self._index.close()
        os.close(self._root_lock)

    def create_bucket(self, name: str, *, account: str, region: str, now: float) -> StoredBucket:
        """Make a bucket. Raises BucketExists, whoever owns it."""
        with self._index.writing() as rows:
            taken = rows.execute("SELECT * FROM buckets WHERE name = ?", (name,)).fetchone()
            if taken:
                raise BucketExists(bucket_of(taken))
            rows.execute(
                "INSERT INTO buckets (name, account, region, created_at) VALUES (?, ?, ?, ?)",
                (name, account, region, now),
            )
            return _bucket(rows, name)

    def bucket(self, name: str) -> StoredBucket:
        """The bucket of this name, whoever owns it. Raises NoSuchBucket."""
        with self._index.reading() as rows:
            return _bucket(rows, name)

    def buckets(self, account: str) -> list[StoredBucket]:
        """An account's buckets in all regions, by name."""
        with self._index.reading() as rows:
            found = rows.execute("SELECT * FROM buckets WHERE account = ? ORDER BY name", (account,))
            return [bucket_of(row) for row in found]

    def set_versioning(self, name: str, versioning: Versioning) -> None:
        """Keep, or stop keeping, versions from now on. Raises NoSuchBucket."""
        with self._index.writing() as rows:
            _bucket(rows, name)
            rows.execute("UPDATE buckets SET versioning = ? WHERE name = ?", (versioning, name))

    def delete_bucket(self, name: str) -> None:
        """Delete an empty bucket, and with it the uploads under way. Raises NoSuchBucket or BucketNotEmpty."""
        with self._index.writing() as rows:
            _bucket(rows, name)
            if rows.execute("SELECT 1 FROM objects WHERE bucket = ? LIMIT 1", (name,)).fetchone():
                raise BucketNotEmpty(name)
            uploads = rows.execute("SELECT id FROM uploads WHERE bucket = ?", (name,)).fetchall()
            unused = [content for row in uploads for content in _forget_upload(rows, row["id"])]
            rows.execute("DELETE FROM buckets WHERE name = ?", (name,))
        self._remove(unused)

    def begin(self) -> Incoming:
        """Start receiving content, for `put` or `put_part`. The caller discards it when it comes to nothing."""
        return self._content.begin()

    def put(
        self,
        bucket: str,
        key: str,
        incoming: Incoming,
        *,
        etag: str,
        checksum: StoredChecksum | None,
        description: Description,
        now: float,
        allow: Condition | None = None,
    ) -> StoredObject:
        """Store received content under `key`. Raises NoSuchBucket, or what `allow` raises."""
        incoming.finish()
        with self._index.writing() as rows:
            stored, unused = _put(
                rows, bucket, key, incoming.name, incoming.size, etag, checksum, description, now, allow
            )
        incoming.keep()
        self._remove(unused)
        return stored

    def put_same(
        self, bucket: str, key: str, reading: Reading, *, description: Description, now: float
    ) -> StoredObject:
        """Store under `key` what `reading`, an object in one piece, reads: without copying where the disk can."""
        source = reading.object
        (piece,) = reading.pieces
        name = self._content.duplicate(piece.content)
        try:
            with self._index.writing() as rows:
                stored, unused = _put(
                    rows, bucket, key, name, source.size, source.etag, source.checksum, description, now, None
                )
        except BaseException:
            self._content.remove([name])
            raise
        self._remove(unused)
        return stored

    def find(self, bucket: str, key: str, version_id: str | None = None) -> StoredObject:
        """The current object, or one version. Raises NoSuchBucket, NoSuchKey, NoSuchVersion or NotAnObject."""
        with self._index.reading() as rows:
            return _find(rows, bucket, key, version_id)

    def open(self, bucket: str, key: str, version_id: str | None = None) -> Reading:
        """As `find`, and its content, which stays readable until the reading is closed whatever becomes of the key."""
        with self._index.reading() as rows:
            found = _find(rows, bucket, key, version_id)
            pieces = rows.execute("SELECT * FROM pieces WHERE object_id = ? ORDER BY number", (found.id,))
            reading = Reading(found, [part_of(row) for row in pieces], self._content.path, self._close_reading)
            self._readers.pin(reading.names)
            return reading

    def delete(self, bucket: str, key: str, version_id: str | None, *, now: float) -> StoredObject | None:
        """Delete one version for good, or without `version_id` the current object.

        Where versions are kept the latter only adds a delete marker. Returns the marker that was added, or the
        version or marker that was deleted; None when there was nothing to delete. Raises NoSuchBucket.
        """
        with self._index.writing() as rows:
            versioning = _bucket(rows, bucket).versioning
            if version_id is None and versioning is not Versioning.NEVER:
                deleted, unused = _add_version(
                    rows,
                    bucket,
                    key,
                    size=0,
                    etag="",
                    checksum=None,
                    parts=0,
                    description=Description(),
                    now=now,
                    is_marker=True,
                )
                result: StoredObject | None = deleted
            else:
                result, unused = _delete_version(rows, bucket, key, version_id or NULL_VERSION)
                _promote_latest(rows, bucket, key)
        self._remove(unused)
        return result

    def tag(self, version: StoredObject, description: Description) -> None:
        """Replace what is said of one version. Raises NoSuchVersion when it is gone."""
        with self._index.writing() as rows:
            changed = rows.execute(
                "UPDATE objects SET description = ? WHERE id = ?", (as_column(description), version.id)
            )
            if not changed.rowcount:
                raise NoSuchVersion(version.key)

    def current_objects(
        self, bucket: str, *, prefix: str, delimiter: str, after: str, limit: int
    ) -> Listing[StoredObject]:
        """Current objects in order of their keys' bytes, from after the key or common prefix `after`."""
        with self._index.reading() as rows:
            _bucket(rows, bucket)

            def fetch(first: bytes, tie: Tie, end: bytes, most: int) -> list[sqlite3.Row]:
                return rows.execute(
                    "SELECT *, 0 AS tie FROM objects WHERE bucket = ? AND is_latest = 1 AND is_marker = 0"
                    " AND key >= ? AND key < ? ORDER BY key LIMIT ?",
                    # A key has one current object, so a tie means this key is done.
                    (bucket, first if tie is None else first + b"\0", end, most),
                ).fetchall()

            return walk(fetch, object_of, prefix=prefix, delimiter=delimiter, after=after, after_tie=None, limit=limit)

    def versions(
        self, bucket: str, *, prefix: str, delimiter: str, after: str, after_id: int | None, limit: int
    ) -> Listing[StoredObject]:
        """All versions and delete markers, by key and then newest first; `after_id`: go on below that id of `after`."""
        with self._index.reading() as rows:
            _bucket(rows, bucket)

            def fetch(first: bytes, tie: Tie, end: bytes, most: int) -> list[sqlite3.Row]:
                return rows.execute(
                    "SELECT *, id AS tie FROM objects WHERE bucket = ? AND key >= ? AND key < ?"
                    " AND (? IS NULL OR key > ? OR id < ?) ORDER BY key, id DESC LIMIT ?",
                    (bucket, first, end, tie, first, tie, most),
                ).fetchall()

            return walk(
                fetch, object_of, prefix=prefix, delimiter=delimiter, after=after, after_tie=after_id, limit=limit
            )

    def uploads(
        self, bucket: str, *, prefix: str, delimiter: str, after: str, after_id: str | None, limit: int
    ) -> Listing[StoredUpload]:
        """Multipart uploads under way, by key and then id; `after_id`: go on after that id of `after`."""
        with self._index.reading() as rows:
            _bucket(rows, bucket)

            def fetch(first: bytes, tie: Tie, end: bytes, most: int) -> list[sqlite3.Row]:
                return rows.execute(
                    "SELECT *, id AS tie FROM uploads WHERE bucket = ? AND key >= ? AND key < ?"
                    " AND (? IS NULL OR key > ? OR id > ?) ORDER BY key, id LIMIT ?",
                    (bucket, first, end, tie, first, tie, most),
                ).fetchall()

            return walk(
                fetch, upload_of, prefix=prefix, delimiter=delimiter, after=after, after_tie=after_id, limit=limit
            )

    def create_upload(
        self, bucket: str, key: str, *, checksum: StoredChecksum | None, description: Description, now: float
    ) -> StoredUpload:
        """Begin a multipart upload. Raises NoSuchBucket."""
        with self._index.writing() as rows:
            _bucket(rows, bucket)
            # Ids grow, so that a listing gives the uploads of a key in the order they began.
            upload_id = f"{_next_in_sequence(rows):016x}{secrets.token_hex(24)}"
            rows.execute(
                "INSERT INTO uploads (id, bucket, key, started_at, checksum, description) VALUES (?, ?, ?, ?, ?, ?)",
                (upload_id, bucket, key.encode(), now, as_column(checksum), as_column(description)),
            )
            return _upload(rows, bucket, key, upload_id)

    def upload(self, bucket: str, key: str, upload_id: str) -> StoredUpload:
        """An upload under way. Raises NoSuchUpload."""
        with self._index.reading() as rows:
            return _upload(rows, bucket, key, upload_id)

    def put_part(
        self, upload: StoredUpload, number: int, incoming: Incoming, *, etag: str, checksum: str | None, now: float
    ) -> StoredPart:
        """Store received content as a part, in the place of an earlier one of that number. Raises NoSuchUpload."""
        incoming.finish()
        with self._index.writing() as rows:
            _upload(rows, upload.bucket, upload.key, upload.id)
            unused = _names(rows, "upload_id = ? AND number = ?", upload.id, number)
            rows.execute("DELETE FROM pieces WHERE upload_id = ? AND number = ?", (upload.id, number))
            rows.execute(
                "INSERT INTO pieces (content, upload_id, number, size, etag, checksum, modified_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (incoming.name, upload.id, number, incoming.size, etag, checksum, now),
            )
            stored = rows.execute("SELECT * FROM pieces WHERE content = ?", (incoming.name,)).fetchone()
        incoming.keep()
        self._remove(unused)
        return part_of(stored)

    def parts(self, upload: StoredUpload, *, after: int = 0, limit: int = 10_000) -> list[StoredPart]:
        """The parts stored so far, by number, from after number `after`."""
        with self._index.reading() as rows:
            found = rows.execute(
                "SELECT * FROM pieces WHERE upload_id = ? AND number > ? ORDER BY number LIMIT ?",
                (upload.id, after, limit),
            )
            return [part_of(row) for row in found]

    def complete_upload(
        self,
        upload: StoredUpload,
        chosen: Sequence[StoredPart],
        *,
        etag: str,
        checksum: StoredChecksum | None,
        now: float,
        allow: Condition | None = None,
    ) -> StoredObject:
        """Make the chosen parts, in their order, one object: their files become its pieces, nothing is copied.

        Raises NoSuchUpload, InvalidPart when a part was replaced meanwhile, or what `allow` raises.
        """
        with self._index.writing() as rows:
            _upload(rows, upload.bucket, upload.key, upload.id)
            if allow:
                allow(_current(rows, upload.bucket, upload.key))
            stored, unused = _add_version(
                rows,
                upload.bucket,
                upload.key,
                size=sum(part.size for part in chosen),
                etag=etag,
                checksum=checksum,
                parts=len(chosen),
                description=upload.description,
                now=now,
            )
            for part in chosen:
                moved = rows.execute(
                    "UPDATE pieces SET object_id = ?, upload_id = NULL WHERE content = ? AND upload_id = ?",
                    (stored.id, part.content, upload.id),
                )
                if not moved.rowcount:
                    raise InvalidPart(f"part {part.number} was replaced while the upload was completed")
            unused += _forget_upload(rows, upload.id)
        self._remove(unused)
        return stored

    def abort_upload(self, bucket: str, key: str, upload_id: str) -> None:
        """Give an upload and its parts up. Raises NoSuchUpload."""
        with self._index.writing() as rows:
            _upload(rows, bucket, key, upload_id)
            unused = _forget_upload(rows, upload_id)
        self._remove(unused)

    def _remove(self, names: Iterable[str]) -> None:
        self._content.remove(self._readers.not_pinned(names))

    def _close_reading(self, names: Sequence[str]) -> None:
        self._content.remove(self._readers.unpin(names))

    def _names_in_use(self, digits: str) -> set[str]:
        with self._index.reading() as rows:
            return set(_names(rows, "content >= ? AND content < ?", digits, digits + "g"))


class Reading:
    """An object and its content. Close it, or files of deleted objects stay until the next start."""

    def __init__(
        self,
        found: StoredObject,
        pieces: Sequence[StoredPart],
        path: Callable[[str], Path],
        on_close: Callable[[Sequence[str]], None],
    ) -> None:
        self.object = found
        #: In order; one for an object put at once.
        self.pieces = pieces
        self._path = path
        self._on_close = on_close
        self._open: tuple[str, FileIO] | None = None

    @property
    def names(self) -> list[str]:
        """The content files it needs."""
        return [piece.content for piece in self.pieces]

    def read(self, start: int, most: int) -> bytes:
        """Up to `most` bytes from byte `start`; fewer at the end of a piece, none at the end of the object."""
        for piece in self.pieces:
            if start < piece.size:
                file = self._file(piece.content)
                return os.pread(file.fileno(), min(most, piece.size - start), start)
            start -= piece.size
        return b""

    def close(self) -> None:
        """End the reading; more than once is harmless."""
        if self._open:
            self._open[1].close()
            self._open = None
        on_close, self._on_close = self._on_close, _nothing
        on_close(self.names)

    def _file(self, name: str) -> FileIO:
        if self._open is None or self._open[0] != name:
            if self._open:
                self._open[1].close()
            self._open = name, FileIO(self._path(name))
        return self._open[1]


class _Readers:
    """Which files are being read, so that deleting an object does not cut off those who read it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pins: Counter[str] = Counter()
        self._doomed: set[str] = set()

    def pin(self, names: Iterable[str]) -> None:
        with self._lock:
            self._pins.update(names)

    def not_pinned(self, names: Iterable[str]) -> list[str]:
        """Those of `names` that may be deleted now; the others are told of by `unpin` later."""
        with self._lock:
            free = []
            for name in names:
                if self._pins[name]:
                    self._doomed.add(name)
                else:
                    del self._pins[name]
                    free.append(name)
            return free

    def unpin(self, names: Iterable[str]) -> list[str]:
        """End a reading; the names that were to be deleted and can be now."""
        with self._lock:
            free = []
            for name in names:
                self._pins[name] -= 1
                if not self._pins[name]:
                    del self._pins[name]
                    if name in self._doomed:
                        self._doomed.remove(name)
                        free.append(name)
            return free


def _nothing(names: Sequence[str]) -> None:
    """Instead of closing a reading twice."""


def _locked(path: Path) -> int:
    # Two processes would each sweep away what the other is receiving.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise StoreInUse(f"{path.parent} is in use by another process") from None
    return descriptor


def _bucket(rows: sqlite3.Connection, name: str) -> StoredBucket:
    row = rows.execute("SELECT * FROM buckets WHERE name = ?", (name,)).fetchone()
    if row is None:
        raise NoSuchBucket(name)
    return bucket_of(row)


def _upload(rows: sqlite3.Connection, bucket: str, key: str, upload_id: str) -> StoredUpload:
    row = rows.execute(
        "SELECT * FROM uploads WHERE id = ? AND bucket = ? AND key = ?", (upload_id, bucket, key.encode())
    ).fetchone()
    if row is None:
        raise NoSuchUpload(upload_id)
    return upload_of(row)


def _find(rows: sqlite3.Connection, bucket: str, key: str, version_id: str | None) -> StoredObject:
    _bucket(rows, bucket)
    if version_id is None:
        found = _latest(rows, bucket, key)
        if found is None or found.is_marker:
            raise NoSuchKey(key, found)
        return found
    row = rows.execute(
        "SELECT * FROM objects WHERE bucket = ? AND key = ? AND version_id = ?", (bucket, key.encode(), version_id)
    ).fetchone()
    if row is None:
        raise NoSuchVersion(version_id)
    found = object_of(row)
    if found.is_marker:
        raise NotAnObject(found)
    return found


def _latest(rows: sqlite3.Connection, bucket: str, key: str) -> StoredObject | None:
    row = rows.execute(
        "SELECT * FROM objects WHERE bucket = ? AND key = ? AND is_latest = 1", (bucket, key.encode())
    ).fetchone()
    return None if row is None else object_of(row)


def _current(rows: sqlite3.Connection, bucket: str, key: str) -> StoredObject | None:
    latest = _latest(rows, bucket, key)
    return None if latest is None or latest.is_marker else latest


def _put(
    rows: sqlite3.Connection,
    bucket: str,
    key: str,
    content: str,
    size: int,
    etag: str,
    checksum: StoredChecksum | None,
    description: Description,
    now: float,
    allow: Condition | None,
) -> tuple[StoredObject, list[str]]:
    """Add an object of one piece, and name the content files this leaves unused."""
    if allow:
        allow(_current(rows, bucket, key))
    stored, unused = _add_version(
        rows, bucket, key, size=size, etag=etag, checksum=checksum, parts=0, description=description, now=now
    )
    rows.execute(
        "INSERT INTO pieces (content, object_id, number, size, etag, modified_at) VALUES (?, ?, 1, ?, ?, ?)",
        (content, stored.id, size, etag, now),
    )
    return stored, unused


def _add_version(
    rows: sqlite3.Connection,
    bucket: str,
    key: str,
    *,
    size: int,
    etag: str,
    checksum: StoredChecksum | None,
    parts: int,
    description: Description,
    now: float,
    is_marker: bool = False,
) -> tuple[StoredObject, list[str]]:
    """Add the newest version of a key, and name the content files this leaves unused."""
    unused: list[str] = []
    number = _next_in_sequence(rows)
    if _bucket(rows, bucket).versioning is Versioning.ENABLED:
        # Begins with its place in time, so that a listing can go on after a version deleted meanwhile.
        version_id = f"{number:016x}{secrets.token_hex(8)}"
    else:
        version_id = NULL_VERSION
        _, unused = _delete_version(rows, bucket, key, NULL_VERSION)
    rows.execute(
        "UPDATE objects SET is_latest = 0 WHERE bucket = ? AND key = ? AND is_latest = 1", (bucket, key.encode())
    )
    rows.execute(
        "INSERT INTO objects (id, bucket, key, version_id, is_latest, is_marker, size, etag, modified_at, checksum,"
        " parts, description) VALUES (?, ?, ?, ?, 1, ?, ?, ?, ?, ?, ?, ?)",
        (
            number,
            bucket,
            key.encode(),
            version_id,
            is_marker,
            size,
            etag,
            now,
            as_column(checksum),
            parts,
            as_column(description),
        ),
    )
    return object_of(rows.execute("SELECT * FROM objects WHERE id = ?", (number,)).fetchone()), unused


def _delete_version(
    rows: sqlite3.Connection, bucket: str, key: str, version_id: str
) -> tuple[StoredObject | None, list[str]]:
    """Delete one version, if there is such, and name the content files this leaves unused."""
    row = rows.execute(
        "SELECT * FROM objects WHERE bucket = ? AND key = ? AND version_id = ?", (bucket, key.encode(), version_id)
    ).fetchone()
    if row is None:
        return None, []
    unused = _names(rows, "object_id = ?", row["id"])
    rows.execute("DELETE FROM pieces WHERE object_id = ?", (row["id"],))
    rows.execute("DELETE FROM objects WHERE id = ?", (row["id"],))
    return object_of(row), unused


def _promote_latest(rows: sqlite3.Connection, bucket: str, key: str) -> None:
    rows.execute(
        "UPDATE objects SET is_latest = 1 WHERE id ="
        " (SELECT id FROM objects WHERE bucket = ? AND key = ? ORDER BY id DESC LIMIT 1)",
        (bucket, key.encode()),
    )


def _forget_upload(rows: sqlite3.Connection, upload_id: str) -> list[str]:
    unused = _names(rows, "upload_id = ?", upload_id)
    rows.execute("DELETE FROM pieces WHERE upload_id = ?", (upload_id,))
    rows.execute("DELETE FROM uploads WHERE id = ?", (upload_id,))
    return unused


def _names(rows: sqlite3.Connection, where: str, *values: str | int) -> list[str]:
    found = rows.execute(f"SELECT content FROM pieces WHERE {where}", values)  # noqa: S608, `where` is ours
    return [row["content"] for row in found]


def _next_in_sequence(rows: sqlite3.Connection) -> int:
    (number,) = rows.execute("UPDATE sequence SET value = value + 1 RETURNING value").fetchall()[0]
    return int(number)
