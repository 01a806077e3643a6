"""`longshore watch` as a script uses it: in a pipe, with its exit code."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.acceptance.world import BIN, ControlPlane, Host, Revision, Shop

Hosts = Callable[..., list[Host]]
Shops = Callable[..., Shop]


def test_success_is_lines_and_exit_code_0(shared_plane: ControlPlane, hosts_of: Hosts, shop_of: Shops) -> None:
    shop = shop_of(shared_plane, hosts_of(shared_plane, 2))
    deployment_id = shop.start(Revision(hooks={"ValidateService": "echo well"}))
    ended = shared_plane.run("longshore", "watch", deployment_id)
    lines = [line.split(" ", 1)[1] for line in ended.stdout.splitlines()]
    assert lines[-1] == f"deployment {deployment_id}: Succeeded"
    assert "targets: 2 of 2 succeeded" in lines
    assert len(lines) == len(set(lines)), "no line is told twice"


def test_failure_shows_the_script_and_its_log_with_exit_code_1(
    shared_plane: ControlPlane, hosts_of: Hosts, shop_of: Shops
) -> None:
    hosts = hosts_of(shared_plane, 1)
    shop = shop_of(shared_plane, hosts)
    deployment_id = shop.start(Revision(hooks={"ApplicationStart": "echo the cellar is flooded >&2; exit 7"}))
    ended = shared_plane.run("longshore", "watch", deployment_id, check=False)
    assert ended.returncode == 1
    assert "ApplicationStart in scripts/ApplicationStart.sh: ScriptFailed" in ended.stdout
    assert "| [stderr]the cellar is flooded" in ended.stdout
    assert "HEALTH_CONSTRAINTS" in ended.stdout

    ended = shared_plane.run("longshore", "watch", deployment_id, "--output", "json", check=False)
    assert ended.returncode == 1
    said = json.loads(ended.stdout)
    (failed,) = said["failedTargets"]
    assert (said["status"], failed["targetId"], failed["scriptName"]) == (
        "Failed",
        hosts[0].name,
        "scripts/ApplicationStart.sh",
    )


def test_a_terminal_gets_a_table(tmp_path: Path, shared_plane: ControlPlane, hosts_of: Hosts, shop_of: Shops) -> None:
    seen = tmp_path / "seen"
    hosts = hosts_of(shared_plane, 1)
    waits = f"echo here I am; until [ -e {seen} ]; do sleep 0.05; done"
    deployment_id = shop_of(shared_plane, hosts).start(Revision(hooks={"ValidateService": waits}))
    ours, theirs = pty.openpty()
    environ = os.environ | shared_plane.environ | {"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"}
    watching = subprocess.Popen([BIN / "longshore", "watch", deployment_id], stdout=theirs, env=environ)
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 65536):
            shown += chunk
            if "▶".encode() in shown and b"here I am" in shown:
                seen.touch()
    except OSError:
        pass  # how the other end's closing is told
    finally:
        os.close(ours)
    assert watching.wait(60) == 0
    text = shown.decode()
    assert "1 of 1 succeeded" in text
    assert hosts[0].name in text


def test_a_terminal_whose_server_goes_away_is_told_so_above_the_table(
    tmp_path: Path, own_plane: ControlPlane, hosts_of: Hosts, shop_of: Shops
) -> None:
    go_on = tmp_path / "go-on"
    waits = f"echo here I am; until [ -e {go_on} ]; do sleep 0.05; done"
    deployment_id = shop_of(own_plane, hosts_of(own_plane, 1)).start(Revision(hooks={"ValidateService": waits}))
    ours, theirs = pty.openpty()
    environ = os.environ | own_plane.environ | {"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"}
    watching = subprocess.Popen([BIN / "longshore", "watch", deployment_id], stdout=theirs, stderr=theirs, env=environ)
    os.close(theirs)
    shown = b""
    is_away = False
    try:
        while chunk := os.read(ours, 65536):
            shown += chunk
            if b"here I am" in shown and not is_away:
                is_away = True
                own_plane.kill()
            if b"Trying again" in shown and not go_on.exists():
                own_plane.start()
                go_on.touch()
    except OSError:
        pass  # how the other end's closing is told
    finally:
        os.close(ours)
    assert watching.wait(60) == 0
    lines = re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode()))
    assert any(line.startswith("longshore watch: Could not connect") for line in lines)
    assert lines[-2].endswith("1 of 1 succeeded")


def test_what_is_no_deployment_is_exit_code_2(shared_plane: ControlPlane) -> None:
    ended = shared_plane.run("longshore", "watch", "d-AAAAAAAAA", check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("longshore watch: There is no deployment d-AAAAAAAAA")
    assert shared_plane.run("longshore", "watch", "shop", check=False).returncode == 2
    assert shared_plane.run("longshore", "watch", check=False).returncode == 2


def test_a_server_that_is_not_there_is_told_at_once(shared_plane: ControlPlane) -> None:
    ended = shared_plane.run("longshore", "watch", "d-AAAAAAAAA", "--endpoint-url", "http://127.0.0.1:1", check=False)
    assert ended.returncode == 1
    assert "Is `longshore server` running" in ended.stderr
