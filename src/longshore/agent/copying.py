"""Copies one file or link as a release has it: content, mode, times, owner (agent.md 4.2.6)."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress


def copy(source: str, target: str) -> None:
    """Make `target`, which must not exist, a copy of a file or the same symbolic link; raises `OSError`."""
    try:
        reading = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        if not os.path.islink(source):  # noqa: PTH114
            raise
        os.symlink(os.readlink(source), target)  # noqa: PTH211, PTH115
        return
    try:
        original = os.fstat(reading)
        mode = stat.S_IMODE(original.st_mode)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        writing = os.open(target, flags, mode & 0o777)
        try:
            _copy_content(reading, writing, original.st_size)
            made = os.fstat(writing)
            if (original.st_uid, original.st_gid) != (made.st_uid, made.st_gid):
                with suppress(PermissionError):
                    os.fchown(writing, original.st_uid, original.st_gid)
            if mode & 0o7000:
                # Last, since writing and chown take these bits away.
                os.fchmod(writing, mode)
            os.utime(writing, ns=(original.st_atime_ns, original.st_mtime_ns))
        finally:
            os.close(writing)
    finally:
        os.close(reading)


def copy_tree(source: str, target: str) -> None:
    """Make `target` a copy of a directory, links as links; raises `OSError`, also for a device, pipe or socket."""
    os.mkdir(target, 0o755)  # noqa: PTH102
    with os.scandir(source) as entries:
        for entry in entries:
            place = f"{target}/{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                copy_tree(entry.path, place)
            elif entry.is_file(follow_symlinks=False) or entry.is_symlink():
                copy(entry.path, place)
            else:
                raise OSError(errno.EINVAL, "it is a device, pipe or socket", entry.path)


def _copy_content(reading: int, writing: int, size: int) -> None:
    while size > 0:
        sent = os.sendfile(writing, reading, None, min(size, 1 << 30))
        if sent == 0:
            return
        size -= sent
