"""DownloadBundle: make room, fetch the revision, unpack it (agent.md 2.5, 3)."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from longshore.agent import copying, retention
from longshore.agent.config import HostConfig
from longshore.agent.errors import BundleError, CommandError
from longshore.agent.layout import DeploymentPaths, write_atomically
from longshore.agent.removing import remove_tree
from longshore.agent.specification import Specification


def download(
    specification: Specification, paths: DeploymentPaths, config: HostConfig, progress: Callable[[str], None]
) -> None:
    """Leave the unpacked revision in the deployment's archive directory."""
    from longshore.agent import archive, sources  # a worker needs them once, the poller never

    retention.make_room(paths, config.max_revisions, specification.bundle_size)
    limits = archive.Limits(size=config.archive_max_extraction_size, entries=config.archive_max_entries)
    try:
        fetched = sources.fetch(sources.Fetching(specification, config, paths.bundle, progress))
        remove_tree(paths.archive_temp)
        remove_tree(paths.archive)
        if fetched.kind == "directory":
            copying.copy_tree(os.fspath(fetched.path), os.fspath(paths.archive_temp))
            paths.archive_temp.rename(paths.archive)
        else:
            archive.unpack(fetched.path, fetched.kind, paths.archive_temp, limits)
            archive.strip_wrapper(paths.archive_temp).rename(paths.archive)
    except OSError as error:
        _drop(paths.bundle)
        raise BundleError(
            f"cannot unpack the bundle: {error.strerror} ({error.filename or paths.archive_temp})"
        ) from None
    except CommandError:
        _drop(paths.bundle)
        raise
    finally:
        remove_tree(paths.archive_temp)
    paths.most_recent.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(paths.most_recent, os.fsencode(paths.directory))


def _drop(bundle: Path) -> None:
    """Remove a bundle that cannot be used: where the disk is full, it may be what filled it."""
    with suppress(OSError):
        bundle.unlink()


def has_sha256(bundle: Path, wanted: str) -> bool:
    """Whether a bundle that an earlier deployment left is this one."""
    try:
        with bundle.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == wanted
    except OSError:
        return False
