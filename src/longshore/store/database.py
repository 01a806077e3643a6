"""The database: open it, read it, write it. What differs between SQLite and PostgreSQL stands in their own files.

Writes are grouped: one thread takes whatever is waiting and commits it together, each write under its own savepoint
where they are several, so that a fleet reporting at once costs one fsync and not hundreds. A write is done when its
commit is.

With the embedded database the event loop's own quick work runs on the event loop: the driver gives the interpreter's
lock away in every statement, and a thread that has to win it back from a busy loop waits up to five milliseconds a
statement. A database across a network is never waited for there: `looking` takes the quick looks at it.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

import orjson
import structlog
from sqlalchemy import Connection
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from longshore.store import migrations
from longshore.store.dialect import Dialect, explained
from longshore.store.errors import DatabaseUrlError, NewerSchemaError, StoreClosedError, StoreUnavailableError
from longshore.store.sqlite import SQLite
from longshore.store.transaction import Transaction as Transaction
from longshore.store.waiting import Foresee, Marks, Waiting, by_loop, deliver
from longshore.store.wakeup import Topic, Wakeup

log = structlog.get_logger()

T = TypeVar("T")

#: Most writes in one transaction; bounds how long a reader of fresh rows waits behind a crowd.
_GROUP = 256
#: How long a caller waits for its turn and its commit, seconds; far beyond any healthy disk.
_WRITE_TIMEOUT = 60.0


class _Writer:
    """A thread that runs waiting work together, in one transaction after another."""

    def __init__(self, dialect: Dialect, wakeup: Wakeup) -> None:
        self._dialect = dialect
        self._wakeup = wakeup
        self._engine = dialect.writing()
        migrations.upgrade(self._engine, dialect)
        self._queue: queue.SimpleQueue[Sequence[Waiting] | None] = queue.SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def put(self, *waiting: Waiting) -> None:
        """Queue work; several are done in one transaction."""
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
        self._engine.dispose()

    def _run(self) -> None:
        connection: Connection | None = None
        while (group := self._next_group()) is not None:
            try:
                connection = connection or self._engine.connect()
                told = self._commit(connection, group)
            except Exception as error:
                # The commit failed, or the database itself did: nobody in this group may believe otherwise.
                told = set()
                for waiting in group:
                    waiting.error = explained(self._dialect, error)
                if isinstance(error, NewerSchemaError):
                    self._wakeup.nudge_engine()  # it is to learn of it at once, and stop
                # Whatever is wrong with the connection, its transaction ends with it.
                if connection is not None and not connection.invalidated:
                    connection.invalidate()
            if connection is not None and connection.invalidated:
                with contextlib.suppress(Exception):
                    connection.close()
                connection = None
            if told:
                self._wakeup.publish(told)
            deliver(group)
        if connection is not None:
            connection.close()

    def _next_group(self) -> list[Waiting] | None:
        first = self._queue.get()
        if first is None:
            return None
        group = [*first]
        with contextlib.suppress(queue.Empty):
            while len(group) < _GROUP:
                following = self._queue.get_nowait()
                if following is None:
                    self._queue.put(None)
                    break
                group += following
        return group

    def _commit(self, connection: Connection, group: list[Waiting]) -> set[Topic]:
        """Do all the work in one transaction; returns whom to tell."""
        begun = connection.begin()
        transaction = Transaction(connection, self._dialect)
        opening = transaction.hot(self._dialect.opening)
        marks = Marks(transaction) if len(group) > 1 else None

        def do(several: Iterable[Waiting]) -> None:
            if marks is not None:
                return marks.run(several)
            for waiting in several:
                waiting.run(transaction)

        for loop, several in by_loop(waiting for waiting in group if waiting.quick).items():
            _run_on(loop, partial(do, several))
        do(waiting for waiting in group if not waiting.quick)
        if marks is not None:
            marks.finish()
        # Read this late, it came with the first answer.
        schema, receipt = opening.fetchone()
        migrations.require_current(schema)
        if marks is None and (error := group[0].error) is not None:
            if self._dialect.is_away(error):
                raise error
            begun.rollback()
            return set()
        transaction.finish()
        topics = set(transaction.hints)
        if topics:
            self._dialect.pass_on(transaction.hot, topics)
        try:
            begun.commit()
        except Exception as error:
            if not self._dialect.is_away(error):
                raise
            log.warning("commit_unanswered", writes=len(group))
            if not self._dialect.was_committed(self._engine, receipt):
                raise
            connection.invalidate()
        return topics


def _run_on(loop: asyncio.AbstractEventLoop | None, do: Callable[[], None]) -> None:
    """Have an event loop work inside this thread's transaction; this thread waits and touches nothing."""
    done: Future[None] = Future()

    def run() -> None:
        if not done.set_running_or_notify_cancel():
            return
        try:
            do()
        except BaseException as error:
            done.set_exception(error)
        else:
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
    them is a function of a `Transaction`; it must not wait for anything else, and may be run twice, a write only if it
    was told nothing the first time, or only what it had foreseen.

    All of them raise StoreUnavailableError while the database is out of reach, and find it again by themselves.
    """

    def __init__(self, url: str | URL, wakeup: Wakeup) -> None:
        """Open the database at `url`, bringing its schema up to date first.

        Raises:
            DatabaseUrlError: the URL names no database that we know.
            StoreUnavailableError: the database is out of reach.
            UnfitDatabaseError: it could not hold what it would have to.
            NewerSchemaError: a newer Longshore has written this database.
        """
        self.wakeup = wakeup
        self._dialect = dialect_of(url)
        try:
            self._writer = _Writer(self._dialect, wakeup)
        except Exception as error:
            if self._dialect.is_away(error):
                raise StoreUnavailableError(f"The database is out of reach: {error}") from error
            raise
        self._reading = self._dialect.reading()
        self._relay = self._dialect.relay(wakeup)
        self._looker = self._dialect.looker(self._reading)
        self._peeking: Transaction | None = None

    def write(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in a transaction and return its result once it is committed; its exception undoes it alone."""
        waiting = Waiting(work, None)
        self._writer.put(waiting)
        result: T = waiting.future.result(timeout=_WRITE_TIMEOUT)
        return result

    def write_each(self, works: Sequence[Callable[[Transaction], T]]) -> list[T | Exception]:
        """`write` for many at once, with one commit; each ends by itself, with its result or its exception."""
        waiting = [Waiting(work, None) for work in works]
        if waiting:
            self._writer.put(*waiting)
        return [_outcome(one.future) for one in waiting]

    async def submit(
        self, work: Callable[[Transaction], T], *, quick: bool = False, foresee: Foresee | None = None
    ) -> T:
        """`write`, for the event loop; with `quick`, for work of a few statements, run by the loop itself if it may.

        `foresee` is for work that asks what it has foreseen before it changes anything, and leaves true what others of
        its kind have.
        """
        is_quick = quick and not self._dialect.is_remote
        waiting = Waiting(work, asyncio.get_running_loop(), quick=is_quick, foresee=foresee)
        self._writer.put(waiting)
        return cast("T", await waiting.outcome(_WRITE_TIMEOUT))

    def later(self, work: Callable[[Transaction], Any]) -> None:
        """`write` what nobody waits for, and what may be lost when the server ends."""
        with contextlib.suppress(StoreClosedError):
            self._writer.put(Waiting(work, None))

    def read(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` on one consistent view of the rows, and return its result."""

        def look() -> T:
            with self._reading.connect() as connection, connection.begin():
                return work(Transaction(connection, self._dialect))

        return self._twice(look)

    async def fetch(self, work: Callable[[Transaction], T], *, quick: bool = False) -> T:
        """`read`, for the event loop, on a thread of its own; with `quick`, for a few statements of
        `Transaction.hot`, run by the loop itself if it may."""
        if not quick:
            return await asyncio.to_thread(self.read, work)
        if self._looker is not None:
            return await self._looker.look(work)

        def in_one_view(transaction: Transaction) -> T:
            transaction.hot("BEGIN")
            try:
                return work(transaction)
            finally:
                transaction.hot("COMMIT")

        return await self.peek(in_one_view)

    async def peek(self, work: Callable[[Transaction], T]) -> T:
        """A quick look by a few statements, for the event loop: each sees what was committed before it."""
        if self._looker is not None:
            return await self._looker.look(work)
        if self._peeking is None:
            self._peeking = Transaction(self._reading.connect(), self._dialect)
        try:
            return work(self._peeking)
        finally:
            # Core begins a transaction by itself, and it must not stay: the next look would see the same rows again.
            if self._peeking.connection.in_transaction():
                self._peeking.connection.rollback()

    def _twice(self, look: Callable[[], T]) -> T:
        """Look again if the connection proves to be dead: nobody knows it of an idle one but by using it."""
        try:
            return look()
        except Exception as error:
            if not self._dialect.is_away(error):
                raise
        self._reading.dispose()
        try:
            return look()
        except Exception as error:
            if not self._dialect.is_away(error):
                raise
            raise StoreUnavailableError(f"The database is out of reach: {error}") from error

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
        if self._relay is not None:
            self._relay.close()
        if self._looker is not None:
            self._looker.close()
        if self._peeking is not None:
            self._peeking.connection.close()
        self._reading.dispose()


def _outcome(future: Future[T]) -> T | Exception:
    try:
        return future.result(timeout=_WRITE_TIMEOUT)
    except Exception as error:
        return error


def from_json(value: Any) -> Any:
    """What a JSON column holds, as `Transaction.hot` reads it: some drivers have parsed it already, and some not."""
    return orjson.loads(value) if isinstance(value, str) else value


def as_json(value: Any) -> str:
    """What `Transaction.hot` writes into a JSON column."""
    return orjson.dumps(value).decode()


def sqlite_url(path: Path) -> URL:
    """The URL of the embedded database in this file."""
    return URL.create("sqlite", database=str(path))


def dialect_of(url: str | URL) -> Dialect:
    """The kind of database at a URL. Raises DatabaseUrlError."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        # Not repeated here: it may hold a password.
        raise DatabaseUrlError(f"The database's URL cannot be read. {_WANTED}") from None
    match parsed.get_backend_name():
        case "sqlite":
            return SQLite(parsed)
        case "postgresql" | "postgres":
            # Imported here because its driver is 10 MB that the embedded database has no use for.
            from longshore.store.postgresql import PostgreSQL

            return PostgreSQL(parsed)
    raise DatabaseUrlError(f"There is no support for {parsed.drivername!r} databases. {_WANTED}")


_WANTED = "It should read postgresql://USER:PASSWORD@HOST:PORT/DATABASE."
