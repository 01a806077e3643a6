"""Every real AppSpec file of the corpus means to us what it means to the official agent 1.8.1."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from longshore.appspec import AppSpecError, ServerAppSpec, parse_server

CORPUS = Path(__file__).parents[3] / "../shared/corpus/appspec"

if not CORPUS.exists():
    # The files are other people's, so they lie beside the clone and not in it. CI has them, and fails on a skip.
    pytest.skip(f"the corpus of AppSpec files is not at {CORPUS.resolve()}", allow_module_level=True)

VERDICTS = {entry["file"]: entry for entry in json.loads((CORPUS / "verdicts.json").read_text())}

#: File → why we say something else than the official parser. None of the hundred needs it today: where we differ
#: (unquoted octal modes, one plain word for `type`, a byte order mark), no file that is otherwise accepted does it.
DELIBERATE_DIFFERENCES: dict[str, str] = {}


@pytest.mark.parametrize("file", sorted(set(VERDICTS) - set(DELIBERATE_DIFFERENCES)))
def test_verdict_and_parsed_result_equal_the_official_parsers(file: str) -> None:
    verdict = VERDICTS[file]
    content = (CORPUS / file).read_bytes()
    if not verdict["accepted"]:
        with pytest.raises(AppSpecError):
            parse_server(content)
        return
    assert as_official(parse_server(content)) == verdict["parsed"]


def test_the_corpus_is_whole() -> None:
    assert len(VERDICTS) == 100


def as_official(spec: ServerAppSpec) -> dict[str, Any]:
    return {
        "version": spec.version,
        "os": spec.os,
        "file_exists_behavior": spec.file_exists_behavior,
        "hooks": {
            event: [
                {"location": s.location, "timeout": s.timeout, "runas": s.runas, "sudo": s.sudo or None}
                for s in scripts
            ]
            for event, scripts in spec.hooks.items()
        },
        "files": [{"source": file.source, "destination": file.destination} for file in spec.files],
        "permissions": [
            {
                "object": entry.object,
                "pattern": entry.pattern,
                "except": list(entry.except_),
                "type": list(entry.type),
                "owner": entry.owner,
                "group": entry.group,
                "mode": entry.mode,
                "acls": entry.acls,
                "context": entry.context,
            }
            for entry in spec.permissions
        ],
    }
