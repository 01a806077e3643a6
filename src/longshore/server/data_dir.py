"""What lies where in the data directory, and who may use it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from longshore.onebox.machinery.records import FILE

DATABASE = "longshore.db"
#: All of onebox's; its objects, and what its other services know.
ONEBOX = "onebox"
OBJECTS = f"{ONEBOX}/s3"
RECORDS = f"{ONEBOX}/{FILE}"
#: There while a restore puts the pieces in their places; without it being finished, nothing here is whole.
RESTORING = "restoring"
_LOCK = "lock"


def take(data_dir: Path) -> bool:
    """Whether no other process uses this data; held as long as we live, and a killed process holds nothing."""
    descriptor = os.open(data_dir / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return False
    return True


UNFINISHED = (
    "A restore into {} was cut off. Run it again with --force; what was there before lies in its folder replaced-…"
)


class UnfinishedRestoreError(Exception):
    """A restore was cut off; what lies here is not whole."""


def require_whole(data_dir: Path) -> None:
    """Raise UnfinishedRestoreError while a restore is not done."""
    if (data_dir / RESTORING).exists():
        raise UnfinishedRestoreError(UNFINISHED.format(data_dir))


def sync(folder: Path) -> None:
    """Make what was renamed in this folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
