"""Which revisions stay, for any history of a group (agent.md 2.5, 12.32)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.agent import retention
from longshore.agent.layout import DeploymentPaths


def group(
    root: Path, names: list[str], *, current: str, successful: str | None = None, size: int = 0
) -> DeploymentPaths:
    """A group with these revisions, oldest first."""
    paths = DeploymentPaths(root=root, group="g", deployment=current)
    for age, name in enumerate(names):
        revision = paths.group_directory / name
        (revision / "deployment-archive").mkdir(parents=True)
        (revision / "deployment-archive/file").write_bytes(b"x" * size)
        os.utime(revision, (1000 + age, 1000 + age))
    paths.last_successful.parent.mkdir(parents=True, exist_ok=True)
    if successful is not None:
        paths.last_successful.write_text(str(paths.group_directory / successful))
    return paths


def left(paths: DeploymentPaths) -> list[str]:
    return sorted(entry.name for entry in paths.group_directory.iterdir())


@given(
    count=st.integers(1, 9),
    most=st.integers(1, 6),
    successful=st.none() | st.integers(0, 8),
    is_short=st.booleans(),
)
def test_the_newest_stay_with_the_last_successful_and_as_many_as_may(
    tmp_path_factory: pytest.TempPathFactory, count: int, most: int, successful: int | None, is_short: bool
) -> None:
    names = [f"d-{number}" for number in range(count)]
    last = names[successful] if successful is not None and successful < count else None
    paths = group(tmp_path_factory.mktemp("root"), names, current=names[-1], successful=last)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(retention, "ROOM", 2**62 if is_short else 0)
        retention.make_room(paths, most, None)
    borne = len(left(paths))
    assert borne <= max(most + (not is_short), 1 + (last is not None and last != names[-1]))
    retention.tidy(paths, most, None)
    kept = left(paths)
    assert names[-1] in kept
    assert last is None or last in kept
    assert len(kept) == min(count, max(most, len({names[-1], last or names[-1]})))
    others = [name for name in kept if name != last]
    assert others == names[len(names) - len(others) :] or last in names[len(names) - len(others) - 1 :]


def test_one_that_began_later_is_left_alone(tmp_path: Path) -> None:
    """Another deployment of the group has begun before this one was tidied up."""
    paths = group(tmp_path, ["d-1", "d-2", "d-3"], current="d-2")
    retention.tidy(paths, 1, None)
    assert left(paths) == ["d-2", "d-3"]


def test_by_size_the_oldest_go_but_not_the_last_and_the_last_successful(tmp_path: Path) -> None:
    names = [f"d-{number}" for number in range(6)]
    paths = group(tmp_path, names, current="d-5", successful="d-1", size=100_000)
    retention.tidy(paths, 9, 450_000)
    assert left(paths) == ["d-1", "d-3", "d-4", "d-5"]
    retention.tidy(paths, 9, 1)
    assert left(paths) == ["d-1", "d-5"]


def test_a_removal_that_was_broken_off_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = group(tmp_path, ["d-1", "d-2", "d-3"], current="d-3")

    def fails(_: Path) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(retention, "remove_tree", fails)
    with pytest.raises(OSError, match="Input/output"):
        retention.tidy(paths, 2, None)
    monkeypatch.undo()
    assert left(paths) == [f".d-1{retention.GOING}", "d-2", "d-3"], "no half of a revision has its name"
    retention.tidy(paths, 2, None)
    assert left(paths) == ["d-2", "d-3"]
