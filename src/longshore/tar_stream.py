"""What tarfile reads a tar archive through, be it an agent that unpacks it or a server that looks into it.

The standard library believes what a header says: it reads one of two gigabytes into memory, and before Python 3.11.10
digits in a row take it a time that grows with their square, hours for a megabyte (CVE-2024-6232). Here headers are
short, and all of them together have a bound.
"""

from __future__ import annotations

import io
import re
import zlib
from typing import IO, Any

BLOCK = 512
XZ = b"\xfd7zXZ\0"
#: The longest header, of which extended attributes take the most.
_LONGEST = 1024 * 1024
#: Of all headers together: so much, and for each entry that there may be room for a long name.
_ANYWAY = 1024 * 1024
_OF_AN_ENTRY = 2048
#: No name has so many; tarfile's time for each byte is half as many steps.
_DIGITS = re.compile(rb"[0-9]{256}")
#: Small enough for memory that the process has: fresh pages cost more than further reads.
BUFFER = 64 * 1024
#: Tells zlib to expect what gzip(1) writes around the data, and to check it.
_GZIP = 16 + zlib.MAX_WBITS


def damage() -> tuple[type[Exception], ...]:
    """How a damaged archive shows, beside tarfile's own errors."""
    import lzma  # an agent asks only where something is wrong

    return (zlib.error, lzma.LZMAError, EOFError)


class TarStream:
    """The plain bytes of an archive, the last read remembered, and where it is.

    tarfile takes a cut or damaged header after the first one for the end of the archive and says nothing: `last` is the
    block that made it stop.
    """

    def __init__(self, plain: IO[bytes], entries: int, ahead: bytes = b"") -> None:
        """`entries` is how many whoever reads will bear with; `ahead` was read already, and comes first."""
        self._plain = plain
        self._ahead = ahead
        self._room = _ANYWAY + entries * _OF_AN_ENTRY
        #: Set while content is read, which may be as it is.
        self.is_content = False
        self.last = b""
        # Counted here: tarfile asks where it is, and goes where it is, several times an entry.
        self._at = plain.tell() - len(ahead)

    def read(self, size: int = -1) -> bytes:
        """Raises ValueError where headers are too long."""
        if not self.is_content:
            self._room -= size
            if self._room < 0 or size > _LONGEST:
                raise ValueError("its headers are too long")
        self.last, self._ahead = self._ahead + self._plain.read(size - len(self._ahead)), b""
        self._at += len(self.last)
        if size > BLOCK and not self.is_content and _DIGITS.search(self.last):
            raise ValueError("a header in it has a number that is too long")
        return self.last

    def seek(self, offset: int, whence: int = 0) -> int:
        if whence or offset != self._at:
            self._at, self._ahead = self._plain.seek(offset, whence), b""
        return self._at

    def tell(self) -> int:
        return self._at


def opened(raw: IO[bytes], bundle_type: str) -> IO[bytes]:
    """The plain archive in a file: tgz is gzip; tar is whatever its first bytes say, as tar(1) does it (agent.md 3.7).

    Where it is compressed, it can only be read on.
    """
    magic = raw.read(6)
    raw.seek(0)
    if bundle_type == "tgz" or magic.startswith(b"\x1f\x8b"):
        return _buffered(_Gunzipped(raw))
    if magic.startswith(b"BZh"):
        import bz2  # few are, and each takes an agent two milliseconds to be loaded

        return _buffered(bz2.BZ2File(raw))
    if magic == XZ:
        import lzma

        return _buffered(lzma.LZMAFile(raw))
    return raw


def _buffered(plain: Any) -> IO[bytes]:
    """Reads of the decompressors are Python, and a tar file is asked for them a thousand times."""
    return io.BufferedReader(plain, BUFFER)


class _Gunzipped(io.RawIOBase):
    """What a file of gzip holds, all its members, from beginning to end.

    The standard library's reader does in Python what zlib does by itself: the headers, the checksums.
    """

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self._inflating = zlib.decompressobj(_GZIP)
        self._packed = b""
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        """Only onwards; raises ValueError."""
        if whence or offset < self._at:
            raise ValueError("a header in it points back at what was read before")
        skipped = bytearray(min(BUFFER, offset - self._at))
        while self._at < offset and self.readinto(memoryview(skipped)[: offset - self._at]):
            pass
        return self._at

    def readinto(self, buffer: Any) -> int:
        while not self._inflating.eof or self._has_next_member():
            packed = self._packed or self._raw.read(BUFFER)
            plain = self._inflating.decompress(packed, len(buffer))
            self._packed = self._inflating.unconsumed_tail
            if plain:
                buffer[: len(plain)] = plain
                self._at += len(plain)
                return len(plain)
            if not packed:
                raise EOFError("it ends before the end of its compressed data")
        return 0

    def _has_next_member(self) -> bool:
        # What pads a file to the blocks of a tape is no member.
        packed = self._inflating.unused_data.lstrip(b"\0")
        while not packed:
            read = self._raw.read(BUFFER)
            if not read:
                return False
            packed = read.lstrip(b"\0")
        self._packed, self._inflating = packed, zlib.decompressobj(_GZIP)
        return True
