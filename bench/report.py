"""What a benchmark says, for people and for scripts."""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.setting import BenchError

#: A load average above this is somebody else's work.
_QUIET = 0.5


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One thing measured: ours, and the peer's of the same run."""

    what: str
    unit: str
    ours: float
    #: Who the peer is, and what it took; None: there is nothing to compare.
    peer: str | None = None
    theirs: float | None = None
    #: Every run's value, when `ours` is their median.
    runs: tuple[float, ...] = ()
    their_runs: tuple[float, ...] = ()
    #: What the project promised, as (sentence, kept).
    goal: tuple[str, bool] | None = None

    @property
    def ratio(self) -> float | None:
        return None if not self.theirs else self.ours / self.theirs


@dataclass(frozen=True, kw_only=True)
class Report:
    """One benchmark's outcome."""

    name: str
    #: What was done, in sentences; the reader should be able to judge fairness from these alone.
    setting: tuple[str, ...]
    figures: tuple[Figure, ...]


def of_runs(
    what: str,
    unit: str,
    ours: Sequence[float],
    *,
    peer: str | None = None,
    theirs: Sequence[float] = (),
    goal: Callable[[Figure], tuple[str, bool]] | None = None,
) -> Figure:
    """The medians of several runs."""
    figure = Figure(
        what=what,
        unit=unit,
        ours=statistics.median(ours),
        peer=peer,
        theirs=statistics.median(theirs) if theirs else None,
        runs=tuple(ours),
        their_runs=tuple(theirs),
    )
    return figure if goal is None else Figure(**{**vars(figure), "goal": goal(figure)})


def machine() -> str:
    """What this ran on."""
    system = f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    return f"{os.cpu_count()} cores, {system}"


def main(*benchmarks: Callable[[], Report]) -> None:
    """Run benchmarks as a command: exit 0 when done, whatever was reached; 1 when one could not be carried out."""
    parser = argparse.ArgumentParser(description="Longshore's benchmarks; bench/README.md says what they mean.")
    parser.add_argument("--output", choices=("text", "json"), default="text", help="text to read, json for a script")
    as_json = parser.parse_args().output == "json"
    # So that what was started is stopped when a benchmark is.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    if (load := os.getloadavg()[0]) > _QUIET:
        note(f"This machine is busy (load {load:.1f}): figures will be worse than they are, and even ratios unsteady.")
    reports = []
    for benchmark in benchmarks:
        try:
            report = benchmark()
        except BenchError as problem:
            sys.exit(f"bench: {problem}")
        reports.append(report)
        if not as_json:
            show(report)
    if as_json:
        print(json.dumps({"machine": machine(), "benchmarks": [_members(report) for report in reports]}, indent=2))


def note(text: str) -> None:
    """Say how far it is; to stderr, so that stdout stays clean for scripts."""
    print(f"· {text}", file=sys.stderr, flush=True)


def show(report: Report) -> None:
    """Print a report for people."""
    print(f"\n{report.name}  [{machine()}]")
    for sentence in report.setting:
        print(f"  {sentence}")
    for figure in report.figures:
        line = f"  {figure.what:<46} {_number(figure.ours)} {figure.unit}{_spread(figure.runs)}"
        if figure.theirs is not None and figure.ratio is not None:
            line += f"   {figure.peer}: {_number(figure.theirs)} {figure.unit}{_spread(figure.their_runs)}"
            line += f"   ours/theirs: {figure.ratio:.2f}"
        if figure.goal:
            sentence, kept = figure.goal
            line += f"   goal {sentence}: {'reached' if kept else 'NOT REACHED'}"
        print(line)
    sys.stdout.flush()


def _spread(runs: Sequence[float]) -> str:
    return f" ({_number(min(runs))}–{_number(max(runs))})" if len(runs) > 1 else ""


def _number(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.3f}"


def _members(report: Report) -> dict[str, object]:
    return {
        "name": report.name,
        "setting": report.setting,
        "figures": [
            {
                "what": figure.what,
                "unit": figure.unit,
                "ours": figure.ours,
                "runs": figure.runs,
                "peer": figure.peer,
                "theirs": figure.theirs,
                "theirRuns": figure.their_runs,
                "ratio": figure.ratio,
                "goal": figure.goal and {"is": figure.goal[0], "reached": figure.goal[1]},
            }
            for figure in report.figures
        ],
    }
