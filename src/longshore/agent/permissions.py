"""What `permissions` in the AppSpec means for the paths an Install creates (agent.md 4.4). Pure but for look-ups."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

from longshore.agent import acl, selinux
from longshore.agent.errors import InstallError
from longshore.appspec import AclEntry, Context, Permission


class Chmod(NamedTuple):
    """Set the mode of a path."""

    mode: str
    path: str


class Chown(NamedTuple):
    """Set owner and group of a path, by name."""

    owner: str | None
    group: str | None
    path: str


class Setfacl(NamedTuple):
    """Replace the access control list of a path."""

    acl: tuple[AclEntry, ...]
    path: str


class Semanage(NamedTuple):
    """Set the SELinux context of a path."""

    context: Context
    path: str


Change = Chmod | Chown | Setfacl | Semanage


def apply(change: Change, place: str) -> None:
    """Make a change to what will be at its path; `place` is where that is now."""
    try:
        match change:
            case Chmod(mode, path):
                what = f"cannot set mode {mode} of {path}"
                os.chmod(place, int(mode, 8))  # noqa: PTH101
            case Chown(owner, group, path):
                what = f"cannot give {path} to {owner or ''}:{group or ''}"
                os.chown(place, owner_id(owner, 0), group_id(group, 0), follow_symlinks=False)
            case Setfacl(entries, path):
                what = f"cannot set the access control list of {path}"
                acl.replace(place, entries)
            case Semanage(context, path):
                what = f"cannot set the SELinux context of {path}"
                selinux.label(place, context)
    except OSError as error:
        raise InstallError(f"{what}: {error.strerror}") from None


def resolve(
    permissions: Iterable[Permission], files: dict[str, bool], made: Iterable[str], is_directory: Callable[[str], bool]
) -> list[Change]:
    """Every change the entries ask for, in order.

    `files` are the copy targets and whether each is a symbolic link, `made` the directories this Install makes.
    What was there before is never touched (agent.md 4.4.3).
    """
    directories = dict.fromkeys(made)
    claimed: dict[str, int] = {}
    found: list[Change] = []
    for entry in permissions:
        paths = list(matches(entry, files, directories, is_directory))
        if paths:
            _check_host(entry)
        for path in paths:
            if path in claimed:
                raise InstallError(
                    f"permissions at AppSpec lines {claimed[path]} and {entry.line} both apply to {path}; "
                    "exclude it from one of them"
                )
            claimed[path] = entry.line
            found.extend(_changes(entry, path, is_link=files.get(path, False), is_directory=path in directories))
    return found


def matches(
    entry: Permission, files: dict[str, bool], made: dict[str, None], is_directory: Callable[[str], bool]
) -> Iterator[str]:
    """The paths of this Install that an entry applies to (agent.md 4.4.2–4.4.6)."""
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


def _changes(entry: Permission, path: str, *, is_link: bool, is_directory: bool) -> Iterator[Change]:
    # Owner before mode, since chown takes a setuid bit away; the official order loses it (agent.md 4.4.10).
    if entry.owner is not None or entry.group is not None:
        owner_id(entry.owner, entry.line)
        group_id(entry.group, entry.line)
        yield Chown(entry.owner, entry.group, path)
    # A link has no mode of its own; following it could change a file that is not ours (agent.md 10.15).
    if entry.mode is not None and not is_link:
        yield Chmod(entry.mode, path)
    if entry.acls is not None and not is_link:
        if not is_directory and any(each.is_default for each in entry.acls):
            raise InstallError(
                f"permissions at AppSpec line {entry.line}: a default entry of acls says what will be made in a "
                f"directory, and {path} is a file; add 'type: [directory]' and give files an entry of their own"
            )
        yield Setfacl(entry.acls, path)
    if entry.context is not None and not is_link:
        yield Semanage(entry.context, path)


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


def _check_host(entry: Permission) -> None:
    """Refuse, before anything is changed, what this host cannot do for any path."""
    named: set[tuple[bool, str, int]] = set()
    for each in entry.acls or ():
        try:
            whom = each.is_default, each.kind, acl.who(each)
        except KeyError:
            raise InstallError(
                f"permissions at AppSpec line {entry.line}: acls name {each.name!r}, and there is no such {each.kind} "
                "on this host"
            ) from None
        if whom in named:
            raise InstallError(f"permissions at AppSpec line {entry.line}: acls say twice what {each} is about")
        named.add(whom)
    if entry.context is not None and not selinux.is_enabled():
        raise InstallError(
            f"permissions at AppSpec line {entry.line} set a context, and SELinux is not enabled on this host. "
            "Remove the context, or deploy to hosts that have SELinux."
        )


def normal(path: str) -> str:
    """The absolute path without redundant parts; links are not followed (agent.md 4.2.3)."""
    absolute = os.path.abspath(path)  # noqa: PTH100 - text paths on the hot path
    # POSIX lets two leading slashes mean something else; nobody who writes them does.
    return "/" + absolute.lstrip("/")
