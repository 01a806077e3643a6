"""What an archive has been unpacked to so far, and the rules for what may come (agent.md 3.7–3.9, 10.14; field.md E).

Every decision about names, links, modes and sizes is made here. The target is a fresh directory that only this process
writes to, so what exists in it is known without asking the file system, and an entry is written only below directories
this extraction made itself.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from longshore.agent.errors import ArchiveError

#: A bundle that unpacks to more than both bounds is taken for a bomb.
SUSPICIOUS_SIZE = 1024**3
SUSPICIOUS_RATIO = 200
#: Leaves room below PATH_MAX for the destination a file is copied to.
MAX_PATH_BYTES = 3072
MAX_NAME_BYTES = 255
#: Directories in each other; an installation goes down into them.
MAX_DEPTH = 200
#: Links followed before a chain counts as a circle; the kernel's bound.
MAX_LINKS = 40
#: Most bytes of a file that are in memory at once.
CHUNK = 1024 * 1024
_SPECIAL_BITS = stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX


class Limits(NamedTuple):
    """How much a bundle may unpack to."""

    size: int = 8 * 1024**3
    entries: int = 200_000


class Tree:
    """What has been unpacked so far, and the rules for what may come."""

    def __init__(self, root: Path, limits: Limits, packed_size: int) -> None:
        self._root = os.fspath(root) + "/"
        self.limits = limits
        self._packed_size = packed_size
        self._entries = 0
        self._written = 0
        self._directories: set[str] = {""}
        self._files: set[str] = set()
        self._links: dict[str, str] = {}
        self._directory_modes: dict[str, int] = {}

    def directory(self, name: str, mode: int) -> None:
        """Make a directory; saying it twice is harmless."""
        path = self._claim(name, mode)
        if path is None:
            return
        if path not in self._directories:
            self._absent(path, name)
            self._make_parents(path, name)
            os.mkdir(self._root + path, 0o755)  # noqa: PTH102 - text paths on the hot path
            self._directories.add(path)
        # Set at the end: a read-only directory must still take its files.
        self._directory_modes[path] = mode & 0o777

    def file(self, name: str, mode: int, modified: float | None, chunks: Iterator[bytes]) -> None:
        """Write a regular file, counting its real bytes; `modified` in seconds since 1970."""
        path = self._new(name, mode)
        descriptor = os.open(
            self._root + path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode & 0o777
        )
        try:
            for chunk in chunks:
                self._count(len(chunk), name)
                written = os.write(descriptor, chunk)
                while written < len(chunk):
                    written += os.write(descriptor, memoryview(chunk)[written:])
            if modified is not None:
                os.utime(descriptor, (modified, modified))
        finally:
            os.close(descriptor)
        self._files.add(path)

    def symlink(self, name: str, target: str) -> None:
        """Make a symbolic link; whether it stays inside is settled when every link is known."""
        path = self._new(name, 0)
        if not target or "\0" in target or _undecodable(target) or len(os.fsencode(target)) > MAX_PATH_BYTES:
            raise ArchiveError(f"the bundle's entry {name!r} is a symbolic link with an unusable target")
        if target.startswith("/"):
            raise ArchiveError(
                f"the bundle's entry {name!r} is a symbolic link to {target!r}, outside the bundle. "
                "Make such a link in a hook."
            )
        os.symlink(target, self._root + path)  # noqa: PTH211
        self._links[path] = target

    def hardlink(self, name: str, target: str) -> None:
        """Make a second name for a file of this archive."""
        path = self._new(name, 0)
        source = _normal(target, name)
        if source not in self._files:
            raise ArchiveError(
                f"the bundle's entry {name!r} is a hard link to {target!r}, which is no earlier file of it"
            )
        os.link(self._root + source, self._root + path)
        self._files.add(path)

    def finish(self) -> None:
        """Check every link against the whole, then set the directories' modes."""
        for path, target in self._links.items():
            self._resolve(path, target)
        for path, mode in sorted(self._directory_modes.items(), reverse=True):
            # Owner access is kept: what was unpacked must stay readable and removable for an unprivileged agent.
            os.chmod(self._root + path, mode | 0o700)  # noqa: PTH101

    def _count_entry(self) -> None:
        self._entries += 1
        if self._entries > self.limits.entries:
            raise ArchiveError(
                f"the bundle has more than {self.limits.entries} entries "
                "(archive_max_entries in the agent's configuration allows more)"
            )

    def _claim(self, name: str, mode: int) -> str | None:
        self._count_entry()
        if mode & _SPECIAL_BITS:
            raise ArchiveError(
                f"the bundle's entry {name!r} has a setuid, setgid or sticky bit ({mode & 0o7777:o}). "
                "Set it with permissions in the AppSpec file."
            )
        return _normal(name, name) or None

    def _new(self, name: str, mode: int) -> str:
        path = self._claim(name, mode)
        if path is None:
            raise ArchiveError(f"the bundle's entry {name!r} names the archive itself")
        self._absent(path, name)
        self._make_parents(path, name)
        return path

    def _absent(self, path: str, name: str) -> None:
        if path in self._files or path in self._links or path in self._directories:
            raise ArchiveError(f"the bundle holds {name!r} twice")

    def _make_parents(self, path: str, name: str) -> None:
        parent = path.rpartition("/")[0]
        if parent in self._directories:
            return
        if parent in self._links:
            raise ArchiveError(f"the bundle's entry {name!r} would be written through the symbolic link {parent!r}")
        if parent in self._files:
            raise ArchiveError(f"the bundle's entry {name!r} lies below {parent!r}, which is a file")
        self._make_parents(parent, name)
        # One that no entry names takes its place on the disk, too.
        self._count_entry()
        os.mkdir(self._root + parent, 0o755)  # noqa: PTH102
        self._directories.add(parent)

    def _count(self, size: int, name: str) -> None:
        self._written += size
        if self._written > self.limits.size:
            raise ArchiveError(
                f"the bundle unpacks to more than {self.limits.size} bytes (at {name!r}). "
                "archive_max_extraction_size in the agent's configuration allows more."
            )
        if self._written > SUSPICIOUS_SIZE and self._written > SUSPICIOUS_RATIO * self._packed_size:
            raise ArchiveError(f"the bundle unpacks to over {SUSPICIOUS_RATIO} times its size (at {name!r}); refused")

    def _resolve(self, link: str, target: str) -> None:
        """Follow a link as the kernel would; it must not climb above the root on the way."""
        followed = 0
        at = link.split("/")[:-1]
        rest = target.split("/")[::-1]
        while rest:
            part = rest.pop()
            if part in ("", "."):
                continue
            if part == "..":
                if not at:
                    raise ArchiveError(
                        f"the bundle's entry {link!r} is a symbolic link to {target!r}, outside the bundle. "
                        "Make such a link in a hook."
                    )
                at.pop()
                continue
            at.append(part)
            onward = self._links.get("/".join(at))
            if onward is not None:
                followed += 1
                if followed > MAX_LINKS:
                    raise ArchiveError(f"the bundle's entry {link!r} is a symbolic link that leads in a circle")
                at.pop()
                rest.extend(onward.split("/")[::-1])


def _normal(path: str, name: str) -> str:
    """The entry's path without redundant parts; refuses what could leave the root. Empty means the root itself."""
    if path.startswith("/"):
        raise ArchiveError(f"the bundle's entry {name!r} has an absolute name")
    if "\0" in path:
        raise ArchiveError(f"the bundle's entry {name!r} has a NUL in its name")
    if _undecodable(path):
        raise ArchiveError(f"the bundle's entry {name!r} has a name that is not UTF-8")
    if "\\" in path:
        # An ordinary character here, a separator to whoever reads the tree with other eyes.
        parts = path.replace("\\", "/").split("/")
        if ".." in parts or not parts[0] or parts[0].endswith(":"):
            raise ArchiveError(f"the bundle's entry {name!r} hides a path outside the bundle behind backslashes")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise ArchiveError(f"the bundle's entry {name!r} leads outside the bundle ('..')")
    normal = "/".join(parts)
    if len(normal) * 4 > MAX_NAME_BYTES and (
        len(os.fsencode(normal)) > MAX_PATH_BYTES
        or len(parts) > MAX_DEPTH
        or any(len(os.fsencode(part)) > MAX_NAME_BYTES for part in parts)
    ):
        raise ArchiveError(f"the bundle's entry {name[:80]!r}… has too long or too deep a path")
    return normal


def _undecodable(name: str) -> bool:
    if name.isascii():
        return False
    try:
        name.encode()
    except UnicodeEncodeError:
        return True
    return False
