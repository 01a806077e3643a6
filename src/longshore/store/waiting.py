"""Work that waits for its turn on another thread, and how what it came to gets back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any

from longshore.store.transaction import Transaction


class Marks:
    """Savepoints, one for each work of a transaction of several: what fails is undone, and nothing else is."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self._is_set = False

    def set(self) -> None:
        if self._is_set:
            self._transaction.hot("RELEASE SAVEPOINT one")
        self._transaction.hot("SAVEPOINT one")
        self._is_set = True

    def undo(self) -> None:
        with contextlib.suppress(Exception):
            self._transaction.settle()  # what the work has begun may fail as well, and is undone all the same
        self._transaction.hot("ROLLBACK TO SAVEPOINT one")


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

    def run(self, transaction: Transaction, marks: Marks | None) -> None:
        """Do the work. Without `marks` it is the only one, and who began the transaction undoes it if it fails."""
        hinted, left = len(transaction.hints), len(transaction.last)
        if marks is not None:
            marks.set()
        try:
            self.result = self.work(transaction)
            if marks is not None:
                transaction.settle()  # a failure is to be this work's own
        except Exception as error:
            self.error = error
            if marks is not None:
                marks.undo()
            del transaction.hints[hinted:]
            del transaction.last[left:]

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
