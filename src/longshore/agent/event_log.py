"""What the scripts of a lifecycle event say, and where it is written (agent.md 5.6)."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from pathlib import Path

from longshore.agent.rotating import RotatingFile

#: Characters the log tail stays under, newlines included (agent.md 5.6.3).
TAIL_CHARACTERS = 2048
#: Bytes that scripts.log and the deployments log may have, and files kept of each (agent.md 5.6.5, 11.4).
LOG_BYTES = 64 * 1024 * 1024
LOG_FILES = 8

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")


class EventLog:
    """Everything the scripts of one event say: scripts.log, the deployments log, and the tail that is reported."""

    def __init__(
        self, directory: Path, deployments_log: Path | None, deployment_id: str, said: Callable[[list[str]], None]
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._stack = ExitStack()
        self._file = self._opened(directory / "scripts.log")
        self._shared = None
        if deployments_log is not None:
            deployments_log.parent.mkdir(parents=True, exist_ok=True)
            self._shared = self._opened(deployments_log)
        self._deployment_id = deployment_id
        self._said = said
        self._tail: deque[str] = deque()
        self._tail_characters = 0

    def __enter__(self) -> EventLog:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def add(self, entries: list[bytes]) -> None:
        """Append entries, each without its newline."""
        now = time.time()
        moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now))
        prefix = moment.encode() + b" "
        # A full disk must not fail a deployment whose scripts do well; the tail is kept in memory.
        with suppress(OSError):
            self._file.write(b"".join(prefix + entry + b"\n" for entry in entries))
        if self._shared is not None:
            shared = f"[{moment}.{int(now % 1 * 1000):03}] [{self._deployment_id}]".encode()
            with suppress(OSError):
                self._shared.write(b"".join(shared + entry + b"\n" for entry in entries))
        lines = [_ANSI.sub("", entry.decode("utf-8", "replace")) for entry in entries]
        for line in lines:
            self._keep(line + "\n")
        self._said(lines)

    def tail(self) -> str:
        """The last entries, under 2,048 characters together."""
        return "".join(self._tail)

    def _opened(self, path: Path) -> RotatingFile:
        return self._stack.enter_context(closing(RotatingFile(path, limit=LOG_BYTES, files=LOG_FILES)))

    def _keep(self, entry: str) -> None:
        # One line too long to keep would leave an empty tail in the official agent; its end is what tells.
        entry = entry[-(TAIL_CHARACTERS - 1) :]
        self._tail.append(entry)
        self._tail_characters += len(entry)
        while self._tail_characters >= TAIL_CHARACTERS:
            self._tail_characters -= len(self._tail.popleft())
