"""Work that waits for its turn on another thread, and how what it came to gets back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any

from longshore.store.transaction import Transaction


class Marks:
    """Savepoints, one for each work of a transaction of several: what fails is undone, and nothing else is.

    What a work changes last may be carried out only with what the next one asks: nobody waits for it by itself.
    """

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self._is_set = False
        #: The work whose savepoint it is, and how many hints there were before it, and what was left to do.
        self._open: Waiting | None = None
        self._at = (0, 0)

    def run(self, waiting: Waiting) -> None:
        """Do one work. It is done again if the one before it proves to have failed: it was told nothing yet."""
        transaction = self._transaction
        before, at = self._open, self._at
        self._at = (len(transaction.hints), len(transaction.last))
        if self._is_set:
            transaction.hot("RELEASE SAVEPOINT one")
        mark = transaction.hot("SAVEPOINT one")
        try:
            waiting.result = waiting.work(transaction)
            if before is not None and not transaction.is_carried_out(mark):
                transaction.settle()  # it asked nothing: let no more than one be open
        except Exception as error:
            problem = error
        else:
            self._is_set, self._open = True, waiting
            return
        try:
            transaction.settle()
        except Exception as error:
            late = error
        else:
            late = problem
        if before is None or transaction.is_carried_out(mark):
            self._is_set = True
            self._undo(waiting, problem)
        else:
            self._at = at
            self._undo(before, late)
            self.run(waiting)

    def finish(self) -> None:
        """Have the last one's changes carried out."""
        try:
            self._transaction.settle()
        except Exception as error:
            if self._open is None:
                raise
            self._undo(self._open, error)

    def _undo(self, waiting: Waiting, error: Exception) -> None:
        waiting.result, waiting.error = None, error
        transaction, (hinted, left) = self._transaction, self._at
        transaction.hot("ROLLBACK TO SAVEPOINT one")
        transaction.known.clear()
        del transaction.hints[hinted:]
        del transaction.last[left:]
        self._open = None


class Waiting:
    """A queued piece of work, and where its outcome goes."""

    __slots__ = ("error", "future", "loop", "quick", "result", "work")

    def __init__(
        self, work: Callable[[Transaction], Any], loop: asyncio.AbstractEventLoop | None, *, quick: bool = False
    ) -> None:
        self.work = work
        self.loop = loop
        self.quick = quick
        self.future: Any = Future() if loop is None else loop.create_future()
        self.result: Any = None
        self.error: Exception | None = None

    def run(self, transaction: Transaction) -> None:
        """Do the work; who began the transaction undoes it if it fails."""
        try:
            self.result = self.work(transaction)
        except Exception as error:
            self.error = error

    def deliver(self) -> None:
        if self.future.done():  # the caller has gone away
            return
        if self.error is None:
            self.future.set_result(self.result)
        else:
            self.future.set_exception(self.error)


def by_loop(group: Iterable[Waiting]) -> dict[asyncio.AbstractEventLoop | None, list[Waiting]]:
    by_loop: dict[asyncio.AbstractEventLoop | None, list[Waiting]] = {}
    for waiting in group:
        by_loop.setdefault(waiting.loop, []).append(waiting)
    return by_loop


def deliver(group: Iterable[Waiting]) -> None:
    """Hand results over, with one wake-up of each event loop for the whole group."""
    for loop, several in by_loop(group).items():
        if loop is None:
            _deliver_all(several)
        else:
            with contextlib.suppress(RuntimeError):  # the loop has closed: nobody listens any more
                loop.call_soon_threadsafe(_deliver_all, several)


def _deliver_all(several: list[Waiting]) -> None:
    for waiting in several:
        waiting.deliver()
