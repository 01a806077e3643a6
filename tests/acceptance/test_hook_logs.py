"""`longshore logs`: what hooks say, while they say it and afterwards."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from tests.acceptance.world import BIN, ControlPlane, Host, Revision, Shop, wait_until
from tests.bundle_host import Answer, BundleHost

Hosts = Callable[..., list[Host]]
Shops = Callable[..., Shop]


def test_a_hook_is_heard_while_it_runs(
    tmp_path: Path, shared_plane: ControlPlane, hosts_of: Hosts, shop_of: Shops
) -> None:
    hosts = hosts_of(shared_plane, 2)
    gate, over, shown = tmp_path / "gate", tmp_path / "over", tmp_path / "shown"
    waits = "until [ -e {} ]; do sleep 0.05; done"
    says = f"echo the first word; echo oh >&2; {waits.format(gate)}; echo the last word; {waits.format(over)}"
    deployment_id = shop_of(shared_plane, hosts).start(Revision(hooks={"ApplicationStart": says}))
    environ = os.environ | shared_plane.environ
    with shown.open("w") as out:
        following = subprocess.Popen([BIN / "longshore", "logs", deployment_id, "--follow"], stdout=out, env=environ)
    try:
        wait_until("both hosts are heard", lambda: shown.read_text().count("the first word") == 2)
        assert "the last word" not in shown.read_text()
        gate.touch()
        wait_until("both hosts are heard again", lambda: shown.read_text().count("the last word") == 2)
        over.touch()
        assert following.wait(60) == 0
    finally:
        following.kill()
    lines = shown.read_text().splitlines()
    for host in hosts:
        # The first lines may come before the longest name is known.
        said = [line.partition(" | ")[2] for line in lines if line.partition(" | ")[0].rstrip() == host.name]
        assert said[:2] == ["LifecycleEvent - ApplicationStart", "Script - scripts/ApplicationStart.sh"]
        # What comes by two pipes at once has no order.
        assert set(said[2:4]) == {"[stdout]the first word", "[stderr]oh"}
        assert said[4:] == ["[stdout]the last word"]
    assert len(lines) == 10, "no line is told twice"


def test_a_download_that_is_tried_again_is_heard_too(
    shared_plane: ControlPlane, hosts_of: Hosts, shop_of: Shops
) -> None:
    flaky = BundleHost(lambda _: Answer(503) if len(flaky.asked) < 4 else Answer(200, {}, content))
    try:
        hosts = hosts_of(shared_plane, 1, s3_own_credentials=True, s3_endpoint_override=flaky.url)
        shop = shop_of(shared_plane, hosts)
        revision = shop.push(Revision())
        place = revision["s3Location"]
        content = shared_plane.client("s3").get_object(Bucket=place["bucket"], Key=place["key"])["Body"].read()
        _, ended = shop.run(revision)
        assert ended["status"] == "Succeeded"
    finally:
        flaky.stop()
    said = shared_plane.run("longshore", "logs", ended["deploymentId"], "--event", "DownloadBundle").stdout
    assert "| Download - s3://" in said
    assert "503" in said


def test_afterwards_all_of_it_is_there_for_people_and_scripts(
    tmp_path: Path, shared_plane: ControlPlane, hosts_of: Hosts, shop_of: Shops
) -> None:
    hosts = hosts_of(shared_plane, 1)
    shop = shop_of(shared_plane, hosts)
    # More than the tail that is reported with an event holds, and what would move a cursor.
    gate = tmp_path / "gate"
    long = f"seq 1 3000; until [ -e {gate} ]; do sleep 0.05; done"
    hooks = {"BeforeInstall": long, "ApplicationStart": "printf 'a\\033[2Jb\\n'; exit 7"}
    deployment_id = shop.start(Revision(hooks=hooks))
    # Its end waits a moment only for what is still to be told.
    told = ("longshore", "logs", deployment_id)
    wait_until("it is told", lambda: "[stdout]3000" in shared_plane.run(*told, check=False).stdout)
    gate.touch()
    shop.ended(deployment_id)
    ended = shared_plane.run("longshore", "logs", deployment_id, check=False)
    assert ended.returncode == 1, "the deployment failed"
    lines = ended.stdout.splitlines()
    assert [line.partition(" | ")[2] for line in lines[2:3002]] == [f"[stdout]{number}" for number in range(1, 3001)]
    assert lines[-1].endswith("| [stdout]ab")

    words = ("longshore", "logs", deployment_id, "--event", "ApplicationStart", "--host", hosts[0].name)
    said = [json.loads(line) for line in shared_plane.run(*words, "--output", "json", check=False).stdout.splitlines()]
    assert [one["line"] for one in said] == [
        "LifecycleEvent - ApplicationStart",
        "Script - scripts/ApplicationStart.sh",
        "[stdout]ab",
    ]
    assert {(one["targetId"], one["lifecycleEventName"]) for one in said} == {(hosts[0].name, "ApplicationStart")}


def test_what_does_not_exist_is_exit_code_2(shared_plane: ControlPlane, hosts_of: Hosts, shop_of: Shops) -> None:
    assert shared_plane.run("longshore", "logs", "d-AAAAAAAAA", check=False).returncode == 2
    shop = shop_of(shared_plane, hosts_of(shared_plane, 1))
    deployment_id = shop.start(Revision())
    shop.ended(deployment_id)
    ended = shared_plane.run("longshore", "logs", deployment_id, "--host", "nowhere", check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "Not targets" in ended.stderr
    assert shared_plane.run("longshore", "logs", deployment_id).stdout == "", "no hook ran, and all is well"


def test_who_may_look_at_targets_may_read_their_logs(
    shared_plane: ControlPlane, hosts_of: Hosts, shop_of: Shops
) -> None:
    shop = shop_of(shared_plane, hosts_of(shared_plane, 1))
    deployment_id = shop.start(Revision(hooks={"ValidateService": "echo well"}))
    shop.ended(deployment_id)
    iam = shared_plane.client("iam")
    iam.create_user(UserName="reader")
    made = iam.create_access_key(UserName="reader")["AccessKey"]
    reader = shared_plane.client("longshore", keys=(made["AccessKeyId"], made["SecretAccessKey"]))
    with pytest.raises(ClientError, match="AccessDeniedException"):
        reader.get_hook_log(deploymentId=deployment_id)
    iam.attach_user_policy(UserName="reader", PolicyArn="AWSCodeDeployReadOnlyAccess")
    entries = reader.get_hook_log(deploymentId=deployment_id)["entries"]
    assert "[stdout]well\n" in "".join(entry["text"] for entry in entries)


def test_looking_can_be_ended_without_the_deployment(
    tmp_path: Path, shared_plane: ControlPlane, hosts_of: Hosts, shop_of: Shops
) -> None:
    gate, shown = tmp_path / "gate", tmp_path / "shown"
    shop = shop_of(shared_plane, hosts_of(shared_plane, 1))
    waits = f"echo here; until [ -e {gate} ]; do sleep 0.05; done"
    deployment_id = shop.start(Revision(hooks={"ValidateService": waits}))
    environ = os.environ | shared_plane.environ
    with shown.open("w") as out:
        following = subprocess.Popen(
            [BIN / "longshore", "logs", deployment_id, "-f"],
            stdout=out,
            env=environ,
            # Whoever runs the tests in the background has it ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
    wait_until("the hook is heard", lambda: "here" in shown.read_text())
    following.send_signal(signal.SIGINT)
    assert following.wait(30) == 130
    gate.touch()
    assert shop.ended(deployment_id)["status"] == "Succeeded"


def test_in_a_terminal_each_host_has_a_colour(
    tmp_path: Path, shared_plane: ControlPlane, hosts_of: Hosts, shop_of: Shops
) -> None:
    hosts = hosts_of(shared_plane, 2)
    shop = shop_of(shared_plane, hosts)
    deployment_id = shop.start(Revision(hooks={"ValidateService": "echo well; echo oh >&2"}))
    shop.ended(deployment_id)
    ours, theirs = pty.openpty()
    environ = os.environ | shared_plane.environ | {"TERM": "xterm-256color", "COLUMNS": "40"}
    environ.pop("NO_COLOR", None)
    showing = subprocess.Popen([BIN / "longshore", "logs", deployment_id], stdout=theirs, env=environ)
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # how the other end's closing is told
        while chunk := os.read(ours, 65536):
            shown += chunk
    os.close(ours)
    assert showing.wait(30) == 0
    lines = shown.decode().splitlines()
    colours = {line.partition("m")[0] for line in lines if "[stdout]well" in line}
    assert len(colours) == 2
    assert sum("\x1b[31m[stderr]oh" in line for line in lines) == 2
