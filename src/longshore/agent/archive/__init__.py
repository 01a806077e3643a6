"""Unpacks a bundle that may have been made to harm us.

`from_tar.py` and `from_zip.py` decode the formats; what may come of them is decided in `tree.py`.
"""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from longshore.agent.archive.tree import Limits, Tree
from longshore.agent.errors import ArchiveError

__all__ = ["Limits", "strip_wrapper", "unpack"]

#: Bytes of memory that unpacking may take beside what the process has, and more for each entry that there may be. The
#: directory of a zip and the dictionary of an xz are as large as they say they are.
MEMORY = 128 * 1024**2
MEMORY_OF_AN_ENTRY = 1024


def unpack(bundle: Path, bundle_type: str, target: Path, limits: Limits) -> None:
    """Unpack the bundle into `target`, which must not exist; raises `ArchiveError`, naming the entry."""
    if bundle_type == "zip":
        from longshore.agent.archive.from_zip import damage, unpack_entries
    else:
        from longshore.agent.archive.from_tar import damage, unpack_entries
    target.mkdir(mode=0o755, parents=True)
    tree = Tree(target, limits, bundle.stat().st_size)
    # Modes are given when files are made; that is one call less for each.
    mask = os.umask(0)
    try:
        with _bounded_memory(MEMORY + limits.entries * MEMORY_OF_AN_ENTRY):
            unpack_entries(bundle, bundle_type, tree)
    except MemoryError:
        raise ArchiveError("the bundle takes more memory to be unpacked than any honest one; refused") from None
    except damage() as error:
        raise ArchiveError(f"the bundle is damaged or not a {bundle_type} archive: {error}") from None
    except (UnicodeError, ValueError, NotImplementedError, OverflowError, RuntimeError) as error:
        raise ArchiveError(f"the bundle cannot be read as a {bundle_type} archive: {error}") from None
    except OSError as error:
        # The decompressors report damage without a number; EINVAL is an offset before the start of the file.
        if error.errno not in (None, errno.EINVAL):
            raise
        raise ArchiveError(f"the bundle is damaged or not a {bundle_type} archive: {error}") from None
    finally:
        os.umask(mask)
    tree.finish()


@contextmanager
def _bounded_memory(size: int) -> Iterator[None]:
    """Let this process take so many bytes more than it has; then whoever wants another one gets a MemoryError."""
    with open("/proc/self/statm", "rb") as file:  # noqa: PTH123
        now = int(file.read().split()[5]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    bounds = [bound for bound in (now + size, soft, hard) if bound != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min(bounds), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def strip_wrapper(root: Path) -> Path:
    """The directory that is the archive: `root`, or its only directory when that holds an AppSpec (agent.md 3.10)."""
    with os.scandir(root) as found:
        entries = list(found)
    if len(entries) != 1 or not entries[0].is_dir(follow_symlinks=False):
        return root
    if any("appspec" in name.lower() for name in os.listdir(entries[0].path)):  # noqa: PTH208 - only names wanted
        return Path(entries[0].path)
    return root
