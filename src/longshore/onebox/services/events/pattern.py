"""Which events a rule is about: EventBridge's event patterns. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

_COMPARE = {
    "=": lambda value, limit: value == limit,
    "<": lambda value, limit: value < limit,
    "<=": lambda value, limit: value <= limit,
    ">": lambda value, limit: value > limit,
    ">=": lambda value, limit: value >= limit,
}
#: Of a text, against another one.
_TEXT = ("prefix", "suffix", "equals-ignore-case", "wildcard")
_LONGEST = 4096

Pattern = Mapping[str, Any]


class PatternError(ValueError):
    """An event pattern that is none; the message says why."""


def read(text: str) -> Pattern:
    """Check an event pattern and return it; raises PatternError."""
    if len(text) > _LONGEST:
        raise PatternError(f"it has more than {_LONGEST} characters")
    try:
        pattern = json.loads(text)
    except ValueError:
        raise PatternError("it is not JSON") from None
    _require_fields(pattern, "the pattern")
    found: Pattern = pattern
    return found


def matches(pattern: Pattern, event: Any) -> bool:
    """Whether an event has what the pattern asks for: of every field that it names, one of the values."""
    for name, wanted in pattern.items():
        if name == "$or":
            if not any(matches(one, event) for one in wanted):
                return False
            continue
        there = isinstance(event, dict) and name in event
        value = event[name] if there else None
        if isinstance(wanted, dict):
            if not matches(wanted, value):
                return False
            continue
        # Of a list, one value is enough.
        values = value if isinstance(value, list) else [value]
        if not any(_holds(condition, values if there else None) for condition in wanted):
            return False
    return True


def _holds(condition: Any, values: Sequence[Any] | None) -> bool:
    """Whether one of these values is as wanted; None: there is no such field."""
    if isinstance(condition, dict):
        ((operator, wanted),) = condition.items()
        if operator == "exists":
            return bool((values is not None) == wanted)
        return values is not None and any(_compares(operator, wanted, value) for value in values)
    return values is not None and any(_same(condition, value) for value in values)


def _same(wanted: Any, value: Any) -> bool:
    # True is 1 to Python, and not to EventBridge.
    return bool(wanted == value and isinstance(wanted, bool) == isinstance(value, bool))


def _compares(operator: str, wanted: Any, value: Any) -> bool:
    if operator in _TEXT:
        return isinstance(value, str) and any(_like(operator, one, value) for one in _listed(wanted))
    if operator == "anything-but":
        if isinstance(wanted, dict):
            ((inner, limit),) = wanted.items()
            return not _compares(inner, limit, value)
        return not any(_same(one, value) for one in _listed(wanted))
    pairs = zip(wanted[::2], wanted[1::2], strict=True)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and all(_COMPARE[sign](value, limit) for sign, limit in pairs)


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


def _listed(wanted: Any) -> list[Any]:
    return wanted if isinstance(wanted, list) else [wanted]


def _require_fields(pattern: Any, where: str) -> None:
    if not isinstance(pattern, dict) or not pattern:
        raise PatternError(f"{where} must be an object with at least one field")
    for name, wanted in pattern.items():
        if name == "$or":
            if not isinstance(wanted, list) or len(wanted) < 2:
                raise PatternError("$or must have a list of two patterns or more")
            for one in wanted:
                _require_fields(one, "a pattern of $or")
        elif isinstance(wanted, dict):
            _require_fields(wanted, name)
        elif not isinstance(wanted, list) or not wanted:
            raise PatternError(f'{name} must have a list of values, as in ["FAILURE"]')
        else:
            for condition in wanted:
                _require_condition(name, condition)


def _require_condition(name: str, condition: Any) -> None:
    if isinstance(condition, list):
        raise PatternError(f"a value of {name} is a list")
    if not isinstance(condition, dict):
        return
    if len(condition) != 1:
        raise PatternError(f"a value of {name} must have one operator")
    ((operator, wanted),) = condition.items()
    match operator:
        case "exists":
            is_right = isinstance(wanted, bool)
        case "anything-but" if isinstance(wanted, dict):
            is_right = len(wanted) == 1 and all(key in _TEXT and _are_texts(value) for key, value in wanted.items())
        case "anything-but":
            is_right = bool(_listed(wanted)) and all(isinstance(one, str | int | float) for one in _listed(wanted))
        case "numeric":
            is_right = (
                isinstance(wanted, list)
                and len(wanted) in (2, 4)
                and all(isinstance(sign, str) and sign in _COMPARE for sign in wanted[::2])
                and all(isinstance(limit, int | float) for limit in wanted[1::2])
            )
        case _ if operator in _TEXT:
            is_right = isinstance(wanted, str)
        case _:
            raise PatternError(f"{name} has an operator that this server does not know: {operator}")
    if not is_right:
        raise PatternError(f"{operator} of {name} is not of its form")


def _are_texts(wanted: Any) -> bool:
    return bool(_listed(wanted)) and all(isinstance(one, str) for one in _listed(wanted))
