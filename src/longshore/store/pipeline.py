"""Statements that go to PostgreSQL together: each waits until somebody wants to know what came of one, or many wait.

A change that nobody asks about travels with the next question or with the commit, so that a transaction waits for as
few round trips as it has questions. They go straight to libpq: the driver's own cursor takes 20 µs of Python for each.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import select
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

import psycopg
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import error_from_result
from psycopg.generators import send
from psycopg.pq import ConnStatus, DiagnosticField, ExecStatus, TransactionStatus
from psycopg.waiting import wait

#: Statements that a connection keeps prepared; there are some hundred texts in all.
_MOST_PREPARED = 500
#: Without a word for so long the server is given up, seconds: statements are bounded below.
_SILENCE = 60.0
#: So many are sent although nobody has asked what comes of one.
_AHEAD = 12
#: How often the driver looks up while it waits until more can be sent, seconds; it would do nothing else by default.
_LOOK = 0.1
_GOOD = (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK)


class _Pipeline(Protocol):
    """Where a statement waits."""

    def settle(self) -> None: ...

    def rows(self, result: Any, /) -> list[tuple[Any, ...]]: ...


class Outcome:
    """What comes of one statement; as much of a cursor as the store uses."""

    __slots__ = ("_pipeline", "_result", "_rows", "parameters", "sql", "values")

    def __init__(self, pipeline: _Pipeline, sql: str, parameters: Sequence[Any]) -> None:
        self.sql = sql
        self.parameters = parameters
        #: They as they are sent; None where they have not been looked at yet.
        self.values: Sequence[Any] | None = None
        self._pipeline = pipeline
        self._result: Any = None
        self._rows: Iterator[tuple[Any, ...]] | None = None

    def fetchone(self) -> tuple[Any, ...] | None:
        return next(self._read(), None)

    def fetchall(self) -> list[tuple[Any, ...]]:
        return list(self._read())

    @property
    def rowcount(self) -> int:
        """How many rows were changed."""
        return int(self._settled().command_tuples or 0)

    @property
    def has_come(self) -> bool:
        return self._result is not None

    def come(self, result: Any) -> None:
        self._result = result

    def _read(self) -> Iterator[tuple[Any, ...]]:
        if self._rows is None:
            self._rows = iter(self._pipeline.rows(self._settled()))
        return self._rows

    def _settled(self) -> Any:
        if self._result is None:
            self._pipeline.settle()
        if self._result is None:
            raise psycopg.OperationalError("a statement before this one failed, or the connection did")
        return self._result


class Pipeline:
    """The statements of one connection, in their order."""

    def __init__(self, driver: psycopg.Connection[Any]) -> None:
        self.libpq = driver.pgconn
        self._adapter = Transformer(driver)
        self._waiting: list[Outcome] = []
        #: What has been sent and not been asked about: whose each reply will be, message by message.
        self._sent: list[list[tuple[Outcome, bool]]] = []
        #: Names by text.
        self._prepared: dict[str, bytes] = {}
        self._numbers = itertools.count(1)
        self._readable = select.poll()
        self._readable.register(self.libpq.socket, select.POLLIN)

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> Outcome:
        """Have one statement with `?` marks carried out after those before it, by the time its outcome is read."""
        outcome = Outcome(self, sql, parameters)
        self.adapt([outcome])  # what cannot be sent is told here, to whom it concerns
        self._waiting.append(outcome)
        if len(self._waiting) == _AHEAD:
            self._send_ahead()
        return outcome

    @property
    def is_idle(self) -> bool:
        """Whether no transaction has begun, nor will by what waits."""
        return not self._waiting and self.libpq.transaction_status == TransactionStatus.IDLE

    def drop(self) -> None:
        """Forget what waits, and what came of what was sent: its transaction is over."""
        self._waiting.clear()
        with contextlib.suppress(psycopg.Error):
            self.settle()

    def settle(self) -> None:
        """Have all that waits carried out. Raises the error of the first statement that fails; of its transaction, none
        follows it."""
        if self._waiting:
            self._send_ahead()
        if not self._sent:
            return
        sent, self._sent = self._sent, []
        error: psycopg.Error | None = None
        for expected in sent:
            for outcome, is_of_preparing in expected:
                result = self._receive()
                if result is None:
                    raise error or psycopg.OperationalError("the connection is lost")
                self._receive()  # the end of this statement's results
                found = self.take(result, outcome, is_of_preparing)
                error = error or found
            self._receive()  # the synchronisation
        if self.libpq.status == ConnStatus.OK:
            self.libpq.exit_pipeline_mode()
        if error is not None:
            raise error

    def _send_ahead(self) -> None:
        """Send what waits, and wait for no reply: PostgreSQL is at work on it while we go on.

        Each message ends in a synchronisation: while a session waits for the rest of a message no timeout applies, and
        a server that was frozen there would keep the writers' lock.
        """
        waiting, self._waiting = self._waiting, []
        try:
            if not self._sent:
                self.libpq.enter_pipeline_mode()
            self._sent.append(self.send(waiting))
            if self.libpq.flush():
                wait(send(self.libpq), self.libpq.socket, _LOOK)  # more than goes at once
        except Exception:
            self.libpq.finish()  # nobody knows what was sent: replies would be taken for others'
            raise

    def adapt(self, waiting: Iterable[Outcome]) -> None:
        """Make the values of these ready to be sent. Raises psycopg.DataError and the like for what cannot be."""
        for outcome in waiting:
            if outcome.values is None:
                outcome.values = self._adapted(outcome.parameters)

    def send(self, waiting: Iterable[Outcome]) -> list[tuple[Outcome, bool]]:
        """Send these, which are adapted, as one; returns whose each reply will be, and whether it is of its preparation
        only."""
        expected = [reply for outcome in waiting for reply in self._send(outcome)]
        self.libpq.pipeline_sync()
        return expected

    def take(self, result: Any, outcome: Outcome, is_of_preparing: bool) -> psycopg.Error | None:
        """Take a reply; returns the error that it tells of."""
        if result.status in _GOOD:
            if not is_of_preparing:
                outcome.come(result)
            return None
        if is_of_preparing:
            del self._prepared[outcome.sql]
        return _problem(result)

    def rows(self, result: Any) -> list[tuple[Any, ...]]:
        self._adapter.set_pgresult(result)
        rows: list[tuple[Any, ...]] = self._adapter.load_rows(0, result.ntuples, tuple)
        return rows

    def _send(self, outcome: Outcome) -> Iterator[tuple[Outcome, bool]]:
        sql, values = outcome.sql, outcome.values
        name = self._prepared.get(sql)
        if name is None and len(self._prepared) < _MOST_PREPARED:
            name = b"%s %d" % (sql.split(maxsplit=1)[0].encode(), next(self._numbers))
            self.libpq.send_prepare(name, numbered(sql))
            self._prepared[sql] = name
            yield outcome, True
        if name is None:
            self.libpq.send_query_params(numbered(sql), values)
        else:
            self.libpq.send_query_prepared(name, values)
        yield outcome, False

    def _adapted(self, parameters: Sequence[Any]) -> Sequence[Any]:
        return self._adapter.dump_sequence(parameters, [PyFormat.TEXT] * len(parameters))

    def _receive(self) -> Any:
        libpq = self.libpq
        while libpq.is_busy():
            if not self._readable.poll(_SILENCE * 1000):
                libpq.finish()  # an answer that comes late would be taken for another's
                raise psycopg.OperationalError(f"PostgreSQL has not answered for {_SILENCE:.0f} seconds")
            libpq.consume_input()
        return libpq.get_result()


def _problem(result: Any) -> psycopg.Error:
    """The error of the statement, or that of the connection, which ends with anything worse."""
    if result.error_field(DiagnosticField.SEVERITY_NONLOCALIZED) == b"ERROR":
        return error_from_result(result)
    return psycopg.OperationalError(result.get_error_message())


@functools.lru_cache(maxsize=512)
def numbered(sql: str) -> bytes:
    """The same with PostgreSQL's marks; our statements hold no other question marks."""
    first, *others = sql.split("?")
    return (first + "".join(f"${number}{part}" for number, part in enumerate(others, 1))).encode()
