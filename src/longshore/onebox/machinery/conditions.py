"""Conditions on values, as SNS's filter policies and EventBridge's event patterns share them. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

#: What `numeric` compares by.
COMPARE = {
    "=": lambda value, limit: value == limit,
    "<": lambda value, limit: value < limit,
    "<=": lambda value, limit: value <= limit,
    ">": lambda value, limit: value > limit,
    ">=": lambda value, limit: value >= limit,
}
#: Of a text, against another one.
TEXT = ("prefix", "suffix", "equals-ignore-case", "wildcard")


def holds(condition: Any, values: Sequence[Any] | None) -> bool:
    """Whether one of these values is as wanted; None: there is no such field."""
    if isinstance(condition, dict):
        ((operator, wanted),) = condition.items()
        if operator == "exists":
            return bool((values is not None) == wanted)
        return values is not None and any(_compares(operator, wanted, value) for value in values)
    return values is not None and any(_same(condition, value) for value in values)


def _same(wanted: Any, value: Any) -> bool:
    # True is 1 to Python, and not to AWS.
    return bool(wanted == value and isinstance(wanted, bool) == isinstance(value, bool))


def _compares(operator: str, wanted: Any, value: Any) -> bool:
    if operator in TEXT:
        return isinstance(value, str) and any(_like(operator, one, value) for one in listed(wanted))
    if operator == "anything-but":
        if isinstance(wanted, dict):
            ((inner, limit),) = wanted.items()
            return not _compares(inner, limit, value)
        return not any(_same(one, value) for one in listed(wanted))
    pairs = zip(wanted[::2], wanted[1::2], strict=True)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and all(COMPARE[sign](value, limit) for sign, limit in pairs)


def _like(operator: str, wanted: str, value: str) -> bool:
    match operator:
        case "prefix":
            return value.startswith(wanted)
        case "suffix":
            return value.endswith(wanted)
        case "wildcard":
            return re.fullmatch(".*".join(map(re.escape, wanted.split("*"))), value, re.DOTALL) is not None
        case _:
            return value.lower() == wanted.lower()


def listed(wanted: Any) -> list[Any]:
    return wanted if isinstance(wanted, list) else [wanted]
