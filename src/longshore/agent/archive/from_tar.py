"""Entries of a tar, compressed or not."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

from longshore.agent.archive.tar_header import Header
from longshore.agent.archive.tree import CHUNK, Tree
from longshore.agent.errors import ArchiveError

#: How a damaged archive shows.
DAMAGE: tuple[type[Exception], ...] = (zlib.error, lzma.LZMAError, EOFError, struct.error)
#: Small enough for memory that the process has: fresh pages cost more than further reads.
_BUFFER = 64 * 1024
#: The end of the year 2105, which zip's and most file systems' times reach.
_LAST_TIME = 2**32


def unpack_entries(bundle: Path, bundle_type: str, tree: Tree) -> None:
    """Unpack every entry; raises `ArchiveError`, and what `DAMAGE` holds."""
    with bundle.open("rb", _BUFFER) as raw:
        stream = _LastRead(_decompressed(raw, bundle_type))
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
        stream.check_end()


def _unpack_entry(reader: tarfile.TarFile, entry: tarfile.TarInfo, stream: _LastRead, tree: Tree) -> None:
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


def _chunks(reader: tarfile.TarFile, entry: tarfile.TarInfo, stream: _LastRead) -> Iterator[bytes]:
    missing = entry.size
    source: IO[bytes] | _LastRead = stream
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


def _decompressed(raw: IO[bytes], bundle_type: str) -> IO[bytes]:
    """tgz is gzip; tar is whatever its first bytes say, as tar(1) does it (agent.md 3.7)."""
    magic = raw.read(6)
    raw.seek(0)
    if bundle_type == "tgz" or magic.startswith(b"\x1f\x8b"):
        return _buffered(gzip.GzipFile(fileobj=raw))
    if magic.startswith(b"BZh"):
        return _buffered(bz2.BZ2File(raw))
    if magic == b"\xfd7zXZ\0":
        return _buffered(lzma.LZMAFile(raw))
    return raw


def _buffered(plain: Any) -> IO[bytes]:
    """Reads and seeks of the decompressors are Python, and a tar file is asked for both a thousand times."""
    return io.BufferedReader(plain, _BUFFER)


class _LastRead:
    """A stream that remembers its last read: the block that made tarfile stop.

    tarfile takes a cut or damaged header after the first one for the end of the archive and says nothing.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._last = b""
        # Counted here: tarfile asks where it is, and goes where it is, several times an entry.
        self._at = stream.tell()

    def read(self, size: int = -1) -> bytes:
        self._last = self._stream.read(size)
        self._at += len(self._last)
        return self._last

    def seek(self, offset: int, whence: int = 0) -> int:
        if whence or offset != self._at:
            self._at = self._stream.seek(offset, whence)
        return self._at

    def tell(self) -> int:
        return self._at

    def check_end(self) -> None:
        """Raise unless the archive ended with an end mark or at its last byte."""
        if self._last.strip(b"\0"):
            raise ArchiveError("the bundle is truncated or damaged: a file header in it cannot be read")
        # The checksum of a compressed stream is behind its last byte.
        for _ in range(64):
            if not self._stream.read(CHUNK):
                return
        raise ArchiveError("the bundle goes on for over 64 MiB after the end of its archive")
