"""What a hook says is told while it runs, and the hook never notices."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from scripted_control_plane import Agent, ControlPlane, bundle_of, wait_for
from test_agent_commands import SH, appspec
from tests.bundle_host import Answer, Asked, BundleHost

REFUSAL = (404, {"__type": "UnknownOperationException", "message": "never heard of it"})


def hook(plane: ControlPlane, script: str) -> None:
    """A downloaded deployment with this script in two events."""
    names = {"BeforeInstall": [{"location": "h.sh"}], "AfterInstall": [{"location": "h.sh"}]}
    plane.deployment({"appspec.yml": appspec(**names), "h.sh": SH + script})
    plane.run("DownloadBundle")


def told(plane: ControlPlane, identifier: str) -> str:
    return "".join(text for command, _, text, _ in plane.hook_logs if command == identifier)


def test_lines_are_told_while_the_hook_runs(plane: ControlPlane, agent: Agent, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    hook(plane, f"echo one\nuntil [ -e {gate} ]; do sleep 0.02; done\nprintf 'two\\n\\033[31mred'\n")
    identifier = plane.offer("BeforeInstall")
    wait_for(lambda: "one" in told(plane, identifier), "the first line to be told")
    gate.touch()
    plane.completion(identifier)
    assert told(plane, identifier) == (
        "LifecycleEvent - BeforeInstall\nScript - h.sh\n[stdout]one\n[stdout]two\n[stdout]red\n"
    )
    assert [number for _, number, _, _ in plane.hook_logs] == list(range(len(plane.hook_logs)))


def test_a_download_that_takes_its_time_says_how_far_it_is(plane: ControlPlane, agent: Agent) -> None:
    gate = threading.Event()
    content = bundle_of({"appspec.yml": appspec()})

    def answer(asked: Asked) -> Answer:
        if len(host.asked) < 2:
            return Answer(503)
        gate.wait(20)
        return Answer(200, {}, content)

    host = BundleHost(answer)
    try:
        plane.deployment(bundle=content, Longshore={"BundleUrl": f"{host.url}/b?X-Amz-Signature=secret"})
        identifier = plane.offer("DownloadBundle")
        wait_for(lambda: "trying again" in told(plane, identifier), "the first failure to be told")
        gate.set()
        assert plane.completion(identifier).status == "Succeeded"
    finally:
        host.stop()
    assert told(plane, identifier).startswith("Download - s3://")
    assert "secret" not in told(plane, identifier)


def test_a_short_hook_costs_no_call_since_its_report_says_it_all(plane: ControlPlane, agent: Agent) -> None:
    hook(plane, "echo one\necho two\n")
    done = plane.run("BeforeInstall")
    assert done.log == "LifecycleEvent - BeforeInstall\nScript - h.sh\n[stdout]one\n[stdout]two\n"
    assert plane.hook_logs == []


def test_more_than_the_report_holds_is_told_in_one_call(plane: ControlPlane, agent: Agent) -> None:
    hook(plane, "seq 1 1000\n")
    first, second = plane.run_all("BeforeInstall", "AfterInstall")
    assert [command for command, *_ in plane.hook_logs] == [first.identifier, second.identifier]
    assert told(plane, first.identifier).count("\n") == 1002


def test_a_hook_that_talks_without_end_is_told_a_megabyte_of_and_the_rest_is_counted(
    plane: ControlPlane, agent: Agent
) -> None:
    line = "x" * 99
    hook(plane, f"yes {line} | head -n 30000\n")
    done = plane.run("BeforeInstall")
    assert done.status == "Succeeded"
    text = told(plane, done.identifier)
    assert 1_000_000 < len(text) <= 1024 * 1024
    assert text.count("\n") + sum(dropped for *_, dropped in plane.hook_logs) == 30_002
    assert max(len(told) for _, _, told, _ in plane.hook_logs) <= 64 * 1024
    assert (agent.root / "g-1/d-ONE/logs/scripts.log").read_text().count(line) == 30_000


@pytest.mark.parametrize("answer", [REFUSAL, (400, {"__type": "AccessDeniedException"})])
def test_a_control_plane_that_will_not_hear_it_is_not_told_again(
    plane: ControlPlane, agent: Agent, answer: tuple[int, object]
) -> None:
    hook(plane, "seq 1 1000\n")
    plane.scripted["PutHookLog"].append(answer)
    assert [done.status for done in plane.run_all("BeforeInstall", "AfterInstall")] == ["Succeeded"] * 2
    assert len([operation for operation, _, _ in plane.requests if operation == "PutHookLog"]) == 1


def test_a_control_plane_that_stumbles_is_told_again(plane: ControlPlane, agent: Agent, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    hook(plane, f"echo one\nuntil [ -e {gate} ]; do sleep 0.02; done\n")
    slow_down = (429, {"__type": "ThrottlingException", "message": "slow down"})
    plane.scripted["PutHookLog"].extend([slow_down, (500, {"__type": "InternalFailure"})])
    identifier = plane.offer("BeforeInstall")
    wait_for(lambda: "one" in told(plane, identifier), "the line to be told")
    gate.touch()
    assert plane.completion(identifier).status == "Succeeded"
    assert told(plane, identifier).count("one") == 1


def test_a_control_plane_that_does_not_answer_delays_no_hook(plane: ControlPlane, agent: Agent) -> None:
    hook(plane, "seq 1 1000\n")
    plane.hears_hooks.clear()
    done = plane.run("BeforeInstall")
    assert not plane.hook_logs, "it is still not answered"
    assert done.status == "Succeeded"
    assert "[stdout]1000\n" in done.log
    wait_for(lambda: "command.log_lost" in agent.log(), "the agent to say that lines were not told")
    plane.hears_hooks.set()
