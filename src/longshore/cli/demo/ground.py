"""Where the demo keeps what it makes, and how what an earlier run left is found and ended, even after `kill -9`."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from longshore.onebox.machinery.host_view import HostView, end

#: In a run's directory: it was left running on purpose.
_KEPT = "kept"


class Ground:
    """The directory of one run. Whoever holds its lock is at work in it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._lock: int | None = None

    def take(self) -> bool:
        """Lock it; False when another demo is at work in it."""
        lock = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return False
        self._lock = lock
        return True

    def keep(self) -> None:
        """Leave everything running when this process ends."""
        (self.directory / _KEPT).touch()

    @property
    def is_kept(self) -> bool:
        return (self.directory / _KEPT).exists()

    def clear(self) -> None:
        """End everything that runs here, and remove it."""
        for record in sorted(self.directory.glob("*.process")):
            end(record)
        for host in sorted((self.directory / "hosts").glob("*")):
            HostView(directory=host, name=host.name).remove()
        end_shop_in(self.directory)
        shutil.rmtree(self.directory)
        if self._lock is not None:
            os.close(self._lock)


def new_ground(base: Path) -> Ground:
    """A directory for this run."""
    ground = Ground(Path(tempfile.mkdtemp(prefix="run-", dir=_own(base))))
    ground.take()
    return ground


def left_behind(*, kept_too: bool) -> Iterator[Ground]:
    """The runs whose process is gone, locked for us."""
    for base in bases():
        if not base.is_dir() or base.stat().st_uid != os.geteuid():
            continue
        for directory in sorted(base.glob("run-*")):
            ground = Ground(directory)
            if (kept_too or not ground.is_kept) and ground.take():
                yield ground


def bases() -> list[Path]:
    """Where runs may be, best first: not every file system takes the hosts' layers."""
    name = f"longshore-demo-{os.geteuid()}"
    return [Path(tempfile.gettempdir(), name), Path("/var/tmp", name), Path("/dev/shm", name)]  # noqa: S108 - checked


def _own(base: Path) -> Path:
    """The directory made, and surely ours: its name can be guessed, and /tmp is everybody's."""
    with suppress(FileExistsError):
        base.mkdir(mode=0o700)
    seen = base.lstat()
    if base.is_symlink() or seen.st_uid != os.geteuid() or seen.st_mode & 0o022:
        raise PermissionError(f"{base} belongs to somebody else; remove it")
    return base


def end_shop_in(directory: Path) -> None:
    """End the shop that a host without a view of its own started; other hosts' daemons end with them."""
    pid_file = directory / "plain" / "state" / "shop.pid"
    with suppress(OSError, ValueError):
        process_id = int(pid_file.read_text())
        if str(directory).encode() in Path(f"/proc/{process_id}/cmdline").read_bytes():
            os.kill(process_id, 9)
