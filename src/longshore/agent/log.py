"""The agent's own log: one line a fact (agent.md 7.1.4).

Small and its own, since the standard `logging` package would be a tenth of the idle poller's memory.
"""

from __future__ import annotations

import os
import re
import sys
import time
from pathlib import Path

#: Earlier files kept.
KEPT = 7
#: A file larger than this is put aside before its day is over, bytes.
LOG_BYTES = 64 * 1024 * 1024
#: A presigned URL's query, what stands before a URL's host, and tokens by their look or by the name before them. A text
#: that has one has one of the words before it: most lines have none, and the patterns are slow to find that.
_SECRETS = (
    (("://",), re.compile(r"(https?://[^\s?\"']+)\?[^\s\"']+"), r"\1?…"),
    (("://",), re.compile(r"(\b[a-z][a-z0-9+.-]{1,20}://)[^\s/@\"']+@"), r"\1…@"),
    (("gh", "github_pat_"), re.compile(r"\b(?:gh[pousr]_|github_pat_)\w+"), "…"),
    (
        ("authorization", "password", "token", "key"),
        re.compile(
            r"((?:authorization|password|token|secret(?:[_-]?access)?[_-]?key)[\"']?\s{0,3}[=:]\s{0,3})"
            r"(?:(?:bearer|token|basic)\s+)?[\"']?[^\s\"',;]+",
            re.IGNORECASE,
        ),
        r"\1…",
    ),
)


def without_secrets(text: str) -> str:
    """The text with what may be a credential in it cut out."""
    folded = text.casefold()
    for words, pattern, instead in _SECRETS:
        if any(word in folded for word in words):
            text = pattern.sub(instead, text)
    return text


class Log:
    """Appends lines to `<log_dir>/<program_name>.log`, or to stderr. Safe to use from several processes."""

    def __init__(self, directory: Path | None, program: str, *, verbose: bool = False) -> None:
        self.program = program
        self.verbose = verbose
        self.path = directory / f"{program}.log" if directory else None
        self._bound = ""
        self._day = ""
        self._file: int | None = None

    def bind(self, **ids: str) -> Log:
        """The same log, each line carrying the ids."""
        bound = Log(self.path.parent if self.path else None, self.program, verbose=self.verbose)
        bound._bound = self._bound + "".join(f" {name}={value}" for name, value in ids.items())
        return bound

    def debug(self, text: str) -> None:
        """Written only when the configuration says `verbose: true`."""
        if self.verbose:
            self._write("DEBUG", text)

    def info(self, text: str) -> None:
        """What the agent did."""
        self._write("INFO", text)

    def warn(self, text: str) -> None:
        """Something is wrong but the agent goes on by itself."""
        self._write("WARN", text)

    def error(self, text: str) -> None:
        """Something failed."""
        self._write("ERROR", text)

    def _write(self, level: str, text: str) -> None:
        moment = time.strftime("%Y-%m-%dT%H:%M:%S")
        flat = without_secrets(text).replace("\n", "\n    ")
        line = f"{moment} {level:5} [{self.program}({os.getpid()})]: {flat}{self._bound}\n".encode("utf-8", "replace")
        try:
            os.write(self._open(moment[:10]), line)
        except OSError:
            # A full disk must not end a deployment; stderr is all that is left.
            sys.stderr.write(line.decode("utf-8", "replace"))

    def _open(self, day: str) -> int:
        if self.path is None:
            return 2
        if self._file is not None and (day != self._day or os.fstat(self._file).st_size >= LOG_BYTES):
            os.close(self._file)
            self._file = None
        if self._file is None:
            self._rotate(day)
            self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
            self._day = day
        return self._file

    def _rotate(self, day: str) -> None:
        assert self.path
        try:
            there = self.path.stat()
        except FileNotFoundError:
            return
        moment = time.strftime("%Y%m%d-%H%M%S", time.localtime(there.st_mtime)) + f"-{there.st_mtime_ns % 10**9:09}"
        is_today = moment[:8] == day.replace("-", "")
        if is_today and there.st_size < LOG_BYTES:
            return
        # The official agent names a day's file by the day; of a day that had several, the others have their time too.
        written = moment if is_today else moment[:8]
        # Two processes may both come here; the second rename then finds nothing, which is as well.
        try:
            self.path.rename(self.path.with_name(f"{self.program}.{written}.log"))
        except FileNotFoundError:
            return
        dated = sorted(self.path.parent.glob(f"{self.program}.[0-9]*.log"))
        for old in dated[:-KEPT]:
            old.unlink(missing_ok=True)
