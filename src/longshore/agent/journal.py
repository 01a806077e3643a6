"""What was running, in case we crash (agent.md 8.6, server.md S4.11).

Two files for each deployment with a command under way:

- `ongoing-deployment/<deployment id>` holds the HostCommandIdentifier, as the official agent writes it, so that
  either agent reports what the other left;
- `longshore-journal/<deployment id>.json` holds what the official format has no room for: the worker, the process
  group of the running script, and the outcome once it is known but not yet reported.

An entry is written before the command is acknowledged, for after that the server offers it no more, and removed when
its completion was answered. In between it is only appended to: the last line that is whole is how far the command
came. So what is found at start was not begun (it is now), running (it failed, code 7) or finished and unreported (the
outcome is sent again).
"""

from __future__ import annotations

import errno
import json
import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from longshore.agent.layout import UNFINISHED, Layout, write_atomically

#: Entries older than this are dropped unreported: the server has long given up (agent.md 8.6).
MAX_AGE_SECONDS = 24 * 3600


@dataclass(frozen=True, kw_only=True)
class Process:
    """A process, told apart from a later one with the same id by its start time."""

    pid: int
    #: Clock ticks after boot, from /proc.
    started: int

    def is_alive(self) -> bool:
        """Whether this very process still runs."""
        return start_time(self.pid) == self.started


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a command ended, as it is reported."""

    #: "Succeeded" or "Failed".
    status: str
    error_code: int = 0
    script_name: str = ""
    message: str = "Succeeded: "
    log: str = ""

    def diagnostics(self) -> dict[str, Any]:
        """The payload of the completion (agent.md 1.5.1)."""
        return {
            "error_code": self.error_code,
            "script_name": self.script_name,
            "message": self.message,
            "log": self.log,
        }


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One command under way."""

    deployment_id: str
    #: HostCommandIdentifier.
    identifier: str
    execution_id: str = ""
    name: str = ""
    worker: Process | None = None
    #: Leader of the running script's process group, which has the same id.
    script: Process | None = None
    outcome: Outcome | None = None
    #: The kernel's boot id: after a reboot, process ids mean other processes.
    boot: str = ""
    #: False: about to be acknowledged, and nothing was done for it yet.
    begun: bool = True
    #: How often it was begun before, and broken off.
    tries: int = 0


class Journal:
    """Reads and writes the entries. One worker writes its deployment's; the poller reads them after a crash."""

    def __init__(self, layout: Layout) -> None:
        self.ongoing = layout.ongoing
        self.directory = layout.journal

    def prepare(self) -> None:
        """Make the directories."""
        self.ongoing.mkdir(parents=True, exist_ok=True)
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def write(self, entry: Entry) -> None:
        """Note where a command is."""
        # A new line first: what a full disk cut off must not spoil the next note.
        noted = f"\n{json.dumps({**vars(entry), 'boot': boot_id()}, default=vars)}\n".encode()
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(self._path(entry.deployment_id), flags, 0o600)
        try:
            if os.write(descriptor, noted) < len(noted):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), os.fspath(self._path(entry.deployment_id)))
        finally:
            os.close(descriptor)

    def track(self, entry: Entry) -> None:
        """Write the official tracking file too: the command is about to change this host."""
        self.write(entry)
        write_atomically(self.ongoing / entry.deployment_id, entry.identifier.encode())

    def forget(self, deployment_id: str) -> None:
        """The command was reported, or must not be."""
        # The JSON file goes last: a tracking file alone would be reported as a failure.
        (self.ongoing / deployment_id).unlink(missing_ok=True)
        self._path(deployment_id).unlink(missing_ok=True)

    def find(self, deployment_id: str) -> Entry | None:
        """The entry of a deployment."""
        return self._read(self._path(deployment_id)) or self._tracked(self.ongoing / deployment_id)

    def left_over(self, now: float) -> list[Entry]:
        """Every entry a crash left, oldest first; those older than a day are removed."""
        names: dict[str, float] = {}
        for path in [*self.ongoing.iterdir(), *self.directory.iterdir()]:
            if path.name.endswith(UNFINISHED):
                # A file that was being written when we were killed; its command had not begun.
                path.unlink(missing_ok=True)
                continue
            deployment_id = path.name.removesuffix(".json")
            with suppress(OSError):
                names[deployment_id] = max(path.stat().st_mtime, names.get(deployment_id, 0.0))
        found = []
        for deployment_id, changed in sorted(names.items(), key=lambda item: item[1]):
            entry = self.find(deployment_id)
            if entry is None or now - changed > MAX_AGE_SECONDS:
                self.forget(deployment_id)
            else:
                found.append(entry)
        return found

    def _path(self, deployment_id: str) -> Path:
        return self.directory / f"{deployment_id}.json"

    @staticmethod
    def _read(path: Path) -> Entry | None:
        try:
            lines = path.read_bytes().splitlines()
        except OSError:
            return None
        return next((entry for line in reversed(lines) if (entry := _parsed(line)) is not None), None)

    @staticmethod
    def _tracked(path: Path) -> Entry | None:
        try:
            identifier = path.read_text().strip()
        except (OSError, UnicodeDecodeError):
            return None
        return Entry(deployment_id=path.name, identifier=identifier) if identifier else None


def _parsed(line: bytes) -> Entry | None:
    try:
        values = json.loads(line)
        for key, kind in (("worker", Process), ("script", Process), ("outcome", Outcome)):
            if values[key] is not None:
                values[key] = kind(**values[key])
        return Entry(**values)
    except (ValueError, TypeError, KeyError):
        return None


class CommandJournal:
    """The entry of the one command a worker carries out, rewritten as the command moves on."""

    def __init__(self, journal: Journal, entry: Entry) -> None:
        self._journal = journal
        self.entry = entry

    def announce(self) -> None:
        """The command is about to be acknowledged."""
        self._journal.write(replace(self.entry, begun=False))

    def begin(self) -> None:
        """The command is about to change this host."""
        self._journal.track(self.entry)

    def script_started(self, pid: int) -> None:
        """A script runs in the process group `pid`."""
        self.entry = replace(self.entry, script=process(pid))
        # It runs already. On a full disk only a crash in it would miss the note, and leave it running.
        with suppress(OSError):
            self._journal.write(self.entry)

    def script_ended(self) -> None:
        """No script runs."""
        self.entry = replace(self.entry, script=None)

    def finished(self, outcome: Outcome) -> None:
        """The outcome is known; only the report is missing."""
        self.entry = replace(self.entry, script=None, outcome=outcome)
        self._journal.write(self.entry)

    def reported(self) -> None:
        """The control plane knows."""
        self._journal.forget(self.entry.deployment_id)


def process(pid: int) -> Process | None:
    """The process as it is now; None when it is gone."""
    started = start_time(pid)
    return Process(pid=pid, started=started) if started is not None else None


@cache
def boot_id() -> str:
    """Names this boot of the kernel."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def start_time(pid: int) -> int | None:
    """When a process started, in clock ticks after boot; None when there is none (proc(5), field 22)."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:  # noqa: PTH123 - the hot path
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return int(fields[19])


def end_leftovers(entry: Entry) -> None:
    """Kill what a crashed command left running: its worker, then its script's process group."""
    if entry.boot != boot_id():
        return
    if entry.worker is not None and entry.worker.pid != os.getpid() and entry.worker.is_alive():
        with suppress(ProcessLookupError, PermissionError):
            os.kill(entry.worker.pid, signal.SIGKILL)
        deadline = time.monotonic() + 5
        while entry.worker.is_alive() and time.monotonic() < deadline and not _is_zombie(entry.worker.pid):
            time.sleep(0.01)
    if entry.script is None:
        return
    if entry.script.is_alive() or not _someone_else_has(entry.script.pid):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(entry.script.pid, signal.SIGKILL)


def _someone_else_has(pid: int) -> bool:
    """Whether the id now belongs to another process than the script (whose group may outlive it)."""
    return start_time(pid) is not None


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] in (b"Z", b"X")
    except OSError:
        return True
