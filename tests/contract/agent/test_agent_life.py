"""The agent's life: crashes, restarts, stops, a control plane that is away (agent.md 8, 12.13–12.18)."""

from __future__ import annotations

import base64
import json
import os
import pwd
import signal
import subprocess
import sys
import time
from email.utils import formatdate
from pathlib import Path

import pytest
import yaml
from scripted_control_plane import HOST, Agent, ControlPlane, bundle_of, running, wait_for

from longshore.agent import backoff
from longshore.agent.config import load
from longshore.agent.errors import WireError
from longshore.agent.main import become
from longshore.agent.wire import retry_after

SLEEPS = "#!/bin/sh\necho $$ > {}\nexec sleep 300\n"


def with_hook(plane: ControlPlane, script: str, **timeouts: int) -> None:
    """A deployment whose BeforeInstall runs the script."""
    hook = {"location": "hook.sh"} | timeouts
    spec = json.dumps({"version": 0, "os": "linux", "hooks": {"BeforeInstall": [hook]}})
    plane.deployment({"appspec.yml": spec, "hook.sh": script})


def hook_in_progress(plane: ControlPlane, directory: Path) -> tuple[str, int]:
    """A running hook that only ends when it is killed: its command and its pid."""
    pid_file = directory / "hook-pid"
    with_hook(plane, SLEEPS.format(pid_file))
    plane.run("DownloadBundle")
    identifier = plane.offer("BeforeInstall")
    wait_for(lambda: pid_file.exists() and pid_file.read_text().strip(), "the hook to run")
    pid = int(pid_file.read_text())
    wait_for(lambda: _journal(directory).get("script"), "the journal to name the hook")
    return identifier, pid


def _journal(directory: Path) -> dict[str, object]:
    path = directory / "root/longshore-journal/d-ONE.json"
    return json.loads(path.read_text().splitlines()[-1]) if path.exists() else {}


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_a_worker_killed_in_a_hook_fails_the_command_and_polling_goes_on(
    plane: ControlPlane, agent: Agent, tmp_path: Path
) -> None:
    identifier, hook = hook_in_progress(plane, tmp_path)
    [worker] = agent.workers()
    os.kill(worker, signal.SIGKILL)
    done = plane.completion(identifier)
    assert (done.status, done.code) == ("Failed", 7)
    wait_for(lambda: not is_running(hook), "the hook to be ended")
    plane.deployment({}, deployment="d-TWO", group="g-2")
    assert plane.run("ApplicationStop", "d-TWO").status == "Succeeded"
    assert len(plane.of(identifier)) == 1


def test_an_agent_killed_in_a_hook_reports_it_at_its_next_start(plane: ControlPlane, tmp_path: Path) -> None:
    agent = Agent(plane, tmp_path).start()
    try:
        identifier, hook = hook_in_progress(plane, tmp_path)
        [worker] = agent.workers()
        agent.kill()
        assert is_running(hook)
        agent.start()
        done = plane.completion(identifier)
        assert (done.status, done.code) == ("Failed", 7)
        assert "restarted while BeforeInstall ran" in done.message
        wait_for(lambda: not is_running(hook) and not is_running(worker), "hook and worker to be ended")
        wait_for(lambda: not list((agent.root / "ongoing-deployment").iterdir()), "the tracking file to go")
        assert len(plane.of(identifier)) == 1
    finally:
        agent.end()


def test_every_command_a_crash_left_is_reported_but_none_older_than_a_day(plane: ControlPlane, tmp_path: Path) -> None:
    ongoing = tmp_path / "root/ongoing-deployment"
    ongoing.mkdir(parents=True)
    for name in ("d-A", "d-B", "d-OLD"):
        (ongoing / name).write_text(f"identifier of {name}")
    long_ago = time.time() - 25 * 3600
    os.utime(ongoing / "d-OLD", (long_ago, long_ago))
    with running(plane, tmp_path):
        for name in ("d-A", "d-B"):
            assert plane.completion(f"identifier of {name}").code == 7
        wait_for(lambda: not list(ongoing.iterdir()), "the tracking files to go")
    assert {done.identifier for done in plane.completion_attempts} == {"identifier of d-A", "identifier of d-B"}


def test_an_outcome_that_was_not_yet_reported_is_sent_after_a_restart(plane: ControlPlane, tmp_path: Path) -> None:
    agent = Agent(plane, tmp_path).start()
    try:
        with_hook(plane, "#!/bin/sh\necho done it\n")
        plane.run("DownloadBundle")
        plane.scripted["PutHostCommandComplete"].extend([(500, {"__type": "ServerException"})] * 1000)
        identifier = plane.offer("BeforeInstall")
        wait_for(lambda: plane.of(identifier), "a first try to report")
        [worker] = agent.workers()
        agent.kill()
        os.kill(worker, signal.SIGKILL)
        plane.scripted["PutHostCommandComplete"].clear()
        agent.start()
        done = plane.completion(identifier)
        assert (done.status, done.code) == ("Succeeded", 0)
        assert "[stdout]done it" in done.log
    finally:
        agent.end()


def test_a_completion_that_is_refused_once_is_sent_again_unchanged(plane: ControlPlane, agent: Agent) -> None:
    with_hook(plane, "#!/bin/sh\n")
    plane.run("DownloadBundle")
    plane.scripted["PutHostCommandComplete"].append((400, {"__type": "ClientException", "message": "no"}))
    identifier = plane.offer("BeforeInstall")
    plane.completion(identifier)
    assert [(done.status, done.code) for done in plane.of(identifier)] == [("Succeeded", 0)] * 2


def test_a_completion_that_is_refused_for_ever_is_dropped(plane: ControlPlane, agent: Agent) -> None:
    plane.deployment({})
    plane.scripted["PutHostCommandComplete"].extend([(400, {"__type": "ClientException"})] * 4)
    identifier = plane.offer("ApplicationStop")
    wait_for(lambda: "command.report_refused" in agent.log(), "the completion to be dropped")
    assert plane.run("AfterInstall").status == "Failed", "the agent goes on"
    assert len(plane.of(identifier)) == 4


def test_a_command_delivered_again_runs_once(plane: ControlPlane, agent: Agent, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    with_hook(plane, f"#!/bin/sh\necho x >> {ran}\nsleep 0.3\n")
    plane.run("DownloadBundle")
    first = plane.offer("BeforeInstall")
    plane.offer("BeforeInstall", identifier=first)
    plane.offer("BeforeInstall", identifier="another attempt")
    plane.completion(first)
    plane.offer("BeforeInstall", identifier=first)
    wait_for(lambda: agent.log().count("command.duplicate") == 3, "the duplicates to be noticed")
    assert ran.read_text() == "x\n"
    assert len(plane.completion_attempts) == 2


def test_attempts_are_told_apart_by_what_the_identifier_holds(
    plane: ControlPlane, agent: Agent, tmp_path: Path
) -> None:
    def identifier(position: int, attempt: int) -> str:
        parts = {"deploymentId": "d-ONE", "commandPosition": position, "commandAttempt": attempt}
        return base64.b64encode(json.dumps(["HostCommand", parts]).encode()).decode()

    with_hook(plane, f"#!/bin/sh\necho x >> {tmp_path}/ran\n")
    plane.run("DownloadBundle")
    plane.completion(plane.offer("BeforeInstall", identifier=identifier(3, 1)))
    plane.offer("BeforeInstall", identifier=identifier(3, 2))
    wait_for(lambda: "command.duplicate" in agent.log(), "the second attempt to be ignored")
    plane.completion(plane.offer("BeforeInstall", identifier=identifier(7, 1)))
    assert (tmp_path / "ran").read_text() == "x\nx\n"


def test_a_stop_waits_for_the_running_hook_and_reports_it(plane: ControlPlane, agent: Agent, tmp_path: Path) -> None:
    started, gate = tmp_path / "started", tmp_path / "gate"
    with_hook(plane, f"#!/bin/sh\ntouch {started}\nwhile [ ! -e {gate} ]; do sleep 0.02; done\n")
    plane.run("DownloadBundle")
    identifier = plane.offer("BeforeInstall")
    wait_for(started.exists, "the hook to run")
    workers = agent.workers()
    os.kill(agent.pid, signal.SIGTERM)
    wait_for(lambda: "agent.stops" in agent.log(), "the agent to stop polling")
    polls = len(plane.polls)
    gate.touch()
    assert agent.process
    assert agent.process.wait(10) == 0
    assert plane.completion(identifier).status == "Succeeded"
    assert len(plane.polls) == polls
    assert not [pid for pid in workers if is_running(pid)]
    assert not list((tmp_path / "pid").iterdir())


def test_a_stop_does_not_wait_longer_than_configured(plane: ControlPlane, tmp_path: Path) -> None:
    with running(plane, tmp_path, kill_agent_max_wait_time_seconds=0.2) as agent:
        identifier, hook = hook_in_progress(plane, tmp_path)
        assert agent.stop() == 0
        assert not is_running(hook)
        agent.start()
        assert plane.completion(identifier).code == 7


def test_a_second_signal_ends_the_wait(plane: ControlPlane, agent: Agent, tmp_path: Path) -> None:
    identifier, hook = hook_in_progress(plane, tmp_path)
    os.kill(agent.pid, signal.SIGTERM)
    wait_for(lambda: "agent.stops" in agent.log(), "the agent to wait for the hook")
    assert is_running(hook)
    os.kill(agent.pid, signal.SIGTERM)
    assert agent.process
    assert agent.process.wait(15) == 0
    assert "asked twice to stop" in agent.log()
    assert not is_running(hook)
    assert plane.of(identifier) == []
    agent.start()
    assert plane.completion(identifier).code == 7, "the next start reports it"


def test_sixteen_deployments_run_at_once_and_the_next_one_waits(
    plane: ControlPlane, agent: Agent, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    script = f"#!/bin/sh\ntouch {tmp_path}/in-$DEPLOYMENT_ID\nuntil [ -e {gate} ]; do sleep 0.1; done\n"
    hooks = {"BeforeInstall": [{"location": "hook.sh"}]}
    spec = json.dumps({"version": 0, "os": "linux", "hooks": hooks})
    names = [f"d-{number}" for number in range(17)]
    for name in names:
        plane.deployment({"appspec.yml": spec, "hook.sh": script}, deployment=name, group=f"g-{name[2:]}")
        plane.run("DownloadBundle", name)
    identifiers = [plane.offer("BeforeInstall", name) for name in names]
    wait_for(lambda: len(list(tmp_path.glob("in-*"))) == 16, "sixteen hooks to run", 30)
    polls = len(plane.polls)
    assert identifiers[16] not in [identifier for identifier, _ in plane.acknowledgements]
    gate.touch()
    assert {plane.completion(identifier).status for identifier in identifiers} == {"Succeeded"}
    assert len(plane.polls) > polls


def test_keys_that_are_changed_in_the_file_are_used_from_then_on(plane: ControlPlane, agent: Agent) -> None:
    plane.hold = 0.2
    wait_for(lambda: plane.polls, "the first poll")
    text = agent.config.read_text()
    agent.config.write_text("half a fi: [")
    wait_for(lambda: len(plane.polls) > 1, "a poll with the keys it has")
    agent.config.write_text(text.replace("AKIDEXAMPLE", "AKIDROTATED"))
    wait_for(
        lambda: "Credential=AKIDROTATED/" in {n.lower(): v for n, v in plane.requests[-1][1].items()}["authorization"],
        "a poll with the new key",
    )


def test_a_control_plane_that_asks_for_time_is_given_it(plane: ControlPlane, agent: Agent) -> None:
    wait_for(lambda: plane.polls, "the first poll")
    plane.error_headers["retry-after"] = "2"
    plane.scripted["PollHostCommand"].append((429, {"__type": "ThrottlingException", "message": "slow down"}))
    wait_for(lambda: "poll.recovered" in agent.log(), "the polls to succeed again")
    assert plane.polls[-1] - plane.polls[-2] >= 2


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        (formatdate(1_000_007, usegmt=True), 7.0),
        (formatdate(999_990, usegmt=True), 0.0),
        ("soon", None),
    ],
)
def test_time_may_be_asked_for_by_a_moment_of_the_servers_clock(said: str | None, seconds: float | None) -> None:
    assert retry_after(said, now=1_000_000) == seconds


def test_an_idle_agent_stops_at_once_while_its_poll_is_held(plane: ControlPlane, agent: Agent) -> None:
    plane.hold = 30
    wait_for(lambda: plane.polls, "the poll")
    assert agent.stop(seconds=plane.hold / 2) == 0


def test_a_control_plane_that_comes_back_is_found_by_itself(plane: ControlPlane, agent: Agent) -> None:
    wait_for(lambda: plane.polls, "the first poll")
    port = plane.port
    plane.stop()
    wait_for(lambda: agent.log().count("poll.failed") >= 2, "failed polls")
    plane.start(port)
    plane.deployment({})
    assert plane.run("ApplicationStop").status == "Succeeded"


def test_a_hook_that_ends_while_the_control_plane_is_away_is_reported_later(
    plane: ControlPlane, agent: Agent, tmp_path: Path
) -> None:
    started, gate = tmp_path / "started", tmp_path / "gate"
    with_hook(plane, f"#!/bin/sh\ntouch {started}\nwhile [ ! -e {gate} ]; do sleep 0.02; done\n")
    plane.run("DownloadBundle")
    identifier = plane.offer("BeforeInstall")
    wait_for(started.exists, "the hook to run")
    port = plane.port
    plane.stop()
    gate.touch()
    wait_for(lambda: "command.report_failed" in agent.log(), "a failed report")
    plane.start(port)
    assert plane.completion(identifier).status == "Succeeded"


def test_refused_polls_are_repeated_ever_more_slowly_until_one_succeeds(plane: ControlPlane, agent: Agent) -> None:
    wait_for(lambda: plane.polls, "the first poll")
    plane.scripted["PollHostCommand"].extend([(500, {"__type": "ServerException"})] * 3)
    wait_for(lambda: "poll.recovered after 3 failures" in agent.log(), "the polls to succeed again")
    gaps = [later - earlier for earlier, later in zip(plane.polls, plane.polls[1:], strict=False)]
    failed = gaps[-3:]
    assert 1 < sum(failed) < 20, failed


def test_a_wrong_clock_is_corrected_from_the_servers(plane: ControlPlane, tmp_path: Path) -> None:
    plane.check_clock, plane.clock_ahead = True, 7200.0
    plane.deployment({})
    with running(plane, tmp_path) as agent:
        assert plane.run("ApplicationStop").status == "Succeeded"
        assert "poll.clock_corrected" in agent.log()


def test_a_server_that_does_not_hold_polls_is_not_hammered(plane: ControlPlane, agent: Agent) -> None:
    plane.hold = 0
    wait_for(lambda: len(plane.polls) >= 3, "three polls")
    assert plane.polls[2] - plane.polls[0] >= 1.5


def test_idle_workers_go_and_the_poller_stays_small(plane: ControlPlane, tmp_path: Path) -> None:
    with running(plane, tmp_path, worker_idle_seconds=0.1) as agent:
        plane.deployment({})
        plane.run("ApplicationStop")
        wait_for(lambda: not agent.workers(), "the worker to go")
        resident = next(line for line in Path(f"/proc/{agent.pid}/status").read_text().splitlines() if "VmRSS" in line)
        assert int(resident.split()[1]) < 32 * 1024, resident


def test_the_next_command_comes_without_a_pause(plane: ControlPlane, agent: Agent) -> None:
    plane.deployment({})
    plane.run("ApplicationStop")
    took = []
    for number in range(10):
        plane.deployment({}, deployment=f"d-{number}")
        began = time.monotonic()
        plane.run("ApplicationStop", f"d-{number}")
        took.append(time.monotonic() - began)
    # However busy the machine, not all of them are held up by that.
    assert min(took) < 1, "the official agent takes a second for each"


def test_a_second_agent_on_the_same_root_is_refused(plane: ControlPlane, agent: Agent) -> None:
    wait_for(lambda: plane.polls, "the first agent to poll")
    second = subprocess.run(
        [sys.executable, "-m", "longshore.agent", "run", "--config", str(agent.config)], capture_output=True, timeout=20
    )
    assert second.returncode == 1
    assert b"another agent is running" in second.stderr


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot read the configuration file"),
        ("[1, 2]", "must hold keys and values"),
        ("a: [", "is not valid YAML"),
        (f"region: r\niam_user_arn: {HOST}\naws_access_key_id: a\n", "aws_secret_access_key is missing"),
        ("root_dir: /tmp/x\non_premises_config_file: /nowhere\n", "no identity"),
        (
            f"region: r\niam_user_arn: {HOST}\naws_access_key_id: a\n"
            "aws_secret_access_key: b\nspecification_signer: x\n",
            "specification_signer must be the base64",
        ),
    ],
)
def test_an_unusable_configuration_is_one_sentence_and_exit_2(tmp_path: Path, content: str | None, said: str) -> None:
    config = tmp_path / "web-1.yml"
    if content is not None:
        config.write_text(content)
    ended = subprocess.run(
        [sys.executable, "-m", "longshore.agent", "run", "--config", str(config)],
        capture_output=True,
        text=True,
        env=os.environ | {"AWS_EC2_METADATA_DISABLED": "true"},
        timeout=20,
    )
    assert ended.returncode == 2
    assert said in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1


def test_a_download_that_is_cut_is_resumed(plane: ControlPlane, agent: Agent) -> None:
    content = bundle_of({"appspec.yml": "version: 0.0\nos: linux\n", "big": os.urandom(300_000).hex()})
    plane.deployment(bundle=content)
    plane.bundle_answers.append((200, {}, b"", 100_000))
    assert plane.run("DownloadBundle").status == "Succeeded"
    assert [request.get("range") for request in plane.bundle_requests] == [None, "bytes=100000-"]


def test_a_storage_that_stumbles_is_tried_again_and_one_that_refuses_is_quoted(
    plane: ControlPlane, agent: Agent
) -> None:
    plane.deployment({"appspec.yml": "version: 0.0\nos: linux\n"})
    plane.bundle_answers.append((503, {}, b"<Error><Code>SlowDown</Code></Error>", None))
    assert plane.run("DownloadBundle").status == "Succeeded"
    plane.deployment({}, deployment="d-TWO")
    error = b"<Error><Code>AccessDenied</Code><Message>Request has expired &amp; is void</Message></Error>"
    plane.bundle_answers.append((403, {}, error, None))
    done = plane.run("DownloadBundle", "d-TWO")
    assert "AccessDenied: Request has expired & is void" in done.message
    assert len(plane.bundle_requests) == 3


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"S3Revision": {"ETag": '"deadbeef"'}}, "registered with deadbeef"),
        ({"Longshore": {"BundleSha256": "0" * 64}}, "should have " + "0" * 64),
        ({"Longshore": {"BundleSize": 3}}, "more than the 3 bytes"),
        ({"Longshore": {"BundleUrl": None}}, "no download URL"),
    ],
)
def test_a_bundle_that_is_not_the_registered_one_is_refused(
    plane: ControlPlane, agent: Agent, members: dict[str, object], said: str
) -> None:
    plane.deployment({"appspec.yml": "version: 0.0\nos: linux\n"}, **members)
    done = plane.run("DownloadBundle")
    assert (done.status, done.code) == ("Failed", 5)
    assert said in done.message


def test_the_back_off_grows_to_its_cap() -> None:
    away = [backoff.delay(number, WireError("away"), spread=1) for number in range(1, 12)]
    assert away[:3] == [0.3, 0.6, 1.2]
    assert away[-1] == 30
    refused = [backoff.delay(number, WireError("no", status=403), spread=1) for number in range(1, 12)]
    assert refused[-1] == 90
    assert backoff.delay(1, WireError("slow", status=429, retry_after=7), spread=1) == 7


def test_it_becomes_who_the_configuration_says(plane: ControlPlane, tmp_path: Path) -> None:
    """In a process of its own, for there is no way back. It needs no file then: the interpreter may be root's alone."""
    agent = Agent(plane, tmp_path, user="nobody")
    agent.config.write_text(yaml.safe_dump(agent.settings))
    nobody = pwd.getpwnam("nobody")
    child = os.fork()
    if child == 0:
        become(load(agent.config, {}))
        is_nobody = os.getresuid() == (nobody.pw_uid,) * 3 and os.getresgid() == (nobody.pw_gid,) * 3
        os._exit(0 if is_nobody and 0 not in os.getgroups() and os.environ["HOME"] == nobody.pw_dir else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_a_user_that_is_not_there_is_said(plane: ControlPlane, tmp_path: Path) -> None:
    agent = Agent(plane, tmp_path, user="no-such-user").start()
    assert agent.process is not None
    assert agent.process.wait(20) == 2
    assert "user or group is not on this host" in agent.stderr()
