"""The commands of a deployment, from poll to completion (agent.md 12.1–12.14)."""

from __future__ import annotations

import json
import os
import pwd
import re
import signal
import tempfile
import time
from pathlib import Path

import pytest
from scripted_control_plane import HOST, Agent, ControlPlane, bundle_of, running, wait_for

SH = "#!/bin/sh\n"


def appspec(target: Path | str = "/nowhere", *, files: str = "", **hooks: list[dict[str, object]]) -> str:
    """An AppSpec file with these hooks; JSON is YAML."""
    copied = [{"source": files, "destination": str(target)}] if files else []
    return json.dumps({"os": "linux", "files": copied, "hooks": hooks}).replace("{", '{"version": 0.0, ', 1)


def test_a_whole_deployment_installs_files_and_runs_hooks(plane: ControlPlane, agent: Agent, tmp_path: Path) -> None:
    target = tmp_path / "target"
    spec = appspec(target, files="app", AfterInstall=[{"location": "s/hook.sh"}])
    names = "$LIFECYCLE_EVENT $DEPLOYMENT_ID $APPLICATION_NAME $DEPLOYMENT_GROUP_NAME $DEPLOYMENT_GROUP_ID $BUNDLE_KEY"
    hook = f"{SH}echo {names}\npwd\n"
    plane.deployment({"appspec.yml": spec, "s/hook.sh": hook, "app/bin/run.sh": SH, "app/page": "hello"})
    events = ["ApplicationStop", "DownloadBundle", "BeforeInstall", "Install", "AfterInstall", "ApplicationStart"]
    ended = plane.run_all(*events)
    assert [(done.status, done.code) for done in ended] == [("Succeeded", 0)] * 6
    assert (target / "page").read_text() == "hello"
    assert os.access(target / "bin/run.sh", os.X_OK)
    assert "[stdout]AfterInstall d-ONE Shop Fleet g-1 d-ONE.zip\n[stdout]/\n" in ended[4].log
    assert [noop for _, noop in plane.acknowledgements] == [True, False, True, False, False, True]
    assert plane.specification_fetches == ["d-ONE"], "the specification is fetched once per deployment"


def test_the_first_deployment_has_nothing_to_stop(plane: ControlPlane, agent: Agent) -> None:
    plane.deployment({"appspec.yml": appspec()})
    done = plane.run("ApplicationStop")
    assert plane.acknowledgements == [(done.identifier, True)]
    assert done.diagnostics == {"error_code": 0, "script_name": "", "message": "Succeeded: ", "log": ""}


def test_every_call_is_signed_and_says_who_calls(plane: ControlPlane, agent: Agent) -> None:
    plane.deployment({})
    plane.run("ApplicationStop")
    for operation, headers, body in plane.requests:
        low = {name.lower(): value for name, value in headers.items()}
        assert low["x-amz-codedeploy-agent-version"].startswith("LONGSHORE_")
        assert low["content-type"] == "application/x-amz-json-1.1"
        assert low["x-amz-target"] == f"CodeDeployCommandService_v20141006.{operation}"
        assert "/us-east-1/codedeploy-commands/aws4_request" in low["authorization"]
        assert "HostIdentifier" not in json.loads(body) or json.loads(body)["HostIdentifier"] == HOST


@pytest.mark.parametrize("answer", [None, "Pending"])
def test_an_acknowledgement_that_says_nothing_lets_the_command_run(
    plane: ControlPlane, agent: Agent, answer: str
) -> None:
    plane.acknowledge_with = answer
    plane.deployment({"appspec.yml": appspec()})
    assert plane.run("DownloadBundle").status == "Succeeded"


def test_an_acknowledgement_answered_succeeded_ends_the_command_silently(plane: ControlPlane, agent: Agent) -> None:
    plane.deployment({"appspec.yml": appspec()})
    plane.acknowledge_with = "Succeeded"
    skipped = plane.offer("ApplicationStop")
    wait_for(lambda: plane.acknowledgements, "the acknowledgement")
    plane.acknowledge_with = "InProgress"
    plane.run("DownloadBundle")
    assert plane.of(skipped) == []


def test_a_cancelled_command_is_only_reported_when_it_was_a_noop(plane: ControlPlane, agent: Agent) -> None:
    plane.deployment({"appspec.yml": appspec()})
    plane.acknowledge_with = "Failed"
    cancelled = plane.offer("DownloadBundle")
    done = plane.run("ApplicationStop")
    assert (done.status, done.message) == ("Succeeded", "Succeeded: CompletedNoopCommand")
    assert plane.of(cancelled) == []


def test_a_hook_before_any_download_fails_without_acknowledgement(plane: ControlPlane, agent: Agent) -> None:
    plane.deployment({"appspec.yml": appspec()})
    done = plane.run("BeforeInstall")
    assert (done.status, done.code) == ("Failed", 5)
    assert "no AppSpec file" in done.message
    assert plane.acknowledgements == []


def test_a_specification_that_lacks_a_member_fails_without_acknowledgement(plane: ControlPlane, agent: Agent) -> None:
    plane.deployment({}, ApplicationName="")
    done = plane.run("ApplicationStop")
    assert (done.status, done.code) == ("Failed", 5)
    assert "lacks ApplicationName" in done.message
    assert plane.acknowledgements == []


def test_an_unknown_command_is_a_noop_that_fails_once(plane: ControlPlane, agent: Agent) -> None:
    plane.deployment({"appspec.yml": appspec()})
    done = plane.run("NoSuchEvent")
    assert plane.acknowledgements == [(done.identifier, True)]
    assert (done.status, done.code) == ("Failed", 5)
    plane.run("ApplicationStop")
    assert len(plane.of(done.identifier)) == 1


def test_a_failing_script_is_named_with_what_it_said(plane: ControlPlane, agent: Agent) -> None:
    hooks = [{"location": "s/ok.sh"}, {"location": "s/fail.sh"}, {"location": "s/never.sh"}]
    plane.deployment(
        {
            "appspec.yml": appspec(BeforeInstall=hooks),
            "s/ok.sh": SH,
            "s/fail.sh": f"{SH}echo out\nsleep 0.05\necho err >&2\nexit 42\n",
            "s/never.sh": SH,
        }
    )
    _, done = plane.run_all("DownloadBundle", "BeforeInstall")
    assert (done.status, done.code, done.diagnostics["script_name"]) == ("Failed", 4, "s/fail.sh")
    assert "exit code 42" in done.message
    assert (
        done.log == "LifecycleEvent - BeforeInstall\nScript - s/ok.sh\nScript - s/fail.sh\n[stdout]out\n[stderr]err\n"
    )
    plane.run("ApplicationStart")
    assert len(plane.of(done.identifier)) == 1, "one completion, not the official agent's two"
    logged = (agent.root / "g-1/d-ONE/logs/scripts.log").read_text().splitlines()
    assert logged[-1][20:] == "[stderr]err"
    assert time.strptime(logged[-1][:19], "%Y-%m-%d %H:%M:%S")


def test_the_log_tail_holds_the_last_whole_entries(plane: ControlPlane, agent: Agent) -> None:
    line = "x" * (58 - len("[stdout]") - 1)
    script = f"{SH}i=0; while [ $i -lt 200 ]; do echo {line}; i=$((i+1)); done\n"
    plane.deployment({"appspec.yml": appspec(BeforeInstall=[{"location": "many.sh"}]), "many.sh": script})
    done = plane.run_all("DownloadBundle", "BeforeInstall")[1]
    assert done.log == f"[stdout]{line}\n" * 35


def test_a_script_that_takes_too_long_is_ended_while_polling_goes_on(plane: ControlPlane, agent: Agent) -> None:
    hook = [{"location": "slow.sh", "timeout": 1}]
    plane.deployment({"appspec.yml": appspec(BeforeInstall=hook), "slow.sh": f"{SH}echo started\nsleep 60\n"})
    plane.run("DownloadBundle")
    began = time.monotonic()
    done = plane.run("BeforeInstall")
    assert (done.code, done.diagnostics["script_name"]) == (3, "slow.sh")
    assert "1 seconds" in done.message
    assert "[stdout]started" in done.log
    assert time.monotonic() - began >= 1
    assert [at for at in plane.polls if at > began], "polls continue meanwhile"


def test_a_script_that_ignores_sigterm_is_killed_after_the_grace_time(plane: ControlPlane, tmp_path: Path) -> None:
    pid_file = tmp_path / "hook-pid"
    script = f"{SH}trap '' TERM\necho $$ > {pid_file}\nwhile :; do sleep 0.1; done\n"
    with running(plane, tmp_path, hook_grace_seconds=0.5):
        hook = [{"location": "deaf.sh", "timeout": 1}]
        plane.deployment({"appspec.yml": appspec(BeforeInstall=hook), "deaf.sh": script})
        done = plane.run_all("DownloadBundle", "BeforeInstall")[1]
    assert done.code == 3
    assert not Path(f"/proc/{pid_file.read_text().strip()}").exists()


def test_output_held_open_by_a_background_process_is_named(plane: ControlPlane, agent: Agent, tmp_path: Path) -> None:
    pid_file = tmp_path / "hook-pid"
    script = f"{SH}sleep 30 &\necho $! > {pid_file}\n"
    hook = [{"location": "daemon.sh", "timeout": 1}]
    plane.deployment({"appspec.yml": appspec(BeforeInstall=hook), "daemon.sh": script})
    done = plane.run_all("DownloadBundle", "BeforeInstall")[1]
    pid = int(pid_file.read_text())
    try:
        assert done.code == 6
        assert "STDOUT and STDERR" in done.message
        assert f"process {pid} (sleep)" in done.message
        assert Path(f"/proc/{pid}").exists(), "the background process is left alone"
    finally:
        os.kill(pid, signal.SIGKILL)


def test_output_that_is_not_utf_8_keeps_its_diagnostics(plane: ControlPlane, agent: Agent) -> None:
    script = f"{SH}printf '\\377\\376 and text\\n'\nexit 9\n"
    plane.deployment({"appspec.yml": appspec(BeforeInstall=[{"location": "raw.sh"}]), "raw.sh": script})
    done = plane.run_all("DownloadBundle", "BeforeInstall")[1]
    assert done.code == 4
    assert "[stdout]\ufffd\ufffd and text\n" in done.log
    assert b"\xff\xfe and text" in (agent.root / "g-1/d-ONE/logs/scripts.log").read_bytes()


def test_a_script_ended_by_a_signal_says_which(plane: ControlPlane, agent: Agent) -> None:
    plane.deployment({"appspec.yml": appspec(BeforeInstall=[{"location": "k.sh"}]), "k.sh": f"{SH}kill -SEGV $$\n"})
    done = plane.run_all("DownloadBundle", "BeforeInstall")[1]
    assert (done.code, "signal 11 (SIGSEGV)" in done.message) == (4, True)


def test_a_missing_script_and_a_script_outside_are_refused(plane: ControlPlane, agent: Agent) -> None:
    hooks = {"BeforeInstall": [{"location": "gone.sh"}], "AfterInstall": [{"location": "../../../../bin/true"}]}
    plane.deployment({"appspec.yml": appspec(**hooks)})
    _, missing, outside = plane.run_all("DownloadBundle", "BeforeInstall", "AfterInstall")
    assert (missing.code, missing.diagnostics["script_name"]) == (1, "gone.sh")
    assert (outside.code, "outside the revision" in outside.message) == (1, True)


def test_scripts_run_without_executable_bit_without_interpreter_line_and_with_spaces(
    plane: ControlPlane, agent: Agent
) -> None:
    hook = [{"location": "s/a b; c.txt"}]
    plane.deployment({"appspec.yml": appspec(BeforeInstall=hook), "s/a b; c.txt": ("echo ran as $0\n", 0o644)})
    done = plane.run_all("DownloadBundle", "BeforeInstall")[1]
    assert done.status == "Succeeded"
    assert "ran as" in done.log


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may run scripts as another user")
def test_runas_changes_user_home_and_groups(plane: ControlPlane, agent: Agent) -> None:
    hooks = {
        "BeforeInstall": [{"location": "who.sh", "runas": "nobody"}],
        "AfterInstall": [{"location": "who.sh", "runas": "no-such-user"}],
    }
    plane.deployment({"appspec.yml": appspec(**hooks), "who.sh": f"{SH}id -un\necho $USER $LOGNAME $HOME $SHELL\n"})
    nobody = pwd.getpwnam("nobody")
    for folder in (agent.directory, *agent.directory.parents):
        if folder.is_relative_to(tempfile.gettempdir()) and folder != Path(tempfile.gettempdir()):
            folder.chmod(0o755)
    _, done, unknown = plane.run_all("DownloadBundle", "BeforeInstall", "AfterInstall")
    assert done.status == "Succeeded", done.message
    assert f"[stdout]nobody\n[stdout]nobody nobody {nobody.pw_dir} {nobody.pw_shell}\n" in done.log
    assert (unknown.code, "no-such-user" in unknown.message) == (4, True)


def test_scripts_do_not_see_the_agents_secrets(plane: ControlPlane, tmp_path: Path) -> None:
    plane.deployment({"appspec.yml": appspec(BeforeInstall=[{"location": "env.sh"}]), "env.sh": f"{SH}env\n"})
    agent = Agent(plane, tmp_path)
    agent.start(AWS_SECRET_ACCESS_KEY="hidden-1", AWS_SESSION_TOKEN="hidden-2", LD_AUDIT="hidden-3", MY_SETTING="shown")
    try:
        done = plane.run_all("DownloadBundle", "BeforeInstall")[1]
        log = (agent.root / "g-1/d-ONE/logs/scripts.log").read_text()
        assert done.status == "Succeeded"
        assert "MY_SETTING=shown" in log
        assert "hidden" not in log
        assert "very-secret-key" not in agent.log()
        assert "sosecret" not in agent.log(), "the query of a presigned URL is a credential"
    finally:
        agent.end()


def test_parameters_are_variables_of_hooks_and_beat_what_the_agent_inherits(
    plane: ControlPlane, tmp_path: Path
) -> None:
    script = f'{SH}printf \'%s|\' "$COLOUR" "$MY_SETTING" "$DEPLOYMENT_ID"\n'
    spec = appspec(BeforeInstall=[{"location": "env.sh"}])
    given = {"COLOUR": "deep 'blue'\n$HOME", "MY_SETTING": "the deployment's"}
    plane.deployment({"appspec.yml": spec, "env.sh": script}, Longshore={"Parameters": given})
    agent = Agent(plane, tmp_path)
    agent.start(MY_SETTING="the host's")
    try:
        done = plane.run_all("DownloadBundle", "BeforeInstall")[1]
        assert done.log.endswith("[stdout]deep 'blue'\n[stdout]$HOME|the deployment's|d-ONE|\n")
    finally:
        agent.end()


@pytest.mark.parametrize("given", [{"LD_PRELOAD": "/tmp/evil.so"}, {"DEPLOYMENT_ID": "d-X"}, {"A": 1}, ["A"]])
def test_parameters_that_none_may_have_are_refused_with_the_specification(
    plane: ControlPlane, agent: Agent, given: object
) -> None:
    plane.deployment({"appspec.yml": appspec()}, Longshore={"Parameters": given})
    done = plane.run("DownloadBundle")
    assert (done.status, done.code) == ("Failed", 5)
    assert "arameters" in done.message or "A in the deployment specification" in done.message


def test_deployments_of_two_groups_run_at_the_same_time(plane: ControlPlane, agent: Agent, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    script = f"{SH}touch {tmp_path}/in-$DEPLOYMENT_ID\nwhile [ ! -e {gate} ]; do sleep 0.02; done\n"
    files = {"appspec.yml": appspec(BeforeInstall=[{"location": "wait.sh"}]), "wait.sh": script}
    for deployment, group in (("d-ONE", "g-1"), ("d-TWO", "g-2")):
        plane.deployment(files, deployment=deployment, group=group)
        plane.run("DownloadBundle", deployment)
    offered = [plane.offer("BeforeInstall", deployment) for deployment in ("d-ONE", "d-TWO")]
    wait_for(lambda: (tmp_path / "in-d-ONE").exists() and (tmp_path / "in-d-TWO").exists(), "both scripts to run")
    tracked = {path.name: path.read_text() for path in (agent.root / "ongoing-deployment").iterdir()}
    assert tracked == {"d-ONE": offered[0], "d-TWO": offered[1]}
    gate.touch()
    assert [plane.completion(identifier).status for identifier in offered] == ["Succeeded"] * 2
    wait_for(lambda: not list((agent.root / "ongoing-deployment").iterdir()), "the tracking files to go")


def test_deployments_of_one_group_wait_for_each_other(plane: ControlPlane, agent: Agent, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    script = f"{SH}touch {tmp_path}/in-$DEPLOYMENT_ID\nwhile [ ! -e {gate} ]; do sleep 0.02; done\n"
    files = {"appspec.yml": appspec(BeforeInstall=[{"location": "wait.sh"}]), "wait.sh": script}
    for deployment in ("d-ONE", "d-TWO"):
        plane.deployment(files, deployment=deployment)
        plane.run("DownloadBundle", deployment)
    first = plane.offer("BeforeInstall", "d-ONE")
    wait_for((tmp_path / "in-d-ONE").exists, "the first script to run")
    second = plane.offer("BeforeInstall", "d-TWO")
    wait_for(lambda: "command.waits" in agent.log(), "the second deployment to wait")
    assert not (tmp_path / "in-d-TWO").exists()
    gate.touch()
    assert plane.completion(first).at <= plane.completion(second).at


def test_the_previous_revision_stops_the_application(plane: ControlPlane, agent: Agent) -> None:
    for deployment in ("d-ONE", "d-TWO"):
        stop = f"{SH}echo stopping {deployment} for $DEPLOYMENT_ID\n"
        plane.deployment(
            {"appspec.yml": appspec(ApplicationStop=[{"location": "stop.sh"}]), "stop.sh": stop}, deployment=deployment
        )
    plane.run_all("ApplicationStop", "DownloadBundle", "Install")
    done = plane.run("ApplicationStop", "d-TWO")
    assert "[stdout]stopping d-ONE for d-TWO\n" in done.log
    assert (agent.root / "g-1/d-TWO/logs/scripts.log").exists(), "logs go to the current deployment"


def test_an_appspec_yaml_alone_is_found_in_every_event(plane: ControlPlane, agent: Agent) -> None:
    plane.deployment({"appspec.yaml": appspec(AfterInstall=[{"location": "a.sh"}]), "a.sh": f"{SH}echo hi\n"})
    assert "[stdout]hi" in plane.run_all("DownloadBundle", "Install", "AfterInstall")[2].log


def test_a_broken_appspec_is_told_with_its_line(plane: ControlPlane, agent: Agent) -> None:
    plane.deployment({"appspec.yml": "version: 0.0\nos: linux\nfiles:\n  - source: a\n"})
    done = plane.run_all("DownloadBundle", "Install")[1]
    assert (done.code, done.diagnostics["script_name"]) == (5, "")
    assert "AppSpec line 4" in done.message
    assert "destination" in done.message


def test_an_appspec_of_any_size_is_refused_by_its_first_megabyte(plane: ControlPlane, agent: Agent) -> None:
    plane.deployment({"appspec.yml": appspec() + "\n#" + "x" * 200 * 1024**2})
    _, done = plane.run_all("DownloadBundle", "Install")
    assert (done.code, "the file has more than 1048576 bytes" in done.message) == (5, True)
    [worker] = agent.workers()
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{worker}/status").read_text())
    assert peak
    assert int(peak[1]) < 100 * 1024


def test_old_revisions_go_but_never_the_last_successful_one(plane: ControlPlane, tmp_path: Path) -> None:
    with running(plane, tmp_path, max_revisions=3, worker_idle_seconds=0.5) as agent:
        names = [f"d-{number}" for number in range(6)]
        for name in names:
            plane.deployment({"appspec.yml": appspec()}, deployment=name)
            plane.run("DownloadBundle", name)
            if name == "d-1":
                plane.run("Install", name)
        group = agent.root / "g-1"
        wait_for(lambda: len(list(group.iterdir())) == 3, "the deployment to be tidied up")
        assert sorted(path.name for path in group.iterdir()) == ["d-1", "d-4", "d-5"]


def test_old_revisions_may_be_limited_by_the_room_they_take(plane: ControlPlane, tmp_path: Path) -> None:
    with running(plane, tmp_path, max_revisions_size=150_000, worker_idle_seconds=0.5) as agent:
        group = agent.root / "g-1"
        for name in ("d-1", "d-2", "d-3"):
            plane.deployment({"appspec.yml": appspec(), "big": os.urandom(50_000).hex()}, deployment=name)
            plane.run_all("DownloadBundle", "Install", deployment=name)
        wait_for(lambda: len(list(group.iterdir())) == 1, "the deployments to be tidied up")
        assert [path.name for path in group.iterdir()] == ["d-3"]


def test_cleanup_and_plan_files_have_the_official_format(plane: ControlPlane, agent: Agent, tmp_path: Path) -> None:
    target = tmp_path / "target"
    plane.deployment({"appspec.yml": appspec(target, files="app"), "app/a": "1", "app/d/b": "2"})
    plane.run_all("DownloadBundle", "Install")
    instructions = agent.root / "deployment-instructions"
    archive = agent.root / "g-1/d-ONE/deployment-archive"
    assert (instructions / "g-1-cleanup").read_text() == f"{target}\n{target}/a\n{target}/d\n{target}/d/b\n"
    assert json.loads((instructions / "g-1-install.json").read_text()) == {
        "instructions": [
            {"type": "mkdir", "directory": str(target)},
            {"type": "copy", "source": f"{archive}/app/a", "destination": f"{target}/a"},
            {"type": "mkdir", "directory": f"{target}/d"},
            {"type": "copy", "source": f"{archive}/app/d/b", "destination": f"{target}/d/b"},
        ]
    }
    deployment = str(agent.root / "g-1/d-ONE")
    assert (instructions / "g-1_last_successful_install").read_text() == deployment
    assert (instructions / "g-1_most_recent_install").read_text() == deployment


def test_a_hostile_bundle_is_refused_by_name(plane: ControlPlane, agent: Agent, tmp_path: Path) -> None:
    plane.deployment(bundle=bundle_of({"appspec.yml": appspec(), "../../../evil": "x"}))
    done = plane.run("DownloadBundle")
    assert (done.status, done.code) == ("Failed", 5)
    assert "'../../../evil'" in done.message
    assert not (agent.root / "g-1/d-ONE/deployment-archive").exists()
    assert not list(tmp_path.rglob("evil"))


def test_whose_scripts_run_when_traffic_is_moved_back(plane: ControlPlane, agent: Agent) -> None:
    """S3.18: a blue/green rollback installs nothing; the newest revision leaves, and the last good one comes back."""
    traffic = ("BeforeBlockTraffic", "AfterBlockTraffic", "BeforeAllowTraffic", "AfterAllowTraffic")

    def release(name: str) -> dict[str, str]:
        hooks = {event: [{"location": "say.sh"}] for event in traffic}
        return {"appspec.yml": appspec(**hooks), "say.sh": f"{SH}echo release {name}\n"}

    def said(deployment: str, event: str) -> str:
        done = plane.run(event, deployment)
        assert done.status == "Succeeded", done.diagnostics
        return done.log.rpartition("[stdout]release ")[2].strip()

    plane.deployment(release("one"), deployment="d-ONE")
    plane.run_all("DownloadBundle", "Install", deployment="d-ONE")
    plane.deployment(release("two"), deployment="d-TWO")
    plane.run_all("DownloadBundle", deployment="d-TWO")
    back = {"DeploymentCreator": "codeDeployRollback", "DeploymentType": "BLUE_GREEN"}
    plane.deployment(release("three"), deployment="d-BACK", **back)
    assert [said("d-BACK", event) for event in traffic] == ["two", "two", "one", "one"]
    # Forwards, originals that lose their traffic run what they have installed.
    plane.deployment(release("three"), deployment="d-ON", DeploymentType="BLUE_GREEN")
    assert [said("d-ON", event) for event in traffic[:2]] == ["one", "one"]
