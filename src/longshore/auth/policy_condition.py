"""Condition operators of IAM policies.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from longshore.auth.policy_arn import ArnPattern, arn_pattern
from longshore.auth.policy_pattern import BadPatternError, Keys, Pattern, matches, pattern

#: Does a request's value match a value of the policy? None when that has a variable the request cannot fill.
Test = Callable[[str, Keys], bool | None]


class BadConditionError(ValueError):
    """A condition that cannot be kept; the message is a sentence."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """One operator on one key."""

    key: str
    tests: tuple[Test, ...]
    #: True when it holds unless a value matches, as in StringNotEquals.
    negated: bool = False
    #: "" (one value), "any" or "all" of a key that may have several.
    of_set: str = ""
    if_exists: bool = False
    #: For Null: whether the key must be absent.
    null: bool | None = None

    def holds(self, keys: Keys, *, to_allow: bool) -> bool:
        """Whether it does for these keys.

        A value with a variable that the request cannot fill matches nothing; and `to_allow`, nothing holds beside it.
        Where a key has several values and the operator is for one, an Allow needs it to hold for each, and for a Deny
        one is enough: who adds a value to a request can only lose by it.
        """
        values = keys(self.key)
        if self.null is not None:
            return (values is None) is self.null
        if values is None:
            return self.if_exists or self.of_set == "all" or (self.negated and self.of_set == "")
        fits = [[test(value, keys) for test in self.tests] for value in values]
        if to_allow and any(None in row for row in fits):
            return False
        held = [any(row) is not self.negated for row in fits]
        return all(held) if self.of_set == "all" or (self.of_set == "" and to_allow) else any(held)


def condition(operator: str, key: str, values: Sequence[str], *, variables: bool) -> Condition:
    """Read a condition. Raises BadConditionError."""
    of_set, name = "", operator
    for prefix, meaning in (("ForAnyValue:", "any"), ("ForAllValues:", "all")):
        if operator.startswith(prefix):
            of_set, name = meaning, operator.removeprefix(prefix)
    if name == "Null" and not of_set:
        return Condition(key=key, tests=(), null=_is_true(operator, values))
    if_exists = name.endswith("IfExists")
    name = name.removesuffix("IfExists")
    kind = _KINDS.get(name)
    if kind is None:
        raise BadConditionError(f"Unknown condition operator {operator}.")
    make, negated = kind
    try:
        tests = tuple(make(value, variables) for value in values)
    except (ValueError, BadPatternError) as problem:
        raise BadConditionError(f"A value of {operator} on {key} {problem}.") from None
    return Condition(key=key, tests=tests, negated=negated, of_set=of_set, if_exists=if_exists)


def _is_true(operator: str, values: Sequence[str]) -> bool:
    if len(values) != 1 or values[0].lower() not in ("true", "false"):
        raise BadConditionError(f"{operator} takes one value, true or false.")
    return values[0].lower() == "true"


def _string(*, wildcards: bool = False, fold: bool = False) -> Callable[[str, bool], Test]:
    def make(value: str, variables: bool) -> Test:
        wanted: Pattern = pattern(value, wildcards=wildcards, variables=variables)

        def test(given: str, keys: Keys) -> bool | None:
            pieces = wanted.resolved(keys)
            if pieces is None:
                return None
            if fold:
                return matches([piece.casefold() for piece in pieces], given.casefold())
            return matches(pieces, given)

        return test

    return make


def _arn(value: str, variables: bool) -> Test:
    wanted: ArnPattern = arn_pattern(value, variables=variables)
    return wanted.matches


def _bool(value: str, _variables: bool) -> Test:
    if value.lower() not in ("true", "false"):
        raise ValueError(f"is {value}, which is neither true nor false")
    return lambda given, _keys: given.lower() == value.lower()


def _ip(value: str, _variables: bool) -> Test:
    try:
        network = ipaddress.ip_network(value, strict=False)
    except ValueError:
        raise ValueError(f"is {value}, which is no address and no CIDR block such as 203.0.113.0/24") from None

    def test(given: str, _keys: Keys) -> bool:
        try:
            address = ipaddress.ip_address(given)
        except ValueError:
            return False
        # A socket that listens for both families shows a caller by IPv4 as ::ffff:203.0.113.7.
        mapped = getattr(address, "ipv4_mapped", None)
        return address in network or (mapped is not None and mapped in network)

    return test


def _compared(
    read: Callable[[str], float], what: str, holds: Callable[[float, float], bool]
) -> Callable[[str, bool], Test]:
    def make(value: str, _variables: bool) -> Test:
        try:
            wanted = read(value)
        except ValueError:
            raise ValueError(f"is {value}, which is no {what}") from None

        def test(given: str, _keys: Keys) -> bool:
            try:
                return holds(read(given), wanted)
            except ValueError:
                return False

        return test

    return make


_DATE = re.compile(r"\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?)?", re.ASCII)
_NUMBER = re.compile(r"[+-]?\d{1,30}(\.\d{1,30})?", re.ASCII)


def _number(text: str) -> float:
    if not _NUMBER.fullmatch(text):
        raise ValueError
    return float(text)


def _date(text: str) -> float:
    """Epoch seconds of a date in ISO 8601, or of epoch seconds."""
    if not _DATE.fullmatch(text):
        return _number(text)
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


_COMPARISONS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "Equals": lambda given, wanted: given == wanted,
    "LessThan": lambda given, wanted: given < wanted,
    "LessThanEquals": lambda given, wanted: given <= wanted,
    "GreaterThan": lambda given, wanted: given > wanted,
    "GreaterThanEquals": lambda given, wanted: given >= wanted,
}


def _comparisons(prefix: str, read: Callable[[str], float], what: str) -> dict[str, tuple[Any, bool]]:
    found = {prefix + name: (_compared(read, what, holds), False) for name, holds in _COMPARISONS.items()}
    return {**found, f"{prefix}NotEquals": (found[f"{prefix}Equals"][0], True)}


#: Operator → (how its values become tests, whether it is the negation of them).
_KINDS: Final[Mapping[str, tuple[Callable[[str, bool], Test], bool]]] = {
    "StringEquals": (_string(), False),
    "StringNotEquals": (_string(), True),
    "StringEqualsIgnoreCase": (_string(fold=True), False),
    "StringNotEqualsIgnoreCase": (_string(fold=True), True),
    "StringLike": (_string(wildcards=True), False),
    "StringNotLike": (_string(wildcards=True), True),
    # AWS treats the two of each pair alike.
    "ArnEquals": (_arn, False),
    "ArnLike": (_arn, False),
    "ArnNotEquals": (_arn, True),
    "ArnNotLike": (_arn, True),
    "Bool": (_bool, False),
    "IpAddress": (_ip, False),
    "NotIpAddress": (_ip, True),
    **_comparisons("Numeric", _number, "number"),
    **_comparisons("Date", _date, "date such as 2026-11-24T00:00:00Z"),
}

OPERATORS: Final = frozenset(_KINDS) | {"Null"}
