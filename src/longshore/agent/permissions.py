"""What `permissions` in the AppSpec means for the paths an Install creates (agent.md 4.4). Pure but for look-ups."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

from longshore.agent.errors import InstallError
from longshore.appspec import Permission


class Chmod(NamedTuple):
    """Set the mode of a path."""

    mode: str
    path: str


class Chown(NamedTuple):
    """Set owner and group of a path, by name."""

    owner: str | None
    group: str | None
    path: str


Change = Chmod | Chown


def apply(change: Change, place: str) -> None:
    """Make a change to what is, or will be, at its path; `place` is where that is now."""
    match change:
        case Chmod(mode, path):
            try:
                os.chmod(place, int(mode, 8))  # noqa: PTH101
            except OSError as error:
                raise InstallError(f"cannot set mode {mode} of {path}: {error.strerror}") from None
        case Chown(owner, group, path):
            try:
                os.chown(place, owner_id(owner, 0), group_id(group, 0), follow_symlinks=False)
            except OSError as error:
                raise InstallError(f"cannot give {path} to {owner or ''}:{group or ''}: {error.strerror}") from None


def resolve(
    permissions: Iterable[Permission], files: dict[str, bool], made: Iterable[str], is_directory: Callable[[str], bool]
) -> list[Change]:
    """Every chmod and chown the entries ask for, in order.

    `files` are the copy targets and whether each is a symbolic link, `made` the directories this Install makes.
    What was there before is never touched (agent.md 4.4.3).
    """
    directories = dict.fromkeys(made)
    claimed: dict[str, int] = {}
    found: list[Change] = []
    for entry in permissions:
        _refuse_unsupported(entry)
        for path in _matches(entry, files, directories, is_directory):
            if path in claimed:
                raise InstallError(
                    f"permissions at AppSpec lines {claimed[path]} and {entry.line} both apply to {path}; "
                    "exclude it from one of them"
                )
            claimed[path] = entry.line
            found.extend(_changes(entry, path, is_link=files.get(path, False)))
    return found


def _matches(
    entry: Permission, files: dict[str, bool], made: dict[str, None], is_directory: Callable[[str], bool]
) -> Iterator[str]:
    target = normal(entry.object)
    if target in files:
        if "file" not in entry.type:
            return
        if entry.pattern != "**" or entry.except_:
            raise InstallError(
                f"permissions at AppSpec line {entry.line}: {target} is a file, so pattern must be '**' "
                "(or absent) and except empty"
            )
        yield target
        return
    if target not in made and not is_directory(target):
        return
    below = target.rstrip("/") + "/"
    candidates = [path for path in files if "file" in entry.type and path.startswith(below)]
    candidates += [path for path in made if "directory" in entry.type and path.startswith(below)]
    for path in candidates:
        relative = path[len(below) :]
        if not relative or any(_glob(pattern, relative) for pattern in entry.except_):
            continue
        if entry.pattern == "**" or _glob(entry.pattern, relative):
            yield path


def _glob(pattern: str, relative: str) -> bool:
    """Only `*` is special, and only immediate children match (agent.md 4.4.5, 4.4.6)."""
    return "/" not in relative and _compiled(pattern).fullmatch(relative) is not None


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    # A run of stars is one star: otherwise a pattern of fifty takes for ever to fail.
    parts = [re.escape(part) for part in re.split(r"\*+", pattern)]
    return re.compile(".*".join(parts), re.DOTALL)


def _changes(entry: Permission, path: str, *, is_link: bool) -> Iterator[Change]:
    # Owner before mode, since chown takes a setuid bit away; the official order loses it (agent.md 4.4.10).
    if entry.owner is not None or entry.group is not None:
        owner_id(entry.owner, entry.line)
        group_id(entry.group, entry.line)
        yield Chown(entry.owner, entry.group, path)
    # A link has no mode of its own; following it could change a file that is not ours (agent.md 10.15).
    if entry.mode is not None and not is_link:
        yield Chmod(entry.mode, path)


def owner_id(name: str | None, line: int) -> int:
    """The user's id; -1 leaves it."""
    if name is None:
        return -1
    import pwd

    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        raise InstallError(f"permissions at AppSpec line {line}: there is no user {name!r} on this host") from None


def group_id(name: str | None, line: int) -> int:
    """The group's id; -1 leaves it."""
    if name is None:
        return -1
    import grp

    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise InstallError(f"permissions at AppSpec line {line}: there is no group {name!r} on this host") from None


def _refuse_unsupported(entry: Permission) -> None:
    if entry.acls is not None:
        raise InstallError(
            f"permissions at AppSpec line {entry.line}: acls are not supported yet; use owner, group, mode"
        )
    if entry.context is not None:
        raise InstallError(
            f"permissions at AppSpec line {entry.line}: SELinux contexts are not supported yet; "
            "run restorecon or chcon in an AfterInstall hook"
        )


def normal(path: str) -> str:
    """The absolute path without redundant parts; links are not followed (agent.md 4.2.3)."""
    absolute = os.path.abspath(path)  # noqa: PTH100 - text paths on the hot path
    # POSIX lets two leading slashes mean something else; nobody who writes them does.
    return "/" + absolute.lstrip("/")
