"""An AppSpec file means to us what it means to the official agent, or docs/appspec.md says why not.

The verdicts were given by the official agent's own parser (official/README.md).
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from longshore.appspec import AppSpecError, parse_server
from tests.unit.appspec.differences import documented
from tests.unit.appspec.official import FOLDER, Case, as_official, cases, with_truth

VERDICTS = json.loads((FOLDER / "verdicts.json").read_text())
CASES = list(cases())


@pytest.mark.parametrize("case", [case for case in CASES if case.differs is None], ids=lambda case: case.name)
def test_verdict_and_result_are_the_official_parsers(case: Case) -> None:
    assert ours(case) == theirs(case)


@pytest.mark.parametrize("case", [case for case in CASES if case.differs is not None], ids=lambda case: case.name)
def test_a_difference_is_one_and_is_documented(case: Case) -> None:
    assert case.differs in documented()
    assert ours(case) != theirs(case)


def test_every_documented_difference_is_shown_by_a_case() -> None:
    assert documented() == {case.differs for case in CASES if case.differs is not None}


def test_every_case_has_its_verdict() -> None:
    assert set(VERDICTS) == {case.name for case in CASES}


def ours(case: Case) -> dict[str, Any] | None:
    try:
        return as_official(parse_server(case.text))
    except AppSpecError:
        return None


def theirs(case: Case) -> dict[str, Any] | None:
    verdict = VERDICTS[case.name]
    return with_truth(verdict["parsed"]) if verdict["accepted"] else None
