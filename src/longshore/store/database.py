"""The database: open it, read it, write it; everything that differs by dialect is here.

Writes are grouped: one thread takes whatever is waiting and commits it together, each write under its own savepoint,
so that a fleet reporting at once costs one fsync and not hundreds. A write is done when its commit is.

The event loop's own quick work runs on the event loop: the driver gives the interpreter's lock away in every
statement, and a thread that has to win it back from a busy loop waits up to five milliseconds a statement.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import queue
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, CursorResult, Engine, Executable, create_engine, event
from sqlalchemy.engine import URL, make_url

from longshore.store import migrations
from longshore.store.wakeup import Topic, Wakeup

T = TypeVar("T")

#: Most writes in one transaction; bounds how long a reader of fresh rows waits behind a crowd.
_GROUP = 256
#: How long a statement may wait for another process's lock, milliseconds.
_BUSY_TIMEOUT_MS = 10_000
#: How long a caller waits for its turn and its commit, seconds; far beyond any healthy disk.
_WRITE_TIMEOUT = 60.0


class StoreClosedError(Exception):
    """The server is stopping; nothing was written."""


class Transaction:
    """One unit of work: all of it is committed, or none."""

    __slots__ = ("_cursor", "connection", "hints", "last")

    def __init__(self, connection: Connection) -> None:
        #: For SQLAlchemy Core.
        self.connection = connection
        #: Topics to tell once this is committed.
        self.hints: list[Topic] = []
        #: What is left to do right before the commit.
        self.last: list[tuple[Callable[[Transaction, list[Any]], None], Any]] = []
        self._cursor: Any = None

    def execute(self, statement: Executable, parameters: Any = None) -> CursorResult[*tuple[Any, ...]]:
        """Run a Core statement."""
        return self.connection.execute(statement, parameters)

    def hot(self, sql: str, parameters: tuple[Any, ...] = ()) -> Any:
        """Run SQL text with `?` marks through the driver, for the few statements that every host pays for.

        Returns the driver's cursor. Core's building and running of a statement costs some 90 µs; this, a few.
        """
        if self._cursor is None:
            self._cursor = self.connection.connection.cursor()
        self._cursor.execute(sql, parameters)
        return self._cursor

    def tell(self, topic: Topic) -> None:
        """Hint at this topic after the commit."""
        self.hints.append(topic)

    def at_commit(self, work: Callable[[Transaction, list[T]], None], item: T) -> None:
        """Have `work` called right before the commit, once for the items of everybody in this transaction.

        For what locks a row that all writers want: the lock is held for the commit alone, and taken last. If it fails,
        nothing of the transaction is committed.
        """
        self.last.append((work, item))

    def finish(self) -> None:
        """Do what was left for right before the commit."""
        by_work: dict[Callable[[Transaction, list[Any]], None], list[Any]] = {}
        for work, item in self.last:
            by_work.setdefault(work, []).append(item)
        for work, items in by_work.items():
            work(self, items)


class _Waiting:
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
        """Do the work; if it fails, it is undone, and nothing else is."""
        hinted, left = len(transaction.hints), len(transaction.last)
        transaction.hot("SAVEPOINT one")
        try:
            self.result = self.work(transaction)
        except Exception as error:
            self.error = error
            transaction.hot("ROLLBACK TO SAVEPOINT one")
            del transaction.hints[hinted:]
            del transaction.last[left:]
        transaction.hot("RELEASE SAVEPOINT one")

    def deliver(self) -> None:
        if self.future.done():  # the caller has gone away
            return
        if self.error is None:
            self.future.set_result(self.result)
        else:
            self.future.set_exception(self.error)


class _Writer:
    """A thread that runs waiting work together, in one transaction after another."""

    def __init__(self, engine: Engine, wakeup: Wakeup) -> None:
        self._engine = engine
        self._wakeup = wakeup
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def put(self, waiting: _Waiting) -> None:
        if self._closed:
            raise StoreClosedError("the database is closed")
        self._queue.put(waiting)

    @property
    def queued(self) -> int:
        return self._queue.qsize()

    def close(self) -> None:
        """Finish what is queued, then stop."""
        self._closed = True
        self._queue.put(None)
        self._thread.join(timeout=30)

    def _run(self) -> None:
        with self._engine.connect() as connection:
            while (group := self._next_group()) is not None:
                self._run_group(connection, group)
                self._deliver(group)

    def _next_group(self) -> list[_Waiting] | None:
        first = self._queue.get()
        if first is None:
            return None
        group = [first]
        with contextlib.suppress(queue.Empty):
            while len(group) < _GROUP:
                following = self._queue.get_nowait()
                if following is None:
                    self._queue.put(None)
                    break
                group.append(following)
        return group

    def _run_group(self, connection: Connection, group: list[_Waiting]) -> None:
        transaction = Transaction(connection)
        try:
            with connection.begin():
                for loop, several in _by_loop(waiting for waiting in group if waiting.quick).items():
                    _run_on(loop, transaction, several)
                for waiting in group:
                    if not waiting.quick:
                        waiting.run(transaction)
                transaction.finish()
        except Exception as error:
            # The commit failed, or the database itself did: nobody in this group may believe otherwise.
            for waiting in group:
                waiting.error = error
            return
        if transaction.hints:
            self._wakeup.publish(set(transaction.hints))

    def _deliver(self, group: list[_Waiting]) -> None:
        """Hand results over, with one wake-up of each event loop for the whole group."""
        for loop, several in _by_loop(group).items():
            if loop is None:
                _deliver_all(several)
            else:
                with contextlib.suppress(RuntimeError):  # the loop has closed: nobody listens any more
                    loop.call_soon_threadsafe(_deliver_all, several)


def _by_loop(group: Iterable[_Waiting]) -> dict[asyncio.AbstractEventLoop | None, list[_Waiting]]:
    by_loop: dict[asyncio.AbstractEventLoop | None, list[_Waiting]] = {}
    for waiting in group:
        by_loop.setdefault(waiting.loop, []).append(waiting)
    return by_loop


def _deliver_all(several: list[_Waiting]) -> None:
    for waiting in several:
        waiting.deliver()


def _run_on(loop: asyncio.AbstractEventLoop | None, transaction: Transaction, several: list[_Waiting]) -> None:
    """Have an event loop run work inside this thread's transaction; this thread waits and touches nothing."""
    done: Future[None] = Future()

    def run() -> None:
        if not done.set_running_or_notify_cancel():
            return
        for waiting in several:
            waiting.run(transaction)
        done.set_result(None)

    assert loop is not None
    loop.call_soon_threadsafe(run)
    try:
        done.result(timeout=_WRITE_TIMEOUT)
    except TimeoutError:
        if not done.cancel():
            done.result()
        else:
            raise


class Store:
    """The one way to the rows.

    `read` and `write` block and are for threads; `submit`, `fetch` and `peek` are for the event loop. What is given to
    them is a function of a `Transaction`; it must not wait for anything else.
    """

    def __init__(self, url: str | URL, wakeup: Wakeup) -> None:
        """Open the database at `url`, bringing its schema up to date first.

        Raises:
            migrations.NewerSchemaError: a newer Longshore has written this database.
        """
        self.wakeup = wakeup
        self._writing = _engine(url, begin="BEGIN IMMEDIATE")
        self._reading = _engine(url, begin="BEGIN")
        migrations.upgrade(self._writing)
        self._writer = _Writer(self._writing, wakeup)
        self._peeking: Transaction | None = None

    def write(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in a transaction and return its result once it is committed; its exception undoes it alone."""
        waiting = _Waiting(work, None)
        self._writer.put(waiting)
        result: T = waiting.future.result(timeout=_WRITE_TIMEOUT)
        return result

    async def submit(self, work: Callable[[Transaction], T], *, quick: bool = False) -> T:
        """`write`, for the event loop; with `quick`, for work of a few statements, run by the loop itself."""
        waiting = _Waiting(work, asyncio.get_running_loop(), quick=quick)
        self._writer.put(waiting)
        async with asyncio.timeout(_WRITE_TIMEOUT):
            return cast("T", await waiting.future)

    def later(self, work: Callable[[Transaction], Any]) -> None:
        """`write` what nobody waits for, and what may be lost when the server ends."""
        with contextlib.suppress(StoreClosedError):
            self._writer.put(_Waiting(work, None))

    def read(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` on one consistent view of the rows, and return its result."""
        with self._reading.connect() as connection, connection.begin():
            return work(Transaction(connection))

    async def fetch(self, work: Callable[[Transaction], T], *, quick: bool = False) -> T:
        """`read`, for the event loop, on a thread of its own; with `quick`, for a few statements of
        `Transaction.hot`, run by the loop itself."""
        if not quick:
            return await asyncio.to_thread(self.read, work)

        def in_one_view(transaction: Transaction) -> T:
            transaction.hot("BEGIN")
            try:
                return work(transaction)
            finally:
                transaction.hot("COMMIT")

        return self.peek(in_one_view)

    def peek(self, work: Callable[[Transaction], T]) -> T:
        """`read`, for the event loop's own thread, at once: for one quick statement of `Transaction.hot`."""
        if self._peeking is None:
            self._peeking = Transaction(self._reading.connect())
        # No transaction is open: each statement sees what was committed before it.
        return work(self._peeking)

    @property
    def queued_writes(self) -> int:
        """Writes that wait for their turn, about."""
        return self._writer.queued

    def is_current(self) -> bool:
        """Whether the database answers, and its schema is the one this code was made for."""
        return self.read(lambda tx: migrations.is_current(tx.connection))

    def close(self) -> None:
        """Commit what is waiting, and close."""
        self._writer.close()
        if self._peeking is not None:
            self._peeking.connection.close()
        self._writing.dispose()
        self._reading.dispose()


def from_json(value: Any) -> Any:
    """What a JSON column holds, as `Transaction.hot` reads it: some drivers have parsed it already, and some not."""
    return json.loads(value) if isinstance(value, str) else value


#: What `Transaction.hot` writes into a JSON column.
as_json: Callable[[Any], str] = json.JSONEncoder(separators=(",", ":")).encode


def sqlite_url(path: Path) -> URL:
    """The URL of the embedded database in this file."""
    return URL.create("sqlite", database=str(path))


def _engine(url: str | URL, *, begin: str) -> Engine:
    engine = create_engine(make_url(url), pool_size=8, max_overflow=8)

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        # Python's driver must not begin transactions by itself: we say which kind we want.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (
            f"busy_timeout={_BUSY_TIMEOUT_MS}",
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            "cache_size=-16000",
            "temp_store=MEMORY",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def start(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine
