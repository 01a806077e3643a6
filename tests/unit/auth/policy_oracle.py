"""IAM's answer worked out a second time: slowly, from documents as JSON, with nothing of ours.

What the tests of policies hold ours against. It knows well-formed documents only.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

Values = Mapping[str, Sequence[str]]
ANY, ONE = object(), object()


def allowed(documents: Sequence[Mapping[str, Any]], action: str, resource: str, keys: Values) -> bool:
    """Whether these policies together let somebody do `action` to `resource`; `keys` are in lower case."""
    effects = {
        statement["Effect"]
        for document in documents
        for statement in listed(document["Statement"])
        if is_about(statement, action, resource, keys, variables=document.get("Version") == "2012-10-17")
    }
    return effects == {"Allow"}


def is_about(statement: Mapping[str, Any], action: str, resource: str, keys: Values, *, variables: bool) -> bool:
    is_allow = statement["Effect"] == "Allow"
    named = any(
        like(tokens(one.lower(), keys, variables=False), action.lower())
        for one in listed(statement.get("Action", statement.get("NotAction")))
    )
    if named == ("NotAction" in statement):
        return False
    found = [
        arn_like(one, resource, keys, variables=variables)
        for one in listed(statement.get("Resource", statement.get("NotResource")))
    ]
    if "NotResource" in statement:
        if True in found or (is_allow and None in found):
            return False
    elif True not in found:
        return False
    return all(
        holds(operator, listed(wanted), keys.get(key.lower()), keys, is_allow=is_allow, variables=variables)
        for operator, by_key in statement.get("Condition", {}).items()
        for key, wanted in by_key.items()
    )


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def tokens(text: str, keys: Values, *, variables: bool, wildcards: bool = True) -> list[Any] | None:
    """A pattern's characters and wildcards, variables filled in; None when one cannot be."""
    made: list[Any] = []
    at = 0
    while at < len(text):
        variable = re.compile(r"\$\{([^{}]*)\}").match(text, at) if variables else None
        if variable is None:
            sign = text[at]
            made.append({"*": ANY, "?": ONE}.get(sign, sign) if wildcards else sign)
            at += 1
            continue
        at = variable.end()
        name, _, default = (part.strip() for part in variable[1].partition(","))
        if name in ("*", "?", "$"):
            made.append(name)
        elif (values := keys.get(name.lower())) is not None:
            if len(values) != 1:
                return None
            made += values[0]
        elif default:
            made += default[1:-1]
        else:
            return None
    return made


def like(pattern: list[Any] | None, text: str) -> bool | None:
    """Every place that the pattern's first so many tokens can end at, one token after the other."""
    if pattern is None:
        return None
    ends = {0}
    for token in pattern:
        if token is ANY:
            ends = {later for later in range(len(text) + 1) if ends and later >= min(ends)}
        else:
            ends = {at + 1 for at in ends if at < len(text) and (token is ONE or text[at] == token)}
    return len(text) in ends


def arn_like(pattern: str, arn: str, keys: Values, *, variables: bool) -> bool | None:
    if pattern == "*":
        return True
    # A variable's own colons divide nothing.
    parts = re.sub(r"\$\{[^{}]*\}", lambda found: found[0].replace(":", "\x01"), pattern).split(":", 5)
    parts = [part.replace("\x01", ":") for part in parts]
    parts += ["*"] * (6 - len(parts))
    patterns = [tokens(part, keys, variables=variables) for part in parts]
    if None in patterns:
        return None
    given = arn.split(":", 5)
    return len(given) == 6 and all(like(one, part) for one, part in zip(patterns, given, strict=True))


def holds(
    operator: str, wanted: list[Any], given: Sequence[str] | None, keys: Values, *, is_allow: bool, variables: bool
) -> bool:
    wanted = [str(one).lower() if isinstance(one, bool) else str(one) for one in wanted]
    if operator == "Null":
        return (given is None) == (wanted[0].lower() == "true")
    quantifier, _, name = operator.rpartition(":")
    name, if_exists = name.removesuffix("IfExists"), name.endswith("IfExists")
    is_negated = "Not" in name
    if given is None:
        return if_exists or quantifier == "ForAllValues" or (is_negated and not quantifier)
    fits = [[fit(name, one, value, keys, variables=variables) for one in wanted] for value in given]
    if is_allow and any(None in row for row in fits):
        return False
    held = [(True in row) != is_negated for row in fits]
    return all(held) if quantifier == "ForAllValues" or (not quantifier and is_allow) else any(held)


def fit(name: str, wanted: str, given: str, keys: Values, *, variables: bool) -> bool | None:
    name = name.replace("Not", "")
    if name in ("StringEquals", "StringLike"):
        return like(tokens(wanted, keys, variables=variables, wildcards=name == "StringLike"), given)
    if name == "StringEqualsIgnoreCase":
        pattern = tokens(wanted, keys, variables=variables, wildcards=False)
        return None if pattern is None else "".join(pattern).casefold() == given.casefold()
    if name in ("ArnEquals", "ArnLike"):
        return arn_like(wanted, given, keys, variables=variables)
    if name == "Bool":
        return wanted.lower() == given.lower()
    if name == "IpAddress":
        return ipaddress.ip_address(given) in ipaddress.ip_network(wanted)
    numeric = name.startswith("Numeric")
    left, right = (float(text) if numeric else instant(text) for text in (given, wanted))
    comparison = name.removeprefix("Numeric" if numeric else "Date")
    return {
        "Equals": left == right,
        "LessThan": left < right,
        "LessThanEquals": left <= right,
        "GreaterThan": left > right,
        "GreaterThanEquals": left >= right,
    }[comparison]


def instant(text: str) -> float:
    if text.isdecimal():
        return float(text)
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
