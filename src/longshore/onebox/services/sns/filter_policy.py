"""Which messages a subscriber wants, by their attributes: SNS's filter policies. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

_COMPARE = {
    "=": lambda value, limit: value == limit,
    "<": lambda value, limit: value < limit,
    "<=": lambda value, limit: value <= limit,
    ">": lambda value, limit: value > limit,
    ">=": lambda value, limit: value >= limit,
}
_MOST_COMBINATIONS = 150


class FilterPolicyError(ValueError):
    """A filter policy that is none; the message says why."""


def read(text: str) -> Mapping[str, Sequence[Any]]:
    """Check a filter policy and return it; raises FilterPolicyError."""
    try:
        policy = json.loads(text)
    except ValueError:
        raise FilterPolicyError("it is not JSON") from None
    if not isinstance(policy, dict):
        raise FilterPolicyError("it must be an object")
    combinations = 1
    for name, conditions in policy.items():
        if not isinstance(conditions, list) or not conditions:
            raise FilterPolicyError(f"{name} must have a list of conditions")
        for condition in conditions:
            _require(name, condition)
        combinations *= len(conditions)
    if combinations > _MOST_COMBINATIONS:
        raise FilterPolicyError(f"it has more than {_MOST_COMBINATIONS} combinations of values")
    return policy


def wants(policy: Mapping[str, Sequence[Any]], attributes: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether a message of these attributes is wanted: for every name in the policy, one of the conditions holds."""
    return all(
        any(_holds(condition, _values(attributes.get(name))) for condition in conditions)
        for name, conditions in policy.items()
    )


def _values(attribute: Mapping[str, Any] | None) -> list[Any] | None:
    """The values of an attribute; None where there is none."""
    if attribute is None:
        return None
    text, kind = attribute.get("StringValue"), attribute["DataType"].partition(".")[0]
    if text is None:
        return []
    if kind == "Number":
        return [float(text)]
    if attribute["DataType"] == "String.Array":
        try:
            found = json.loads(text)
        except ValueError:
            return []
        return found if isinstance(found, list) else [found]
    return [text]


def _holds(condition: Any, values: list[Any] | None) -> bool:
    if isinstance(condition, dict):
        ((operator, wanted),) = condition.items()
        if operator == "exists":
            return bool((values is not None) == wanted)
        return values is not None and any(_compares(operator, wanted, value) for value in values)
    return values is not None and any(_same(condition, value) for value in values)


def _same(wanted: Any, value: Any) -> bool:
    # True is 1 to Python, and not to SNS.
    return bool(wanted == value and isinstance(wanted, bool) == isinstance(value, bool))


def _compares(operator: str, wanted: Any, value: Any) -> bool:
    match operator:
        case "prefix":
            return isinstance(value, str) and value.startswith(wanted)
        case "suffix":
            return isinstance(value, str) and value.endswith(wanted)
        case "equals-ignore-case":
            return isinstance(value, str) and value.lower() == wanted.lower()
        case "anything-but" if isinstance(wanted, dict):
            ((inner, limit),) = wanted.items()
            return not _compares(inner, limit, value)
        case "anything-but":
            return not any(_same(one, value) for one in (wanted if isinstance(wanted, list) else [wanted]))
        case _:
            pairs = zip(wanted[::2], wanted[1::2], strict=True)
            return isinstance(value, float | int) and all(_COMPARE[sign](value, limit) for sign, limit in pairs)


def _require(name: str, condition: Any) -> None:
    if not isinstance(condition, dict):
        if isinstance(condition, list):
            raise FilterPolicyError(f"a condition of {name} is a list")
        return
    if len(condition) != 1:
        raise FilterPolicyError(f"a condition of {name} must have one operator")
    ((operator, wanted),) = condition.items()
    match operator:
        case "exists":
            is_right = isinstance(wanted, bool)
        case "prefix" | "suffix" | "equals-ignore-case":
            is_right = isinstance(wanted, str)
        case "anything-but" if isinstance(wanted, dict):
            is_right = len(wanted) == 1 and all(
                key in ("prefix", "suffix") and isinstance(value, str) for key, value in wanted.items()
            )
        case "anything-but":
            is_right = isinstance(wanted, str | float | int) or (isinstance(wanted, list) and bool(wanted))
        case "numeric":
            is_right = (
                isinstance(wanted, list)
                and len(wanted) in (2, 4)
                and all(isinstance(sign, str) and sign in _COMPARE for sign in wanted[::2])
                and all(isinstance(limit, float | int) for limit in wanted[1::2])
            )
        case _:
            raise FilterPolicyError(f"{name} has an operator that this server does not know: {operator}")
    if not is_right:
        raise FilterPolicyError(f"{operator} of {name} is not of its form")
