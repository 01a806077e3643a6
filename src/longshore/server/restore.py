"""Puts a backup in the place of what a data directory holds.

Everything is unpacked and checked beside first. Then the old data moves out and the new in, the database last; the
folder `restoring` stands until that is done, and no server starts while it does.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tarfile
import tempfile
import time
from pathlib import Path

from longshore.onebox.machinery.objects.copying import CONTENT, INDEX, content_named_in
from longshore.server import data_dir as layout
from longshore.server.backup import FORMAT, MANIFEST, SUMS, BackupError, Manifest, Progress
from longshore.server.data_dir import DATABASE, OBJECTS, RECORDS, RESTORING, sync
from longshore.store import snapshot

_MEMBER = re.compile(
    rf"{re.escape(DATABASE)}|{re.escape(RECORDS)}"
    rf"|{re.escape(f'{OBJECTS}/{INDEX}')}|{re.escape(f'{OBJECTS}/{CONTENT}')}/[0-9a-f]{{2}}/[0-9a-f]{{32}}"
)
_LARGEST_TEXT = 1 << 30
_BLOCK = 1 << 20
#: What belongs to a database or to the objects, and would not to the next one.
_OLD = (
    *(DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm", f"{DATABASE}-journal"),
    *(RECORDS, f"{RECORDS}-wal", f"{RECORDS}-shm"),
    OBJECTS,
)


def restore(file: Path, data_dir: Path, progress: Progress, *, replace: bool) -> tuple[Manifest, Path | None]:
    """Make `data_dir` what it was when the backup was taken; returns where its former content is, if it had any.

    Raises:
        BackupError: the file is no whole backup, a server uses the directory, or it holds data and not `replace`.
        longshore.store.migrations.NewerSchemaError: a newer Longshore has written it.
        OSError: the disk will not have it.
    """
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not layout.take(data_dir):
        raise BackupError(f"A server runs on {data_dir}. Stop it first, or restore into another --data-dir.")
    held = [data_dir / name for name in _OLD if (data_dir / name).exists()]
    if held and not replace:
        raise BackupError(
            f"{data_dir} holds the data of a Longshore already. With --force it is moved aside and the backup takes "
            "its place; or restore into another --data-dir."
        )
    unpacked = data_dir / "unpacked"
    shutil.rmtree(unpacked, ignore_errors=True)
    unpacked.mkdir(mode=0o700)
    try:
        manifest = _unpack(file, unpacked, progress)
        _check(unpacked)
        os.sync()
        try:
            return manifest, _switch(data_dir, unpacked, held)
        except OSError as error:
            raise BackupError(f"{error}. {layout.UNFINISHED.format(data_dir)}") from None
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)


def _switch(data_dir: Path, unpacked: Path, held: list[Path]) -> Path | None:
    (data_dir / RESTORING).mkdir(exist_ok=True)
    sync(data_dir)
    replaced = None
    if held:
        replaced = Path(tempfile.mkdtemp(prefix=time.strftime("replaced-%Y%m%dT%H%M%S-"), dir=data_dir))
        for old in held:
            target = replaced / old.relative_to(data_dir)
            target.parent.mkdir(parents=True, exist_ok=True)
            old.rename(target)
    (data_dir / OBJECTS).parent.mkdir(exist_ok=True)
    # The database comes last: where it is, everything is.
    for name in (RECORDS, OBJECTS, DATABASE):
        if (unpacked / name).exists():
            (unpacked / name).rename(data_dir / name)
            sync((data_dir / name).parent)
    (data_dir / RESTORING).rmdir()
    sync(data_dir)
    return replaced


def _unpack(file: Path, into: Path, progress: Progress) -> Manifest:
    total = file.stat().st_size
    found: dict[str, str] = {}
    texts: dict[str, str] = {}
    try:
        with tarfile.open(file, mode="r:") as tar:
            for member in tar:
                progress("backup", member.offset, total)
                if not member.isreg() or member.name in found or member.name in texts:
                    raise BackupError(
                        f"{file} is no backup of Longshore's: {member.name[:200]!r} does not belong in one."
                    )
                if member.name in (MANIFEST, SUMS) and member.size <= _LARGEST_TEXT:
                    texts[member.name] = _read(tar, member).decode()
                elif _MEMBER.fullmatch(member.name):
                    found[member.name] = _write(tar, member, into / member.name)
                else:
                    raise BackupError(
                        f"{file} is no backup of Longshore's: {member.name[:200]!r} does not belong in one."
                    )
        progress("backup", total, total)
        manifest = _manifest(file, texts.get(MANIFEST))
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise BackupError(f"{file} is no backup of Longshore's, or damaged: {error}.") from None
    _compare(file, found, texts.get(SUMS))
    return manifest


def _manifest(file: Path, text: str | None) -> Manifest:
    if text is None:
        raise BackupError(f"{file} is no backup of Longshore's: it does not say what it is.")
    said = json.loads(text)
    if said.get("format") != FORMAT:
        raise BackupError(f"{file} was written by another version ({said.get('version')}): restore it with that one.")
    return Manifest(**said)


def _compare(file: Path, found: dict[str, str], sums: str | None) -> None:
    if sums is None:
        raise BackupError(f"{file} is cut off: its end is missing. Take another backup, or an earlier one.")
    said = {name: digest for digest, name in (line.split("  ", 1) for line in sums.splitlines())}
    for name in sorted(said.keys() | found.keys()):
        if said.get(name) != found.get(name):
            raise BackupError(f"{file} is damaged: {name} is not what was written. Take an earlier backup.")
    if DATABASE not in found:
        raise BackupError(f"{file} holds no database.")


def _check(unpacked: Path) -> None:
    """The database is sound and of a schema that we know, and no object lacks its content."""
    try:
        snapshot.examine(unpacked / DATABASE)
    except snapshot.DamagedError as damaged:
        raise BackupError(str(damaged)) from None
    if not (unpacked / OBJECTS / INDEX).exists():
        return
    for name, size in content_named_in(unpacked / OBJECTS / INDEX).items():
        path = unpacked / OBJECTS / name
        if not path.exists() or path.stat().st_size != size:
            raise BackupError(f"The backup is damaged: the content {name} of an object is missing or too short.")


def _read(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    source = tar.extractfile(member)
    assert source is not None
    return source.read()


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> str:
    """Write a member to a file; returns its SHA-256."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    source = tar.extractfile(member)
    assert source is not None
    digest = hashlib.sha256()
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        left = member.size
        while left:
            block = source.read(min(_BLOCK, left))
            if not block:
                raise EOFError("it is cut off")
            digest.update(block)
            file.write(block)
            left -= len(block)
    return digest.hexdigest()
