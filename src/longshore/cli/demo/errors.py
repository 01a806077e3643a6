"""What stops the demo."""

from __future__ import annotations

from pathlib import Path


class DemoError(Exception):
    """The demo cannot go on; the message says why and what to do."""


#: A log line may hold a whole traceback.
_COLUMNS = 400


def end_of(log: Path, lines: int = 15) -> str:
    """The last lines of a log, for a message; says so when there is none."""
    try:
        said = log.read_text(errors="replace").splitlines()[-lines:]
    except OSError:
        said = []
    shown = "\n".join(f"  | {line[:_COLUMNS]}" for line in said) or "  | (nothing)"
    return f"The end of {log}:\n{shown}"
