"""Work that waits for its turn on another thread, and how what it came to gets back."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any, NamedTuple

from longshore.store.transaction import Transaction

#: Asks what a work will want to know first, and keeps the question in `Transaction.foreseen`.
Foresee = Callable[[Transaction], None]


class Marks:
    """Savepoints, one for each work of a transaction of several: what fails is undone, and nothing else is.

    Nobody waits for what a work changes: it is carried out with what a later one asks. So it may be then that a work
    proves to have failed. It is the last whose savepoint was set, and those behind it, which were told no more than
    what they had foreseen, are done again.
    """

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self._is_set = False
        self._to_foresee: list[Foresee] = []
        #: Works that are not known to have failed, in their order.
        self._done: list[_Marked] = []

    def run(self, works: Iterable[Waiting]) -> None:
        """Do these, each after the last, and first those that foresee: what they want to know is asked at once."""
        left = deque(sorted(works, key=lambda waiting: waiting.foresee is None))
        self._to_foresee = [waiting.foresee for waiting in left if waiting.foresee is not None]
        while left:
            try:
                self._run(left.popleft())
            except Exception as error:
                left.extendleft(self._undo(error))

    def finish(self) -> None:
        """Have everything carried out."""
        while self._done:
            try:
                return self._transaction.settle()
            except Exception as error:
                again = self._undo(error)
            self.run(reversed(again))

    def _run(self, waiting: Waiting) -> None:
        transaction = self._transaction
        if self._is_set:
            transaction.hot("RELEASE SAVEPOINT one")
        mark = transaction.hot("SAVEPOINT one")
        self._done.append(_Marked(waiting, mark, len(transaction.hints), len(transaction.last)))
        self._is_set = True
        if waiting.foresee is None:
            transaction.foreseen.clear()
        while self._to_foresee:
            self._to_foresee.pop()(transaction)
        waiting.result = waiting.work(transaction)

    def _undo(self, error: Exception) -> list[Waiting]:
        """Undo the work that has failed; returns whom to do again, the last first."""
        transaction = self._transaction
        late = error
        try:
            transaction.settle()
        except Exception as other:
            late = other
        last = len(self._done) - 1
        at = next((n for n in range(last, -1, -1) if transaction.is_carried_out(self._done[n].mark)), last)
        failed, self._done, again = self._done[at], [], [one.waiting for one in self._done[:at:-1]]
        failed.waiting.result, failed.waiting.error = None, error if at == last else late
        transaction.hot("ROLLBACK TO SAVEPOINT one")
        transaction.known.clear()
        del transaction.hints[failed.hinted :]
        del transaction.last[failed.left :]
        return again


class _Marked(NamedTuple):
    waiting: Waiting
    #: Its savepoint.
    mark: Any
    #: How many hints there were before it, and works that were left to do.
    hinted: int
    left: int


class Waiting:
    """A queued piece of work, and where its outcome goes."""

    __slots__ = ("error", "foresee", "future", "loop", "quick", "result", "work")

    def __init__(
        self,
        work: Callable[[Transaction], Any],
        loop: asyncio.AbstractEventLoop | None,
        *,
        quick: bool = False,
        foresee: Foresee | None = None,
    ) -> None:
        self.work = work
        self.foresee = foresee
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

    async def outcome(self, timeout: float) -> Any:
        """What it comes to, for the event loop. Raises TimeoutError after so many seconds."""
        assert self.loop is not None
        # Some five microseconds less of every call than asyncio.timeout.
        giving_up = self.loop.call_later(timeout, self._give_up)
        try:
            return await self.future
        finally:
            giving_up.cancel()

    def _give_up(self) -> None:
        if not self.future.done():
            self.future.set_exception(TimeoutError())

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
