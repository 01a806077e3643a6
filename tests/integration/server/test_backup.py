"""A backup taken while everything under it moves, and a restore of files that are no backups."""

from __future__ import annotations

import contextlib
import hashlib
import io
import sqlite3
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from longshore.onebox.machinery.objects import Description, NoSuchKey, ObjectStore
from longshore.server.backup import BackupError, back_up
from longshore.server.restore import restore
from longshore.store import snapshot
from longshore.store.database import Store, sqlite_url
from longshore.store.migrations import NewerSchemaError
from longshore.store.wakeup import Wakeup


def nothing(_what: str, _done: int, _total: int) -> None:
    """Progress nobody looks at."""


def put(objects: ObjectStore, key: str, content: bytes) -> None:
    incoming = objects.begin()
    incoming.write(content)
    etag = hashlib.md5(content, usedforsecurity=False).hexdigest()
    objects.put("b", key, incoming, etag=etag, checksum=None, description=Description(), now=2.0)


def content(objects: ObjectStore, key: str) -> bytes:
    with contextlib.closing(objects.open("b", key)) as reading:
        return reading.read(0, 1 << 20)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """The data of a server that is not running."""
    folder = tmp_path / "data"
    folder.mkdir()
    Store(sqlite_url(folder / "longshore.db"), Wakeup()).close()
    return folder


@pytest.fixture
def backup(tmp_path: Path, data_dir: Path) -> Path:
    objects = ObjectStore(data_dir / "onebox" / "s3")
    objects.create_bucket("b", account="000000000000", region="us-east-1", now=1.0)
    put(objects, "k", b"what is kept")
    objects.close()
    back_up(data_dir, tmp_path / "backup.tar", nothing)
    return tmp_path / "backup.tar"


def test_every_commit_of_others_while_it_is_copied_leaves_a_copy_of_one_moment(tmp_path: Path) -> None:
    source, copy = tmp_path / "busy.db", tmp_path / "copy.db"
    with contextlib.closing(sqlite3.connect(source, isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("CREATE TABLE t (a, b, filling)")
        writer.executemany("INSERT INTO t VALUES (0, 0, ?)", [(b"x" * 4000,)] * 10_000)
        steps = []

        def commit(done: int, total: int) -> None:
            steps.append((done, total))
            writer.execute("UPDATE t SET a = a + 1, b = b + 1 WHERE rowid % 97 = 0")
            writer.execute("INSERT INTO t VALUES (1, 1, 'new')")

        snapshot.copy(source, copy, commit)
    assert len(steps) > 2
    assert steps[-1][0] == steps[-1][1]
    with contextlib.closing(sqlite3.connect(copy)) as rows:
        assert rows.execute("SELECT sum(a), sum(b), count(*) FROM t").fetchone() == (0, 0, 10_000)
    assert not copy.with_name("copy.db-wal").exists()


def test_objects_that_come_and_go_meanwhile_leave_a_whole_store(tmp_path: Path, data_dir: Path) -> None:
    objects = ObjectStore(data_dir / "onebox" / "s3")
    objects.create_bucket("b", account="000000000000", region="us-east-1", now=1.0)
    for number in range(40):
        put(objects, f"k{number}", b"content %d" % number)
    going = iter(range(40))

    def stir(what: str, _done: int, _total: int) -> None:
        if what == "objects" and (number := next(going, 40)) < 30:
            objects.delete("b", f"k{number}", None, now=3.0)
            put(objects, f"new{number}", b"later")

    back_up(data_dir, tmp_path / "backup.tar", stir)
    objects.close()
    restore(tmp_path / "backup.tar", tmp_path / "other", nothing, replace=False)
    restored = ObjectStore(tmp_path / "other" / "onebox" / "s3")
    for number in range(30, 40):
        assert content(restored, f"k{number}") == b"content %d" % number
    listed = restored.current_objects("b", prefix="", delimiter="", after="", limit=1000)
    for one in listed.items:
        assert content(restored, one.key)
    with pytest.raises(NoSuchKey):
        restored.find("b", "k0")
    restored.close()


def rewritten(file: Path, change: Callable[[tarfile.TarInfo, bytes], tuple[tarfile.TarInfo, bytes] | None]) -> Path:
    """The backup with its members changed, or left out."""
    out = file.with_name("changed.tar")
    with tarfile.open(file) as tar, tarfile.open(out, "w") as changed:
        for member in tar:
            source = tar.extractfile(member)
            assert source is not None
            if kept := change(member, source.read()):
                kept[0].size = len(kept[1])
                changed.addfile(kept[0], io.BytesIO(kept[1]))
    return out


def _flipped(member: tarfile.TarInfo, data: bytes) -> tuple[tarfile.TarInfo, bytes]:
    if member.name == "longshore.db":
        data = data[:5000] + bytes([data[5000] ^ 1]) + data[5001:]
    return member, data


def _without_content(member: tarfile.TarInfo, data: bytes) -> tuple[tarfile.TarInfo, bytes] | None:
    return None if "/content/" in member.name else (member, data)


def _escaping(member: tarfile.TarInfo, data: bytes) -> tuple[tarfile.TarInfo, bytes]:
    if "/content/" in member.name:
        member.name = "onebox/s3/content/../../../../escaped"
    return member, data


def _linked(member: tarfile.TarInfo, data: bytes) -> tuple[tarfile.TarInfo, bytes]:
    if "/content/" in member.name:
        member.type, member.linkname, data = tarfile.SYMTYPE, "/etc/passwd", b""
    return member, data


def _of_another_format(member: tarfile.TarInfo, data: bytes) -> tuple[tarfile.TarInfo, bytes]:
    return member, data.replace(b'"format": 1', b'"format": 7')


def _without_end(member: tarfile.TarInfo, data: bytes) -> tuple[tarfile.TarInfo, bytes] | None:
    return None if member.name == "SHA256SUMS" else (member, data)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_flipped, "longshore.db is not what was written"),
        (_without_content, "is not what was written"),
        (_escaping, "does not belong"),
        (_linked, "does not belong"),
        (_of_another_format, "another version"),
        (_without_end, "cut off"),
    ],
)
def test_what_is_no_whole_backup_is_refused_and_changes_nothing(
    tmp_path: Path, backup: Path, change: Callable[..., tuple[tarfile.TarInfo, bytes] | None], said: str
) -> None:
    with pytest.raises(BackupError, match=said):
        restore(rewritten(backup, change), tmp_path / "other", nothing, replace=True)
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["lock"]
    assert not (tmp_path / "escaped").exists()


def test_a_newer_schema_is_refused(tmp_path: Path, backup: Path) -> None:
    """As another version would have written it, sums and all."""
    newer = tmp_path / "newer.db"

    def change(member: tarfile.TarInfo, data: bytes) -> tuple[tarfile.TarInfo, bytes]:
        if member.name == "longshore.db":
            newer.write_bytes(data)
            with contextlib.closing(sqlite3.connect(newer, isolation_level=None)) as database:
                database.execute("UPDATE alembic_version SET version_num = '9999'")
            data = newer.read_bytes()
        if member.name == "SHA256SUMS":
            others = [line for line in data.decode().splitlines(keepends=True) if not line.endswith("longshore.db\n")]
            digest = hashlib.sha256(newer.read_bytes()).hexdigest()
            data = "".join([f"{digest}  longshore.db\n", *others]).encode()
        return member, data

    with pytest.raises(NewerSchemaError, match="9999"):
        restore(rewritten(backup, change), tmp_path / "other", nothing, replace=False)
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["lock"]


@pytest.mark.parametrize("part", [0.0, 0.3, 0.9])
def test_a_file_that_was_cut_off_is_refused(tmp_path: Path, backup: Path, part: float) -> None:
    cut = tmp_path / "cut.tar"
    cut.write_bytes(backup.read_bytes()[: int(backup.stat().st_size * part)])
    with pytest.raises(BackupError):
        restore(cut, tmp_path / "other", nothing, replace=False)


def test_a_backup_that_fails_leaves_nothing_behind(tmp_path: Path, data_dir: Path) -> None:
    def fail(_what: str, _done: int, _total: int) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        back_up(data_dir, tmp_path / "backup.tar", fail)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
