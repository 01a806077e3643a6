"""Quick looks for the event loop at a database across a network.

Nearly all are `glancing`'s. For the others, threads of their own take whatever waits and look at it on one view: a look
that had to begin a transaction, end it and find a thread for each would cost several times what it asks for.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from collections.abc import Callable
from typing import TypeVar, cast

from sqlalchemy import Connection, Engine

from longshore.store.dialect import Dialect, explained
from longshore.store.errors import StoreClosedError
from longshore.store.glancing import Glancer, NotAtOnceError
from longshore.store.transaction import Transaction
from longshore.store.waiting import Waiting, deliver

T = TypeVar("T")

#: Views at once: while one waits for the database, another makes something of what it was told.
_THREADS = 3
#: Looks on one view; those behind wait for another thread.
_GROUP = 16
#: How long a caller waits for its turn and its answer, seconds; statements are bounded far below.
_TIMEOUT = 60.0
#: How long the threads get to end, seconds.
_CLOSE = 5.0


class Looker:
    """Looks, for coroutines, at what was committed before they asked."""

    def __init__(self, dialect: Dialect, reading: Engine) -> None:
        self._dialect = dialect
        self._reading = reading
        self._glancer = Glancer(reading)
        self._queue: queue.SimpleQueue[Waiting | None] = queue.SimpleQueue()
        self._closed = False
        self._threads = [threading.Thread(target=self._run, name=f"look-{n}", daemon=True) for n in range(_THREADS)]
        for thread in self._threads:
            thread.start()

    async def look(self, work: Callable[[Transaction], T]) -> T:
        """What `work` says of one consistent view of the rows; it may be run twice.

        Raises:
            StoreUnavailableError: the database is out of reach.
        """
        if self._closed:
            raise StoreClosedError("the database is closed")
        with contextlib.suppress(NotAtOnceError):
            return await self._glancer.look(work)
        waiting = Waiting(work, asyncio.get_running_loop())
        self._queue.put(waiting)
        return cast("T", await waiting.outcome(_TIMEOUT))

    def close(self) -> None:
        """Look at what is queued, then stop; a database that does not answer is not waited for."""
        self._closed = True
        self._glancer.close()
        for _ in self._threads:
            self._queue.put(None)
        end = time.monotonic() + _CLOSE
        for thread in self._threads:
            thread.join(timeout=max(0.0, end - time.monotonic()))

    def _run(self) -> None:
        eye = _Eye(self._dialect, self._reading)
        while (first := self._queue.get()) is not None:
            group = [first]
            with contextlib.suppress(queue.Empty):
                while len(group) < _GROUP:
                    following = self._queue.get_nowait()
                    if following is None:
                        self._queue.put(None)
                        break
                    group.append(following)
            eye.look(group)
        eye.close()


class _Eye:
    """One thread's connection."""

    def __init__(self, dialect: Dialect, reading: Engine) -> None:
        self._dialect = dialect
        self._reading = reading
        self._connection: Connection | None = None

    def look(self, group: list[Waiting]) -> None:
        """Answer these, on as few views as it takes: a statement that fails spoils the view for those that follow."""
        was_away = False
        while group:
            try:
                if self._connection is None:
                    self._connection = self._reading.connect()
                group = self._on_one_view(self._connection, group)
            except Exception as error:
                # Nobody knows of an idle connection that it is dead but by using it: one more try.
                self.close()
                if was_away or not self._dialect.is_away(error):
                    for waiting in group:
                        waiting.error = explained(self._dialect, error)
                    deliver(group)
                    return
                was_away = True

    def close(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(Exception):
                self._connection.invalidate()
                self._connection.close()
        self._connection = None

    def _on_one_view(self, connection: Connection, group: list[Waiting]) -> list[Waiting]:
        """Look for these until one fails; returns those behind it. Nobody waits for the view's end."""
        transaction = Transaction(connection, self._dialect)
        transaction.hot(self._dialect.view)
        looked = 0
        for waiting in group:
            try:
                waiting.result, waiting.error = waiting.work(transaction), None
                transaction.settle()
            except Exception as error:
                if self._dialect.is_away(error):
                    raise
                waiting.error = error
            looked += 1
            if waiting.error is not None:
                break
        deliver(group[:looked])
        # Nothing was changed. A view that an error has spoiled can be ended no other way.
        if connection.in_transaction():
            connection.rollback()
        else:
            transaction.hot("ROLLBACK")
            transaction.settle()
        return group[looked:]
