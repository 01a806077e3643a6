"""Limits as an operator sets them."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path

import pytest

from longshore.api.limits import LimitError, Limits, with_changes

OPERATIONS = Path(__file__).parents[3] / "docs" / "operations.md"


def test_what_is_not_changed_stays() -> None:
    assert with_changes([]) == Limits()
    assert with_changes(["page=5", "groups-per-application=7", "page=6"]) == Limits(page=6, groups_per_application=7)


@pytest.mark.parametrize(
    "asked",
    ["", "page", "pages=5", "page=", "page=0", "page=-1", "page=1.5", "page=many", "page=²", f"page={'9' * 5000}"],
)
def test_a_limit_that_is_none_is_refused_with_a_word_on_how(asked: str) -> None:
    with pytest.raises(LimitError, match=r"write NAME=NUMBER|whole number"):
        with_changes([asked])


def test_the_handbook_names_every_limit_and_its_number() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \| (\d+) \|", OPERATIONS.read_text(), re.MULTILINE)
    assert {name.replace("-", "_"): int(number) for name, number in rows} == asdict(Limits())
