"""`longshore local` on hosts of their own: real files, real scripts, real bundles; no control plane, no account."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from longshore.agent.local.events import DEFAULT
from longshore.onebox.machinery.host_view import HostView, why_not
from tests.acceptance.world import BIN, ControlPlane, Host, Revision, Shop, wait_until
from tests.git_host import GitHost, Repository

HOOKED = [event for event in DEFAULT if event not in ("DownloadBundle", "Install")]
OF_THE_LAST = HOOKED[:3]
Hosts = Callable[..., list[Host]]
Shops = Callable[..., Shop]


@dataclass
class Machine:
    """A host without an agent, at which somebody types `longshore local`."""

    view: HostView
    environ: dict[str, str] = field(default_factory=dict)

    def command(self, *words: str, cwd: str = "/opt") -> list[str]:
        move = ("sh", "-c", 'cd "$1" && shift && exec "$@"', "sh", cwd)
        return self.view.command([*move, str(BIN / "longshore"), "local", *words])

    def local(self, *words: str, cwd: str = "/opt") -> subprocess.CompletedProcess[str]:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")} | self.environ
        return subprocess.run(
            self.command(*words, cwd=cwd), env=environ, capture_output=True, text=True, timeout=60, check=False
        )

    def path(self, path: str) -> Path:
        return self.view.written(path)

    def put(self, revision: Revision, name: str, kind: str = "directory") -> str:
        """Lay out a revision under /opt as a directory or archive; where it is, seen from the host."""
        # Written from inside, as an overlay wants it.
        self._write(f"/opt/{name}", revision, kind)
        return f"/opt/{name}"

    def _write(self, place: str, revision: Revision, kind: str) -> None:
        if kind == "zip":
            self._pipe(["sh", "-c", f"cat >{place}"], revision.zip())
            return
        made = io.BytesIO()
        with tarfile.open(fileobj=made, mode="w:gz" if kind == "tgz" else "w") as archive:
            for path, content, mode in revision.entries():
                entry = tarfile.TarInfo(path)
                entry.size, entry.mode = len(content), mode
                archive.addfile(entry, io.BytesIO(content))
        unpack = f"rm -rf {place}; mkdir -p {place} && tar -xf - -C {place}"
        self._pipe(["sh", "-c", unpack if kind == "directory" else f"cat >{place}"], made.getvalue())

    def _pipe(self, command: list[str], content: bytes) -> None:
        subprocess.run(self.view.command(command), input=content, timeout=30, check=True)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    if reason := why_not(tmp_path):
        assert not os.environ.get("CI"), reason
        pytest.skip(reason)
    view = HostView(directory=tmp_path / "view", name="local")
    view.start()
    yield Machine(view)
    view.remove()


def noting(events: list[str], **more: str) -> dict[str, str]:
    return {event: f"echo $LIFECYCLE_EVENT >>/opt/events\n{more.get(event, '')}" for event in events}


def events_of(machine: Machine) -> list[str]:
    """The events whose scripts ran since one last asked."""
    told = machine.view.command(["sh", "-c", "cat /opt/events && rm /opt/events"])
    return subprocess.run(told, capture_output=True, text=True, timeout=30, check=False).stdout.split()


def test_the_first_revision_has_nothing_to_stop_and_the_second_stops_it(machine: Machine) -> None:
    place = machine.put(Revision(hooks=noting(HOOKED), files={"page": "1"}, install={"page": "/opt/shop"}), "app")
    done = machine.local("-l", place)
    assert done.returncode == 0, done.stdout + done.stderr
    first, log, last = done.stdout.splitlines()
    root = "/opt/codedeploy-agent/deployment-root"
    found = re.search(rf"{root}/default-local-deployment-group/(d-[A-Z0-9]{{9}}-local)$", first)
    assert found
    assert log.endswith(f"{found[0]}/logs/scripts.log")
    assert "succeeded" in last
    assert events_of(machine) == HOOKED[3:]
    assert machine.path("/opt/shop/page").read_text() == "1"
    machine.put(Revision(files={"page": "2"}, install={"page": "/opt/shop"}), "app")
    assert machine.local(cwd=place).returncode == 0, "the working directory is the default"
    assert events_of(machine) == OF_THE_LAST
    assert machine.path("/opt/shop/page").read_text() == "2"
    state = machine.path(f"{root}/deployment-instructions")
    names = {"cleanup", "install.json"}
    assert {path.name.rpartition("-")[2] for path in state.glob("*-local-deployment-group-*")} == names
    assert len(list(state.glob("*_last_successful_install"))) == 1
    assert not machine.path(f"{root}/ongoing-deployment").exists(), "nothing is tracked"


@pytest.mark.parametrize("kind", ["directory", "tar", "tgz", "zip"])
def test_every_type_of_bundle_is_installed_with_its_modes(machine: Machine, kind: str) -> None:
    told = "echo $APPLICATION_NAME $DEPLOYMENT_GROUP_NAME $DEPLOYMENT_GROUP_ID >/opt/told"
    revision = Revision(files={"a/page": "hello"}, install={"a": "/opt/shop"}, hooks={"AfterInstall": told})
    place = machine.put(revision, "bundle", kind)
    done = machine.local("-l", f"file://{place}", "-t", kind, "-a", "Shop", "-d", "Fleet", "-g", "g.1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert machine.path("/opt/shop/page").read_text() == "hello"
    assert machine.path("/opt/told").read_text() == "Shop Fleet g.1\n"


def test_events_of_ones_own_run_when_they_are_listed_and_only_then(machine: Machine) -> None:
    hooks = noting(["AfterInstall", "WarmUp"])
    place = machine.put(Revision(hooks=hooks), "app")
    assert machine.local("-l", place, "-e", "WarmUp,AfterInstall").returncode == 0
    assert events_of(machine) == ["WarmUp", "AfterInstall"]
    for events in ("Foo,WarmUp", "AfterInstall", "Install,DownloadBundle", "WarmUp,DownloadBundle"):
        done = machine.local("-l", place, "-e", events)
        assert (done.returncode, "ERROR: " in done.stdout) == (1, True), done.stdout
        assert "Traceback" not in done.stderr
    assert events_of(machine) == []


def test_a_script_that_fails_is_named_and_ends_the_deployment(machine: Machine) -> None:
    hooks = noting(["BeforeInstall", "AfterInstall", "ApplicationStart"], AfterInstall="echo no luck; exit 42")
    done = machine.local("-l", machine.put(Revision(hooks=hooks), "app"))
    assert done.returncode == 1
    _, script, error, log = done.stdout.splitlines()
    assert script.endswith("scripts/AfterInstall.sh")
    assert "exit code 42" in error
    assert log.endswith("scripts.log")
    assert "[stdout]no luck" in done.stderr
    assert events_of(machine) == ["BeforeInstall", "AfterInstall"]


def test_files_of_others_are_in_the_way_unless_the_option_says_otherwise(machine: Machine) -> None:
    place = machine.put(Revision(files={"page": "new"}, install={"page": "/opt/shop"}), "app")
    assert machine.local("-l", place).returncode == 0
    assert machine.local("-l", place).returncode == 0, "its own files are replaced"
    refused = machine.local("-l", place, "-g", "another")
    assert (refused.returncode, "/opt/shop/page" in refused.stdout) == (1, True)
    machine.put(Revision(files={"page": "newer"}, install={"page": "/opt/shop"}), "app")
    assert machine.local("-l", place, "-g", "another", "-b", "RETAIN").returncode == 0
    assert machine.path("/opt/shop/page").read_text() == "new"
    assert machine.local("-l", place, "-g", "another", "--file-exists-behavior", "overwrite").returncode == 0
    assert machine.path("/opt/shop/page").read_text() == "newer"


def test_the_agents_configuration_and_the_appspecs_name_count(machine: Machine) -> None:
    mine = "version: 0.0\nos: linux\nfiles: [{source: page, destination: /opt/shop}]\n"
    place = machine.put(Revision(appspec="version: 9\n", files={"page": "x", "mine.yml": mine}), "app")
    assert machine.local("-l", place).returncode == 1
    config = (
        'mkdir -p /etc/codedeploy-agent/conf /opt/logs && echo "$1" >/etc/codedeploy-agent/conf/codedeployagent.yml'
    )
    settings = ":root_dir: /opt/elsewhere\n:log_dir: /opt/logs\n:max_revisions: 2\n"
    subprocess.run(machine.view.command(["sh", "-c", config, "sh", settings]), timeout=30, check=True)
    for _ in range(3):
        done = machine.local("-l", place, "-A", "mine.yml")
        assert done.returncode == 0, done.stdout
    assert len(list(machine.path("/opt/elsewhere/default-local-deployment-group").iterdir())) == 2
    assert "command.ended Install" in machine.path("/opt/logs/codedeploy-local.log").read_text()
    assert machine.local("-l", place, "-c", "/opt/gone.yml").returncode == 1


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--help"], 0, "examples:"),
        (["--version"], 0, "longshore local"),
        (["--nonsense"], 1, "ERROR: unrecognized arguments"),
        (["-t", "rar"], 1, "ERROR: argument -t"),
        (["-g", "../up"], 1, "cannot name a directory"),
        (["-g", "deployment-logs"], 1, "the agent keeps other things there"),
        (["-l", "/opt/gone"], 1, "ERROR: there is no bundle at /opt/gone"),
        (["-l", "/usr/bin"], 1, "holds no appspec.yml or appspec.yaml"),
        (["-A", "../x.yml"], 1, "leads outside the revision"),
        (["-l", "s3://releases/app.zip", "-t", "zip"], 1, "no AWS credentials"),
    ],
)
def test_what_is_asked_wrongly_is_told_in_a_sentence(machine: Machine, words: list[str], code: int, said: str) -> None:
    machine.environ |= {"AWS_EC2_METADATA_DISABLED": "true", "HOME": "/nonexistent"}
    done = machine.local(*words)
    assert (done.returncode, said in done.stdout) == (code, True), done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_who_may_not_write_there_is_told_what_to_do(tmp_path: Path) -> None:
    place = Revision(files={"page": "x"}).write(tmp_path / "app")
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    (tmp_path / "agent.yml").write_text(f"root_dir: {locked / 'root'}\n")
    # Root without its privileges may write only what its files' modes let it.
    powerless = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    words = [*powerless, str(BIN / "longshore"), "local", "-l", str(place), "-c", str(tmp_path / "agent.yml")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "Run this as root, or name" in done.stdout) == (1, True), done.stdout + done.stderr


def test_an_interruption_ends_the_script_too(machine: Machine) -> None:
    hooks = {"AfterInstall": "trap '' INT; echo $$ >/opt/pid; sleep 120 & wait"}
    place = machine.put(Revision(hooks=hooks), "app")
    pid = machine.path("/opt/pid")
    with subprocess.Popen(machine.command("-l", place), stdout=subprocess.PIPE, text=True) as process:
        wait_until("the script runs", lambda: pid.exists() and pid.read_text())
        family = psutil.Process(process.pid).children(recursive=True)
        next(one for one in family if "local" in one.cmdline()).send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "stopped by SIGINT" in out
    alive = machine.view.command(["sh", "-c", 'kill -0 "$(cat /opt/pid)"'])
    assert subprocess.run(alive, capture_output=True, timeout=30, check=False).returncode != 0


def test_bundles_come_from_s3_with_ones_own_credentials(machine: Machine, shared_plane: ControlPlane) -> None:
    s3 = shared_plane.client("s3")
    s3.create_bucket(Bucket="local")
    body = Revision(files={"page": "from S3"}, install={"page": "/opt/shop"}).zip()
    etag = s3.put_object(Bucket="local", Key="app v1.zip", Body=body)["ETag"].strip('"')
    key, secret = shared_plane.owner
    machine.environ = {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret, "AWS_REGION": "us-east-1"}
    config = f"echo 's3_endpoint_override: {shared_plane.url}' >/opt/local.yml"
    subprocess.run(machine.view.command(["sh", "-c", config]), timeout=30, check=True)
    words = ("-t", "zip", "-c", "/opt/local.yml")
    done = machine.local("-l", f"s3://local/app v1.zip?etag={etag}", *words)
    assert done.returncode == 0, done.stdout
    assert machine.path("/opt/shop/page").read_text() == "from S3"
    assert "was replaced since" in machine.local("-l", "s3://local/app v1.zip?etag=beef", *words).stdout
    machine.environ["AWS_SECRET_ACCESS_KEY"] = "wrong"
    assert "403 SignatureDoesNotMatch" in machine.local("-l", "s3://local/app v1.zip", *words).stdout


def test_a_commit_of_a_git_repository_is_deployed(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "repositories").mkdir()
    repository = Repository(tmp_path / "repositories/shop.git")
    revision = Revision(files={"page": "from git"}, install={"page": "/opt/shop"}, hooks={"AfterInstall": "true"})
    commit = repository.commit({path: content for path, content, _ in revision.entries()})
    git = GitHost(tmp_path / "repositories")
    try:
        done = machine.local("-l", f"{git.url}/shop.git#{commit}")
    finally:
        git.stop()
    assert done.returncode == 0, done.stdout
    assert machine.path("/opt/shop/page").read_text() == "from git"


def test_it_waits_for_the_agents_deployment_of_the_same_group(
    shared_plane: ControlPlane, hosts_of: Hosts, shop_of: Shops
) -> None:
    [host] = hosts_of(shared_plane, views=True)
    assert host.view is not None
    shop = shop_of(shared_plane, [host])
    group = shop.deploy.get_deployment_group(applicationName=shop.name, deploymentGroupName="prod")
    group_id = group["deploymentGroupInfo"]["deploymentGroupId"]
    held = "echo begun >/opt/order; until [ -e /opt/go ]; do sleep 0.05; done; echo agent >>/opt/order"
    deployment_id = shop.start(Revision(hooks={"AfterInstall": held}))
    order = host.view.written("/opt/order")
    wait_until("the agent's script runs", order.exists)
    machine = Machine(host.view)
    place = machine.put(Revision(hooks={"AfterInstall": "echo local >>/opt/order"}), "app")
    words = ("-l", place, "-c", "/opt/agent.yml", "-g", group_id)
    with subprocess.Popen(machine.command(*words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as local:
        log = host.view.written("/opt/agent/log/codedeploy-local.log")
        wait_until("it waits", lambda: log.exists() and "command.waits" in log.read_text())
        subprocess.run(host.view.command(["touch", "/opt/go"]), timeout=30, check=True)
        said, _ = local.communicate(timeout=60)
    assert local.returncode == 0, said
    assert shop.ended(deployment_id)["status"] == "Succeeded"
    assert order.read_text().split() == ["begun", "agent", "local"]
