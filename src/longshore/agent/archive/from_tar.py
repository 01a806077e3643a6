"""Entries of a tar, compressed or not."""

from __future__ import annotations

import struct
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from longshore import tar_stream
from longshore.agent.archive.tar_header import Header
from longshore.agent.archive.tree import CHUNK, Tree
from longshore.agent.errors import ArchiveError
from longshore.tar_stream import TarStream

#: How a damaged archive shows.
DAMAGE: tuple[type[Exception], ...] = (*tar_stream.DAMAGE, struct.error)
#: The end of the year 2105, which zip's and most file systems' times reach.
_LAST_TIME = 2**32


def unpack_entries(bundle: Path, bundle_type: str, tree: Tree) -> None:
    """Unpack every entry; raises `ArchiveError`, and what `DAMAGE` holds."""
    with bundle.open("rb", tar_stream.BUFFER) as raw:
        stream = tar_stream.opened(raw, bundle_type, tree.limits.entries)
        try:
            with tarfile.open(
                fileobj=cast("IO[bytes]", stream),
                mode="r:",
                errors="surrogateescape",
                encoding="utf-8",
                tarinfo=Header,
            ) as reader:
                for entry in reader:
                    # tarfile remembers every member; a long archive must not fill the memory.
                    if not entry.islnk():
                        _unpack_entry(reader, entry, stream, tree)
                    else:
                        tree.hardlink(entry.name, entry.linkname)
                    reader.members = []  # type: ignore[attr-defined]  # documented to be a plain list since 3.0
        except tarfile.TarError as error:
            raise ArchiveError(f"the bundle is damaged or not a {bundle_type} archive: {error}") from None
        _check_end(stream)


def _unpack_entry(reader: tarfile.TarFile, entry: tarfile.TarInfo, stream: TarStream, tree: Tree) -> None:
    if entry.isdir():
        tree.directory(entry.name, entry.mode & 0o7777)
    elif entry.issym():
        tree.symlink(entry.name, entry.linkname)
    elif entry.isreg():
        # What no file system can hold is left out: the time of a file is worth no refusal.
        modified = entry.mtime if 0 <= entry.mtime < _LAST_TIME else None
        tree.file(entry.name, entry.mode & 0o7777, modified, _chunks(reader, entry, stream))
    else:
        raise ArchiveError(f"the bundle's entry {entry.name!r} is a device, pipe or of an unknown kind")


def _chunks(reader: tarfile.TarFile, entry: tarfile.TarInfo, stream: TarStream) -> Iterator[bytes]:
    missing = entry.size
    stream.is_content = True
    source: IO[bytes] | TarStream = stream
    if entry.issparse():
        # Its holes are tarfile's business; a plain file is read where it lies, at a third of the cost.
        source = cast("IO[bytes]", reader.extractfile(entry))
    else:
        stream.seek(entry.offset_data)
    while missing > 0 and (chunk := source.read(min(CHUNK, missing))):
        missing -= len(chunk)
        yield chunk
    if missing:
        raise ArchiveError(f"the bundle ends inside {entry.name!r}; it is truncated")
    stream.is_content = False


def _check_end(stream: TarStream) -> None:
    """Raise unless the archive ended with an end mark or at its last byte."""
    if stream.last.strip(b"\0"):
        raise ArchiveError("the bundle is truncated or damaged: a file header in it cannot be read")
    # The checksum of a compressed stream is behind its last byte.
    stream.is_content = True
    for _ in range(64):
        if not stream.read(CHUNK):
            return
    raise ArchiveError("the bundle goes on for over 64 MiB after the end of its archive")
