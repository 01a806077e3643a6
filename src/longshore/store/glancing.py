"""Looks that the event loop takes by itself at PostgreSQL: all that one asks goes out at once, and nobody waits.

What looks is run until it wants to know the first outcome. What it has asked by then is sent, many looks' questions
one behind the other on one connection, and when the answers are there it is run again, with them. So it takes no
thread, which would have to win the interpreter's lock back from the loop, and no transaction: what is sent at once is
carried out on one view.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import psycopg
import structlog
from psycopg.pq import ConnStatus, ExecStatus
from sqlalchemy import Connection, Engine

from longshore.store.pipeline import Outcome, Pipeline
from longshore.store.transaction import Transaction

log = structlog.get_logger()

T = TypeVar("T")

#: After a failed attempt to connect the next is not made for so long, seconds.
_PAUSE = 1.0
#: How long an answer is waited for, seconds; statements are bounded below. Then the look is taken elsewhere.
_TIMEOUT = 60.0


class NotAtOnceError(Exception):
    """This look cannot be taken here: it asks more than once, or something is wrong, which another look will tell."""


class _NotYetError(Exception):
    """An outcome is wanted that is not there."""


class _Questions:
    """What a look asks. It takes a dialect's and a connection's place in the look's transaction."""

    def __init__(self, rows: Callable[[Any], list[tuple[Any, ...]]]) -> None:
        self.asked: list[Outcome] = []
        self.rows = rows
        self._next = 0

    def answer(self, work: Callable[[Transaction], T]) -> T:
        """What the look says, by the answers that are there. Raises _NotYetError."""
        self._next = 0
        return work(Transaction(self, self))  # type: ignore[arg-type]  # as much of both as a look uses

    def cursor(self, _connection: Any) -> _Questions:
        return self

    def execute(self, sql: Any, parameters: Any = ()) -> Outcome:
        if not isinstance(sql, str):
            raise NotAtOnceError  # it is Core's
        at, self._next = self._next, self._next + 1
        if at == len(self.asked):
            self.asked.append(Outcome(self, sql, parameters))
        elif (self.asked[at].sql, self.asked[at].parameters) != (sql, parameters):
            raise NotAtOnceError
        return self.asked[at]

    def settle(self, _cursor: Any = None) -> None:
        if any(not outcome.has_come for outcome in self.asked):
            raise _NotYetError


class Glancer:
    """Takes looks on one connection, for one event loop at a time."""

    def __init__(self, reading: Engine) -> None:
        self._reading = reading
        self._wire: _Wire | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._closed = False

    async def look(self, work: Callable[[Transaction], T]) -> T:
        """What `work` says; it is run twice. Raises NotAtOnceError for one that must be taken elsewhere."""
        wire = self._wire
        if wire is None or not wire.is_usable:
            self._connect()
            raise NotAtOnceError
        questions = _Questions(wire.rows)
        with contextlib.suppress(_NotYetError):
            said = questions.answer(work)
            if not questions.asked:
                return said
        await wire.ask(questions.asked)
        try:
            return questions.answer(work)
        except _NotYetError:
            raise NotAtOnceError from None

    def close(self) -> None:
        self._closed = True
        if self._wire is not None:
            self._wire.close()

    def _connect(self) -> None:
        """Have a connection made, unless one is being made; the first looks of a loop are taken elsewhere."""
        loop = asyncio.get_running_loop()
        if self._closed or (self._connecting is not None and self._connecting.get_loop() is loop):
            return
        if self._wire is not None:
            self._wire.close()
        self._wire = None
        self._connecting = loop.create_task(self._have_connected())

    async def _have_connected(self) -> None:
        try:
            wire = _Wire(await asyncio.to_thread(self._reading.connect))
        except Exception as error:
            log.warning("no_glances", reason=" ".join(str(error).split())[:300])
            await asyncio.sleep(_PAUSE)
        else:
            self._wire = wire
            if self._closed:
                wire.close()
        finally:
            self._connecting = None


class _Asked(NamedTuple):
    """A look's questions, on their way."""

    answered: asyncio.Future[None]
    expected: deque[tuple[Outcome, bool]]
    since: float


class _Wire:
    """A connection on which questions go out whenever they come up, and answers are taken as they come in."""

    def __init__(self, connection: Connection) -> None:
        connection.detach()  # it goes back to no pool
        self._connection = connection
        self._pipeline: Pipeline = connection.info[Pipeline]
        self._libpq = self._pipeline.libpq
        self._libpq.enter_pipeline_mode()
        self._socket = self._libpq.socket
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self._read)
        self._is_over = False
        #: Who waits for which replies, and since when, in the order of their sending.
        self._waiting: deque[_Asked] = deque()
        self._watch: asyncio.TimerHandle | None = None

    @property
    def is_usable(self) -> bool:
        return not self._is_over and self._loop is asyncio.get_running_loop()

    def rows(self, result: Any) -> list[tuple[Any, ...]]:
        return self._pipeline.rows(result)

    async def ask(self, asked: Sequence[Outcome]) -> None:
        """Have these answered on one view. Raises NotAtOnceError when one of them fails, psycopg.DataError and the like
        when one cannot be sent."""
        self._pipeline.adapt(asked)
        answered: asyncio.Future[None] = self._loop.create_future()
        try:
            self._waiting.append(_Asked(answered, deque(self._pipeline.send(asked)), self._loop.time()))
            self._flush()
        except psycopg.Error as error:
            self._lose(error)
        if self._is_over and not answered.done():
            raise NotAtOnceError
        if self._watch is None:
            self._watch_over()
        await answered

    def close(self) -> None:
        """Callable from any thread."""
        try:
            self._loop.call_soon_threadsafe(self._lose, None)
        except RuntimeError:  # the loop is closed, and reads nothing any more
            self._end()

    def _flush(self) -> None:
        if self._libpq.flush():
            self._loop.add_writer(self._socket, self._flush_on)

    def _flush_on(self) -> None:
        try:
            if not self._libpq.flush():
                self._loop.remove_writer(self._socket)
        except psycopg.Error as error:
            self._lose(error)

    def _read(self) -> None:
        libpq = self._libpq
        try:
            libpq.consume_input()
            while self._waiting and not libpq.is_busy():
                self._take(libpq.get_result())
        except psycopg.Error as error:
            self._lose(error)

    def _take(self, result: Any) -> None:
        if result is None:  # between two statements, or for ever
            if self._libpq.status != ConnStatus.OK:
                raise psycopg.OperationalError("the connection is lost")
            return
        answered, expected, _ = self._waiting[0]
        if result.status == ExecStatus.PIPELINE_SYNC:
            self._waiting.popleft()
            if not answered.done():
                answered.set_result(None)
        elif self._pipeline.take(result, *expected.popleft()) is not None and not answered.done():
            answered.set_exception(NotAtOnceError())

    def _lose(self, error: Exception | None) -> None:
        if self._is_over:
            return
        if error is not None:
            log.warning("glances_interrupted", reason=" ".join(str(error).split())[:300])
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._end()
        for answered, _, _ in self._waiting:
            if not answered.done():
                answered.set_exception(NotAtOnceError())
        if self._watch is not None:
            self._watch.cancel()

    def _watch_over(self) -> None:
        """Look now and then whether the first has waited for too long: one timer for all of them."""
        self._watch = None
        if self._waiting:
            overdue = self._waiting[0].since + _TIMEOUT
            if self._loop.time() >= overdue:
                self._lose(TimeoutError(f"PostgreSQL has not answered for {_TIMEOUT:.0f} seconds"))
            else:
                self._watch = self._loop.call_at(overdue, self._watch_over)

    def _end(self) -> None:
        self._is_over = True
        with contextlib.suppress(Exception):
            self._connection.close()
