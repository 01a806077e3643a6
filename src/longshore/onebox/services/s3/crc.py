"""CRCs the standard library lacks, and joining the CRCs of parts into that of the whole.

A checksum is the remainder of a polynomial over GF(2). A table would take a Python step for each byte; here
Python's long integers take whole blocks at once: the first half of a block is multiplied by what its distance
from the end amounts to and added to the second half, until little is left. Measured 60 to 100 MB a
second, where a table does 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

#: Bytes folded at once: more is no faster and delays other threads.
_BLOCK = 65_536
#: Below this many bytes a table is faster than folding.
_SMALL = 64


@dataclass(frozen=True, slots=True)
class Polynomial:
    """A reflected CRC whose state starts and ends inverted, as all of S3's do."""

    #: 32 or 64.
    width: int
    #: Without its highest term; the lowest bit is the highest power.
    terms: int

    @property
    def ones(self) -> int:
        """All bits of the state set."""
        return (1 << self.width) - 1


CRC32 = Polynomial(32, 0xEDB88320)
CRC32C = Polynomial(32, 0x82F63B78)
CRC64NVME = Polynomial(64, 0x9A6C9329AC4BC9B5)


class Crc:
    """A running CRC, in the manner of hashlib."""

    def __init__(self, polynomial: Polynomial) -> None:
        self._polynomial = polynomial
        self._state = polynomial.ones

    def update(self, data: bytes | memoryview) -> None:
        """Take `data` in."""
        view = memoryview(data)
        for start in range(0, len(view), _BLOCK):
            self._state = _advance(self._polynomial, self._state, view[start : start + _BLOCK])

    def digest(self) -> bytes:
        """The CRC so far, big-endian as S3 wants it."""
        value = self._state ^ self._polynomial.ones
        return value.to_bytes(self._polynomial.width // 8, "big")


def joined(polynomial: Polynomial, first: bytes, second: bytes, second_size: int) -> bytes:
    """The CRC of two byte strings put together, from the CRC of each and the size of the second."""
    moved = _times(polynomial, int.from_bytes(first, "big"), _power(polynomial, 8 * second_size))
    return (moved ^ int.from_bytes(second, "big")).to_bytes(polynomial.width // 8, "big")


def _advance(polynomial: Polynomial, state: int, data: memoryview) -> int:
    width = polynomial.width
    size = len(data)
    if size * 8 < width:
        return _by_table(polynomial, state, data)
    # The lowest bit of `left` is the highest power of the message.
    left = int.from_bytes(data, "little") ^ state
    while size > _SMALL:
        # The first `half` bits, a power of two so that few distances occur, move on to the `width` bits and more
        # that follow them.
        half = 1 << ((size * 8 - width) // 2).bit_length() - 1
        head = left & ((1 << half) - 1)
        left >>= half
        for shift in _shifts(polynomial, half):
            left ^= head << shift
        size -= half // 8
    return _by_table(polynomial, 0, left.to_bytes(size, "little"))


@lru_cache(maxsize=256)
def _shifts(polynomial: Polynomial, half: int) -> tuple[int, ...]:
    """By how much to shift `half` bits, once for each term of x^(half + width), to add them `half` bits later."""
    factor = _power(polynomial, half + polynomial.width)
    # Bit i of a reflected value is the power width - 1 - i, and that power p shifts by width - p.
    return tuple(bit + 1 for bit in range(polynomial.width) if factor >> bit & 1)


def _by_table(polynomial: Polynomial, state: int, data: bytes | memoryview) -> int:
    table = _table(polynomial)
    for byte in data:
        state = table[(state ^ byte) & 0xFF] ^ (state >> 8)
    return state


@lru_cache(maxsize=8)
def _table(polynomial: Polynomial) -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (polynomial.terms if value & 1 else 0)
        table.append(value)
    return tuple(table)


@lru_cache(maxsize=1024)
def _power(polynomial: Polynomial, exponent: int) -> int:
    """The reflected remainder of x^exponent."""
    one = 1 << (polynomial.width - 1)
    result, square = one, one >> 1
    while exponent:
        if exponent & 1:
            result = _times(polynomial, result, square)
        square = _times(polynomial, square, square)
        exponent >>= 1
    return result


def _times(polynomial: Polynomial, one: int, other: int) -> int:
    """The reflected remainder of a product."""
    product = 0
    for bit in range(polynomial.width - 1, -1, -1):
        if other >> bit & 1:
            product ^= one
        one = one >> 1 ^ (polynomial.terms if one & 1 else 0)
    return product
