"""Content files: written whole or not at all, under random names, never changed."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

_UNFINISHED = ".unfinished"


class Incoming:
    """One content file while it is written. `finish` or `discard` it; a crash leaves it to `sweep`."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.size = 0
        self._is_kept = False
        self._path = folder / name
        self._unfinished = folder / (name + _UNFINISHED)
        self._file = self._unfinished.open("xb", buffering=0)

    def write(self, data: bytes | memoryview) -> None:
        """Append `data`. Raises OSError when the disk will not take it."""
        left = memoryview(data)
        self.size += len(left)
        while left:
            left = left[self._file.write(left) :]

    def finish(self) -> None:
        """Make the file durable under its name. After this only a row is missing."""
        os.fsync(self._file.fileno())
        self._file.close()
        self._unfinished.rename(self._path)
        _sync_folder(self._path.parent)

    def keep(self) -> None:
        """A row refers to the file: from now on `discard` leaves it alone."""
        self._is_kept = True

    def discard(self) -> None:
        """Forget what was written, finished or not, unless it was kept."""
        self._file.close()
        if self._is_kept:
            return
        self._unfinished.unlink(missing_ok=True)
        self._path.unlink(missing_ok=True)


class Content:
    """The folder of content files."""

    def __init__(self, root: Path) -> None:
        self._root = root
        for number in range(256):
            (root / f"{number:02x}").mkdir(parents=True, exist_ok=True)
        _sync_folder(root)

    def begin(self) -> Incoming:
        """Start a new file."""
        name = secrets.token_hex(16)
        return Incoming(self._folder(name), name)

    def path(self, name: str) -> Path:
        """Where the file `name` is."""
        return self._folder(name) / name

    def duplicate(self, name: str) -> str:
        """The same bytes under another name, durable; free of charge where the disk has hard links."""
        copy = secrets.token_hex(16)
        try:
            os.link(self.path(name), self.path(copy))
        except OSError:
            unfinished = self._folder(copy) / (copy + _UNFINISHED)
            shutil.copyfile(self.path(name), unfinished)
            with unfinished.open("rb+") as file:
                os.fsync(file.fileno())
            unfinished.rename(self.path(copy))
        _sync_folder(self._folder(copy))
        return copy

    def remove(self, names: Iterable[str]) -> None:
        """Delete files nothing refers to. A crash in the middle leaves the rest to `sweep`."""
        for name in names:
            self.path(name).unlink(missing_ok=True)

    def sweep(self, referred_to: Callable[[str], set[str]]) -> int:
        """Delete what a crash left behind; the number of files that were.

        `referred_to` gives the names in use that begin with two given digits.
        """
        swept = 0
        for folder in sorted(self._root.iterdir()):
            in_use = referred_to(folder.name)
            for entry in os.scandir(folder):
                if entry.name not in in_use:
                    Path(entry.path).unlink(missing_ok=True)
                    swept += 1
        return swept

    def _folder(self, name: str) -> Path:
        return self._root / name[:2]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
