"""The peer on real hosts: Ansible doing what a deployment does, on inventory hosts of this very machine."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from bench.bundles import Bundle
from bench.setting import BenchError, environment, program

#: On two cores 2 to 12 are within a third of each other; more than this gains little.
FORKS = 8

#: Remove what the previous revision installed, unpack, run the scripts and copy, as the AppSpec file says.
_PLAYBOOK = """\
- hosts: all
  gather_facts: false
  vars:
    archive: "{{ ground }}/{{ inventory_hostname }}/archive-{{ run }}"
    app: "{{ ground }}/{{ inventory_hostname }}/app"
  tasks:
    - file: {path: "{{ app }}", state: absent}
    - file: {path: "{{ archive }}", state: directory}
    - unarchive: {src: "{{ bundle }}", dest: "{{ archive }}", remote_src: true}
    - command: "{{ archive }}/scripts/BeforeInstall.sh"
    - copy: {src: "{{ archive }}/files/", dest: "{{ app }}/", remote_src: true}
    - command: "{{ archive }}/scripts/AfterInstall.sh"
    - command: "{{ archive }}/scripts/ValidateService.sh"
"""


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What one run took."""

    seconds: float
    cpu_seconds: float


class Ansible:
    """An inventory of `count` hosts below `ground`, reached without ssh."""

    def __init__(self, ground: Path, bundle: Bundle, *, count: int) -> None:
        self._ground = ground
        self._bundle = bundle
        self._runs = 0
        ground.mkdir()
        self._inventory = ground / "inventory"
        self._inventory.write_text("".join(f"host-{number:03}\n" for number in range(count)))
        self._playbook = ground / "playbook.yml"
        self._playbook.write_text(_PLAYBOOK)

    def run(self) -> Spent:
        """One rollout over all the hosts."""
        self._runs += 1
        told = {"ground": self._ground, "bundle": self._bundle.path, "run": self._runs}
        return timed(
            [
                *(program("ansible-playbook"), "--inventory", str(self._inventory), "--connection", "local"),
                *("--forks", str(FORKS)),
                *(part for name, value in told.items() for part in ("--extra-vars", f"{name}={value}")),
                str(self._playbook),
            ],
            {
                "ANSIBLE_HOME": str(self._ground / "home"),
                "ANSIBLE_PIPELINING": "1",
                # Looking for one takes it a second.
                "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
                "ANSIBLE_NOCOWS": "1",
            },
        )


def timed(argv: list[str], extra: dict[str, str]) -> Spent:
    """Run a command to its end; BenchError unless it succeeds."""
    before = _children_cpu()
    began = time.perf_counter()
    ended = subprocess.run(
        argv, env=environment() | extra, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600
    )
    seconds = time.perf_counter() - began
    if ended.returncode != 0:
        raise BenchError(f"{argv[0]} failed: {(ended.stdout + ended.stderr)[-2000:]}")
    return Spent(seconds=seconds, cpu_seconds=_children_cpu() - before)


def _children_cpu() -> float:
    times = os.times()
    return times.children_user + times.children_system
