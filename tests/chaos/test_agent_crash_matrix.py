"""A worker is killed, or the disk fails it, at every step of DownloadBundle, Install and a hook.

Every step is named in `agent_steps.yml`, in the order in which it comes, with what is on the disk when a worker dies
there (the old release, the new one, or a moment between them), how the command ends when the worker dies, and how when
the operation fails. Whatever happens, the disk then has one whole release or the other and nothing else, and the next
deployment succeeds. `python -m tests.chaos.test_agent_crash_matrix` writes the table anew, to be read before it is
committed.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chaos.faulty_agent import tree
from tests.contract.agent.scripted_control_plane import Agent, Completion, ControlPlane, wait_for

TABLE: dict[str, list[dict[str, str]]] = yaml.safe_load((Path(__file__).parent / "agent_steps.yml").read_text())
COMMANDS = ("DownloadBundle", "Install", "AfterInstall")
ERRORS = ("ENOSPC", "EIO", "EACCES")


class FaultyAgent(Agent):
    """The real agent under `faulty_agent`."""

    def start(self, **environment: str) -> Agent:
        self.config.write_text(yaml.safe_dump(self.settings))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.faulty_agent", "run", "--config", str(self.config)],
            env=os.environ | environment | {"FAULT_BASE": str(self.directory)},
            stderr=(self.directory / "stderr").open("ab"),
            cwd=Path(__file__).parents[2],
            start_new_session=True,
        )
        return self


class Ground:
    """One host, and releases 1, 2, 3 … of one application that follow each other on it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.disk = directory / "disk"
        self.disk.mkdir()
        self.plane = ControlPlane()
        self.plane.start()
        self.agent = FaultyAgent(self.plane, directory, max_revisions=10_000)
        self.agent.start()
        self.release = 0
        self.deploy(COMMANDS)

    def end(self) -> None:
        self.agent.end()
        self.plane.stop()

    def deploy(
        self, commands: Sequence[str] = ("DownloadBundle", "Install"), fault: dict[str, Any] | None = None
    ) -> list[Completion]:
        """The next release; a fault breaks into one of its commands. Ends at the first command that fails."""
        self.release += 1
        deployment = self.plane.deployment(self._bundle(self.release), deployment=f"d-{self.release}")
        if fault is not None:
            (self.directory / "order.json").write_text(json.dumps(fault))
            (self.directory / "seen.json").unlink(missing_ok=True)
        done = []
        for command in commands:
            done.append(self.plane.run(command, deployment))
            if done[-1].status != "Succeeded":
                break
        if fault is not None:
            # Some steps come after the report.
            wait_for((self.directory / "seen.json").exists, "the fault to strike")
        wait_for(lambda: not any((self.directory / "root/longshore-journal").iterdir()), "the command's end")
        return done

    def seen(self) -> tuple[str, str]:
        """The step at which the fault struck, and what was on the disk then."""
        seen = json.loads((self.directory / "seen.json").read_text())
        visible = {name: text for name, text in seen["disk"].items() if ".longshore-new" not in name}
        whole = {"old": self.tree(self.release - 1), "new": self.tree(self.release)}
        return seen["step"], next((word for word, release in whole.items() if release == visible), "between")

    def broken_off(self, step: int) -> str:
        """The Install of an odd release in which the whole agent dies; the command's identifier."""
        if self.release % 2:
            self.deploy()
        self.release += 1
        deployment = self.plane.deployment(self._bundle(self.release), deployment=f"d-{self.release}")
        (self.directory / "seen.json").unlink(missing_ok=True)
        order = {"command": "Install", "step": step, "fault": "kill agent"}
        (self.directory / "order.json").write_text(json.dumps(order))
        self.plane.run("DownloadBundle", deployment)
        identifier = self.plane.offer("Install", deployment)
        assert self.agent.process is not None
        assert self.agent.process.wait(20) == -signal.SIGKILL
        self.plane.let_go()
        return identifier

    def steps(self) -> dict[str, list[str]]:
        """The steps of each command in the deployment of an odd release over an even one."""
        self.deploy(COMMANDS)
        if self.release % 2 == 0:
            self.deploy(COMMANDS)
        return {command: json.loads((self.directory / f"steps-{command}.json").read_text()) for command in COMMANDS}

    def strike(self, command: str, step: int, fault: str) -> tuple[str, str, Completion]:
        """A deployment that a fault breaks into; the step, what was on the disk then, and how the command ended."""
        if self.release % 2:
            # Every fault meets the same change: an odd release over an even one.
            assert self.deploy()[-1].status == "Succeeded"
        before = self.tree(self.release)
        commands = COMMANDS[: COMMANDS.index(command) + 1]
        done = self.deploy(commands, {"command": command, "step": step, "fault": fault})
        name, disk = self.seen()
        if command == "DownloadBundle":
            assert tree(self.disk) == before
        else:
            self.settled(before if done[-1].status == "Failed" and command == "Install" else None)
        return name, disk, done[COMMANDS.index(command)]

    def settled(self, before: dict[str, str] | None) -> None:
        """What must hold once the command has ended: one release, whole, and none of our scaffolding."""
        now = tree(self.disk)
        if before is not None and now != before:
            # An operation failed in the middle of the switch: whoever comes next finishes it.
            assert (self.directory / "root/deployment-instructions/g-1-switch.json").exists(), now
        elif before is None:
            assert now == self.tree(self.release)

    def tree(self, release: int) -> dict[str, str]:
        """What is on the disk when a release is whole: each has other files than the one before."""
        own = f"app/only-{'odd' if release % 2 else 'even'}"
        kind = {"app/kind": f"file {release}"} if release % 2 else {"app/kind/inside": f"file {release}"}
        same = {"app/page": f"page {release}\n" * 50, "app/deep/er/f": f"deep {release}", "app/link": "-> page"}
        return dict(sorted(({own: "x", "app/foreign": "not ours"} | kind | same).items()))

    def _bundle(self, release: int) -> dict[str, str | tuple[str, int]]:
        files = {f"site/{name.removeprefix('app/')}": text for name, text in self.tree(release).items()}
        del files["site/foreign"], files["site/link"]
        appspec = {
            "version": 0.0,
            "os": "linux",
            "files": [{"source": "site", "destination": f"{self.disk}/app"}],
            "permissions": [{"object": f"{self.disk}/app", "type": ["directory"], "mode": 750, "acls": ["u:1:rx"]}],
            "hooks": {"AfterInstall": [{"location": "run.sh"}]},
        }
        if not (self.disk / "app").exists():
            (self.disk / "app").mkdir()
            (self.disk / "app/foreign").write_text("not ours")
        return {
            **files,
            "site/link": ("page", 0o120777),
            "run.sh": "#!/bin/sh\necho ran\n",
            "appspec.yml": json.dumps(appspec),
        }  # type: ignore[dict-item]


def _room() -> Path:
    # In memory where there is room: what is tested is the order of things, and every step deploys twice.
    return Path(tempfile.mkdtemp(prefix="longshore-matrix-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    room = _room()
    made = Ground(room)
    yield made
    made.end()
    shutil.rmtree(room)


@pytest.mark.parametrize(
    ("command", "faults"),
    [
        *((command, ["kill"]) for command in COMMANDS),
        *((command, [error]) for command in ("DownloadBundle", "AfterInstall") for error in ERRORS),
        # In turn, for test_installer.py has each of them at each step of the Install.
        ("Install", ERRORS),
    ],
    ids=lambda given: given if isinstance(given, str) else "-".join(given),
)
def test_a_fault_at_every_step(ground: Ground, command: str, faults: Sequence[str]) -> None:
    for number, expected in enumerate(TABLE[command], 1):
        fault = faults[number % len(faults)]
        name, disk, ended = ground.strike(command, number, fault)
        assert name == expected["step"]
        if fault == "kill":
            found = {"disk": disk, "killed": ended.status}
            assert found == {key: expected[key] for key in found}, f"{number}. {name}: {ended.message}"
        else:
            assert ended.status == expected["failed"], f"{number}. {name}: {ended.message}"
            assert ended.status == "Succeeded" or os.strerror(getattr(errno, fault)) in ended.message
        ground.deploy()
        assert tree(ground.disk) == ground.tree(ground.release), f"the deployment after a fault at {number}. {name}"


def test_the_next_start_finishes_a_switch_that_the_agent_was_killed_in(ground: Ground) -> None:
    """Poller and worker die together at each step that leaves a host between two releases."""
    for number, expected in enumerate(TABLE["Install"], 1):
        if expected["disk"] != "between":
            continue
        identifier = ground.broken_off(number)
        name, disk = ground.seen()
        assert (name, disk) == (expected["step"], "between")
        ground.agent.start()
        assert ground.plane.completion(identifier).status == "Succeeded"
        assert tree(ground.disk) == ground.tree(ground.release), f"the agent was killed at {number}. {name}"


def test_the_table_names_every_step(ground: Ground) -> None:
    known = {command: [step["step"] for step in TABLE[command]] for command in COMMANDS}
    assert ground.steps() == known, (
        "write the table anew with python -m tests.chaos.test_agent_crash_matrix, and read it"
    )


def _table() -> None:
    room = _room()
    ground = Ground(room)
    lines = ["# Written by `python -m tests.chaos.test_agent_crash_matrix`; what it means stands there."]
    steps = ground.steps()
    for command in COMMANDS:
        lines.append(f"{command}:")
        count = len(steps[command])
        for number in range(1, count + 1):
            name, disk, killed = ground.strike(command, number, "kill")
            ground.deploy()
            _, _, failed = ground.strike(command, number, "EIO")
            ground.deploy()
            lines.append(f"  - {{step: {name}, disk: {disk}, killed: {killed.status}, failed: {failed.status}}}")
            print(lines[-1], killed.message, "|", failed.message, flush=True)  # noqa: T201 - a person waits
    (Path(__file__).parent / "agent_steps.yml").write_text("\n".join(lines) + "\n")
    ground.end()
    shutil.rmtree(room)


if __name__ == "__main__":
    _table()
