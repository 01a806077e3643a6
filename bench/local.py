"""What a deployment costs on the host alone: `longshore local` beside `tar`, `cp` and a shell that runs the scripts."""

from __future__ import annotations

import random
import shlex
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from bench import report, setting
from bench.bundles import whole_seconds
from bench.report import Figure, Report
from bench.setting import BenchError

_RUNS = 6
_HOOKS = ("BeforeInstall", "AfterInstall", "ApplicationStart", "ValidateService", "ApplicationStop")
_ALL = ("BeforeBlockTraffic", "AfterBlockTraffic", "ApplicationStop", "DownloadBundle", "BeforeInstall", "Install")
_ALL += ("AfterInstall", "ApplicationStart", "ValidateService", "BeforeAllowTraffic", "AfterAllowTraffic")


@dataclass(frozen=True, kw_only=True)
class Case:
    """A bundle, and what codedeploy-local of the official agent (Ruby, 1.8.1) took for it on a like machine, best of 6.

    Its figures were recorded; it is not run here.
    """

    what: str
    files: int
    size: int
    hooks: tuple[str, ...] = ()
    kind: str = "tgz"
    runs: int = _RUNS
    official_seconds: float
    official_megabytes: float | None = None


_CASES = (
    Case(what="10 files, 5 hooks", files=10, size=1024, hooks=_HOOKS, official_seconds=0.83),
    Case(what="5,000 x 4 KiB, tgz", files=5000, size=4096, runs=3, official_seconds=3.15),
    Case(what="20,000 x 1 KiB, tgz", files=20_000, size=1024, runs=3, official_seconds=8.2, official_megabytes=76),
    Case(what="one 300 MB file, tar", files=1, size=300_000_000, kind="tar", runs=3, official_seconds=2.1),
)
#: Runs a command; prints its seconds, CPU seconds and kilobytes. It is a small process: a child counts its parent's
#: memory as its own.
_MEASURE = """
import os, sys, time
began = time.perf_counter()
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(child, 0)
print()
print(time.perf_counter() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss)
sys.exit(status != 0)
"""
#: Eleven events that have no scripts: each costs the official agent the second that it sleeps between commands.
_OFFICIAL_EVENTS = 11.0


class _Cost(NamedTuple):
    seconds: float
    cpu_seconds: float
    megabytes: float


def benchmark() -> Report:
    """Each bundle over the release before, by turns: ours, the floor."""
    figures: list[Figure] = []
    with setting.ground() as base:
        ground = base / "disk"
        setting.make_unrelated(ground)
        figures += _events(ground)
        for case in _CASES:
            report.note(f"local: {case.what}")
            figures += _case(ground / f"case-{case.files}", ground / f"floor-{case.files}", case)
    return Report(
        name="longshore local: from the command to its end",
        setting=(
            f"Best of {_RUNS} runs (of 3 where they are long) after one of warm-up, each over the release before it, "
            f"ours and the floor by turns, {setting.SETTLE:.0f} s after the last turn where files are many or large. "
            "One old revision is kept, and removed when the next comes, by both.",
            "Floor: a shell that removes the last revision and release, unpacks with tar, copies with cp -a and runs "
            "the scripts. It checks nothing, keeps no log, and promises nothing after a power cut.",
            "On a machine whose disk others use, read CPU seconds: both wait for the disk alike.",
            "codedeploy-local: recorded figures of the official Ruby agent on a like machine, best of 6.",
        ),
        figures=tuple(figures),
    )


def _events(ground: Path) -> list[Figure]:
    place = ground / "events"
    (place / "app").mkdir(parents=True)
    (place / "app/appspec.yml").write_text("version: 0.0\nos: linux\n")
    ours = _ours(place, place / "app", "directory")
    costs = [ours() for _ in range(_RUNS + 1)][1:]
    runs = tuple(cost.seconds for cost in costs)
    what, peer = "eleven events without hooks", "codedeploy-local"
    return [
        Figure(
            what=what,
            unit="s",
            ours=min(runs),
            runs=runs,
            peer=peer,
            theirs=_OFFICIAL_EVENTS,
            goal=("under 0.2 s", min(runs) < 0.2),
        ),
        Figure(what=f"{what}: CPU", unit="s", ours=min(cost.cpu_seconds for cost in costs)),
    ]


def _case(place: Path, floors: Path, case: Case) -> list[Figure]:
    bundle = _bundle(place, case)
    floors.mkdir()
    ours, floor = _ours(place, bundle, case.kind), _floor(floors, bundle, case)
    took, theirs = [], []
    for _ in range(case.runs + 1):
        if case.runs < _RUNS:
            setting.settle()
        took.append(ours())
        theirs.append(floor())
    runs = tuple(cost.seconds for cost in took[1:])
    their_runs = tuple(cost.seconds for cost in theirs[1:])
    best = min(runs)
    figures = [
        Figure(
            what=case.what,
            unit="s",
            ours=best,
            runs=runs,
            peer="tar + cp + sh",
            theirs=min(their_runs),
            their_runs=their_runs,
            # A few files are over before an interpreter is up; what they cost is the start, told above.
            goal=("within 2 x", best <= 2 * min(their_runs)) if case.files != 10 else None,
        ),
        Figure(
            what=case.what,
            unit="s",
            ours=best,
            peer="codedeploy-local",
            theirs=case.official_seconds,
            goal=("at least 2 x faster", 2 * best <= case.official_seconds),
        ),
    ]
    cpu, their_cpu = (min(cost.cpu_seconds for cost in costs[1:]) for costs in (took, theirs))
    figures.append(Figure(what=f"{case.what}: CPU", unit="s", ours=cpu, peer="tar + cp + sh", theirs=their_cpu))
    if case.official_megabytes is not None:
        most = max(cost.megabytes for cost in took)
        figures.append(
            Figure(
                what=f"{case.what}: most memory",
                unit="MB",
                ours=most,
                peer="codedeploy-local",
                theirs=case.official_megabytes,
            )
        )
    return figures


def _ours(place: Path, bundle: Path, kind: str) -> _Command:
    config = place / "agent.yml"
    config.write_text(f"root_dir: {place / 'root'}\nmax_revisions: 1\n")
    return _Command(
        [
            setting.program("longshore"),
            "local",
            "-l",
            str(bundle),
            "-t",
            kind,
            "-c",
            str(config),
            "-e",
            ",".join(_ALL),
        ]
    )


def _floor(place: Path, bundle: Path, case: Case) -> _Command:
    unpacked, release = shlex.quote(f"{place}/unpacked"), shlex.quote(f"{place}/floor")
    scripts = " && ".join(f"sh {unpacked}/scripts/{hook}.sh >>{unpacked}/log" for hook in case.hooks) or "true"
    flags = "-xzf" if case.kind == "tgz" else "-xf"
    return _Command(
        [
            *("/bin/sh", "-euc"),
            f"rm -rf {unpacked} {release}; mkdir {unpacked}; tar {flags} {shlex.quote(str(bundle))} -C {unpacked}; "
            f"cp -a {unpacked}/files {release}; {scripts}",
        ]
    )


class _Command:
    """Something that is run and measured."""

    def __init__(self, argv: list[str]) -> None:
        self._argv = argv

    def __call__(self) -> _Cost:
        words = [sys.executable, "-S", "-c", _MEASURE, *self._argv]
        done = subprocess.run(
            words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, env=setting.environment()
        )
        said, _, cost = done.stdout.strip().rpartition("\n")
        if done.returncode:
            raise BenchError(f"{self._argv[0]} failed: {said[-1000:]}")
        seconds, cpu, kilobytes = cost.split()
        return _Cost(float(seconds), float(cpu), int(kilobytes) / 1024)


def _bundle(place: Path, case: Case) -> Path:
    source = place / "source"
    (source / "files").mkdir(parents=True)
    (source / "scripts").mkdir()
    hooks = "".join(f"  {hook}:\n    - location: scripts/{hook}.sh\n" for hook in case.hooks)
    (source / "appspec.yml").write_text(
        f"version: 0.0\nos: linux\nfiles:\n  - source: files\n    destination: {place / 'release'}\n"
        + (f"hooks:\n{hooks}" if hooks else "")
    )
    for hook in case.hooks:
        script = source / "scripts" / f"{hook}.sh"
        script.write_text(f"#!/bin/sh\necho {hook} done\n")
        script.chmod(0o755)
    content = random.Random(1)
    for number in range(case.files):
        folder = source / "files" / f"part-{number // 200}"
        folder.mkdir(exist_ok=True)
        # Hexadecimal packs to about half, as programs do.
        (folder / f"file-{number}").write_text(content.randbytes(case.size // 2).hex())
    bundle = place / f"bundle.{case.kind}"
    with tarfile.open(bundle, "w:gz" if case.kind == "tgz" else "w") as tar:
        tar.add(source, arcname=".", filter=whole_seconds)
    return bundle


if __name__ == "__main__":
    report.main(benchmark)
