"""Starting and stopping the control plane, and keys, from the command line."""

from __future__ import annotations

import json
import socket
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from tests import ports
from tests.acceptance.world import BIN, ControlPlane, Host, Revision, Shop


def longshore(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([BIN / "longshore", *words], text=True, capture_output=True, timeout=60, check=False)


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0", "192.0.2.7:8420"])
def test_the_server_does_not_listen_beyond_loopback_by_accident(tmp_path: Path, listen: str) -> None:
    done = longshore("server", "--data-dir", tmp_path / "data", "--listen", listen)
    assert done.returncode == 2
    assert "--tls-cert" in done.stderr
    assert "--insecure" in done.stderr
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--listen", "8420"], "HOST:PORT"),
        (["--listen", "127.0.0.1:65536"], "up to 65535"),
        (["--region", "Mars 1"], "as in us-east-1"),
        (["--url", "deploy.example.com"], "https://deploy.example.com"),
        (["--account-id", "12"], "twelve digits"),
        (["--tls-cert", __file__], "--tls-key"),
        (["--limit", "patience=5"], "NAME=NUMBER"),
        (["--limit", "page=0"], "whole number"),
    ],
)
def test_settings_that_cannot_work_are_refused_with_the_way_out(tmp_path: Path, words: list[str], said: str) -> None:
    done = longshore("server", "--data-dir", tmp_path / "data", *words)
    assert done.returncode == 2
    assert said in done.stderr


def test_a_taken_port_is_said(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = longshore("server", "--data-dir", tmp_path / "data", "--listen", f"127.0.0.1:{taken.getsockname()[1]}")
    assert done.returncode == 1
    assert "127.0.0.1:0 takes a free port" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "data").exists()


def test_an_address_of_another_machine_is_said(tmp_path: Path) -> None:
    done = longshore("server", "--data-dir", tmp_path / "data", "--listen", "192.0.2.7:8420", "--insecure")
    assert done.returncode == 1
    assert "cannot listen on 192.0.2.7:8420" in done.stderr
    assert "an address of this machine" in done.stderr
    assert "another server" not in done.stderr


def test_a_data_directory_that_is_none_is_said(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    done = longshore("server", "--data-dir", tmp_path / "data", "--listen", "127.0.0.1:0")
    assert done.returncode == 1
    assert f"cannot keep data in {tmp_path}/data: File exists" in done.stderr
    assert "listen" not in done.stderr
    assert "Traceback" not in done.stderr


def test_a_second_server_on_the_same_data_is_refused(own_plane: ControlPlane) -> None:
    done = longshore("server", "--data-dir", own_plane.data_dir, "--listen", "127.0.0.1:0")
    assert done.returncode == 1
    assert "another server uses" in done.stderr
    assert "Traceback" not in done.stderr
    own_plane.client("codedeploy").list_applications()


def test_keys_and_database_are_for_their_owner_only(own_plane: ControlPlane) -> None:
    assert stat.S_IMODE((own_plane.data_dir / "credentials").stat().st_mode) == 0o600
    for file in own_plane.data_dir.glob("longshore.db*"):
        assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0, file


def test_the_owner_keeps_its_key_over_a_restart(own_plane: ControlPlane) -> None:
    before = own_plane.owner
    own_plane.stop()
    (own_plane.data_dir / "credentials").unlink()
    own_plane.start()
    assert own_plane.owner == before


def test_a_hosts_key_is_made_listed_and_taken_away(shared_plane: ControlPlane) -> None:
    """A key that was deleted works no more, from the very next request."""
    made = json.loads(shared_plane.run("longshore", "keys", "create", "--user", "web-k", "--output", "json").stdout)
    key = made["AccessKey"]
    assert set(key) == {"UserName", "UserArn", "AccessKeyId", "SecretAccessKey", "CreateTime", "SpecificationSigner"}
    agent = shared_plane.client("codedeploy-commands", keys=(key["AccessKeyId"], key["SecretAccessKey"]))
    update = {"HostCommandIdentifier": "x"}
    with pytest.raises(ClientError, match="ClientException"):
        agent.post_host_command_update(**update)
    listed = shared_plane.run("longshore", "keys", "list", "--user", "web-k", "--output", "json").stdout
    assert key["AccessKeyId"] in listed
    assert key["SecretAccessKey"] not in listed
    shared_plane.run("longshore", "keys", "delete", key["AccessKeyId"])
    with pytest.raises(ClientError, match="UnrecognizedClientException"):
        agent.post_host_command_update(**update)
    gone = shared_plane.run("longshore", "keys", "delete", key["AccessKeyId"], check=False)
    assert gone.returncode == 1
    assert key["AccessKeyId"] in gone.stderr
    no_key = shared_plane.run("longshore", "keys", "delete", "AKIA", check=False)
    assert no_key.returncode == 2
    assert "accessKeyId" in no_key.stderr
    assert "Is `longshore server` running" not in no_key.stderr


def test_a_user_holds_two_keys_at_most(shared_plane: ControlPlane) -> None:
    for _ in range(2):
        shared_plane.run("longshore", "keys", "create", "--user", "web-two")
    third = shared_plane.run("longshore", "keys", "create", "--user", "web-two", check=False)
    assert third.returncode == 1
    assert "LimitExceededException" in third.stderr


def test_commands_say_what_to_do_when_no_server_answers(shared_plane: ControlPlane) -> None:
    port = ports.kept()
    done = shared_plane.run("longshore", "keys", "list", "--endpoint-url", f"http://127.0.0.1:{port}", check=False)
    assert done.returncode == 1
    assert "longshore server" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_deployment_over_tls(
    tmp_path: Path, certificate: tuple[Path, Path], hosts_of: Callable[..., list[Host]], shop_of: Callable[..., Shop]
) -> None:
    """A certificate of one's own, made for the public name: clients, agents and the server's own reading of bundles."""
    port = ports.kept()
    tls = ("--tls-cert", str(certificate[0]), "--tls-key", str(certificate[1]), "--url", f"https://localhost:{port}")
    plane = ControlPlane(tmp_path, options=tls, ca=certificate[0])
    plane.port = port
    plane.start()
    try:
        assert plane.url == f"https://localhost:{port}"
        hosts = hosts_of(plane)
        shop = shop_of(plane, hosts)
        _, ended = shop.run(Revision(hooks={"AfterInstall": "echo safe"}))
        assert ended["status"] == "Succeeded"
    finally:
        assert plane.stop() == 0
