"""`longshore demo` and the example it deploys, as a user runs them."""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from longshore.onebox.machinery.host_view import HostView, this_program, why_not
from tests import ports
from tests.acceptance.world import BIN, ControlPlane, wait_until

REPOSITORY = Path(__file__).parents[2]
EXAMPLE = REPOSITORY / "examples" / "in-place"
SECONDS = 120


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Mapping[str, str]]:
    """An environment in which the demo keeps its things in a folder of the test's own."""
    if reason := why_not(tmp_path):
        assert not os.environ.get("CI"), reason
        pytest.skip(f"five hosts cannot be made here: {reason}")
    environ = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    yield environ | {"TMPDIR": str(tmp_path)}
    demo(environ | {"TMPDIR": str(tmp_path)}, "--stop")


def demo(environ: Mapping[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BIN / "longshore", "demo", *options], env=environ, capture_output=True, text=True, timeout=SECONDS, check=False
    )


def of_demo(environ: Mapping[str, str]) -> list[psutil.Process]:
    """What still runs of the demos in this place: servers by their data directory, hosts by where they began."""
    found = []
    for process in psutil.process_iter():
        try:
            words = [*process.cmdline(), *(process.environ().get(name, "") for name in ("PWD", "OLDPWD"))]
        except psutil.Error:
            continue
        if process.pid != os.getpid() and any(f"{environ['TMPDIR']}/longshore-demo" in word for word in words):
            found.append(process)
    return found


def answer(address: str) -> str:
    connection = http.client.HTTPConnection(address, timeout=10)
    try:
        connection.request("GET", "/version")
        return connection.getresponse().read().decode().strip()
    finally:
        connection.close()


@pytest.mark.timeout(2 * SECONDS)
def test_the_demo_keeps_its_promises_and_leaves_nothing(place: Mapping[str, str]) -> None:
    ended = demo(place)
    out = ended.stdout
    assert ended.returncode == 0, out + ended.stderr
    assert "All as promised" in out
    assert "✘" not in out
    for command in (
        "$ aws deploy create-application --application-name shop",
        "$ aws deploy register-on-premises-instance --instance-name web-5",
        "$ longshore keys create --user web-5",
        "web-5$ longshore agent run --config",
        "$ aws s3 mb s3://releases",
        "$ aws deploy push --application-name shop",
        "$ aws deploy create-deployment --application-name shop --deployment-group-name prod",
    ):
        assert command in out
    assert out.count("targets: 5 of 5 succeeded") == 2
    fewest = re.findall(r"at least (\d) of 5 hosts answered at every moment, 3 were promised", out)
    assert [int(count) >= 3 for count in fewest] == [True, True]
    assert "json.decoder.JSONDecodeError" in out, "the failing script's log is on the screen"
    assert "HEALTH_CONSTRAINTS" in out
    assert "targets: 0 of 5 succeeded, 2 failed, 3 skipped" in out
    assert not list(Path(place["TMPDIR"], f"longshore-demo-{os.geteuid()}").iterdir())
    assert of_demo(place) == []


@pytest.mark.timeout(2 * SECONDS)
def test_what_is_kept_goes_on_by_hand_until_it_is_stopped(place: Mapping[str, str]) -> None:
    kept = demo(place, "--keep")
    assert kept.returncode == 0, kept.stdout + kept.stderr
    _, hints = kept.stdout.split("Everything is still running.")
    exports = dict(re.findall(r"^export (AWS_\w+)=(.+)$", hints, re.MULTILINE))

    def run(command: str) -> str:
        return subprocess.run(
            ["sh", "-c", command],
            env={**place, **exports, "PATH": f"{BIN}:{place['PATH']}"},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout

    (heal,) = re.findall(r"^aws deploy create-deployment .+$", hints, re.MULTILINE)
    deployment_id = run(f"{heal} --query deploymentId --output text").strip()
    assert "targets: 5 of 5 succeeded" in run(f"longshore watch {deployment_id}")
    (shell,) = re.findall(r"^nsenter .+$", hints, re.MULTILINE)
    address = run(f"{shell} -c 'cat /etc/shop.address'").strip()
    assert answer(address) == "2"

    assert demo(place, "--stop").returncode == 0
    assert of_demo(place) == []
    with pytest.raises(ConnectionRefusedError):
        answer(address)


@pytest.mark.timeout(2 * SECONDS)
def test_what_a_killed_demo_left_is_ended(place: Mapping[str, str]) -> None:
    with tempfile.TemporaryFile("w+") as out:
        running = subprocess.Popen([BIN / "longshore", "demo"], env=place, stdout=out, start_new_session=True)

        def has_hosts() -> bool:
            out.seek(0)
            return "web-2$ longshore agent run" in out.read()

        wait_until("two hosts run their agents", has_hosts, seconds=60)
        running.send_signal(signal.SIGKILL)
        running.wait(10)
    assert of_demo(place)
    assert "Ending what an earlier demo left" in demo(place, "--stop").stdout
    assert of_demo(place) == []


@pytest.mark.timeout(2 * SECONDS)
def test_where_hosts_cannot_have_views_one_without_is_deployed_to(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can lay down what views take")
    environ = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    ended = subprocess.run(
        ["setpriv", "--bounding-set=-sys_admin", BIN / "longshore", "demo"],
        env=environ | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    out = ended.stdout
    assert ended.returncode == 0, out + ended.stderr
    assert "here they cannot have them" in out
    assert "as in a container without --privileged" in out
    assert "✔ the host answers with release 2" in out
    assert "✔ the broken release 3 failed" in out
    assert "All as promised" in out
    assert not re.search(r"\b(0|1) hosts|0 were promised", out)
    assert of_demo({"TMPDIR": str(tmp_path)}) == []


@dataclass(frozen=True)
class Machine:
    """A machine to throw away, on which the shop may go to /opt/shop."""

    view: HostView
    #: Where its shop will be.
    address: str

    def start(self, script: str, **environ: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.view.command(["sh", "-euc", script]),
            env={"PATH": f"{BIN}:{os.environ['PATH']}", "HOME": "/root", "EXAMPLE": str(EXAMPLE), **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, script: str, **environ: str) -> str:
        running = self.start(script, **environ)
        out, _ = running.communicate(timeout=SECONDS)
        assert running.returncode == 0, out
        return out


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    if reason := why_not(tmp_path):
        assert not os.environ.get("CI"), reason
        pytest.skip(f"the example goes to /opt/shop, and no machine for it can be made here: {reason}")
    data = tmp_path / "data"
    data.mkdir(exist_ok=True)
    shared = (data, EXAMPLE, *this_program())
    view = HostView(directory=tmp_path / "machine", name="web-1", shared=shared)
    address = f"127.1.{os.getpid() % 250}.1:8080"
    view.written("/etc").mkdir(parents=True)
    view.written("/etc/shop.address").write_text(f"{address}\n")
    view.start()
    yield Machine(view, address)
    view.remove()


def test_the_example_is_deployed_by_its_own_script(own_plane: ControlPlane, machine: Machine) -> None:
    for _ in range(2):
        out = machine.run(str(EXAMPLE / "run.sh"), **own_plane.environ)
        assert f"The shop is open on http://{machine.address}" in out
        assert answer(machine.address) == "1"


def test_the_readme_by_hand_does_what_it_says(machine: Machine) -> None:
    """Each block in order, from an empty directory; only the ports are other ones."""
    port = str(ports.kept())
    text = (REPOSITORY / "README.md").read_text().replace("8420", port).replace("127.0.0.1:8080", machine.address)
    _, server, exports, register, agent, deploy = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    machine.run("mkdir /tmp/empty")
    here = "cd /tmp/empty\n"
    serving = machine.start(here + "exec " + server)
    assert serving.stdout is not None
    said = ""
    while "export AWS_REGION" not in said:
        line = serving.stdout.readline()
        assert line, said
        said += line
    promised = exports.replace("$PWD", "/tmp/empty").splitlines()
    assert [line for line in said.splitlines() if line.startswith("export")] == promised
    machine.run(here + exports + register)
    working = machine.start(here + exports + "exec " + agent)
    out = machine.run(here + exports + deploy)
    assert "Succeeded" in out
    assert "The corner shop, release 1, on web-1" in out
    machine.view.stop()
    for process in (serving, working):
        process.communicate(timeout=10)
