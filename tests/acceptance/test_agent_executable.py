"""The agent as one file, on a host that has no Python."""

from __future__ import annotations

import itertools
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from longshore.onebox.machinery.host_view import HostView, this_program, why_not
from tests.acceptance.world import ControlPlane, Host, Revision, Shop, wait_until
from tests.git_host import GitHost, Repository

REPOSITORY = Path(__file__).parents[2]
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def executable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make agent` builds."""
    folder = tmp_path_factory.mktemp("dist")
    done = subprocess.run(
        ["make", "agent", f"DIST={folder}"], cwd=REPOSITORY, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "longshore-agent"


@pytest.fixture
def bare_host(tmp_path: Path, executable: Path, shared_plane: ControlPlane) -> Iterator[Host]:
    """A host where no Python can be found, whose agent is the executable."""
    if reason := why_not(tmp_path):
        assert not os.environ.get("CI"), reason
        pytest.skip(reason)
    view = HostView(directory=tmp_path / "view", name="bare", shared=())
    placed = view.written("/opt/longshore-agent")
    placed.parent.mkdir(parents=True)
    shutil.copy(executable, placed)
    hidden = [f"if [ -d {shlex.quote(str(path))} ]; then mount -t tmpfs none {path}; fi" for path in this_program()]
    hidden += ["rm -f /usr/bin/python3* /usr/local/bin/python*", "! command -v python3", "! command -v python"]
    program = ("sh", "-euc", "\n".join([*hidden, 'exec "$@"']), "sh", "/opt/longshore-agent")
    # A user holds two keys and no more.
    host = Host(name=f"bare-{next(_numbers)}", folder=tmp_path / "bare", plane=shared_plane, view=view, program=program)
    host.start()
    yield host
    host.remove()


def test_it_deploys_where_there_is_no_python(bare_host: Host, shared_plane: ControlPlane) -> None:
    shop = Shop(shared_plane, "bare")
    shop.join(bare_host)
    found = "for each in python python3; do ! command -v $each; done; echo $DEPLOYMENT_ID >/opt/shop/deployed"
    for _ in range(2):
        deployment_id, ended = shop.run(
            Revision(files={"page": "hello"}, install={"page": "/opt/shop"}, hooks={"AfterInstall": found})
        )
        assert ended["status"] == "Succeeded", bare_host.log
        assert bare_host.view is not None
        assert bare_host.view.written("/opt/shop/page").read_text() == "hello"
        assert bare_host.view.written("/opt/shop/deployed").read_text().strip() == deployment_id
    # What is loaded late: parameters, and telling what hooks say.
    longshore = shared_plane.client("longshore")
    deployment_id = longshore.create_deployment(
        applicationName="bare",
        deploymentGroupName="prod",
        revision=shop.push(Revision(hooks={"ValidateService": "echo colour=$COLOUR; seq 1 1000"})),
        parameters=[{"name": "COLOUR", "value": "blue"}],
    )["deploymentId"]
    assert shop.ended(deployment_id)["status"] == "Succeeded", bare_host.log
    assert "[stdout]colour=blue" in longshore.get_hook_log(deploymentId=deployment_id)["entries"][0]["text"]


def test_it_deploys_there_without_a_control_plane_too(bare_host: Host, tmp_path: Path) -> None:
    assert bare_host.view is not None
    repository = Repository(tmp_path / "shop.git")
    files = {"appspec.yml": "version: 0.0\nos: linux\nfiles: [{source: page, destination: /opt/local}]\n", "page": "hi"}
    commit = repository.commit(files)
    git = GitHost(tmp_path)
    try:
        # By git, so that every module that is loaded late must be in the file.
        local = [*bare_host.program, "local", "-l", f"{git.url}/shop.git#{commit}"]
        done = subprocess.run(bare_host.view.command(local), capture_output=True, text=True, timeout=60, check=False)
    finally:
        git.stop()
    assert done.returncode == 0, done.stdout + done.stderr
    assert bare_host.view.written("/opt/local/page").read_text() == "hi"


def test_it_enrolls_a_host_and_says_whether_it_is_well(bare_host: Host, shared_plane: ControlPlane) -> None:
    assert bare_host.view is not None
    view = bare_host.view

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = view.command([*bare_host.program, *words])
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    token = shared_plane.client("longshore").create_enrollment_token()["token"]
    place = ("--config", "/opt/enrolled.yml", "--root", "/opt/enrolled")
    enrolled = run("enroll", "--server", shared_plane.url, "--token", token, "--name", "enrolled", *place)
    assert enrolled.returncode == 0, enrolled.stderr
    assert "/opt/longshore-agent run --config /opt/enrolled.yml" in enrolled.stdout
    assert run("status", "--config", "/opt/enrolled.yml").returncode == 3
    examined = run("doctor", "--config", "/opt/enrolled.yml")
    assert [line for line in examined.stdout.splitlines() if line.startswith("FAILED")] == [
        "FAILED   The agent does not run."
    ]


def test_it_stops_when_it_is_asked_to(bare_host: Host) -> None:
    wait_until("it polls", lambda: "agent.polls" in bare_host.log)
    assert bare_host._process is not None
    family = psutil.Process(bare_host._process.pid).children(recursive=True)
    agents = [process for process in family if process.name().startswith("longshore")]
    agents[0].terminate()
    _, alive = psutil.wait_procs(agents, timeout=15)
    assert not alive
