"""Headers of tar archives, read quickly where they are plain.

A bundle of many small files is mostly headers, and nearly all of them are plain: a file or directory of the ustar
format, in ASCII, with octal numbers. Those are read here, to the result that the standard library comes to; anything
else, and anything wrong, is left to it (`any_tar.py`). It takes three times as long, and milliseconds to be loaded.
"""

from __future__ import annotations

import struct
import zlib
from functools import lru_cache
from typing import NamedTuple

from longshore.tar_stream import BLOCK

#: name, mode and owner's numbers, size, mtime, checksum, type, link name, magic with owner's names and device numbers,
#: prefix, the rest.
_FIELDS = struct.Struct("100s24s12s12s8sc100s88s155s12s")
_FILE, _OLD_FILE, _DIRECTORY = b"0", b"\0", b"5"
_MAGIC = (b"ustar\x0000", b"ustar  \0")
#: The checksum's own field counts as eight spaces.
_SPACES = 8 * 0x20


class Plain(NamedTuple):
    """A file, or a directory."""

    name: str
    mode: int
    #: Bytes that follow, if it is a file.
    size: int
    #: Seconds since 1970.
    modified: int
    is_directory: bool


def read(block: bytes) -> Plain | None:
    """The header in a block if it is plain and right, else None."""
    if len(block) != BLOCK or not block.isascii():
        return None
    name, numbers, size, modified, checksum, kind, link, owner, prefix, _ = _FIELDS.unpack(block)
    if kind not in (_FILE, _OLD_FILE, _DIRECTORY) or link[0] or prefix[0]:
        return None
    try:
        _check_owner(owner)
        made = Plain(_text(name), _mode(numbers), _number(size), _number(modified), kind == _DIRECTORY)
        told = _number(checksum)
    except ValueError:
        return None
    # Adler's first half is one more than the sum of the bytes, as long as that is small: 512 of ASCII are.
    if told != (zlib.adler32(block) & 0xFFFF) - 1 - sum(checksum) + _SPACES or made.size < 0:
        return None
    # Before 1988 a directory was a file whose name ends in a slash.
    if made.is_directory or (kind == _OLD_FILE and made.name.endswith("/")):
        return made._replace(name=made.name.rstrip("/"), is_directory=True)
    return made


# Hardly two entries of an archive differ in these.


@lru_cache(maxsize=64)
def _mode(field: bytes) -> int:
    mode, _, _ = _number(field[:8]), _number(field[8:16]), _number(field[16:])
    return mode


@lru_cache(maxsize=64)
def _check_owner(field: bytes) -> None:
    if field[:8] not in _MAGIC:
        raise ValueError("not of the ustar format")
    _number(field[72:80])
    _number(field[80:])


def _number(field: bytes) -> int:
    return int(field.rstrip(b" \0") or b"0", 8)


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("ascii")
