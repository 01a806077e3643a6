"""Which AppSpec a bundle holds, as far as a server may find out: what comes is anybody's, and there is one server."""

from __future__ import annotations

import io
import resource
from collections.abc import Callable

import pytest

from longshore.providers.bundles import appspec_in
from tests.unit.agent.test_archive import FILE, GREEDY, a_directory_of, a_tar, a_zip


@pytest.mark.parametrize("kind", ["zip", "tar", "tgz"])
@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["appspec.yml", "appspec.yaml"], "appspec.yml"),
        (["a/appspec.yml", "./appspec.yaml"], "appspec.yaml"),
        (["top/appspec.yaml", "top/x"], "appspec.yaml"),
        (["top/appspec.yaml", "x"], None),
        (["top/deep/appspec.yml"], None),
        (["x"], None),
        ([], None),
    ],
)
def test_it_is_at_the_root_or_in_what_wraps_everything(kind: str, names: list[str], found: str | None) -> None:
    members = [(name, FILE) for name in names]
    content = a_zip(*members) if kind == "zip" else a_tar(*members, how="w" if kind == "tar" else "w:gz")
    assert appspec_in(io.BytesIO(content), kind) == found


@pytest.mark.parametrize(
    ("kind", "made"),
    [
        *(pytest.param(kind, made, id=name) for name, kind, made, _ in GREEDY if kind != "zip"),
        pytest.param("zip", lambda: a_directory_of(800_000), id="a large directory"),
        pytest.param("zip", lambda: b"PK\5\6", id="half a zip"),
        pytest.param("tgz", lambda: a_tar(("appspec.yml", FILE)), id="no tgz"),
    ],
)
def test_what_would_take_all_memory_or_all_day_is_left_to_the_hosts(kind: str, made: Callable[[], bytes]) -> None:
    content = io.BytesIO(made())
    before = resource.getrusage(resource.RUSAGE_SELF)
    assert appspec_in(content, kind) is None
    after = resource.getrusage(resource.RUSAGE_SELF)
    assert after.ru_maxrss - before.ru_maxrss < 64 * 1024, "KiB"
