"""What a look at one thing came to."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Result(StrEnum):
    """How bad it is."""

    OK = "ok"
    #: It works, and may not for long, or not as it was meant.
    WARNING = "warning"
    FAILED = "failed"


class Finding(NamedTuple):
    """One line of what the doctor says."""

    #: What was looked at.
    check: str
    result: Result
    #: What is so, as a sentence.
    said: str
    #: What to do next; "" where nothing is to be done.
    step: str = ""


def fine(check: str, said: str) -> Finding:
    return Finding(check, Result.OK, said)


def warning(check: str, said: str, step: str) -> Finding:
    return Finding(check, Result.WARNING, said, step)


def failed(check: str, said: str, step: str) -> Finding:
    return Finding(check, Result.FAILED, said, step)
