"""Every real AppSpec file of the corpus means to us what it means to the official agent 1.8.1."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from longshore.appspec import AppSpecError, parse_server
from tests.unit.appspec.differences import documented
from tests.unit.appspec.official import as_official, with_truth

CORPUS = Path(__file__).parents[3] / "../shared/corpus/appspec"

if not CORPUS.exists():
    # The files are other people's, so they lie beside the clone and not in it. CI has them, and fails on a skip.
    pytest.skip(f"the corpus of AppSpec files is not at {CORPUS.resolve()}", allow_module_level=True)

VERDICTS = {entry["file"]: entry for entry in json.loads((CORPUS / "verdicts.json").read_text())}

#: File → the row of docs/appspec.md that says why we answer otherwise. None of the hundred needs one: where we differ,
#: no file that is otherwise accepted does it.
DELIBERATE_DIFFERENCES: dict[str, str] = {}


@pytest.mark.parametrize("file", sorted(set(VERDICTS) - set(DELIBERATE_DIFFERENCES)))
def test_verdict_and_parsed_result_equal_the_official_parsers(file: str) -> None:
    verdict = VERDICTS[file]
    content = (CORPUS / file).read_bytes()
    if not verdict["accepted"]:
        with pytest.raises(AppSpecError):
            parse_server(content)
        return
    assert as_official(parse_server(content)) == with_truth(verdict["parsed"])


def test_the_corpus_is_whole_and_the_differences_are_documented() -> None:
    assert len(VERDICTS) == 100
    assert set(DELIBERATE_DIFFERENCES.values()) <= documented()
