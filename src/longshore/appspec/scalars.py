"""What a plain scalar means: YAML 1.1 as Ruby's Psych reads it, since that is what the official agent obeys.

Psych departs from the YAML 1.1 types in places that AppSpec files reach: `1:00` is an hour and not a minute, commas
may group digits, null and the booleans may be written in any mixture of cases. Where an AppSpec wants text, its text is
taken as written and none of this applies.
"""

from __future__ import annotations

import re

_TRUE = frozenset(("yes", "true", "on"))
_FALSE = frozenset(("no", "false", "off"))
_INTEGER = re.compile(
    r"[-+]?(?:0b[01_,]+|0x[0-9a-fA-F_,]+|0[0-7_,]+|0|[1-9](?:[0-9]|,[0-9]|_[0-9])*)"
)  # fmt: skip
_FLOAT = re.compile(r"[-+]?(?:[0-9][0-9_,]*)?\.[0-9]*(?:[eE][-+][0-9]+)?")
_LEADING = re.compile(r"[ \t\n\v\f\r]*([-+]?[0-9]{1,18}(?:_[0-9]{1,18})?)")
_BASE_60 = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9]){1,2}(?:\.[0-9_]*)?")
#: What may stand between digits.
_GROUPING = str.maketrans("", "", ",_")
_INFINITE = {".inf": float("inf"), "+.inf": float("inf"), "-.inf": float("-inf"), ".nan": float("nan")}
#: Longer numbers mean nothing here, and Python may refuse to convert them.
_MAX_LENGTH = 40


def is_null(text: str) -> bool:
    """Whether the text is one of null's spellings."""
    return text in ("", "~") or text.lower() == "null"


def boolean(text: str) -> bool | None:
    """The truth value the text spells, None when it spells none. `y` and `n` are text."""
    word = text.lower()
    return True if word in _TRUE else False if word in _FALSE else None


def number(text: str) -> int | float | None:
    """The number the text is, None when it is none."""
    if len(text) > _MAX_LENGTH:
        return None
    if _BASE_60.fullmatch(text):
        return _base_60(text)
    try:
        if _FLOAT.fullmatch(text):
            return float(text.translate(_GROUPING))
        if _INTEGER.fullmatch(text):
            return _integer(text.translate(_GROUPING))
    except ValueError:
        return None
    return _INFINITE.get(text.lower())


def leading_integer(text: str) -> int:
    """The digits a text begins with as a number, 0 when it begins with none: Ruby's String#to_i."""
    digits = _LEADING.match(text)
    return int(digits.group(1)) if digits else 0


def strip(text: str) -> str:
    """The text without what Ruby's String#strip takes away: ASCII white space and NUL."""
    return text.strip(" \t\n\v\f\r\0")


def _integer(text: str) -> int:
    digits = text.lstrip("+-")
    base = {"0b": 2, "0x": 16}.get(digits[:2], 8 if len(digits) > 1 and digits[0] == "0" else 10)
    return -int(digits, base) if text[0] == "-" else int(digits, base)


def _base_60(text: str) -> int | float:
    parts = text.replace("_", "").split(":")
    # Hours, minutes, seconds: where two are given, hours and minutes.
    weighed = [(part, (3600, 60, 1)[place]) for place, part in enumerate(parts)]
    if "." in text:
        return sum(float(part) * weight for part, weight in weighed)
    return sum(int(part) * weight for part, weight in weighed)
