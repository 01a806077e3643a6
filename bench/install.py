"""Unpack and install many small files, beside what `tar` and `cp` take for the same: the floor."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from bench import report, setting
from bench.report import Figure, Report

_FILES = 10_000
_SIZE = 4096
_PER_DIRECTORY = 100
_RUNS = 3
#: What a worker does, in a process of its own, so that its peak of memory is its own. A worker is forked from a poller
#: that has most of the code loaded, so loading that is not counted.
_OURS = """
import sys, time
from pathlib import Path
from longshore.agent import archive, installer
from longshore.agent.layout import DeploymentPaths
from longshore.appspec import parse_server
def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
bundle, kind, root, number = sys.argv[1:]
paths = DeploymentPaths(root=Path(root), group="g", deployment="d-" + number)
paths.directory.mkdir(parents=True)
before, started, cpu = peak(), time.perf_counter(), time.process_time()
archive.unpack(Path(bundle), kind, paths.archive, archive.Limits())
installer.install(parse_server((paths.archive / "appspec.yml").read_bytes()), paths, "DISALLOW")
print(time.perf_counter() - started, time.process_time() - cpu, peak() - before)
"""


@dataclass(frozen=True, kw_only=True)
class _Run:
    """One unpacking and installing."""

    seconds: float
    cpu: float
    #: KiB at the peak, over what the interpreter and its libraries take.
    memory: int = 0


def benchmark() -> Report:
    """Both kinds of bundle; a first release, and one over another."""
    figures: list[Figure] = []
    with setting.ground() as base:
        ground = base / "disk"
        setting.make_unrelated(ground)
        source = _make_tree(ground)
        for kind in ("tgz", "tar"):
            bundle = ground / f"bundle.{kind}"
            # As people make them: the standard library would add a header to each entry for the fraction of its time.
            _run(["tar", "-czf" if kind == "tgz" else "-cf", str(bundle), "-C", str(source), "."])
            for word, prepare in (("first", False), ("next", True)):
                report.note(f"install: {kind}, {word} release, {_RUNS + 1} turns")
                ours, floor = _turns(ground, bundle, kind, over=prepare)
                figures += _figures(f"{kind}, {word} release", ours, floor)
    return Report(
        name=f"install: {_FILES:,} files of {_SIZE:,} bytes, unpacked and put in place",
        setting=(
            f"Medians of {_RUNS} turns after one of warm-up, {setting.SETTLE:.0f} s apart, each ours and then the "
            "floor, on parts of the disk of their own. A next release replaces one that has the same files.",
            "Floor: tar -x, then cp -a (and rm -rf of the last release before it). It writes nothing down, checks "
            "nothing, waits for no disk, and a kill in the middle leaves half a release.",
        ),
        figures=tuple(figures),
    )


def _figures(what: str, ours: list[_Run], floor: list[_Run]) -> list[Figure]:
    peer = "tar + cp"
    return [
        report.of_runs(
            f"{what}: wall time",
            "s",
            [run.seconds for run in ours],
            peer=peer,
            theirs=[run.seconds for run in floor],
            goal=lambda figure: ("at most 2 x the floor", figure.ours <= 2 * (figure.theirs or 0)),
        ),
        report.of_runs(
            f"{what}: CPU time", "s", [run.cpu for run in ours], peer=peer, theirs=[run.cpu for run in floor]
        ),
        report.of_runs(f"{what}: memory over an idle worker's", "MiB", [run.memory / 1024 for run in ours]),
    ]


def _make_tree(ground: Path) -> Path:
    chance = random.Random(1)
    source = ground / "source"
    for number in range(_FILES):
        path = source / f"{number // _PER_DIRECTORY:03}" / f"file-{number:05}"
        path.parent.mkdir(parents=True, exist_ok=True)
        # Compresses about as text does.
        path.write_bytes(chance.randbytes(_SIZE // 4) * 4)
    (source / "appspec.yml").write_text(
        f"version: 0.0\nos: linux\nfiles:\n  - {{source: /, destination: {ground}/ours/app}}\n"
    )
    return source


def _turns(ground: Path, bundle: Path, kind: str, *, over: bool) -> tuple[list[_Run], list[_Run]]:
    ours, floor = [], []
    places = ground / "ours", ground / "floor"
    for turn in range(_RUNS + 1):
        if turn == 0 or not over:
            for place in places:
                shutil.rmtree(place, ignore_errors=True)
                place.mkdir()
        if turn == 0 and over:
            _ours(places[0], bundle, kind, "first")
            _floor(places[1], bundle, kind, "first")
        setting.settle()
        ours.append(_ours(places[0], bundle, kind, str(turn)))
        os.sync()
        floor.append(_floor(places[1], bundle, kind, str(turn)))
    return ours[1:], floor[1:]


def _ours(place: Path, bundle: Path, kind: str, number: str) -> _Run:
    done = _run([sys.executable, "-c", _OURS, str(bundle), kind, str(place / "root"), number])
    seconds, cpu, memory = done.split()
    return _Run(seconds=float(seconds), cpu=float(cpu), memory=int(memory))


def _floor(place: Path, bundle: Path, kind: str, number: str) -> _Run:
    unpacked, release = place / f"unpacked-{number}", place / "app"
    unpacked.mkdir()
    before, started = os.times(), time.perf_counter()
    _run(["tar", "-xzf" if kind == "tgz" else "-xf", str(bundle), "-C", str(unpacked)])
    _run(["rm", "-rf", str(release)])
    _run(["cp", "-a", str(unpacked), str(release)])
    seconds, after = time.perf_counter() - started, os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return _Run(seconds=seconds, cpu=cpu)


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=setting.environment())
    if done.returncode:
        raise setting.BenchError(f"{command[0]} ended with {done.returncode}: {done.stderr.strip()[-300:]}")
    return done.stdout


if __name__ == "__main__":
    report.main(benchmark)
