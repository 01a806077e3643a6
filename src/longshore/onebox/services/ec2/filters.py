"""The filters of EC2's Describe operations: each has a name and values, of which one must fit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from longshore.auth.policy_pattern import matches, pattern
from longshore.onebox.services.ec2.errors import invalid

#: The values of a filter's field that a thing has.
Field = Callable[[Any], Iterable[str]]

_MOST_VALUES = 200


def chosen(
    things: Iterable[Any],
    filters: Sequence[Mapping[str, Any]],
    fields: Mapping[str, Field],
    tags: Callable[[Any], Mapping[str, str]],
) -> list[Any]:
    """Those that every filter lets through. `*` and `?` stand for any text and any one character."""
    tests = [_test(one, fields, tags) for one in filters]
    return [thing for thing in things if all(test(thing) for test in tests)]


def _test(
    asked: Mapping[str, Any], fields: Mapping[str, Field], tags: Callable[[Any], Mapping[str, str]]
) -> Callable[[Any], bool]:
    name, values = asked.get("Name", ""), asked.get("Values", [])
    if len(values) > _MOST_VALUES:
        raise invalid(f"The filter '{name[:100]}' has more than {_MOST_VALUES} values.")
    patterns = [pattern(value, variables=False).resolved(_no_keys) or () for value in values]
    field = _field(name, fields, tags)
    return lambda thing: any(matches(pieces, text) for text in field(thing) for pieces in patterns)


def _field(name: str, fields: Mapping[str, Field], tags: Callable[[Any], Mapping[str, str]]) -> Field:
    kind, has_key, key = name.partition(":")
    if kind == "tag" and has_key:
        return lambda thing: [value for tag, value in tags(thing).items() if tag == key]
    if name == "tag-key":
        return lambda thing: tags(thing)
    if name == "tag-value":
        return lambda thing: tags(thing).values()
    if name not in fields:
        raise invalid(f"The filter '{name[:100]}' is invalid")
    return fields[name]


def _no_keys(_name: str) -> None:
    """The filters have no variables."""
