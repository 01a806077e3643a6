"""Directories of our own taken away, whatever a bundle has made of them."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any


def remove_tree(path: Path) -> None:
    """Remove a directory of ours, whatever the modes inside; a missing one is fine."""
    with suppress(FileNotFoundError):
        if not path.is_dir() or path.is_symlink():
            path.unlink()
            return
        _remove_below(os.fspath(path))
        path.rmdir()


def _remove_below(directory: str) -> None:
    try:
        found = list(os.scandir(directory))
    except PermissionError:
        os.chmod(directory, 0o700)  # noqa: PTH101
        found = list(os.scandir(directory))
    for entry in found:
        if entry.is_dir(follow_symlinks=False):
            _remove_below(entry.path)
            _retry_writable(os.rmdir, entry.path, directory)
        else:
            _retry_writable(os.unlink, entry.path, directory)


def _retry_writable(remove: Any, path: str, directory: str) -> None:
    try:
        remove(path)
    except PermissionError:
        os.chmod(directory, 0o700)  # noqa: PTH101
        remove(path)
