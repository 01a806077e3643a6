"""What the running agent lets others know of itself: which process it is, and whether it hears from its control plane.

It stands in the file whose lock the agent holds. An answered poll only touches that file: its time of change is when
the control plane was heard last.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from longshore.agent.journal import Process, process
from longshore.agent.version import VERSION

#: A poll is not answered yet; the last one was; the last one failed.
ASKING, POLLING, FAILING = "asking", "polling", "failing"


class Presence:
    """The agent's side. A disk that is full must not end the agent, so nothing here raises."""

    def __init__(self, descriptor: int) -> None:
        self._file = descriptor
        self._state = ""
        self._reason = ""
        self._since = time.time()
        self._heard: float | None = None
        self._failing_since: float | None = None

    def asks(self) -> None:
        """A poll was sent. It may be held for a minute, which is as good as an answer."""
        if self._state != POLLING:
            self._say(ASKING)

    def heard(self) -> None:
        """The control plane answered."""
        self._heard = time.time()
        self._failing_since = None
        if self._state != POLLING:
            self._say(POLLING)
        else:
            with suppress(OSError):
                os.utime(self._file)

    def fails(self, reason: str) -> None:
        """It did not, or refused."""
        self._failing_since = self._failing_since or time.time()
        if (self._state, self._reason) != (FAILING, reason):
            self._say(FAILING, reason)

    def _say(self, state: str, reason: str = "") -> None:
        if state != self._state:
            self._since = (state == FAILING and self._failing_since) or time.time()
        self._state, self._reason = state, reason
        own = process(os.getpid())
        said = {
            "process": own and {"pid": own.pid, "started": own.started},
            "version": VERSION,
            "state": state,
            "since": self._since,
            "heard": self._heard,
            "reason": reason,
        }
        with suppress(OSError):
            text = json.dumps(said).encode() + b"\n"
            os.pwrite(self._file, text, 0)
            os.ftruncate(self._file, len(text))


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What somebody else can tell of the agent."""

    process: Process
    version: str
    state: str
    #: Epoch seconds since which it is so.
    since: float
    #: When the control plane answered last.
    heard: float | None
    reason: str

    @property
    def is_alive(self) -> bool:
        return self.process.is_alive()


def look(file: Path) -> Seen | None:
    """The agent that runs there, or ran last; None where none ever did. Raises OSError."""
    try:
        changed = file.stat().st_mtime
        said = json.loads(file.read_text())
        heard = changed if said["state"] == POLLING else said["heard"]
        return Seen(
            process=Process(**said["process"]),
            version=said["version"],
            state=said["state"],
            since=said["since"],
            heard=heard,
            reason=said["reason"],
        )
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        # Empty, or of an agent that said nothing yet.
        return None
