"""The agent as a host gets it: a wheel in an environment of its own, with what it needs and nothing else."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.acceptance.world import ControlPlane, Revision, Shop, wait_until

REPOSITORY = Path(__file__).parents[2]
#: PyNaCl brings cffi, and that pycparser.
NEEDED = {"longshore", "PyYAML", "PyNaCl", "cffi", "pycparser"}
#: Of an idle agent; the goal is 25 MB.
IDLE_BYTES = 25_000_000


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the programs of `pip install longshore[agent]` are."""
    folder = tmp_path_factory.mktemp("alone")
    pip = ("-m", "pip", "--disable-pip-version-check")
    _run(sys.executable, *pip, "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, REPOSITORY)
    (wheel,) = folder.glob("longshore-*.whl")
    _run(sys.executable, "-m", "venv", folder / "venv")
    constraints = REPOSITORY / "constraints.txt"
    _run(folder / "venv/bin/python", *pip, "install", "--quiet", "--constraint", constraints, f"{wheel}[agent]")
    return folder / "venv" / "bin"


def _run(*words: str | Path) -> str:
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def agent(installed: Path, shared_plane: ControlPlane, tmp_path: Path) -> Iterator[psutil.Process]:
    """An enrolled host's, which polls."""
    tags = [{"key": "app", "value": "alone"}]
    made = shared_plane.client("longshore").create_enrollment_token(tags=tags)["token"]
    place = ("--config", tmp_path / "agent.yml", "--root", tmp_path / "root", "--output", "json")
    said = ("--server", shared_plane.url, "--token", made, "--name", "alone", "--tag", "app=alone")
    started_by = json.loads(_run(installed / "longshore", "agent", "enroll", *said, *place))["Command"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(started_by.split(), stdout=log, stderr=log)
    wait_until("it polls", lambda: "agent.polls" in (tmp_path / "log").read_text())
    yield psutil.Process(process.pid)
    process.terminate()
    assert process.wait(timeout=20) == 0


def test_only_what_it_needs_is_installed(installed: Path) -> None:
    listed = json.loads(_run(installed / "python", "-m", "pip", "list", "--format", "json"))
    assert {one["name"] for one in listed} - {"pip", "setuptools", "wheel"} == NEEDED
    refused = subprocess.run([installed / "longshore", "keys"], capture_output=True, text=True, timeout=60, check=False)
    assert refused.returncode == 1
    assert "pip install 'longshore[server]'" in refused.stderr


def test_it_is_small_and_is_so_again_after_a_large_deployment(
    agent: psutil.Process, shared_plane: ControlPlane, tmp_path: Path
) -> None:
    def resident() -> int:
        found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{agent.pid}/status").read_text())
        assert found
        return int(found[1]) * 1024

    wait_until("its poll is parked", lambda: agent.net_connections())
    idle = resident()
    assert idle <= IDLE_BYTES
    files = {f"site/{number // 100}/{number}": "x" * 100 for number in range(3000)}
    shop = Shop(shared_plane, "alone")
    _, ended = shop.run(Revision(files=files, install={"site": str(tmp_path / "site")}))
    assert ended["status"] == "Succeeded", (tmp_path / "log").read_text()
    assert len(list((tmp_path / "site").rglob("*"))) == 3030
    wait_until("its worker has ended", lambda: not agent.children())
    assert resident() <= idle + 500_000
