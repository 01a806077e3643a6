"""A backup: the embedded database, what onebox knows and its objects as one tar file, taken while the server runs.

The database holds every key and signer, so nothing else is needed to go on. It is copied first, the objects last:
a revision that the database knows then has its bundle. The sums come last, so that a file that was cut off shows.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import IO

from longshore.onebox.machinery.objects.copying import INDEX, content_named_in
from longshore.server.data_dir import DATABASE, OBJECTS, RECORDS, sync
from longshore.store import snapshot

#: Of the layout below; a later one gets another number.
FORMAT = 1
MANIFEST = "manifest.json"
SUMS = "SHA256SUMS"
#: Copies of the index made, at most, until none of the files it names was deleted meanwhile.
_ROUNDS = 20
_BLOCK = 1 << 20

#: Told what is being copied, how many bytes of it are done, and of how many.
Progress = Callable[[str, int, int], None]


class BackupError(Exception):
    """It cannot be done; the message says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a backup says of itself."""

    format: int
    #: Of Longshore, and of its database.
    version: str
    schema: str
    #: When the database was copied, epoch seconds.
    time: float


def back_up(data_dir: Path, file: Path, progress: Progress) -> Manifest:
    """Write the backup `file`, whole or not at all. Raises BackupError, or OSError."""
    database, objects = data_dir / DATABASE, data_dir / OBJECTS
    if not database.exists():
        raise BackupError(
            f"{data_dir} holds no embedded database. Give the server's --data-dir; a server with --database-url "
            "keeps its rows elsewhere."
        )
    with _beside(file) as (folder, out):
        sums: dict[str, str] = {}
        now = time.time()
        snapshot.copy(database, folder / DATABASE, lambda done, total: progress("database", done, total))
        manifest = Manifest(
            format=FORMAT, version=version("longshore"), schema=snapshot.examine(folder / DATABASE), time=now
        )
        with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
            _add_text(tar, MANIFEST, json.dumps(asdict(manifest)))
            sums[DATABASE] = _add(tar, DATABASE, folder / DATABASE)
            (folder / DATABASE).unlink()
            if (data_dir / RECORDS).exists():
                snapshot.copy(data_dir / RECORDS, folder / DATABASE, lambda _done, _total: None)
                sums[RECORDS] = _add(tar, RECORDS, folder / DATABASE)
                (folder / DATABASE).unlink()
            if (objects / INDEX).exists():
                _copy_objects(tar, objects, folder / INDEX, sums, progress)
            _add_text(tar, SUMS, "".join(f"{digest}  {name}\n" for name, digest in sums.items()))
    return manifest


def _copy_objects(tar: tarfile.TarFile, objects: Path, index: Path, sums: dict[str, str], progress: Progress) -> None:
    for _ in range(_ROUNDS):
        index.unlink(missing_ok=True)
        snapshot.copy(objects / INDEX, index, lambda _done, _total: None)
        wanted = content_named_in(index)
        total, done = sum(wanted.values()), 0
        is_whole = True
        for name, size in wanted.items():
            member = f"{OBJECTS}/{name}"
            if member not in sums:
                try:
                    sums[member] = _add(tar, member, objects / name)
                except FileNotFoundError:
                    is_whole = False
            done += size
            progress("objects", done, total)
        if is_whole:
            sums[f"{OBJECTS}/{INDEX}"] = _add(tar, f"{OBJECTS}/{INDEX}", index)
            return
    raise BackupError("Objects are deleted faster than they can be copied. Try again when there is less going on.")


def _add(tar: tarfile.TarFile, name: str, path: Path) -> str:
    """Add a file; returns the SHA-256 of what was added. Raises FileNotFoundError, having added nothing."""
    with path.open("rb") as file:
        member = tarfile.TarInfo(name)
        member.size = os.fstat(file.fileno()).st_size
        member.mode = 0o600
        summed = _Summed(file)
        tar.addfile(member, summed)
        return summed.digest.hexdigest()


def _add_text(tar: tarfile.TarFile, name: str, text: str) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(text.encode())
    member.mode = 0o600
    tar.addfile(member, io.BytesIO(text.encode()))


class _Summed:
    """A file that is hashed as it is read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def read(self, size: int = _BLOCK) -> bytes:
        data = self._file.read(size)
        self.digest.update(data)
        return data


@contextlib.contextmanager
def _beside(file: Path) -> Iterator[tuple[Path, IO[bytes]]]:
    """A folder on the same disk for what is in the making, and the file to be, which gets its name when it is whole."""
    with tempfile.TemporaryDirectory(prefix=f".{file.name}-", dir=file.parent) as made:
        folder = Path(made)
        unfinished = folder / "unfinished"
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            yield folder, out
            out.flush()
            os.fsync(out.fileno())
        unfinished.rename(file)
        sync(file.parent)
