"""Which hosts belong to a deployment group: tag filters and tag sets (server.md S7.1–S7.4)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class TagFilter:
    """One filter; a part that is None is not looked at (KEY_ONLY, VALUE_ONLY, KEY_AND_VALUE)."""

    key: str | None
    #: `*` stands for any run of characters (S7.3).
    value: str | None

    def matches(self, tags: Iterable[tuple[str, str]]) -> bool:
        pattern = None if self.value is None else _wildcard(self.value)
        return any(
            (self.key is None or key == self.key) and (pattern is None or pattern.fullmatch(value) is not None)
            for key, value in tags
        )


@lru_cache(maxsize=1024)
def _wildcard(text: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in text.split("*")), re.DOTALL)


#: Groups of filters: a host must match one filter of every group (S7.2). A flat list is one group.
TagSet = Sequence[Sequence[TagFilter]]


def is_member(tag_set: TagSet, tags: Sequence[tuple[str, str]]) -> bool:
    """Whether a host with these tags is meant; an empty set means nobody."""
    return bool(tag_set) and all(any(wanted.matches(tags) for wanted in group) for group in tag_set)


def demands(tag_set: TagSet, key: str) -> bool:
    """Whether whoever is meant has a tag with this key."""
    return any(group and all(wanted.key == key for wanted in group) for group in tag_set)


class BadTagFilterError(ValueError):
    """A tag filter as the API spells it that says nothing, or contradicts itself."""


def tag_filter(asked: Mapping[str, Any]) -> TagFilter:
    """A filter from its `Key`, `Value` and `Type`; a missing type follows from what is given (S7.3).

    Raises:
        BadTagFilterError: what is given does not fit the type, or nothing is.
    """
    key, value = asked.get("Key"), asked.get("Value")
    match asked.get("Type") or _inferred_type(key, value):
        case "KEY_ONLY" if key and not value:
            return TagFilter(key=key, value=None)
        case "VALUE_ONLY" if value and not key:
            return TagFilter(key=None, value=value)
        case "KEY_AND_VALUE" if key and value is not None:
            return TagFilter(key=key, value=value)
        case "KEY_ONLY":
            raise BadTagFilterError("a KEY_ONLY filter needs a Key and takes no Value")
        case "VALUE_ONLY":
            raise BadTagFilterError("a VALUE_ONLY filter needs a Value and takes no Key")
        case "KEY_AND_VALUE":
            raise BadTagFilterError("a KEY_AND_VALUE filter needs a Key and a Value")
        case None:
            raise BadTagFilterError("a tag filter needs a Key, a Value or both")
        case other:
            raise BadTagFilterError(f"Type is {other!r}; it must be KEY_ONLY, VALUE_ONLY or KEY_AND_VALUE")


def _inferred_type(key: str | None, value: str | None) -> str | None:
    if key and value:
        return "KEY_AND_VALUE"
    if key:
        return "KEY_ONLY"
    return "VALUE_ONLY" if value else None


def ec2_tag_set(document: Mapping[str, Any]) -> TagSet:
    """Which EC2 instances a deployment group means, from its `ec2TagFilters` or `ec2TagSet`."""
    return _tag_set(document.get("ec2TagFilters"), (document.get("ec2TagSet") or {}).get("ec2TagSetList"))


def on_premises_tag_set(document: Mapping[str, Any]) -> TagSet:
    """Which on-premises instances it means, from its `onPremisesInstanceTagFilters` or `onPremisesTagSet`."""
    return _tag_set(
        document.get("onPremisesInstanceTagFilters"),
        (document.get("onPremisesTagSet") or {}).get("onPremisesTagSetList"),
    )


def auto_scaling_groups(document: Mapping[str, Any]) -> list[str]:
    """The names of the Auto Scaling groups whose instances it means, from its `autoScalingGroups`."""
    return [one if isinstance(one, str) else one["name"] for one in document.get("autoScalingGroups") or ()]


def _tag_set(flat: Sequence[Mapping[str, Any]] | None, groups: Sequence[Sequence[Mapping[str, Any]]] | None) -> TagSet:
    together = groups or ([flat] if flat else [])
    return [[tag_filter(asked) for asked in group] for group in together]
