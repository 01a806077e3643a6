"""Wildcards and variables of IAM policies: ``*``, ``?`` and ``${aws:username}``.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

#: The values a request has for a condition key (any case), or None when it has none.
Keys = Callable[[str], Sequence[str] | None]

#: In a piece, stands for any one character. A policy's text cannot hold it (`policy_document` refuses it).
_ANY_ONE = "\0"
_VARIABLE = re.compile(r"\$\{([^{}]*)\}")
_WITH_DEFAULT = re.compile(r"\s*([^,'\s]+)\s*(?:,\s*'([^']*)'\s*)?")


class BadPatternError(ValueError):
    """A text that is no pattern; the message ends a sentence that names it."""


@dataclass(frozen=True, slots=True)
class Variable:
    """A place to be filled from the request."""

    key: str
    default: str | None


@dataclass(frozen=True, slots=True)
class Pattern:
    """A text with wildcards and variables, ready to be matched."""

    #: Between two neighbours anything may stand; each is made of literal texts and variables.
    pieces: tuple[tuple[str | Variable, ...], ...]
    has_variables: bool

    def resolved(self, keys: Keys) -> tuple[str, ...] | None:
        """The pieces with every variable filled in; None when the request has no single value for one of them.

        What is filled in is plain text: a star in a value matches a star.
        """
        if not self.has_variables:
            return tuple("".join(piece) for piece in self.pieces)  # type: ignore[arg-type]  # no variables, all texts
        filled = []
        for piece in self.pieces:
            texts = [part if isinstance(part, str) else _value(part, keys) for part in piece]
            if None in texts:
                return None
            filled.append("".join(text for text in texts if text is not None))
        return tuple(filled)


def pattern(text: str, *, wildcards: bool = True, variables: bool = True) -> Pattern:
    """Read a pattern. Raises BadPatternError for a variable that cannot be read."""
    if _ANY_ONE in text:
        raise BadPatternError("holds a NUL character")
    pieces: list[list[str | Variable]] = [[]]
    has_variables = False

    def literal(part: str) -> None:
        if not wildcards:
            pieces[-1].append(part)
            return
        first, *others = part.replace("?", _ANY_ONE).split("*")
        pieces[-1].append(first)
        pieces.extend([other] for other in others)

    end = 0
    for found in _VARIABLE.finditer(text) if variables else ():
        literal(text[end : found.start()])
        end = found.end()
        if found[1] in ("*", "?", "$"):
            pieces[-1].append(found[1])
            continue
        named = _WITH_DEFAULT.fullmatch(found[1])
        if named is None or ":" not in named[1]:
            raise BadPatternError(f"holds the policy variable {found[0]}, which cannot be read")
        pieces[-1].append(Variable(named[1], named[2]))
        has_variables = True
    literal(text[end:])
    return Pattern(tuple(tuple(piece) for piece in pieces), has_variables)


def matches(pieces: Sequence[str], text: str) -> bool:
    """Whether `text` is these pieces in their order, with anything in between; in time linear in its length."""
    first, last = pieces[0], pieces[-1]
    if len(pieces) == 1:
        return len(first) == len(text) and _stands(first, text, 0)
    if len(text) < len(first) + len(last) or not _stands(first, text, 0):
        return False
    at, end = len(first), len(text) - len(last)
    if not _stands(last, text, end):
        return False
    for piece in pieces[1:-1]:
        # The first place is as good as any: what it leaves to the others is the longest rest.
        found = _find(piece, text, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return True


def _stands(piece: str, text: str, at: int) -> bool:
    if _ANY_ONE not in piece:
        return text.startswith(piece, at)
    return all(mine in (_ANY_ONE, theirs) for mine, theirs in zip(piece, text[at : at + len(piece)], strict=True))


def _find(piece: str, text: str, at: int, end: int) -> int:
    if _ANY_ONE not in piece:
        return text.find(piece, at, end)
    found = _compiled(piece).search(text, at, end)
    return -1 if found is None else found.start()


@lru_cache(maxsize=1024)
def _compiled(piece: str) -> re.Pattern[str]:
    """Literals and single characters alone: nothing to go back over, and a hundred times faster than a loop."""
    return re.compile(".".join(map(re.escape, piece.split(_ANY_ONE))), re.DOTALL)


def _value(variable: Variable, keys: Keys) -> str | None:
    values = keys(variable.key)
    if values is None:
        return variable.default
    # A NUL would stand for any character here; no name has one.
    return values[0] if len(values) == 1 and _ANY_ONE not in values[0] else None
