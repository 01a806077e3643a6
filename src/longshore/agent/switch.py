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
from dataclasses import dataclass
from typing import Any

from longshore.agent import acl, selinux
from longshore.agent.errors import InstallError
from longshore.agent.layout import DeploymentPaths, write_atomically


@dataclass(frozen=True, kw_only=True)
class Switch:
    """What is left of an Install once its release is staged."""

    #: Directory of the deployment whose release it is.
    deployment: str
    #: Paths of the last release that go, children first.
    removals: tuple[str, ...]
    #: (staged path, its place) of directories that the last release has too: they stand, and become like the staged.
    kept: tuple[tuple[str, str], ...]
    #: (staged path, its place).
    renames: tuple[tuple[str, str], ...]
    #: Lines of the last cleanup file whose SELinux rules go.
    unruled: tuple[str, ...]
    #: The next cleanup file: every path of the next release, in the order they were made, and its SELinux rules.
    cleanup: tuple[str, ...]


def write_down(change: Switch, paths: DeploymentPaths) -> None:
    """From here on the switch happens, whatever happens to us."""
    listed = paths.cleanup.read_bytes()
    noted = vars(change) | {
        "cleanup_file": _digest(listed),
        "cleanup_size": len(listed),
    }
    # A power cut may undo what the kernel has not written yet: the files first, then the promise that they are there.
    _write_through({staged.rpartition("/")[0] or "/" for staged, _ in change.renames})
    write_atomically(paths.switch, json.dumps(noted).encode(), 0o600, durable=True)
    # Both releases' paths, in case the official agent cleans up after us in mid-switch.
    write_atomically(paths.cleanup, listed + _lines(change.cleanup))


def written_down(paths: DeploymentPaths) -> Switch | None:
    """The switch that a killed Install was in; None when there is none, or another agent has installed since."""
    try:
        noted: dict[str, Any] = json.loads(paths.switch.read_bytes())
        now = paths.cleanup.read_bytes()
        size, digest = noted.pop("cleanup_size"), noted.pop("cleanup_file")
        for name in ("renames", "kept"):
            noted[name] = tuple((staged, place) for staged, place in noted[name])
        for name in ("removals", "unruled", "cleanup"):
            noted[name] = tuple(noted[name])
        change = Switch(**noted)
    except (OSError, ValueError, TypeError, KeyError):
        return None
    is_ours = _digest(now[:size]) == digest and now[size:] in (b"", _lines(change.cleanup))
    return change if is_ours else None


def carry_out(change: Switch, paths: DeploymentPaths, *, is_begun: bool = True) -> None:
    """Do it, or the rest of it; what has not begun yet needs no look at how far it came."""
    # Removals come before the first rename; after it, what is at their paths may be the next release.
    if not is_begun or all(os.path.lexists(staged) for staged, _ in change.renames):
        for path in change.removals:
            _remove(path)
    for staged, path in change.kept:
        _make_like(staged, path)
    for staged, place in change.renames:
        _rename(staged, place)
    for staged, _ in reversed(change.kept):
        _remove(staged)
    selinux.forget(change.unruled)
    write_atomically(paths.last_successful, os.fsencode(change.deployment))
    # After this, what is written down counts no more (`written_down`): all of it is done.
    write_atomically(paths.cleanup, _lines(change.cleanup))
    paths.switch.unlink(missing_ok=True)


def _write_through(directories: set[str]) -> None:
    """Have the file systems of these directories on disk; a call for each file would take far longer."""
    import ctypes  # a worker needs it once, the poller never

    syncfs = ctypes.CDLL(None, use_errno=True).syncfs
    seen: set[int] = set()
    for directory in directories:
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


def _make_like(staged: str, path: str) -> None:
    """Give a directory that stands the owner, mode and lists of the one that is staged."""
    try:
        like = os.lstat(staged)
    except FileNotFoundError:
        return
    try:
        there = os.lstat(path)
        if (there.st_uid, there.st_gid) != (like.st_uid, like.st_gid):
            os.chown(path, like.st_uid, like.st_gid, follow_symlinks=False)
        if there.st_mode != like.st_mode:
            os.chmod(path, stat.S_IMODE(like.st_mode))  # noqa: PTH101
        for name in (*acl.ATTRIBUTES, selinux.ATTRIBUTE):
            _copy_attribute(name, staged, path)
    except OSError as error:
        raise InstallError(f"cannot reset the directory {path} of the last release: {error.strerror}") from None


def _copy_attribute(name: str, staged: str, path: str) -> None:
    wanted = acl.read(staged, name)
    if wanted == acl.read(path, name):
        return
    if wanted is None:
        acl.remove(path, name)
    else:
        os.setxattr(path, name, wanted, follow_symlinks=False)


def _rename(staged: str, place: str) -> None:
    # Held, what a file that is replaced took of the disk is given back here, by `close`. A rename would do that with a
    # lock held that all renames between directories of the file system wait for.
    try:
        replaced = os.open(place, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        replaced = -1
    try:
        os.rename(staged, place)  # noqa: PTH104
    except FileNotFoundError:
        if not os.path.lexists(place):
            raise InstallError(f"cannot put {place} in place: it was staged as {staged}, which is gone") from None
    except OSError as error:
        raise InstallError(f"cannot put {place} in place: {error.strerror}") from None
    finally:
        if replaced >= 0:
            os.close(replaced)
