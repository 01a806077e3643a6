"""Entries of a zip."""

from __future__ import annotations

import lzma
import os
import stat
import struct
import time
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from longshore.agent.archive.tree import CHUNK, MAX_PATH_BYTES, Tree
from longshore.agent.errors import ArchiveError

#: A local file header: signature, then sizes of the name and of the extra field after what the directory repeats.
_HEADER = struct.Struct("<4s22xHH")
#: A field of times in UTC: its tag, then size and flags.
_UTC = struct.Struct("<HHB")


def damage() -> tuple[type[Exception], ...]:
    """How a damaged archive shows."""
    return (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, struct.error)


def unpack_entries(bundle: Path, bundle_type: str, tree: Tree) -> None:  # noqa: ARG001 - as from_tar has it
    """Unpack every entry; raises `ArchiveError`, and what `damage` tells."""
    with bundle.open("rb") as raw, zipfile.ZipFile(raw) as reader:
        for entry in reader.infolist():
            _unpack_entry(reader, raw.fileno(), entry, tree)


def _unpack_entry(reader: zipfile.ZipFile, descriptor: int, entry: zipfile.ZipInfo, tree: Tree) -> None:
    name = entry.orig_filename
    if "\\" in name:
        raise ArchiveError(
            f"the bundle's entry {name!r} has a backslash in its name; zip files separate with '/'. "
            "Make the archive with a tool that follows the format."
        )
    if entry.flag_bits & 0x1:
        raise ArchiveError(f"the bundle's entry {name!r} is encrypted")
    # The upper half holds the Unix mode, where the archive was made on Unix; else it is 0.
    mode = entry.external_attr >> 16
    kind = stat.S_IFMT(mode)
    if kind == stat.S_IFLNK:
        if entry.file_size > MAX_PATH_BYTES:
            raise ArchiveError(f"the bundle's entry {name!r} is a symbolic link with an unusable target")
        tree.symlink(name, os.fsdecode(reader.read(entry)))
    elif name.endswith("/") or kind == stat.S_IFDIR:
        tree.directory(name, mode & 0o7777 or 0o755)
    elif kind in (0, stat.S_IFREG):
        tree.file(name, mode & 0o7777 or 0o644, _modified(entry), _chunks(reader, descriptor, entry))
    else:
        raise ArchiveError(f"the bundle's entry {name!r} is a device, pipe or socket")


def _modified(entry: zipfile.ZipInfo) -> float | None:
    """When the file was modified: in UTC where the archive says so, else by this host's clock, as unzip(1) has it."""
    extra = entry.extra
    while len(extra) >= _UTC.size + 4:
        tag, size, flags = _UTC.unpack_from(extra)
        if tag == 0x5455 and size >= 5 and flags & 1:
            return float(struct.unpack_from("<I", extra, _UTC.size)[0])
        extra = extra[4 + size :]
    try:
        return time.mktime((*entry.date_time, 0, 0, -1))
    except (ValueError, OverflowError):
        return None


def _chunks(reader: zipfile.ZipFile, descriptor: int, entry: zipfile.ZipInfo) -> Iterator[bytes]:
    is_usual = entry.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
    if is_usual and entry.file_size <= CHUNK and entry.compress_size <= CHUNK:
        if content := _small_entry(descriptor, entry):
            yield content
        return
    with reader.open(entry) as source:
        while chunk := source.read(CHUNK):
            yield chunk


def _small_entry(descriptor: int, entry: zipfile.ZipInfo) -> bytes:
    """An entry's content in one read; the library's reader costs a bundle of small files a third more."""
    ahead = _HEADER.size + 512
    raw = os.pread(descriptor, ahead + entry.compress_size, entry.header_offset)
    signature, name_size, extra_size = _HEADER.unpack_from(raw)
    if signature != b"PK\x03\x04":
        raise zipfile.BadZipFile(f"no header for {entry.filename!r}")
    start = _HEADER.size + name_size + extra_size
    packed = raw[start : start + entry.compress_size]
    if start > ahead:
        packed = os.pread(descriptor, entry.compress_size, entry.header_offset + start)
    content = packed
    if entry.compress_type == zipfile.ZIP_DEFLATED:
        # One byte more than it says is enough to know that it lies.
        content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, entry.file_size + 1)
    if len(content) != entry.file_size or zlib.crc32(content) != entry.CRC:
        raise zipfile.BadZipFile(f"{entry.filename!r} is not what its size and checksum say")
    return content
