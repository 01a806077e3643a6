"""The moment a host changes from one release to the next.

Everything new is staged by then (`staging.py`), so what is left needs no room on the disk and is over in milliseconds:
remove what the next release has not, rename what it has. It is written down before it begins. Whoever finds it written
down carries it out, from wherever a kill left it, and comes to the same end.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from longshore.agent.copying import own_ids
from longshore.agent.errors import InstallError
from longshore.agent.layout import DeploymentPaths, write_atomically
from longshore.agent.permissions import Change, Chmod, Chown, apply


@dataclass(frozen=True, kw_only=True)
class Switch:
    """What is left of an Install once its release is staged."""

    #: Directory of the deployment whose release it is.
    deployment: str
    #: Paths of the last release that go, children first.
    removals: tuple[str, ...]
    #: Directories of the last release that the next one has too: they become as if made anew.
    kept: tuple[str, ...]
    #: Mode of a directory that the AppSpec says nothing about.
    directory_mode: int
    #: (staged path, its place).
    renames: tuple[tuple[str, str], ...]
    #: Permissions of kept directories.
    changes: tuple[Change, ...]
    #: Every path of the next release, in the order they were made.
    cleanup: tuple[str, ...]


def fresh_directory_mode() -> int:
    """What mkdir(2) gives a directory here."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o777 & ~mask


def write_down(change: Switch, paths: DeploymentPaths) -> None:
    """From here on the switch happens, whatever happens to us."""
    listed = paths.cleanup.read_bytes()
    noted = asdict(change) | {
        # By name, so that a Chmod is told from a Chown again.
        "changes": [[type(step).__name__, *step] for step in change.changes],
        "cleanup_file": _digest(listed),
        "cleanup_size": len(listed),
    }
    # A power cut may undo what the kernel has not written yet: the files first, then the promise that they are there.
    _write_through(os.path.dirname(staged) for staged, _ in change.renames)  # noqa: PTH120
    write_atomically(paths.switch, json.dumps(noted).encode(), 0o600, durable=True)
    # Both releases' paths, in case the official agent cleans up after us in mid-switch.
    write_atomically(paths.cleanup, listed + _lines(change.cleanup))


def written_down(paths: DeploymentPaths) -> Switch | None:
    """The switch that a killed Install was in; None when there is none, or another agent has installed since."""
    try:
        noted: dict[str, Any] = json.loads(paths.switch.read_bytes())
        now = paths.cleanup.read_bytes()
        size, digest = noted.pop("cleanup_size"), noted.pop("cleanup_file")
        kinds = {"Chmod": Chmod, "Chown": Chown}
        noted["changes"] = tuple(kinds[name](*rest) for name, *rest in noted["changes"])
        noted["renames"] = tuple((staged, place) for staged, place in noted["renames"])
        for name in ("removals", "kept", "cleanup"):
            noted[name] = tuple(noted[name])
        change = Switch(**noted)
    except (OSError, ValueError, TypeError, KeyError):
        return None
    is_ours = _digest(now[:size]) == digest and now[size:] in (b"", _lines(change.cleanup))
    return change if is_ours else None


def carry_out(change: Switch, paths: DeploymentPaths) -> None:
    """Do it, or the rest of it."""
    # Removals come before the first rename; after it, what is at their paths may be the next release.
    if all(os.path.lexists(staged) for staged, _ in change.renames):
        for path in change.removals:
            _remove(path)
    for path in change.kept:
        _make_anew(path, change.directory_mode)
    for staged, place in change.renames:
        _rename(staged, place)
    for step in change.changes:
        apply(step, step.path)
    write_atomically(paths.last_successful, os.fsencode(change.deployment))
    # After this, what is written down counts no more (`written_down`): all of it is done.
    write_atomically(paths.cleanup, _lines(change.cleanup))
    paths.switch.unlink(missing_ok=True)


def _write_through(directories: Iterable[str]) -> None:
    """Have the file systems of these directories on disk; a call for each file would take far longer."""
    import ctypes  # a worker needs it once, the poller never

    syncfs = ctypes.CDLL(None, use_errno=True).syncfs
    seen: set[int] = set()
    for directory in set(directories):
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            device = os.fstat(descriptor).st_dev
            if device not in seen and syncfs(descriptor) != 0:
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number), directory)
            seen.add(device)
        finally:
            os.close(descriptor)


def _lines(paths: tuple[str, ...]) -> bytes:
    return os.fsencode("".join(f"{path}\n" for path in paths))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _remove(path: str) -> None:
    try:
        if stat.S_ISDIR(os.lstat(path).st_mode):
            os.rmdir(path)  # noqa: PTH106
        else:
            os.unlink(path)  # noqa: PTH108
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        # Filled since the plan was made, or mounted on: it stays, as a directory with foreign files does.
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.EBUSY):
            raise InstallError(f"cannot remove {path} of the last release: {error.strerror}") from None


def _make_anew(path: str, mode: int) -> None:
    try:
        there = os.lstat(path)
        if (there.st_uid, there.st_gid) != own_ids():
            os.chown(path, *own_ids(), follow_symlinks=False)
        if stat.S_IMODE(there.st_mode) != mode:
            os.chmod(path, mode)  # noqa: PTH101
    except OSError as error:
        raise InstallError(f"cannot reset the directory {path} of the last release: {error.strerror}") from None


def _rename(staged: str, place: str) -> None:
    try:
        os.rename(staged, place)  # noqa: PTH104
    except FileNotFoundError:
        if not os.path.lexists(place):
            raise InstallError(f"cannot put {place} in place: it was staged as {staged}, which is gone") from None
    except OSError as error:
        raise InstallError(f"cannot put {place} in place: {error.strerror}") from None
