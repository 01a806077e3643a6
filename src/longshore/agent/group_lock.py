"""One deployment at a time in a group's directory on this host, be it the agent's or one of `longshore local`."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from longshore.agent.errors import CommandError

#: How long another deployment of the same group may keep this one waiting.
LOCK_SECONDS = 3600.0


@contextmanager
def held(directory: Path, tell: Callable[[str], None]) -> Iterator[None]:
    """Keep other deployments of the same group off this host; freed by the kernel however we end.

    `tell` hears it if that takes waiting.
    """
    descriptor = _open(directory)
    try:
        give_up_at = time.monotonic() + LOCK_SECONDS
        pause = 0.02
        while not _try_lock(descriptor):
            if time.monotonic() > give_up_at:
                raise CommandError("another deployment of the same group has been running on this host for an hour")
            if pause == 0.02:
                tell("command.waits another deployment of the group is running on this host")
            time.sleep(pause)
            pause = min(pause * 1.5, 0.5)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def if_free(directory: Path) -> Iterator[bool]:
    """Whether nobody is at work in the group now; if so, nobody begins before we end."""
    descriptor = _open(directory)
    try:
        yield _try_lock(descriptor)
    finally:
        os.close(descriptor)


def _open(directory: Path) -> int:
    directory.mkdir(parents=True, exist_ok=True)
    return os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
