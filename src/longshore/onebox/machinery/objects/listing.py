"""Walking keys in order, folding those with a common prefix into one."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

_PAGE = 512
#: No key begins with this byte, for keys are UTF-8.
_AFTER_ALL_KEYS = b"\xff"


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing(Generic[T]):
    """One page of a listing; items and prefixes count together towards its limit."""

    items: list[T]
    #: Each stands for every key that begins with it; ends in the delimiter.
    prefixes: list[str]
    #: The last item or prefix of the page, or None when nothing follows.
    next: T | str | None


#: Where to go on: a key, and what orders the rows of that key; None for its first row.
Tie = int | str | None


def walk(
    fetch: Callable[[bytes, Tie, bytes, int], list[sqlite3.Row]],
    as_item: Callable[[sqlite3.Row], T],
    *,
    prefix: str,
    delimiter: str,
    after: str,
    after_tie: Tie,
    limit: int,
) -> Listing[T]:
    """A page of at most `limit` things under `prefix`, after the key or common prefix `after`.

    `fetch(first, tie, end, most)` gives rows with first <= key < end in order of key and column `tie`, without those
    of the key `first` up to and including `tie`. `after_tie` says that more of the key `after` is to come.
    """
    start, folded = prefix.encode(), delimiter.encode()
    end = _successor(start)
    first, tie = _start(start, folded, after.encode(), after_tie)
    items: list[T] = []
    prefixes: list[str] = []
    last: T | str | None = None
    while limit and first < end:
        rows = fetch(first, tie, end, _PAGE)
        group: bytes | None = None
        for row in rows:
            key = bytes(row["key"])
            if group is not None and key.startswith(group):
                continue
            if len(items) + len(prefixes) == limit:
                return Listing(items=items, prefixes=prefixes, next=last)
            group = _common_prefix(key, start, folded)
            if group is None:
                last = as_item(row)
                items.append(last)
            else:
                last = group.decode()
                prefixes.append(last)
        if len(rows) < _PAGE:
            break
        # Past a whole common prefix in one step: it may stand for a million keys.
        first, tie = (_successor(group), None) if group else (bytes(rows[-1]["key"]), rows[-1]["tie"])
    return Listing(items=items, prefixes=prefixes, next=None)


def _start(start: bytes, folded: bytes, after: bytes, after_tie: Tie) -> tuple[bytes, Tie]:
    if not after:
        return start, None
    if _common_prefix(after, start, folded) == after:
        # The last page ended with this common prefix: all it stands for is done.
        first, tie = _successor(after), None
    elif after_tie is not None:
        first, tie = after, after_tie
    else:
        first, tie = after + b"\0", None
    return (first, tie) if first > start else (start, None)


def _common_prefix(key: bytes, prefix: bytes, delimiter: bytes) -> bytes | None:
    if not delimiter or not key.startswith(prefix):
        return None
    found = key.find(delimiter, len(prefix))
    return None if found < 0 else key[: found + len(delimiter)]


def _successor(prefix: bytes) -> bytes:
    """The first byte string after all that begin with `prefix`."""
    if not prefix:
        return _AFTER_ALL_KEYS
    return prefix[:-1] + bytes([prefix[-1] + 1])
