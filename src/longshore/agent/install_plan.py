"""What an Install will do, planned before anything is changed (agent.md 4). Reads the file system, writes nothing.

The plan sees the file system as it will be once the last release is removed, so a conflict is found before anything is
deleted (the official agent deletes first, agent.md 4.1.3).
"""

from __future__ import annotations

import json
import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from longshore.agent.errors import InstallError
from longshore.agent.permissions import Change, Chmod, Chown, Semanage, Setfacl, normal, resolve
from longshore.appspec import FileMapping, ServerAppSpec

BEHAVIORS = ("DISALLOW", "OVERWRITE", "RETAIN")


class Mkdir(NamedTuple):
    """Make a directory."""

    path: str


class Copy(NamedTuple):
    """Put a file or symbolic link in place."""

    source: str
    destination: str


Instruction = Mkdir | Copy | Change


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What an Install will do, in order."""

    #: Paths of the last release that will be removed, in the order they are.
    removals: tuple[str, ...]
    #: Those that are directories, and no links to one.
    removed_directories: frozenset[str]
    instructions: tuple[Instruction, ...]

    def document(self) -> bytes:
        """The plan in the official agent's format (agent.md 2.4.4)."""
        return json.dumps({"instructions": [_official(step) for step in self.instructions]}).encode()


def plan(appspec: ServerAppSpec, archive: Path, earlier: list[str], default_behavior: str) -> Plan:
    """What to do to get from the host as it is to the release in `archive`. Reads the file system, writes nothing."""
    after_cleanup = _AfterCleanup(earlier)
    planner = _Planner(os.fspath(archive), after_cleanup, appspec.file_exists_behavior or default_behavior)
    for mapping in appspec.files:
        planner.add(mapping)
    changes = resolve(appspec.permissions, planner.files, planner.directories, after_cleanup)
    return Plan(
        removals=tuple(after_cleanup.removals),
        removed_directories=frozenset(after_cleanup.directories),
        instructions=(*planner.steps, *changes),
    )


@dataclass(frozen=True, kw_only=True)
class Rehearsal:
    """What an Install would make on a host that has nothing yet."""

    #: Every file, and whether it is a symbolic link.
    files: dict[str, bool]
    directories: dict[str, None]
    #: Of the entries of `files` that cannot be installed: their place in the list, and why.
    refused: tuple[tuple[int, str], ...]


def rehearse(appspec: ServerAppSpec, archive: Path) -> Rehearsal:
    """Plan without a host: what a revision would install anywhere, and all that it could install nowhere."""
    planner = _Planner(os.fspath(archive), _BareHost(), "DISALLOW")
    refused = []
    for place, mapping in enumerate(appspec.files):
        try:
            planner.add(mapping)
        except InstallError as error:
            refused.append((place, str(error)))
    return Rehearsal(files=planner.files, directories=planner.directories, refused=tuple(refused))


class _BareHost:
    """A host without files."""

    def lstat(self, path: str) -> os.stat_result | None:  # noqa: ARG002
        return None

    def __call__(self, path: str) -> bool:  # noqa: ARG002
        return False


class _AfterCleanup:
    """The file system as it will be when the last release has been removed."""

    def __init__(self, earlier: list[str]) -> None:
        #: Paths that will be removed, in order.
        self.removals: list[str] = []
        #: Directories among them.
        self.directories: set[str] = set()
        self._removed: set[str] = set()
        for path in reversed(earlier):
            if path not in self._removed and self._is_removable(path):
                self.removals.append(path)
                self._removed.add(path)

    def _is_removable(self, path: str) -> bool:
        try:
            mode = os.lstat(path).st_mode
        except OSError:
            return False
        if not stat.S_ISDIR(mode):
            return True
        with suppress(OSError):
            if all(f"{path}/{name}" in self._removed for name in os.listdir(path)):  # noqa: PTH208
                self.directories.add(path)
                return True
        return False

    def lstat(self, path: str) -> os.stat_result | None:
        """What will be at the path; None: nothing."""
        if path in self._removed:
            return None
        try:
            return os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise InstallError(f"cannot look at {path}: {error.strerror}") from None

    def __call__(self, path: str) -> bool:
        """Whether a directory (or a link to one) will be at the path."""
        return path not in self._removed and os.path.isdir(path)  # noqa: PTH112


class _Planner:
    """Turns `files` into steps (agent.md 4.2, 4.3)."""

    def __init__(self, archive: str, there: _AfterCleanup | _BareHost, behavior: str) -> None:
        self._archive = archive
        self._real_archive = os.path.realpath(archive)
        self._there = there
        self._behavior = behavior
        self.steps: list[Mkdir | Copy] = []
        #: Copy targets, and whether each is a symbolic link.
        self.files: dict[str, bool] = {}
        #: Directories to make.
        self.directories: dict[str, None] = {}
        self._standing: set[str] = {"/"}

    def add(self, mapping: FileMapping) -> None:
        source = self._source(mapping)
        destination = normal(mapping.destination)
        if os.path.isdir(source) and (not os.path.islink(source) or os.path.samefile(source, self._archive)):  # noqa: PTH112, PTH114, PTH121
            self._directory(source, destination)
        else:
            # A file's destination is always the directory it goes into (agent.md 4.2.2).
            self._make(destination)
            is_link = os.path.islink(source)  # noqa: PTH114
            self._file(source, f"{destination.rstrip('/')}/{os.path.basename(source)}", is_link=is_link)  # noqa: PTH119

    def _source(self, mapping: FileMapping) -> str:
        inside = [part for part in mapping.source.split("/") if part not in ("", ".")]
        where = f"files at AppSpec line {mapping.line}: source {mapping.source!r}"
        if ".." in inside:
            raise InstallError(f"{where} leads outside the revision ('..')")
        source = "/".join([self._archive, *inside])
        if not os.path.lexists(source):
            raise InstallError(
                f"{where} is not in the revision; paths are relative to the directory of the AppSpec file"
            )
        parent = os.path.realpath(os.path.dirname(source) if inside else source)  # noqa: PTH120
        if parent != self._real_archive and not parent.startswith(self._real_archive + "/"):
            raise InstallError(f"{where} leads outside the revision through a symbolic link")
        return source

    def _directory(self, source: str, destination: str) -> None:
        self._make(destination)
        prefix = destination.rstrip("/") + "/"
        try:
            with os.scandir(source) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            raise InstallError(f"cannot read {source}: {error.strerror}") from None
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                self._directory(entry.path, prefix + entry.name)
            else:
                # Links stay links, those to directories too: the official agent copies what they lead to, and a loop
                # forty times (agent.md 4.2.6).
                self._file(entry.path, prefix + entry.name, is_link=entry.is_symlink())

    def _make(self, path: str) -> None:
        if path in self.directories or path in self._standing:
            return
        if path in self.files:
            raise InstallError(f"the AppSpec file makes {path} both a file and a directory")
        parent = os.path.dirname(path)  # noqa: PTH120
        self._make(parent)
        # Below a directory still to be made there is nothing, whatever a link of the last release shows there now.
        if parent not in self.directories:
            if self._there(path):
                self._standing.add(path)
                return
            there = self._there.lstat(path)
            if there is not None:
                kind = "symbolic link that leads nowhere" if stat.S_ISLNK(there.st_mode) else "file"
                raise InstallError(f"{path} must be a directory, but a {kind} is there; remove it from the host")
        _check_line(path)
        self.directories[path] = None
        self.steps.append(Mkdir(path))

    def _file(self, source: str, destination: str, *, is_link: bool) -> None:
        if destination in self.files:
            raise InstallError(f"the AppSpec file copies two files to {destination}")
        if destination in self.directories:
            raise InstallError(f"the AppSpec file makes {destination} both a file and a directory")
        _check_line(destination)
        is_new = destination.rpartition("/")[0] in self.directories
        there = None if is_new else self._there.lstat(destination)
        if there is not None and not self._may_replace(destination, there):
            return
        self.files[destination] = is_link
        self.steps.append(Copy(source, destination))

    def _may_replace(self, destination: str, there: os.stat_result) -> bool:
        """Whether to copy over what is there; False: keep it (agent.md 4.3)."""
        if self._behavior == "RETAIN":
            return False
        if self._behavior == "OVERWRITE":
            if stat.S_ISDIR(there.st_mode):
                raise InstallError(f"{destination} is a directory on this host; a file cannot overwrite it")
            return True
        if self._behavior == "DISALLOW":
            raise InstallError(
                f"the file {destination} already exists and was not put there by the last deployment of this group. "
                "Remove it, or set file_exists_behavior to OVERWRITE or RETAIN. Nothing was changed."
            )
        raise InstallError(
            f"the file {destination} already exists, and file_exists_behavior {self._behavior!r} "
            f"is not one of {', '.join(BEHAVIORS)}"
        )


def _check_line(path: str) -> None:
    # The cleanup file has one path a line; a name with a newline would be removed as two others.
    if "\n" in path:
        raise InstallError(f"{path!r} has a newline in its name, which the cleanup file cannot hold")


def _official(step: Instruction) -> dict[str, object]:
    match step:
        case Copy(source, destination):
            return {"type": "copy", "source": source, "destination": destination}
        case Mkdir(path):
            return {"type": "mkdir", "directory": path}
        case Chmod(mode, path):
            return {"type": "chmod", "mode": mode, "file": path}
        case Chown(owner, group, path):
            return {"type": "chown", "owner": owner, "group": group, "file": path}
        case Setfacl(entries, path):
            return {"type": "setfacl", "acl": [str(entry) for entry in entries], "file": path}
        case Semanage(context, path):
            said = {"user": context.user, "role": None, "type": context.type, "range": context.range}
            return {"type": "semanage", "context": said, "file": path}
