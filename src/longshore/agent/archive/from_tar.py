"""Entries of a tar, compressed or not."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from longshore import tar_stream
from longshore.agent.archive import tar_header
from longshore.agent.archive.tree import CHUNK, Tree
from longshore.agent.errors import ArchiveError
from longshore.tar_stream import BLOCK

#: The end of the year 2105, which zip's and most file systems' times reach.
_LAST_TIME = 2**32


def damage() -> tuple[type[Exception], ...]:
    """How a damaged archive shows."""
    return (*tar_stream.damage(), struct.error)


def unpack_entries(bundle: Path, bundle_type: str, tree: Tree) -> None:
    """Unpack every entry; raises `ArchiveError`, and what `damage` tells."""
    with bundle.open("rb", tar_stream.BUFFER) as raw:
        stream = tar_stream.opened(raw, bundle_type)
        is_begun, block = _unpack_plain(stream, tree)
        if block.strip(b"\0") or not is_begun:
            # The standard library goes on, which most bundles need not load.
            from longshore.agent.archive.any_tar import unpack_rest

            unpack_rest(stream, block, bundle_type, tree)
        # The checksum of a compressed stream is behind its last byte.
        for _ in range(64):
            if not stream.read(CHUNK):
                return
        raise ArchiveError("the bundle goes on for over 64 MiB after the end of its archive")


def file_time(modified: float) -> float | None:
    """When a file was modified. What no file system can hold is left out: the time of a file is worth no refusal."""
    return modified if 0 <= modified < _LAST_TIME else None


def content(stream: Any, size: int, name: str) -> Iterator[bytes]:
    """The next `size` bytes of the stream; raises `ArchiveError` where it is shorter."""
    while size > 0 and (chunk := stream.read(min(CHUNK, size))):
        size -= len(chunk)
        yield chunk
    if size:
        raise ArchiveError(f"the bundle ends inside {name!r}; it is truncated")


def _unpack_plain(stream: IO[bytes], tree: Tree) -> tuple[bool, bytes]:
    """Unpack the plain entries that the archive begins with; whether there was one, and the block that follows."""
    is_begun, block = False, stream.read(BLOCK)
    while (entry := tar_header.read(block)) is not None:
        is_begun, padding = True, 0
        if entry.is_directory:
            tree.directory(entry.name, entry.mode & 0o7777)
        else:
            padding = -entry.size % BLOCK
            chunks = content(stream, entry.size, entry.name)
            tree.file(entry.name, entry.mode & 0o7777, file_time(entry.modified), chunks)
        following = stream.read(padding + BLOCK)
        if len(following) < padding:
            raise ArchiveError(f"the bundle ends inside {entry.name!r}; it is truncated")
        block = following[padding:]
    return is_begun, block
