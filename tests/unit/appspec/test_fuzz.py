"""Ten thousand spoilt AppSpec files: each is read or refused, and nothing else happens."""

from __future__ import annotations

from contextlib import suppress

from longshore.appspec import AppSpecError, parse_server
from tests.unit.appspec.mutation import mutations
from tests.unit.appspec.official import cases


def test_ten_thousand_spoilt_files_are_read_or_refused() -> None:
    originals = [case.text for case in cases()]
    accepted = 0
    for text in mutations(originals, count=10_000, seed=20261124):
        with suppress(AppSpecError):
            parse_server(text)
            accepted += 1
    # Else the mutations would only ever reach the first check.
    assert 500 < accepted < 9_500
