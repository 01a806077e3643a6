"""A deployment as a table for a terminal: targets down, lifecycle events across, a bar for the whole."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from longshore.cli.log_lines import Line
from longshore.cli.watch_progress import Event, Progress, Target, counted, failure_lines, rollback_line

_MARKS = {
    "Succeeded": ("✔", "green"),
    "Failed": ("✘", "bold red"),
    "InProgress": ("▶", "bold yellow"),
    "Skipped": ("–", "dim"),
    "Pending": ("·", "dim"),
    "Ready": ("◆", "cyan"),
}
_UNKNOWN = ("?", "magenta")
_LABELS = {"Blue": "blue", "Green": "green"}
#: The bar's parts, from left to right.
_BAR = ("Succeeded", "Failed", "Skipped", "InProgress", "Ready", "Unknown", "Pending")
_BAR_CELLS = 30
_HEADLINE = {"Succeeded": "bold green", "Failed": "bold red", "Stopped": "bold red"}
#: Failed targets explained in full; more would push the table off the screen.
_MOST_EXPLAINED = 3
#: Hosts whose last line is shown.
_MOST_SAID = 5
#: More columns than any table has.
_NO_LIMIT = 10_000
#: Up to here an event's name needs no third line.
_FEW_EVENTS = 8
#: Up to here rows keep their places; in a longer table the worst come first.
_FEW = 20


def deployment_table(progress: Progress, now: datetime, *footer: RenderableType, rows: int = 40) -> RenderableType:
    """Everything about a deployment that fits on one screen; `footer` comes below the bar."""
    parts: list[RenderableType] = [_headline(progress, now)]
    if progress.targets:
        parts.append(_targets(progress, now, rows))
    if progress.total:
        parts.append(_bar(progress))
    if progress.hint:
        parts.append(Text(progress.hint, style="cyan"))
    parts += footer
    if progress.is_final:
        parts += failures(progress)
    return Group(*parts)


def said_last(lines: Sequence[Line]) -> list[RenderableType]:
    """What hooks said last, a line each, cut to the terminal's width."""
    shown: list[RenderableType] = [
        Text.assemble(
            (f"{line.target} ", "bold"), (f"{line.event} ", "dim"), line.text, no_wrap=True, overflow="ellipsis"
        )
        for line in lines[:_MOST_SAID]
    ]
    if len(lines) > _MOST_SAID:
        shown.append(Text(f"… {len(lines) - _MOST_SAID} more hosts say something", style="dim"))
    return shown


def failures(progress: Progress) -> list[RenderableType]:
    """Why a deployment and its targets failed."""
    parts: list[RenderableType] = []
    if progress.error_code:
        parts.append(Text(f"{progress.error_code}: {progress.error_message}", style="bold red"))
    failed = progress.failed_targets
    for target in failed[:_MOST_EXPLAINED]:
        first, *rest = failure_lines(target)
        parts.append(Text.assemble((first, "red"), *(("\n" + line, "") for line in rest)))
    if more := progress.counts.get("Failed", 0) - min(len(failed), _MOST_EXPLAINED):
        parts.append(Text(f"{more} more failed.", style="red"))
    parts += [Text(said, style="bold") for said in (progress.status_message, rollback_line(progress)) if said]
    return parts


def _headline(progress: Progress, now: datetime) -> Text:
    return Text.assemble(
        (progress.id, "bold"),
        f"  {progress.application} → {progress.group}  ",
        (progress.config.removeprefix("CodeDeployDefault."), "cyan"),
        "  ",
        (progress.status, _HEADLINE.get(progress.status, "bold yellow")),
        f"  {progress.seconds(now):.1f} s",
    )


class _Fitting:
    """The first of two tables where there is room for all of it, else the second."""

    def __init__(self, wide: Table, narrow: Table) -> None:
        self._wide = wide
        self._narrow = narrow

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        needed = Measurement.get(console, options.update(width=_NO_LIMIT), self._wide).maximum
        yield self._wide if needed <= options.max_width else self._narrow


def _targets(progress: Progress, now: datetime, rows: int) -> RenderableType:
    targets = progress.targets[:rows]
    if progress.total <= len(targets) <= _FEW:
        targets = tuple(sorted(targets, key=_natural))
    # Originals are shown before they are counted.
    hidden = progress.total - len(targets)
    shown = _Fitting(_wide(targets, now), _narrow(targets, now))
    return Group(shown, Text(f"… {hidden} more", style="dim")) if hidden > 0 else shown


def _narrow(targets: Sequence[Target], now: datetime) -> Table:
    """A mark an event, and the name of the one that a target is at, or failed at."""
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, show_header=False)
    for column in range(4):
        table.add_column("", justify="right" if column == 3 else "left", no_wrap=True)
    for target in targets:
        marks = Text.assemble(*(_MARKS.get(event.status, _UNKNOWN) for event in target.events))
        at = next((event for event in target.events if event.status in ("InProgress", "Failed")), None)
        name, *_, total = _row(target, [], now)
        table.add_row(name, marks, Text(at.name if at else "", style="dim"), total)
    return table


def _wide(targets: Sequence[Target], now: datetime) -> Table:
    """A column an event."""
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("", no_wrap=True)
    names = list(dict.fromkeys(event.name for target in targets for event in target.events))
    for name in names:
        table.add_column(_stacked(name, lines=2 if len(names) <= _FEW_EVENTS else 3), no_wrap=True)
    table.add_column("", justify="right", no_wrap=True)
    for target in targets:
        table.add_row(*_row(target, names, now))
    return table


def _row(target: Target, names: list[str], now: datetime) -> list[Text]:
    events = {event.name: event for event in target.events}
    mark, style = _MARKS.get(target.status, _UNKNOWN)
    name = Text(target.id, style=style if target.is_final or target.status == "InProgress" else "")
    if target.label:
        name.append(f" {target.label.lower()}", style=_LABELS.get(target.label, ""))
    cells = [name]
    cells += [_cell(events.get(name), now) for name in names]
    return [*cells, Text(_seconds(target, now), style="dim") if target.started else Text(mark, style=style)]


def _cell(event: Event | None, now: datetime) -> Text:
    if event is None:
        return Text("")
    mark, style = _MARKS.get(event.status, _UNKNOWN)
    seconds = event.seconds(now)
    # What takes no time is no news: most events have no script.
    shown = f"{mark} {_short(seconds)}" if seconds is not None and seconds >= 0.05 else mark
    return Text(shown, style=style)


def _seconds(target: Target, now: datetime) -> str:
    if target.started is None:
        return ""
    end = target.ended if target.is_final and target.ended else now
    return _short(max(0.0, (end - target.started).total_seconds()))


def _short(seconds: float) -> str:
    """A duration in at most five characters."""
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    if seconds < 60:
        return f"{seconds:.0f}s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 10:
        return f"{minutes}m{rest:02}s"
    return f"{minutes}m" if minutes < 600 else f"{minutes // 60}h"


def _bar(progress: Progress) -> Text:
    """Cells in proportion to the targets in each status; a status that has a target has a cell."""
    bar = Text()
    there = [status for status in _BAR if progress.counts.get(status)]
    cells_left, targets_left = _BAR_CELLS, progress.total
    for position, status in enumerate(there):
        count = progress.counts[status]
        fair = round(cells_left * count / targets_left)
        cells = max(1, min(fair, cells_left - (len(there) - position - 1)))
        bar.append(("━" if status != "Pending" else "╌") * cells, style=_MARKS.get(status, _UNKNOWN)[1])
        cells_left, targets_left = cells_left - cells, targets_left - count
    return bar.append(f"  {counted(progress)}")


def _natural(target: Target) -> list[tuple[int, str]]:
    """So that web-10 comes after web-9."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", target.id)]


def _stacked(name: str, *, lines: int) -> str:
    """`ApplicationStop` as two words one above the other, so that seven events fit in 80 columns, and 13 in 140."""
    words = re.findall(r"[A-Z][a-z0-9]*", name) or [name]
    first = len(words) - lines + 1
    stack = [" ".join(words[:first]), *words[first:]] if first > 0 else words
    return "\n" * (lines - len(stack)) + "\n".join(stack)
