"""SELinux contexts in `permissions` (agent.md 4.4.13, lambda_ecs_appspec.md A58)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from longshore.appspec.place import Place

#: Categories are numbered to here.
_LAST_CATEGORY = 1023


@dataclass(frozen=True, kw_only=True)
class Context:
    """A SELinux context. The role is not settable."""

    #: The SELinux user; None leaves it.
    user: str | None
    type: str
    #: Normalised: `s0-s1:c0.c3,c5`. None: the file gives none.
    range: str | None


def read_context(place: Place) -> Context | None:
    """The context; None when it is absent."""
    if place.is_absent or not place.is_mapping("user", "name", "type", "range", "role"):
        return None
    type_ = place.at("type").text()
    if not type_:
        place.at("type").error("is missing", "Give the SELinux type, as in: type: httpd_sys_content_t")
    if not place.at("role").is_absent:
        place.at("role").warning("is ignored, by the official agent too", "Remove it.")
    # The guide writes `user`, the official agent reads `name`.
    user = place.at("name").text()
    if user is None:
        user = place.at("user").text()
    return Context(user=user, type=type_ or "", range=_range(place.at("range")))


def _range(place: Place) -> str | None:
    said = place.text()
    if said is None:
        return None
    try:
        return normal_range(said)
    except ValueError as problem:
        place.error(f"is {said!r}, which {problem}", "Write it like s0, s0-s1 or s0-s1:c0.c3,c5.")
        return None


def normal_range(said: str) -> str:
    """The range with its categories in order and runs of them joined; ValueError says what is wrong."""
    levels, colon, listed = said.partition(":")
    low, dash, high = levels.partition("-")
    lowest = _number(low, "s")
    highest = _number(high, "s") if dash else lowest
    if highest < lowest:
        raise ValueError(f"ends below its beginning ({levels})")
    normal = f"s{lowest}" if highest == lowest else f"s{lowest}-s{highest}"
    return f"{normal}:{_joined(_categories(listed))}" if colon else normal


def _categories(listed: str) -> list[int]:
    found: set[int] = set()
    # A comma at the end is let through, as the official parser does.
    for part in listed.rstrip(",").split(","):
        first, dot, last = part.partition(".")
        low = _number(first, "c")
        high = _number(last, "c") if dot else low
        if high < low:
            raise ValueError(f"has categories that end below their beginning ({part})")
        if high > _LAST_CATEGORY:
            raise ValueError(f"has a category above c{_LAST_CATEGORY}")
        run = range(low, high + 1)
        if found.intersection(run):
            raise ValueError(f"has a category twice ({part})")
        found.update(run)
    return sorted(found)


def _joined(categories: list[int]) -> str:
    runs: list[list[int]] = []
    for category in categories:
        if runs and category == runs[-1][1] + 1:
            runs[-1][1] = category
        else:
            runs.append([category, category])
    return ",".join(f"c{low}" if low == high else f"c{low}.c{high}" for low, high in runs)


def _number(said: str, letter: str) -> int:
    if not re.fullmatch(f"{letter}[0-9]{{1,9}}", said):
        raise ValueError(f"has {said!r} where {letter} and a number belong")
    return int(said[1:])
