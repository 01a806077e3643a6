"""Tells the control plane what a hook says while it runs. Best effort: no hook is ever slower or worse for it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from longshore.agent import backoff
from longshore.agent.errors import WireError
from longshore.agent.event_log import TAIL_CHARACTERS

#: Characters told of one event; what comes after is counted.
MOST_CHARACTERS = 1024 * 1024
#: Characters told in one call.
CALL_CHARACTERS = 64 * 1024
#: Between a hook's first word and the first call, so that a short hook costs none; and between calls, seconds.
FIRST_SECONDS = 0.25
PAUSE_SECONDS = 1.0
#: How long the report of an event waits for the last lines to be told, seconds.
FLUSH_SECONDS = 1.0

#: Told once a call: the call's number, whole lines, lines that were dropped before them. Whether more is wanted.
#: Raises WireError.
Tell = Callable[[int, str, int], bool]


class LiveLog:
    """The log of one event on its way to the control plane: lines are put in, a thread of its own sends them."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._changed = threading.Condition()
        self._lines: deque[str] = deque()
        self._room = MOST_CHARACTERS
        self._dropped = 0
        #: Lines in the call that is out, or told of by it as dropped.
        self._out = 0
        self._sequence = 0
        self._closing = False
        #: The control plane wants no more of this event, or did not understand.
        self._is_over = False
        self._is_stuck = False
        #: Nothing of later events need be tried: the control plane knows no live logs, or does not want this host's.
        self.is_refused = False
        self._thread: threading.Thread | None = None

    def add(self, lines: list[str]) -> None:
        """Lines that were said, each without its newline. Returns at once."""
        with self._changed:
            for line in lines:
                told = line[: CALL_CHARACTERS - 1]
                self._room -= len(told) + 1
                if self._room < 0 or self._is_over:
                    self._dropped += 1
                else:
                    self._lines.append(told)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="live-log", daemon=True)
                try:
                    self._thread.start()
                except RuntimeError:  # no thread is to be had; the hook goes on without
                    self._thread, self._is_over = None, True

    def close(self) -> int:
        """Wait a moment for what is left to be told; how many lines were not.

        What was short in every way is not told at all: the report of the event carries it whole.
        """
        with self._changed:
            if self._sequence == 0 and not self._out and MOST_CHARACTERS - self._room < TAIL_CHARACTERS:
                self._lines.clear()
            self._closing = True
            self._changed.notify()
            patience = 0.0 if self._is_stuck else FLUSH_SECONDS
        if self._thread is not None:
            self._thread.join(patience)
        with self._changed:
            return len(self._lines) + self._dropped + self._out

    @property
    def is_done(self) -> bool:
        """Whether its thread has ended, so that the connection is free for another."""
        return self._thread is None or not self._thread.is_alive()

    def _run(self) -> None:
        pause, failures = FIRST_SECONDS, 0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closing, pause)
                closing = self._closing
                lines, dropped = self._next(closing=closing)
                self._out = len(lines) + dropped
            if not lines and not dropped:
                if closing:
                    return
                pause = PAUSE_SECONDS
                continue
            try:
                is_wanted = self._tell(self._sequence, "".join(f"{line}\n" for line in lines), dropped)
            except WireError as error:
                self._put_back(lines, dropped)
                failures += 1
                self._is_stuck = True
                # Without the right to tell it the end of the log, in the report, has to do.
                self.is_refused = not error.is_transient or error.code.startswith("AccessDenied")
                if closing or self.is_refused:
                    return
                pause = backoff.delay(failures, error)
                continue
            failures, self._is_stuck = 0, False
            self._sequence += 1
            with self._changed:
                self._out = 0
                if not is_wanted:
                    self._dropped += len(self._lines)
                    self._lines.clear()
                    if self._is_over:
                        return
                    self._is_over = True
                pause = 0.0 if self._lines else PAUSE_SECONDS

    def _next(self, *, closing: bool) -> tuple[list[str], int]:
        """What the next call tells. Lines are dropped once there are too many, so their number is told last."""
        size = 0
        lines = []
        while self._lines and size + len(self._lines[0]) + 1 <= CALL_CHARACTERS:
            lines.append(self._lines.popleft())
            size += len(lines[-1]) + 1
        if lines or not closing:
            return lines, 0
        dropped, self._dropped = self._dropped, 0
        return [], dropped

    def _put_back(self, lines: list[str], dropped: int) -> None:
        with self._changed:
            self._lines.extendleft(reversed(lines))
            self._dropped += dropped
            self._out = 0
