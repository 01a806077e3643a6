"""How scripts end, and what becomes of what they started (agent.md 5.5, 10.6)."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest
from scripted_control_plane import Agent, Completion, ControlPlane, running, wait_for
from test_agent_commands import SH, appspec


def run_hook(plane: ControlPlane, script: str, *, timeout: int = 60, **more: object) -> Completion:
    hook = [{"location": "h.sh", "timeout": timeout, **more}]
    plane.deployment({"appspec.yml": appspec(BeforeInstall=hook), "h.sh": SH + script})
    return plane.run_all("DownloadBundle", "BeforeInstall")[1]


def is_there(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_a_failure_is_told_at_once_though_something_holds_the_output(
    plane: ControlPlane, agent: Agent, tmp_path: Path
) -> None:
    """agent.md 5.5 waits for the pipes until the script's deadline, an hour; the exit code says enough."""
    pid_file = tmp_path / "hook-pid"
    # Its deadline is later than anybody here waits.
    done = run_hook(plane, f"sleep 300 &\necho $! > {pid_file}\necho why\nexit 3\n", timeout=200)
    pid = int(pid_file.read_text())
    try:
        assert (done.code, done.diagnostics["script_name"]) == (4, "h.sh")
        assert "exit code 3" in done.message
        assert f"held by process {pid} (sleep)" in done.message
        assert "[stdout]why\n" in done.log
        assert is_there(pid), "it is left alone"
    finally:
        os.kill(pid, signal.SIGKILL)


def test_what_keeps_an_ended_script_waiting_is_named_while_it_waits(plane: ControlPlane, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with running(plane, tmp_path, hook_grace_seconds=0.2):
        script = f"(until [ -e {gate} ]; do sleep 0.05; done; echo later) &\n"
        hook = [{"location": "h.sh", "timeout": 60}]
        plane.deployment({"appspec.yml": appspec(BeforeInstall=hook), "h.sh": SH + script})
        plane.run("DownloadBundle")
        identifier = plane.offer("BeforeInstall")
        wait_for(lambda: "has ended" in "".join(text for _, _, text, _ in plane.hook_logs), "the remark to be told")
        gate.touch()
        done = plane.completion(identifier)
    assert done.status == "Succeeded", "it ended in time after all"
    assert re.search(r"Script - h.sh has ended; its STDOUT and STDERR are still open, held by process \d+", done.log)
    assert done.log.endswith("[stdout]later\n")


def test_what_a_script_started_is_given_time_to_end_well(plane: ControlPlane, tmp_path: Path) -> None:
    tidied, pids = tmp_path / "tidied", tmp_path / "pids"
    # The script obeys at once; one child needs a moment, another does not listen.
    script = f"""
(trap 'sleep 0.5; touch {tidied}; exit' TERM; while :; do sleep 0.05; done) &
echo $! >> {pids}
(trap '' TERM; while :; do sleep 0.05; done) &
echo $! >> {pids}
wait
"""
    with running(plane, tmp_path, hook_grace_seconds=2):
        done = run_hook(plane, script, timeout=1)
    assert done.code == 3
    assert tidied.exists(), "it had its time"
    assert not [pid for pid in map(int, pids.read_text().split()) if is_there(pid)], "the whole group is ended"


def test_what_left_the_group_on_purpose_goes_on(plane: ControlPlane, agent: Agent, tmp_path: Path) -> None:
    """How an ApplicationStart hook starts a server."""
    pid_file = tmp_path / "hook-pid"
    done = run_hook(plane, f"sleep 300 > /dev/null 2>&1 &\necho $! > {pid_file}\n")
    pid = int(pid_file.read_text())
    try:
        assert done.status == "Succeeded"
        assert is_there(pid)
    finally:
        os.kill(pid, signal.SIGKILL)


def test_the_deployments_log_is_the_official_agents(plane: ControlPlane, agent: Agent) -> None:
    """agent.md 5.6.5: of all deployments, each line with its moment and its deployment."""
    run_hook(plane, "echo out\necho err >&2\nprintf 'no newline'\n")
    log = agent.root / "deployment-logs/codedeploy-agent-deployments.log"
    lines = log.read_text().splitlines()
    assert all(re.match(r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}\] \[d-ONE\]", line) for line in lines)
    said = [line.partition("[d-ONE]")[2] for line in lines]
    assert said[:2] == ["LifecycleEvent - BeforeInstall", "Script - h.sh"]
    assert sorted(said[2:]) == ["[stderr]err", "[stdout]no newline", "[stdout]out"]


def test_no_deployments_log_where_none_is_wanted(plane: ControlPlane, tmp_path: Path) -> None:
    with running(plane, tmp_path, enable_deployments_log=False) as agent:
        assert run_hook(plane, "echo out\n").status == "Succeeded"
        assert not (agent.root / "deployment-logs").exists()


@pytest.mark.parametrize(("sign", "name"), [("KILL", "signal 9 (SIGKILL)"), ("TERM", "signal 15 (SIGTERM)")])
def test_a_script_that_is_ended_from_outside_says_by_which_signal(
    plane: ControlPlane, agent: Agent, sign: str, name: str
) -> None:
    done = run_hook(plane, f"kill -{sign} $$\n")
    assert done.code == 4
    assert name in done.message
