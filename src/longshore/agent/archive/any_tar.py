"""Entries of a tar by the standard library: links, long names, sparse files, and whatever else there is."""

from __future__ import annotations

import tarfile
from typing import IO, Any, Self, cast

from longshore.agent.archive import tar_header
from longshore.agent.archive.from_tar import content, file_time
from longshore.agent.archive.tree import Tree
from longshore.agent.errors import ArchiveError
from longshore.tar_stream import TarStream


def unpack_rest(plain: IO[bytes], block: bytes, bundle_type: str, tree: Tree) -> None:
    """Unpack the entries of an archive from the one on whose header is `block`, the last that was read."""
    stream = TarStream(plain, tree.limits.entries, block)
    try:
        with tarfile.open(
            fileobj=cast("IO[bytes]", stream), mode="r:", errors="surrogateescape", encoding="utf-8", tarinfo=Header
        ) as reader:
            for entry in reader:
                _unpack_entry(reader, entry, stream, tree)
                # tarfile remembers every member; a long archive must not fill the memory.
                reader.members = []  # type: ignore[attr-defined]  # documented to be a plain list since 3.0
    except tarfile.TarError as error:
        raise ArchiveError(f"the bundle is damaged or not a {bundle_type} archive: {error}") from None
    if stream.last.strip(b"\0"):
        raise ArchiveError("the bundle is truncated or damaged: a file header in it cannot be read")


class Header(tarfile.TarInfo):
    """An entry's header, of which only what we use is kept where it is plain."""

    @classmethod
    def frombuf(cls, buf: Any, encoding: str, errors: str) -> Self:
        """The header in a block of 512 bytes; raises `tarfile.HeaderError`."""
        plain = tar_header.read(buf)
        if plain is None:
            return super().frombuf(buf, encoding, errors)
        made = cls(plain.name)
        made.mode, made.size, made.mtime = plain.mode, plain.size, plain.modified
        made.type = tarfile.DIRTYPE if plain.is_directory else tarfile.REGTYPE
        return made


def _unpack_entry(reader: tarfile.TarFile, entry: tarfile.TarInfo, stream: TarStream, tree: Tree) -> None:
    if entry.islnk():
        tree.hardlink(entry.name, entry.linkname)
    elif entry.isdir():
        tree.directory(entry.name, entry.mode & 0o7777)
    elif entry.issym():
        tree.symlink(entry.name, entry.linkname)
    elif entry.isreg():
        stream.is_content = True
        source: Any = stream
        if entry.issparse():
            # Its holes are tarfile's business; a plain file is read where it lies, at a third of the cost.
            source = reader.extractfile(entry)
        else:
            stream.seek(entry.offset_data)
        chunks = content(source, entry.size, entry.name)
        tree.file(entry.name, entry.mode & 0o7777, file_time(entry.mtime), chunks)
        stream.is_content = False
    else:
        raise ArchiveError(f"the bundle's entry {entry.name!r} is a device, pipe or of an unknown kind")
