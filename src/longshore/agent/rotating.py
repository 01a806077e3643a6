"""A log file that is put aside when it has grown large, whoever else writes it."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from itertools import pairwise
from pathlib import Path


class RotatingFile:
    """Appends; when it is over `limit` bytes it becomes `NAME.0`, that one `NAME.1`, and so on: `files` with itself."""

    def __init__(self, path: Path, *, limit: int, files: int) -> None:
        """Raises OSError when it cannot be opened."""
        self._path = path
        self._limit = limit
        self._files = files
        self._descriptor = self._open()

    def write(self, data: bytes) -> None:
        """Append, all of it or OSError."""
        if os.fstat(self._descriptor).st_size >= self._limit:
            self._put_aside()
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def close(self) -> None:
        os.close(self._descriptor)

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def _put_aside(self) -> None:
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        try:
            # Another process may have done it while we waited.
            if self._is_current():
                names = [self._path, *(self._path.with_name(f"{self._path.name}.{n}") for n in range(self._files - 1))]
                for newer, older in reversed(list(pairwise(names))):
                    with suppress(FileNotFoundError):
                        newer.rename(older)
            fresh = self._open()
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        os.close(self._descriptor)
        self._descriptor = fresh

    def _is_current(self) -> bool:
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return False
        ours = os.fstat(self._descriptor)
        return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)
