"""The one error an AppSpec file can give."""

from __future__ import annotations


class AppSpecError(ValueError):
    """The AppSpec file cannot be used. The message names the line, the key and the remedy."""

    def __init__(self, message: str, *, line: int | None = None) -> None:
        super().__init__(f"AppSpec line {line}: {message}" if line else f"AppSpec: {message}")
        #: Where in the file, counted from 1; None when the whole file is meant.
        self.line = line
