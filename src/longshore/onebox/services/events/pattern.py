"""Which events a rule is about: EventBridge's event patterns. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from longshore.onebox.machinery.conditions import COMPARE, TEXT, holds, listed

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
        if not any(holds(condition, values if there else None) for condition in wanted):
            return False
    return True


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
            is_right = len(wanted) == 1 and all(key in TEXT and _are_texts(value) for key, value in wanted.items())
        case "anything-but":
            is_right = bool(listed(wanted)) and all(isinstance(one, str | int | float) for one in listed(wanted))
        case "numeric":
            is_right = (
                isinstance(wanted, list)
                and len(wanted) in (2, 4)
                and all(isinstance(sign, str) and sign in COMPARE for sign in wanted[::2])
                and all(isinstance(limit, int | float) for limit in wanted[1::2])
            )
        case _ if operator in TEXT:
            is_right = isinstance(wanted, str)
        case _:
            raise PatternError(f"{name} has an operator that this server does not know: {operator}")
    if not is_right:
        raise PatternError(f"{operator} of {name} is not of its form")


def _are_texts(wanted: Any) -> bool:
    return bool(listed(wanted)) and all(isinstance(one, str) for one in listed(wanted))
