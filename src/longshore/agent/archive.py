"""Unpacks a bundle that may have been made to harm us (agent.md 3.7–3.9, 10.14; field.md E).

The standard readers decode the formats; every decision about names, links, modes and sizes is made here. The target
is a fresh directory that only this process writes to, so what exists in it is known without asking the file system:
`_Tree` keeps it, and an entry is written only below directories this extraction made itself.
"""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import lzma
import os
import stat
import struct
import tarfile
import time
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from longshore.agent.errors import ArchiveError
from longshore.agent.tar_header import Header

#: A bundle that unpacks to more than both bounds is taken for a bomb.
SUSPICIOUS_SIZE = 1024**3
SUSPICIOUS_RATIO = 200
#: Leaves room below PATH_MAX for the destination a file is copied to.
MAX_PATH_BYTES = 3072
MAX_NAME_BYTES = 255
#: Links followed before a chain counts as a circle; the kernel's bound.
MAX_LINKS = 40
_CHUNK = 1024 * 1024
#: Small enough for memory that the process has: fresh pages cost more than further reads.
_BUFFER = 64 * 1024
#: A local file header: signature, then sizes of the name and of the extra field after what the directory repeats.
_ZIP_HEADER = struct.Struct("<4s22xHH")
#: The end of the year 2105, which zip's and most file systems' times reach.
_LAST_TIME = 2**32
#: A zip's field of times in UTC: its tag, then size and flags.
_ZIP_UTC = struct.Struct("<HHB")
_SPECIAL_BITS = stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much a bundle may unpack to."""

    size: int = 8 * 1024**3
    entries: int = 200_000


def unpack(bundle: Path, bundle_type: str, target: Path, limits: Limits) -> None:
    """Unpack the bundle into `target`, which must not exist; raises `ArchiveError`, naming the entry."""
    target.mkdir(mode=0o755, parents=True)
    tree = _Tree(target, limits, bundle.stat().st_size)
    # Modes are given when files are made; that is one call less for each.
    mask = os.umask(0)
    try:
        if bundle_type == "zip":
            _unpack_zip(bundle, tree)
        else:
            _unpack_tar(bundle, bundle_type, tree)
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, struct.error) as error:
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


class _Tree:
    """What has been unpacked so far, and the rules for what may come."""

    def __init__(self, root: Path, limits: Limits, packed_size: int) -> None:
        self._root = os.fspath(root) + "/"
        self._limits = limits
        self._packed_size = packed_size
        self._entries = 0
        self._written = 0
        self._directories: set[str] = {""}
        self._files: set[str] = set()
        self._links: dict[str, str] = {}
        self._directory_modes: dict[str, int] = {}

    def directory(self, name: str, mode: int) -> None:
        """Make a directory; saying it twice is harmless."""
        path = self._claim(name, mode)
        if path is None:
            return
        if path not in self._directories:
            self._absent(path, name)
            self._make_parents(path, name)
            os.mkdir(self._root + path, 0o755)  # noqa: PTH102 - text paths on the hot path
            self._directories.add(path)
        # Set at the end: a read-only directory must still take its files.
        self._directory_modes[path] = mode & 0o777

    def file(self, name: str, mode: int, modified: float | None, chunks: Iterator[bytes]) -> None:
        """Write a regular file, counting its real bytes; `modified` in seconds since 1970."""
        path = self._new(name, mode)
        descriptor = os.open(
            self._root + path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode & 0o777
        )
        try:
            for chunk in chunks:
                self._count(len(chunk), name)
                written = os.write(descriptor, chunk)
                while written < len(chunk):
                    written += os.write(descriptor, memoryview(chunk)[written:])
            if modified is not None:
                os.utime(descriptor, (modified, modified))
        finally:
            os.close(descriptor)
        self._files.add(path)

    def symlink(self, name: str, target: str) -> None:
        """Make a symbolic link; whether it stays inside is settled when every link is known."""
        path = self._new(name, 0)
        if not target or "\0" in target or _undecodable(target) or len(os.fsencode(target)) > MAX_PATH_BYTES:
            raise ArchiveError(f"the bundle's entry {name!r} is a symbolic link with an unusable target")
        if target.startswith("/"):
            raise ArchiveError(
                f"the bundle's entry {name!r} is a symbolic link to {target!r}, outside the bundle. "
                "Make such a link in a hook."
            )
        os.symlink(target, self._root + path)  # noqa: PTH211
        self._links[path] = target

    def hardlink(self, name: str, target: str) -> None:
        """Make a second name for a file of this archive."""
        path = self._new(name, 0)
        source = _normal(target, name)
        if source not in self._files:
            raise ArchiveError(
                f"the bundle's entry {name!r} is a hard link to {target!r}, which is no earlier file of it"
            )
        os.link(self._root + source, self._root + path)
        self._files.add(path)

    def finish(self) -> None:
        """Check every link against the whole, then set the directories' modes."""
        for path, target in self._links.items():
            self._resolve(path, target)
        for path, mode in sorted(self._directory_modes.items(), reverse=True):
            # Owner access is kept: what was unpacked must stay readable and removable for an unprivileged agent.
            os.chmod(self._root + path, mode | 0o700)  # noqa: PTH101

    def _claim(self, name: str, mode: int) -> str | None:
        self._entries += 1
        if self._entries > self._limits.entries:
            raise ArchiveError(
                f"the bundle has more than {self._limits.entries} entries "
                "(archive_max_entries in the agent's configuration allows more)"
            )
        if mode & _SPECIAL_BITS:
            raise ArchiveError(
                f"the bundle's entry {name!r} has a setuid, setgid or sticky bit ({mode & 0o7777:o}). "
                "Set it with permissions in the AppSpec file."
            )
        return _normal(name, name) or None

    def _new(self, name: str, mode: int) -> str:
        path = self._claim(name, mode)
        if path is None:
            raise ArchiveError(f"the bundle's entry {name!r} names the archive itself")
        self._absent(path, name)
        self._make_parents(path, name)
        return path

    def _absent(self, path: str, name: str) -> None:
        if path in self._files or path in self._links or path in self._directories:
            raise ArchiveError(f"the bundle holds {name!r} twice")

    def _make_parents(self, path: str, name: str) -> None:
        parent = path.rpartition("/")[0]
        if parent in self._directories:
            return
        if parent in self._links:
            raise ArchiveError(f"the bundle's entry {name!r} would be written through the symbolic link {parent!r}")
        if parent in self._files:
            raise ArchiveError(f"the bundle's entry {name!r} lies below {parent!r}, which is a file")
        self._make_parents(parent, name)
        os.mkdir(self._root + parent, 0o755)  # noqa: PTH102
        self._directories.add(parent)

    def _count(self, size: int, name: str) -> None:
        self._written += size
        if self._written > self._limits.size:
            raise ArchiveError(
                f"the bundle unpacks to more than {self._limits.size} bytes (at {name!r}). "
                "archive_max_extraction_size in the agent's configuration allows more."
            )
        if self._written > SUSPICIOUS_SIZE and self._written > SUSPICIOUS_RATIO * self._packed_size:
            raise ArchiveError(f"the bundle unpacks to over {SUSPICIOUS_RATIO} times its size (at {name!r}); refused")

    def _resolve(self, link: str, target: str) -> None:
        """Follow a link as the kernel would; it must not climb above the root on the way."""
        followed = 0
        at = link.split("/")[:-1]
        rest = target.split("/")[::-1]
        while rest:
            part = rest.pop()
            if part in ("", "."):
                continue
            if part == "..":
                if not at:
                    raise ArchiveError(
                        f"the bundle's entry {link!r} is a symbolic link to {target!r}, outside the bundle. "
                        "Make such a link in a hook."
                    )
                at.pop()
                continue
            at.append(part)
            onward = self._links.get("/".join(at))
            if onward is not None:
                followed += 1
                if followed > MAX_LINKS:
                    raise ArchiveError(f"the bundle's entry {link!r} is a symbolic link that leads in a circle")
                at.pop()
                rest.extend(onward.split("/")[::-1])


def _normal(path: str, name: str) -> str:
    """The entry's path without redundant parts; refuses what could leave the root. Empty means the root itself."""
    if path.startswith("/"):
        raise ArchiveError(f"the bundle's entry {name!r} has an absolute name")
    if "\0" in path:
        raise ArchiveError(f"the bundle's entry {name!r} has a NUL in its name")
    if _undecodable(path):
        raise ArchiveError(f"the bundle's entry {name!r} has a name that is not UTF-8")
    if "\\" in path:
        # An ordinary character here, a separator to whoever reads the tree with other eyes.
        parts = path.replace("\\", "/").split("/")
        if ".." in parts or not parts[0] or parts[0].endswith(":"):
            raise ArchiveError(f"the bundle's entry {name!r} hides a path outside the bundle behind backslashes")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise ArchiveError(f"the bundle's entry {name!r} leads outside the bundle ('..')")
    normal = "/".join(parts)
    if len(normal) * 4 > MAX_NAME_BYTES and (
        len(os.fsencode(normal)) > MAX_PATH_BYTES or any(len(os.fsencode(part)) > MAX_NAME_BYTES for part in parts)
    ):
        raise ArchiveError(f"the bundle's entry {name[:80]!r}… has too long a path")
    return normal


def _undecodable(name: str) -> bool:
    if name.isascii():
        return False
    try:
        name.encode()
    except UnicodeEncodeError:
        return True
    return False


def _unpack_zip(bundle: Path, tree: _Tree) -> None:
    with bundle.open("rb") as raw, zipfile.ZipFile(raw) as reader:
        for entry in reader.infolist():
            _unpack_zip_entry(reader, raw.fileno(), entry, tree)


def _unpack_zip_entry(reader: zipfile.ZipFile, descriptor: int, entry: zipfile.ZipInfo, tree: _Tree) -> None:
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
        tree.file(name, mode & 0o7777 or 0o644, _zip_modified(entry), _zip_chunks(reader, descriptor, entry))
    else:
        raise ArchiveError(f"the bundle's entry {name!r} is a device, pipe or socket")


def _zip_modified(entry: zipfile.ZipInfo) -> float | None:
    """When the file was modified: in UTC where the archive says so, else by this host's clock, as unzip(1) has it."""
    extra = entry.extra
    while len(extra) >= _ZIP_UTC.size + 4:
        tag, size, flags = _ZIP_UTC.unpack_from(extra)
        if tag == 0x5455 and size >= 5 and flags & 1:
            return float(struct.unpack_from("<I", extra, _ZIP_UTC.size)[0])
        extra = extra[4 + size :]
    try:
        return time.mktime((*entry.date_time, 0, 0, -1))
    except (ValueError, OverflowError):
        return None


def _zip_chunks(reader: zipfile.ZipFile, descriptor: int, entry: zipfile.ZipInfo) -> Iterator[bytes]:
    is_usual = entry.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
    if is_usual and entry.file_size <= _CHUNK and entry.compress_size <= _CHUNK:
        if content := _small_zip_entry(descriptor, entry):
            yield content
        return
    with reader.open(entry) as source:
        while chunk := source.read(_CHUNK):
            yield chunk


def _small_zip_entry(descriptor: int, entry: zipfile.ZipInfo) -> bytes:
    """An entry's content in one read; the library's reader costs a bundle of small files a third more."""
    ahead = _ZIP_HEADER.size + 512
    raw = os.pread(descriptor, ahead + entry.compress_size, entry.header_offset)
    signature, name_size, extra_size = _ZIP_HEADER.unpack_from(raw)
    if signature != b"PK\x03\x04":
        raise zipfile.BadZipFile(f"no header for {entry.filename!r}")
    start = _ZIP_HEADER.size + name_size + extra_size
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


def _unpack_tar(bundle: Path, bundle_type: str, tree: _Tree) -> None:
    with bundle.open("rb") as raw:
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
                        _unpack_tar_entry(reader, entry, stream, tree)
                    else:
                        tree.hardlink(entry.name, entry.linkname)
                    reader.members = []  # type: ignore[attr-defined]  # documented to be a plain list since 3.0
        except tarfile.TarError as error:
            raise ArchiveError(f"the bundle is damaged or not a {bundle_type} archive: {error}") from None
        stream.check_end()


def _unpack_tar_entry(reader: tarfile.TarFile, entry: tarfile.TarInfo, stream: _LastRead, tree: _Tree) -> None:
    if entry.isdir():
        tree.directory(entry.name, entry.mode & 0o7777)
    elif entry.issym():
        tree.symlink(entry.name, entry.linkname)
    elif entry.isreg():
        # What no file system can hold is left out: the time of a file is worth no refusal.
        modified = entry.mtime if 0 <= entry.mtime < _LAST_TIME else None
        tree.file(entry.name, entry.mode & 0o7777, modified, _tar_chunks(reader, entry, stream))
    else:
        raise ArchiveError(f"the bundle's entry {entry.name!r} is a device, pipe or of an unknown kind")


def _tar_chunks(reader: tarfile.TarFile, entry: tarfile.TarInfo, stream: _LastRead) -> Iterator[bytes]:
    missing = entry.size
    source: IO[bytes] | _LastRead = stream
    if entry.issparse():
        # Its holes are tarfile's business; a plain file is read where it lies, at a third of the cost.
        source = cast("IO[bytes]", reader.extractfile(entry))
    else:
        stream.seek(entry.offset_data)
    while missing > 0 and (chunk := source.read(min(_CHUNK, missing))):
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
            if not self._stream.read(_CHUNK):
                return
        raise ArchiveError("the bundle goes on for over 64 MiB after the end of its archive")
