"""What can be said against an AppSpec file, and the one error that says it.

A reader records every problem it meets and reads on. An agent then raises them as one `AppSpecError`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that is wrong, or surely not meant."""

    #: What is wrong, as the rest of a sentence that begins with the key.
    what: str
    #: What to do about it: one or more sentences.
    remedy: str
    #: Where it is: `files[0].destination`; empty for the file as a whole.
    key: str = ""
    #: Counted from 1; None when the whole file is meant.
    line: int | None = None
    #: Counted from 1; None when not known.
    column: int | None = None
    #: Whether the file can be used all the same.
    is_warning: bool = False

    def __str__(self) -> str:
        said = f"{self.key} {self.what}" if self.key else self.what
        # Ends of sentences, unless the text ends in one of its own.
        return " ".join(part if part.endswith((".", "?", "!")) else f"{part}." for part in (said, self.remedy) if part)


class AppSpecError(ValueError):
    """The AppSpec file cannot be used. The message names the line, the key and the remedy."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        #: Every problem that was found, warnings left out. There is at least one.
        self.problems = tuple(problem for problem in problems if not problem.is_warning)
        first = self.problems[0]
        more = len(self.problems) - 1
        others = f" (and {more} more)" if more else ""
        super().__init__(f"AppSpec{f' line {first.line}' if first.line else ''}: {first}{others}")
        #: Where in the file the first is, counted from 1; None when the whole file is meant.
        self.line = first.line


def refusal(what: str, remedy: str, *, line: int | None = None, column: int | None = None) -> AppSpecError:
    """The error for a file of which nothing more can be read."""
    return AppSpecError([Problem(what=what, remedy=remedy, line=line, column=column)])
