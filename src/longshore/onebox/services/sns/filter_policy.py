"""Which messages a subscriber wants, by their attributes: SNS's filter policies. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from longshore.onebox.machinery.conditions import COMPARE, holds

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
        any(holds(condition, _values(attributes.get(name))) for condition in conditions)
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
                and all(isinstance(sign, str) and sign in COMPARE for sign in wanted[::2])
                and all(isinstance(limit, float | int) for limit in wanted[1::2])
            )
        case _:
            raise FilterPolicyError(f"{name} has an operator that this server does not know: {operator}")
    if not is_right:
        raise FilterPolicyError(f"{operator} of {name} is not of its form")
