"""Which revisions of a group stay on the host (agent.md 2.5), by their number and by the room they take.

What is too many goes when a deployment is over, not before the next one unpacks: for half a minute after many files
were deleted ext4 makes new ones at half the pace, and it would be the new revision's that pay.
"""

from __future__ import annotations

import os
from pathlib import Path

from longshore.agent.layout import DeploymentPaths, pointed_to
from longshore.agent.removing import remove_tree

#: With less room than this, or ten times the bundle, the oldest revisions go before the new one comes. Bytes.
ROOM = 1024**3
_BUNDLES = 10
#: Ends the name of a revision that is being removed: whoever is killed in that leaves it to the next.
GOING = ".longshore-old"


def make_room(paths: DeploymentPaths, max_revisions: int, bundle_size: int | None) -> None:
    """Before a revision comes: one more than may stay is borne with, unless the disk is short."""
    file_system = os.statvfs(paths.group_directory)
    is_short = file_system.f_bavail * file_system.f_frsize < max(ROOM, _BUNDLES * (bundle_size or 0))
    _forget(paths, max_revisions - is_short)


def tidy(paths: DeploymentPaths, max_revisions: int, max_size: int | None) -> None:
    """When the deployment is over: `max_revisions` stay, and of them what takes `max_size` bytes together."""
    _forget(paths, max_revisions - 1)
    if max_size is None:
        return
    room = max_size - _size(paths.directory)
    kept = pointed_to(paths.last_successful)
    if kept is not None and kept != paths.directory:
        room -= _size(kept)
    for revision in reversed(_others(paths)):
        room -= _size(revision)
        if room < 0:
            _remove(revision)


def _forget(paths: DeploymentPaths, most: int) -> None:
    """Remove the oldest other revisions beyond `most`, which counts the last successful one; that one stays."""
    others = _others(paths)
    kept = pointed_to(paths.last_successful)
    has_kept = kept is not None and kept != paths.directory and kept.exists()
    for revision in others[: max(0, len(others) + has_kept - most)]:
        _remove(revision)


def _remove(revision: Path) -> None:
    going = revision.with_name(f".{revision.name}{GOING}") if not revision.name.endswith(GOING) else revision
    revision.rename(going)
    remove_tree(going)


def _others(paths: DeploymentPaths) -> list[Path]:
    """What may go, oldest first: neither this deployment, nor a newer one, nor the last that was successful."""
    kept = pointed_to(paths.last_successful)
    ours = paths.directory.stat().st_mtime_ns
    found = []
    for entry in os.scandir(paths.group_directory):
        changed = 0 if entry.name.endswith(GOING) else entry.stat(follow_symlinks=False).st_mtime_ns
        if entry.name != paths.deployment and changed <= ours and Path(entry.path) != kept:
            found.append((changed, entry.path))
    return [Path(path) for _, path in sorted(found)]


def _size(directory: Path) -> int:
    """Bytes that a directory takes on the disk."""
    blocks = 0
    for place, _, names in os.walk(directory):
        for name in names:
            try:
                blocks += os.lstat(f"{place}/{name}").st_blocks
            except OSError:  # it has gone meanwhile
                continue
    return blocks * 512
