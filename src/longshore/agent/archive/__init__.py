"""Unpacks a bundle that may have been made to harm us.

The standard readers decode the formats (`from_tar.py`, `from_zip.py`); what may come of them is decided in `tree.py`.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from longshore.agent.archive.tree import Limits, Tree
from longshore.agent.errors import ArchiveError

__all__ = ["Limits", "strip_wrapper", "unpack"]


def unpack(bundle: Path, bundle_type: str, target: Path, limits: Limits) -> None:
    """Unpack the bundle into `target`, which must not exist; raises `ArchiveError`, naming the entry."""
    # A deployment pays for loading one of them, and not for the other.
    if bundle_type == "zip":
        from longshore.agent.archive.from_zip import DAMAGE, unpack_entries
    else:
        from longshore.agent.archive.from_tar import DAMAGE, unpack_entries
    target.mkdir(mode=0o755, parents=True)
    tree = Tree(target, limits, bundle.stat().st_size)
    # Modes are given when files are made; that is one call less for each.
    mask = os.umask(0)
    try:
        unpack_entries(bundle, bundle_type, tree)
    except DAMAGE as error:
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


def strip_wrapper(root: Path) -> Path:
    """The directory that is the archive: `root`, or its only directory when that holds an AppSpec (agent.md 3.10)."""
    with os.scandir(root) as found:
        entries = list(found)
    if len(entries) != 1 or not entries[0].is_dir(follow_symlinks=False):
        return root
    if any("appspec" in name.lower() for name in os.listdir(entries[0].path)):  # noqa: PTH208 - only names wanted
        return Path(entries[0].path)
    return root
