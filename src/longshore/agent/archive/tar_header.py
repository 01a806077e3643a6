"""Headers of tar archives, read quickly where they are plain.

The standard library spends most of an unpacking on them, and a bundle of many small files is mostly headers. What is
plain (a file or directory of the ustar format, in ASCII, with octal numbers) is read here, to the same result; anything
else, and anything wrong, is left to the standard library.
"""

from __future__ import annotations

import struct
import tarfile
import zlib
from functools import lru_cache
from typing import Any, Self, TypeVar

_Entry = TypeVar("_Entry", bound=tarfile.TarInfo)

#: name, mode and owner's numbers, size, mtime, checksum, type, link name, magic with owner's names and device numbers,
#: prefix, the rest.
_FIELDS = struct.Struct("100s24s12s12s8sc100s88s155s12s")
_PLAIN = frozenset((b"0", b"\0", b"5"))
_MAGIC = (b"ustar\x0000", b"ustar  \0")
#: The checksum's own field counts as eight spaces.
_SPACES = 8 * 0x20


class Header(tarfile.TarInfo):
    """An entry's header."""

    @classmethod
    def frombuf(cls, buf: Any, encoding: str, errors: str) -> Self:
        """The header in a block of 512 bytes; raises `tarfile.HeaderError`."""
        return _plain(cls, buf) or super().frombuf(buf, encoding, errors)


def _plain(cls: type[_Entry], buf: bytes) -> _Entry | None:
    """The header if it is plain and right, else None."""
    if len(buf) != tarfile.BLOCKSIZE or not buf.isascii():
        return None
    name, numbers, size, mtime, checksum, kind, link, owner, prefix, _ = _FIELDS.unpack(buf)
    if kind not in _PLAIN or link[0] or prefix[0]:
        return None
    made = cls(_text(name))
    try:
        made.mode, made.uid, made.gid = _mode_and_ids(numbers)
        made.uname, made.gname, made.devmajor, made.devminor = _names_and_device(owner)
        made.size, made.mtime, made.chksum = _number(size), _number(mtime), _number(checksum)
    except ValueError:
        return None
    # Adler's first half is one more than the sum of the bytes, as long as that is small: 512 of ASCII are.
    if made.chksum != (zlib.adler32(buf) & 0xFFFF) - 1 - sum(checksum) + _SPACES:
        return None
    # Before 1988 a directory was a file whose name ends in a slash.
    made.type = tarfile.DIRTYPE if kind == b"\0" and made.name.endswith("/") else kind
    if made.isdir():
        made.name = made.name.rstrip("/")
    return made


# Hardly two entries of an archive differ in these.


@lru_cache(maxsize=64)
def _mode_and_ids(field: bytes) -> tuple[int, int, int]:
    return _number(field[:8]), _number(field[8:16]), _number(field[16:])


@lru_cache(maxsize=64)
def _names_and_device(field: bytes) -> tuple[str, str, int, int]:
    if field[:8] not in _MAGIC:
        raise ValueError("not of the ustar format")
    return _text(field[8:40]), _text(field[40:72]), _number(field[72:80]), _number(field[80:])


def _number(field: bytes) -> int:
    return int(field.rstrip(b" \0") or b"0", 8)


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("ascii")
