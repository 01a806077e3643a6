"""A host changes from the official agent to ours and back, between two deployments, or in the middle of one.

Beside these tests the official agent's own Installer (1.8.1, Ruby 3.1) was run by hand over the same states.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from official_agent import OfficialAgent
from table_host import TableHost
from tests.bundle_host import Answer, BundleHost
from tests.unit.agent.test_installer import Host, Killed, second_failing, seen

STOP = "#!/bin/sh\necho stopped >> $(dirname $0)/../../../stopped\n"
APPSPEC = """version: 0.0
os: linux
files: [{source: app, destination: %s/app}]
hooks: {ApplicationStop: [{location: stop.sh}]}
"""


@pytest.fixture
def host(tmp_path: Path) -> Iterator[TableHost]:
    bundles = BundleHost(lambda _: Answer(status=404))
    mask = os.umask(0o022)
    yield TableHost(tmp_path, bundles)
    os.umask(mask)
    bundles.stop()


def official(host: TableHost, tmp_path: Path, deployment: str, release: str, stop_after: int | None = None) -> None:
    files = {
        "app/page": release,
        "app/d/deep": release,
        f"app/only-{release}": release,
        "stop.sh": STOP,
        "appspec.yml": APPSPEC % host.disk,
    }
    OfficialAgent(tmp_path / "root").install(deployment, files, host.disk / "app", stop_after=stop_after)


def ours(host: TableHost, release: str) -> list[str]:
    return host.deploy(
        {
            "bundle": {"app/page": release, "app/d/deep": release, f"app/new-{release}": release},
            "appspec": "files: [{source: app, destination: $T/app}]\n",
        }
    )


def whole(release: str, own: str) -> dict[str, str]:
    names = ("app/page", "app/d/deep", f"app/{own}-{release}")
    return dict(sorted({"app/": "755", "app/d/": "755", **dict.fromkeys(names, f"644 = {release}")}.items()))


def test_there_and_back_and_there_again(host: TableHost, tmp_path: Path) -> None:
    official(host, tmp_path, "d-A", "1")
    # Ours runs the ApplicationStop of their release, and replaces its files.
    assert ours(host, "2") == ["ApplicationStop", "DownloadBundle", "Install"]
    assert (tmp_path / "root" / "stopped").read_text() == "stopped\n"
    assert host.tree() == whole("2", "new")
    # Theirs finds ours.
    assert (OfficialAgent(tmp_path / "root").last_successful() / "deployment-archive" / "appspec.yml").is_file()
    official(host, tmp_path, "d-B", "3")
    assert host.tree() == whole("3", "only")
    assert ours(host, "4") == ["ApplicationStop", "DownloadBundle", "Install"]
    assert host.tree() == whole("4", "new")
    OfficialAgent(tmp_path / "root").clean_up()
    assert host.tree() == {}


@pytest.mark.parametrize("stop_after", [2, 3])
def test_after_an_official_agent_that_was_killed_in_an_install(
    host: TableHost, tmp_path: Path, stop_after: int
) -> None:
    official(host, tmp_path, "d-A", "1")
    official(host, tmp_path, "d-B", "2", stop_after=stop_after)
    assert "hal" in "".join(host.tree().values())
    assert ours(host, "3") == ["ApplicationStop", "DownloadBundle", "Install"]
    assert host.tree() == whole("3", "new")


def test_after_ours_was_killed_at_any_step_of_an_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Theirs cleans up whatever is there of both releases; then ours finds nothing left to finish."""
    at, more = 0, True
    while more:
        at += 1
        host, more = second_failing(tmp_path / f"{at}", monkeypatch, at, Killed)
        theirs = OfficialAgent(host.root)
        theirs.install("d-X", {"app/keep": "theirs", "app/s/x": "theirs"}, host.disk / "t")
        expected = {"t": None, "t/keep": "theirs", "t/s": None, "t/s/x": "theirs"}
        assert seen(host.disk) == expected, f"theirs, after ours was killed at step {at}"
        next_release(host)
        assert seen(host.disk) == {"t": None, "t/keep": "ours", "t/new": "ours"}, f"ours again, after step {at}"
        theirs.clean_up()
        assert seen(host.disk) == {}
    assert at > 40


def next_release(host: Host) -> None:
    host.install({"keep": "ours", "new": "ours"}, [("/", "t")])
