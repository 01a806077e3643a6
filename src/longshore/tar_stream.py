"""What tarfile reads a tar archive through, be it an agent that unpacks it or a server that looks into it.

The standard library believes what a header says: it reads one of two gigabytes into memory, and before Python 3.11.10
digits in a row take it a time that grows with their square, hours for a megabyte (CVE-2024-6232). Here headers are
short, and all of them together have a bound.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import tarfile
import zlib
from typing import IO, Any

#: How a damaged archive shows, beside tarfile's own errors.
DAMAGE: tuple[type[Exception], ...] = (zlib.error, lzma.LZMAError, EOFError)
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


class TarStream:
    """The plain bytes of an archive, the last read remembered, and where it is.

    tarfile takes a cut or damaged header after the first one for the end of the archive and says nothing: `last` is the
    block that made it stop.
    """

    def __init__(self, plain: IO[bytes], entries: int) -> None:
        """`entries` is how many whoever reads will bear with."""
        self._plain = plain
        self._room = _ANYWAY + entries * _OF_AN_ENTRY
        #: Set while content is read, which may be as it is.
        self.is_content = False
        self.last = b""
        # Counted here: tarfile asks where it is, and goes where it is, several times an entry.
        self._at = plain.tell()

    def read(self, size: int = -1) -> bytes:
        """Raises ValueError where headers are too long."""
        if not self.is_content:
            self._room -= size
            if self._room < 0 or size > _LONGEST:
                raise ValueError("its headers are too long")
        self.last = self._plain.read(size)
        self._at += len(self.last)
        if size > tarfile.BLOCKSIZE and not self.is_content and _DIGITS.search(self.last):
            raise ValueError("a header in it has a number that is too long")
        return self.last

    def seek(self, offset: int, whence: int = 0) -> int:
        if whence or offset != self._at:
            self._at = self._plain.seek(offset, whence)
        return self._at

    def tell(self) -> int:
        return self._at


def opened(raw: IO[bytes], bundle_type: str, entries: int) -> TarStream:
    """The archive in a file: tgz is gzip; tar is whatever its first bytes say, as tar(1) does it (agent.md 3.7)."""
    magic = raw.read(6)
    raw.seek(0)
    plain = raw
    if bundle_type == "tgz" or magic.startswith(b"\x1f\x8b"):
        plain = _buffered(gzip.GzipFile(fileobj=raw))
    elif magic.startswith(b"BZh"):
        plain = _buffered(bz2.BZ2File(raw))
    elif magic == XZ:
        plain = _buffered(lzma.LZMAFile(raw))  # noqa: SIM115 - ends with the file it reads
    return TarStream(plain, entries)


def _buffered(plain: Any) -> IO[bytes]:
    """Reads and seeks of the decompressors are Python, and a tar file is asked for both a thousand times."""
    return io.BufferedReader(plain, BUFFER)
