"""A host enrolls with a token: real servers, real agents, and everything that can go wrong between them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import sqlite3
import stat
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from botocore.exceptions import ClientError

from longshore.onebox.machinery.host_view import HostView, why_not
from tests import ports
from tests.acceptance.world import BIN, ControlPlane, Revision, Shop, missing_tool, self_signed, wait_until


def token(plane: ControlPlane, *, tags: dict[str, str] | None = None, **limits: Any) -> str:
    """A new token's text."""
    if tags is not None:
        limits["tags"] = [{"key": key, "value": value} for key, value in tags.items()]
    return str(plane.client("longshore").create_enrollment_token(**limits)["token"])


def used_by(plane: ControlPlane, token: str) -> list[str]:
    """The hosts that enrolled with a token."""
    found = plane.client("longshore").list_enrollment_tokens()["enrollmentTokens"]
    names: list[str] = next(one for one in found if one["tokenId"] == token.split(".")[1])["usedByInstanceNames"]
    return names


class Machine:
    """A host that is to be enrolled, in a folder."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(exist_ok=True)
        self.name = name
        self.folder = folder
        self.config = folder / f"{name}.yml"
        self._agent: subprocess.Popen[bytes] | None = None

    def command(self, url: str, token: str, *words: str) -> list[str]:
        enroll = (str(BIN / "longshore"), "agent", "enroll", "--server", url, "--token", token, "--name", self.name)
        return [*enroll, "--config", str(self.config), "--root", str(self.folder / f"{self.name}-root"), *words]

    def enroll(self, url: str, token: str, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(url, token, *words), text=True, capture_output=True, timeout=60, check=False, env=environ()
        )

    def start(self) -> None:
        """Start the agent with the command that enrolling named."""
        with (self.folder / f"{self.name}.log").open("ab") as log:
            command = [BIN / "longshore", "agent", "run", "--config", self.config]
            self._agent = subprocess.Popen(command, stdout=log, stderr=log, env=environ())

    def stop(self) -> None:
        if self._agent is not None:
            self._agent.terminate()
            self._agent.wait(timeout=20)

    @property
    def log(self) -> str:
        return (self.folder / f"{self.name}.log").read_text()


def environ() -> dict[str, str]:
    """A host's: nothing that points anywhere or trusts anybody."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SSL_"))}


@pytest.fixture
def machine_of(tmp_path: Path) -> Iterator[Callable[[str], Machine]]:
    made: list[Machine] = []

    def make(name: str) -> Machine:
        made.append(Machine(tmp_path / "machines", name))
        return made[-1]

    yield make
    for machine in made:
        machine.stop()


@pytest.fixture
def tls_plane(tmp_path: Path, certificate: tuple[Path, Path]) -> Iterator[ControlPlane]:
    """A control plane with a certificate that nobody vouches for."""
    port = ports.kept()
    tls = ("--tls-cert", str(certificate[0]), "--tls-key", str(certificate[1]), "--url", f"https://localhost:{port}")
    plane = ControlPlane(tmp_path / "tls", options=tls, ca=certificate[0])
    (tmp_path / "tls").mkdir()
    plane.port = port
    plane.start()
    plane.environ["AWS_CA_BUNDLE"] = str(certificate[0])
    yield plane
    plane.stop()


def deploys(plane: ControlPlane, machine: Machine, application: str) -> None:
    """The machine, which has the tag app=`application`, is deployed to."""
    _, ended = Shop(plane, application).run(Revision(files={"page": "hello"}, install={"page": str(machine.folder)}))
    assert ended["status"] == "Succeeded", machine.log
    assert (machine.folder / "page").read_text() == "hello"


def test_a_host_enrolls_and_is_deployed_to(shared_plane: ControlPlane, machine_of: Callable[[str], Machine]) -> None:
    made = json.loads(
        shared_plane.run(
            *(
                "longshore",
                "tokens",
                "create",
                "--name-pattern",
                "enroll-*",
                "--tag",
                "app=enrolled",
                "--output",
                "json",
            )
        ).stdout
    )["Token"]
    machine = machine_of("enroll-1")
    done = machine.enroll(shared_plane.url, made, "--tag", "app=enrolled")
    assert done.returncode == 0, done.stderr
    assert "agent run --config" in done.stdout
    assert stat.S_IMODE(machine.config.stat().st_mode) == 0o600
    assert [path.name for path in machine.folder.iterdir()] == ["enroll-1.yml"]
    shown = shared_plane.aws("deploy", "get-on-premises-instance", "--instance-name", "enroll-1")["instanceInfo"]
    assert shown["tags"] == [{"Key": "app", "Value": "enrolled"}]
    machine.start()
    deploys(shared_plane, machine, "enrolled")
    assert (
        "1 of 1 used (enroll-1)  names enroll-*  app=enrolled" in shared_plane.run("longshore", "tokens", "list").stdout
    )
    again = machine.enroll(shared_plane.url, made, "--tag", "app=enrolled", "--output", "json")
    assert again.returncode == 0
    assert json.loads(again.stdout) | {"Command": ""} == {
        "InstanceName": "enroll-1",
        "IamUserArn": shown["iamUserArn"],
        "Config": str(machine.config),
        "Service": "none",
        "Command": "",
    }


def test_a_server_whose_certificate_nobody_vouches_for_is_known_by_it(
    tls_plane: ControlPlane, machine_of: Callable[[str], Machine], tmp_path: Path
) -> None:
    """Bundles too: they come from the same server."""
    made = token(tls_plane, tags={"app": "pinned"})
    machine = machine_of("pinned-1")
    done = machine.enroll(tls_plane.url, made, "--tag", "app=pinned")
    assert done.returncode == 0, done.stderr
    assert "the certificate it has now" in done.stdout
    machine.start()
    deploys(tls_plane, machine, "pinned")
    # Another certificate for the same name at the same address: somebody else, as far as anybody can tell.
    another = self_signed(tmp_path / "another")
    machine.stop()
    tls_plane.stop()
    tls_plane.start(*("--tls-cert", str(another[0]), "--tls-key", str(another[1])))
    machine.start()
    wait_until("the agent says why it is away", lambda: "this host knows it by" in machine.log)
    late = machine_of("pinned-2").enroll(tls_plane.url, made)
    assert late.returncode == 1
    assert "this host knows it by" in late.stderr


def test_a_certificate_that_is_not_the_tokens_is_refused_before_anything_is_sent(
    tls_plane: ControlPlane, machine_of: Callable[[str], Machine]
) -> None:
    made = token(tls_plane)
    machine = machine_of("wrong-certificate")
    done = machine.enroll(tls_plane.url, made[:-64] + "0" * 64)
    assert done.returncode == 1
    assert "0000, and" in done.stderr or f"knows it by {'0' * 64}" in done.stderr
    assert "Nothing was changed" in done.stderr
    assert used_by(tls_plane, made) == []
    # Without a fingerprint it is for the host's authorities, and they do not know it.
    unknown = machine.enroll(tls_plane.url, made[:-64])
    assert unknown.returncode == 1
    assert "CERTIFICATE_VERIFY_FAILED" in unknown.stderr


def test_another_server_that_answers_in_its_place_is_noticed(
    shared_plane: ControlPlane, own_plane: ControlPlane, machine_of: Callable[[str], Machine]
) -> None:
    """The token says by what to know the server, and another one's answer is not believed."""
    machine = machine_of("fooled")
    theirs = token(own_plane).split(".")
    ours = token(shared_plane).split(".")
    done = machine.enroll(own_plane.url, ".".join([*theirs[:4], ours[4], theirs[5]]))
    assert done.returncode == 1
    assert "is not the one that made the token" in done.stderr
    assert not machine.config.exists()


def test_what_a_token_is_not_good_for_is_said(shared_plane: ControlPlane, machine_of: Callable[[str], Machine]) -> None:
    made = token(shared_plane, namePattern="web-*", tags={"role": "web"})
    revoked = token(shared_plane)
    shared_plane.run("longshore", "tokens", "revoke", revoked.split(".")[1])
    shared_plane.run("longshore", "keys", "create", "--user", "web-operator")
    damaged = made.replace(made.split(".")[2], "x" * 43)
    cases = [
        ("db-1", made, (), "for hosts named web-*, and db-1 is not"),
        ("web-e1", made, ("--tag", "role=db"), "not good for the tag role=db; the tags it allows: role=web"),
        ("web-e1", damaged, (), "the token's secret is wrong"),
        ("web-e1", made.replace(".LSET", ".LSEA"), (), "does not know this token"),
        ("web-e1", revoked, (), "The token was revoked at"),
        ("web-operator", made, (), "There is a user web-operator that is not an enrolled host's"),
        ("web-e1", "lsenroll1.what", (), "this is no enrollment token"),
        ("web-e1", made, ("--tag", "role"), "--tag takes KEY=VALUE"),
    ]
    for name, said, words, reason in cases:
        machine = machine_of(name)
        done = machine.enroll(shared_plane.url, said, *words)
        assert done.returncode in (1, 2), (name, words)
        assert reason in done.stderr
        assert not list(machine.folder.iterdir()), "a refusal leaves nothing behind"
    assert used_by(shared_plane, made) == []
    assert machine_of("web-e1").enroll(shared_plane.url, made).returncode == 0


def test_a_token_ends(shared_plane: ControlPlane, machine_of: Callable[[str], Machine]) -> None:
    made = token(shared_plane)
    with contextlib.closing(sqlite3.connect(shared_plane.data_dir / "longshore.db")) as database, database:
        database.execute("UPDATE enrollment_tokens SET expire_time = 1e9 WHERE id = ?", (made.split(".")[1],))
    done = machine_of("late").enroll(shared_plane.url, made)
    assert done.returncode == 1
    assert "The token expired at 2001-09-09 01:46:40 UTC" in done.stderr


def test_a_name_that_is_taken_is_free_once_it_is_deregistered(
    shared_plane: ControlPlane, machine_of: Callable[[str], Machine]
) -> None:
    """A host that was installed anew takes its own place, by a new key."""
    made = token(shared_plane, uses=2)
    first = machine_of("reinstalled")
    assert first.enroll(shared_plane.url, made).returncode == 0
    before = yaml.safe_load(first.config.read_text())
    first.config.unlink()
    taken = first.enroll(shared_plane.url, made)
    assert taken.returncode == 1
    assert "aws deploy deregister-on-premises-instance --instance-name reinstalled" in taken.stderr
    shared_plane.aws("deploy", "deregister-on-premises-instance", "--instance-name", "reinstalled")
    assert first.enroll(shared_plane.url, made).returncode == 0
    after = yaml.safe_load(first.config.read_text())
    assert after["iam_user_arn"] == before["iam_user_arn"]
    old = shared_plane.client("sts", keys=(before["aws_access_key_id"], before["aws_secret_access_key"]))
    with pytest.raises(ClientError, match="InvalidClientTokenId"):
        old.get_caller_identity()


def test_of_two_hosts_with_one_token_one_wins_and_the_other_hears_why(
    shared_plane: ControlPlane, machine_of: Callable[[str], Machine]
) -> None:
    made = token(shared_plane)
    machines = [machine_of(f"racer-{number}") for number in range(4)]
    running = [
        subprocess.Popen(
            machine.command(shared_plane.url, made), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for machine in machines
    ]
    ends = [(*process.communicate(timeout=60), process.returncode) for process in running]
    (winner,) = [machine for machine, end in zip(machines, ends, strict=True) if end[2] == 0]
    for _, said, code in ends:
        assert code == 0 or f"has been used by {winner.name}" in said
    assert [machine for machine in machines if machine.config.exists()] == [winner]
    names = shared_plane.client("codedeploy").list_on_premises_instances()["instanceNames"]
    assert [name for name in names if name.startswith("racer")] == [winner.name]


def test_a_server_that_is_away_costs_nothing(own_plane: ControlPlane, machine_of: Callable[[str], Machine]) -> None:
    made = token(own_plane)
    machine = machine_of("patient")
    own_plane.stop()
    done = machine.enroll(own_plane.url, made)
    assert done.returncode == 1
    assert "cannot reach" in done.stderr
    assert "run this command again" in done.stderr
    own_plane.start()
    assert machine.enroll(own_plane.url, made).returncode == 0


def test_an_enrollment_whose_answer_got_lost_is_completed_by_running_it_again(
    shared_plane: ControlPlane, machine_of: Callable[[str], Machine]
) -> None:
    """The token is used up, and good for this one host yet; nobody else can complete it, and no key is left over."""
    made = token(shared_plane)
    machine = machine_of("unlucky")
    with _Swallowing(shared_plane.port) as url:
        done = machine.enroll(url, made)
    assert done.returncode == 1
    assert used_by(shared_plane, made) == ["unlucky"]
    other = machine_of("another")
    other.name = "unlucky"
    refused = other.enroll(shared_plane.url, made)
    assert refused.returncode == 1
    assert "has been used by unlucky" in refused.stderr
    assert machine.enroll(shared_plane.url, made).returncode == 0
    held = shared_plane.client("longshore").list_access_keys(userName="unlucky")["accessKeys"]
    assert [key["accessKeyId"] for key in held] == [yaml.safe_load(machine.config.read_text())["aws_access_key_id"]]


class _Swallowing:
    """Stands before a server, lets a request through and keeps the answer to itself."""

    def __init__(self, port: int) -> None:
        self._port = port

    def __enter__(self) -> str:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        return f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def _serve(self) -> None:
        client, _ = self._listening.accept()
        with client, socket.create_connection(("127.0.0.1", self._port)) as server:
            server.sendall(client.recv(65536))
            server.recv(65536)

    def __exit__(self, *_: object) -> None:
        self._thread.join(timeout=30)
        self._listening.close()


def test_a_place_that_cannot_be_written_is_noticed_before_the_token_is_used(
    shared_plane: ControlPlane, machine_of: Callable[[str], Machine], tmp_path: Path
) -> None:
    if reason := why_not(tmp_path):
        assert not os.environ.get("CI"), reason
        pytest.skip(reason)
    made = token(shared_plane)
    machine = machine_of("full")
    (tmp_path / "file").write_text("")
    machine.config = tmp_path / "file" / "agent.yml"
    nowhere = machine.enroll(shared_plane.url, made)
    assert nowhere.returncode == 1
    assert "the token is not used" in nowhere.stderr

    full = tmp_path / "full"
    full.mkdir()
    machine.config = full / "agent.yml"
    script = f'mount -t tmpfs -o size=8k small {full}; head -c 4k /dev/zero >{full}/filler; exec "$@"'
    within = ["unshare", "--mount", "sh", "-euc", script, "sh", *machine.command(shared_plane.url, made)]
    done = subprocess.run(within, text=True, capture_output=True, timeout=60, check=False, env=environ())
    assert done.returncode == 1
    assert "No space left on device. Nothing was sent, and the token is not used" in done.stderr
    assert used_by(shared_plane, made) == []


def test_a_key_is_not_sent_in_the_clear(shared_plane: ControlPlane, machine_of: Callable[[str], Machine]) -> None:
    for url in ("http://192.0.2.1:8420", "http://localhost.example.com", "http://127.0.0.1.example.com"):
        done = machine_of("careful").enroll(url, token(shared_plane))
        assert done.returncode == 2
        assert "is not encrypted" in done.stderr


def test_a_configuration_of_another_host_is_left_alone(
    shared_plane: ControlPlane, machine_of: Callable[[str], Machine]
) -> None:
    machine = machine_of("settled")
    machine.config.write_text("iam_user_arn: arn:aws:iam::123456789012:user/web-1\n")
    made = token(shared_plane)
    done = machine.enroll(shared_plane.url, made)
    assert done.returncode == 1
    assert "says that this host is arn:aws:iam::123456789012:user/web-1 of AWS" in done.stderr
    assert "move that file away" in done.stderr
    assert used_by(shared_plane, made) == []


def test_settings_that_are_there_already_are_kept(
    shared_plane: ControlPlane, machine_of: Callable[[str], Machine]
) -> None:
    machine = machine_of("prepared")
    machine.config.write_text(
        "# by the image\nmax_revisions: 2\nno_proxy: 127.0.0.1\nproxy_uri: http://proxy.invalid:1"
    )
    assert machine.enroll(shared_plane.url, token(shared_plane)).returncode == 0
    text = machine.config.read_text()
    assert text.startswith("# by the image\n")
    assert yaml.safe_load(text)["max_revisions"] == 2
    assert yaml.safe_load(text)["deploy_control_endpoint"] == shared_plane.url


def test_a_token_opens_nothing_else(shared_plane: ControlPlane) -> None:
    _, token_id, secret, *_ = token(shared_plane).split(".")
    keys = (token_id, hashlib.sha256(secret.encode()).hexdigest())
    calls: list[tuple[str, str, dict[str, Any]]] = [
        ("sts", "get_caller_identity", {}),
        ("sts", "get_session_token", {}),
        ("codedeploy", "list_applications", {}),
        ("iam", "list_users", {}),
        ("s3", "list_buckets", {}),
        ("longshore", "list_enrollment_tokens", {}),
        ("codedeploy-commands", "poll_host_command", {"HostIdentifier": "x"}),
    ]
    for service, operation, members in calls:
        with pytest.raises(ClientError, match="AccessDenied"):
            getattr(shared_plane.client(service, keys=keys), operation)(**members)
    with pytest.raises(ClientError, match="signed with an enrollment token"):
        shared_plane.client("longshore").enroll_host(instanceName="x", clientToken="x" * 20)


def test_a_token_is_told_once_and_kept_nowhere(
    shared_plane: ControlPlane, machine_of: Callable[[str], Machine]
) -> None:
    """Neither in the database, nor in the server's log, nor in the audit."""
    made = token(shared_plane)
    secret = made.split(".")[2]
    assert machine_of("quiet").enroll(shared_plane.url, made).returncode == 0
    audited = shared_plane.run("longshore", "audit").stdout
    assert "EnrollHost" in audited
    assert secret not in audited + repr(used_by(shared_plane, made)) + shared_plane.log.read_text()
    for file in shared_plane.data_dir.glob("longshore.db*"):
        assert secret.encode() not in file.read_bytes()


def test_who_tries_tokens_is_slowed_down(own_plane: ControlPlane) -> None:
    def tried(client: Any) -> str:
        with pytest.raises(ClientError) as refused:
            client.enroll_host(instanceName="x", clientToken="x" * 20)
        return str(refused.value.response["Error"]["Code"])

    # Made before, since that takes longer than what is done with them, and in a while one more try is free.
    ids = (f"LSET{number:016}".replace("0", "A").replace("1", "B") for number in (0, 1))
    clients = [own_plane.client("longshore", keys=(each, "x" * 64)) for each in ids]
    codes = [tried(clients[number % 2]) for number in range(10)]
    assert codes == ["UnrecognizedClientException"] * 10
    wait_until("it is slowed down", lambda: "ThrottlingException" in {tried(client) for client in clients})
    own_plane.client("codedeploy").list_applications()  # who has a key does not suffer


SYSTEMCTL = """#!/bin/sh
echo "$@" >>/opt/systemctl
test "$1" != restart || setsid sh -c "exec $(sed -n 's/^ExecStart=//p' /etc/systemd/system/$2)" >/opt/agent.out 2>&1 &
"""


def test_it_becomes_a_service(shared_plane: ControlPlane, tmp_path: Path) -> None:
    """A systemctl of ours stands where systemd would be: it writes down its words, and starts what it is told to."""
    if reason := why_not(tmp_path) or missing_tool("systemd-analyze"):
        assert not os.environ.get("CI"), reason
        pytest.skip(reason)
    view = HostView(directory=tmp_path / "view", name="served")
    view.written("/run/systemd/system").mkdir(parents=True)
    systemctl = view.written("/usr/local/sbin/systemctl")
    systemctl.parent.mkdir(parents=True)
    systemctl.write_text(SYSTEMCTL)
    systemctl.chmod(0o755)
    view.start()
    try:
        made = token(shared_plane)
        words = ("agent", "enroll", "--server", shared_plane.url, "--token", "-", "--tag", "app=served")

        def enroll(*more: str) -> str:
            command = view.command([str(BIN / "longshore"), *words, *more])
            done = subprocess.run(
                command, text=True, input=made, capture_output=True, timeout=60, check=False, env=environ()
            )
            assert done.returncode == 0, done.stderr
            return done.stdout

        assert "systemctl enable --now longshore-agent.service" in enroll("--no-start")
        assert not view.written("/opt/systemctl").exists()
        assert "The agent runs" in enroll()
        assert view.written("/opt/systemctl").read_text().splitlines() == [
            "daemon-reload",
            "enable longshore-agent.service",
            "restart longshore-agent.service",
        ]
        unit = view.written("/etc/systemd/system/longshore-agent.service")
        checked = subprocess.run(
            ["systemd-analyze", "verify", unit], capture_output=True, text=True, timeout=60, check=False
        )
        # What it only warns of, an unknown setting say, is an exit with 0.
        assert (checked.returncode, unit.name in checked.stderr) == (0, False), checked.stderr
        # The machine's host name, since none was given.
        _, ended = Shop(shared_plane, "served").run(Revision(hooks={"AfterInstall": "echo served >/opt/served"}))
        assert ended["status"] == "Succeeded", view.written("/opt/agent.out").read_text()
        assert view.written("/opt/served").read_text() == "served\n"
    finally:
        view.remove()
    assert not [one for one in psutil.process_iter(["cmdline"]) if str(tmp_path) in " ".join(one.info["cmdline"] or [])]
