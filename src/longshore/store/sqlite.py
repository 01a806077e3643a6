"""SQLite: the embedded database, in one file."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL

from longshore.store.dialect import Hot
from longshore.store.wakeup import Topic, Wakeup

#: How long a statement may wait for another process's lock, milliseconds.
_BUSY_TIMEOUT_MS = 10_000


#: How long between looks whether a new database may be given its write-ahead log, seconds.
_PAUSE = 0.02


class _Outcome:
    """What came of a statement, all of it.

    One that is half read would hold its view of the file beyond its transaction, and the next could not begin to write.
    """

    __slots__ = ("_rows", "rowcount")

    def __init__(self, cursor: sqlite3.Cursor) -> None:
        self._rows = iter(cursor.fetchall())
        self.rowcount = cursor.rowcount

    def fetchone(self) -> tuple[Any, ...] | None:
        return next(self._rows, None)

    def fetchall(self) -> list[tuple[Any, ...]]:
        return list(self._rows)


class _Statements:
    __slots__ = ("_driver",)

    def __init__(self, driver: sqlite3.Connection) -> None:
        self._driver = driver

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> _Outcome:
        return _Outcome(self._driver.execute(sql, parameters))


class SQLite:
    """See `dialect.Dialect`. The write-ahead log keeps readers off the writer's way, and full durability is kept."""

    is_remote = False
    opening = "SELECT version_num, NULL FROM alembic_version"
    view = "BEGIN"

    def __init__(self, url: URL) -> None:
        self._url = url

    def writing(self) -> Engine:
        return self._engine(begin="BEGIN IMMEDIATE")

    def reading(self) -> Engine:
        # A change that went this way would leave no record in the audit, and be in nobody's line.
        return self._engine(begin=self.view, more=("query_only=ON",))

    def _engine(self, *, begin: str, more: tuple[str, ...] = ()) -> Engine:
        engine = create_engine(self._url, pool_size=8, max_overflow=8)

        @event.listens_for(engine, "connect")
        def configure(connection: Any, _record: Any) -> None:
            # Python's driver must not begin transactions by itself: we say which kind we want.
            connection.isolation_level = None
            cursor = connection.cursor()
            for pragma in (
                f"busy_timeout={_BUSY_TIMEOUT_MS}",
                "synchronous=FULL",
                "foreign_keys=ON",
                "cache_size=-16000",
                "temp_store=MEMORY",
                *more,
            ):
                cursor.execute(f"PRAGMA {pragma}")
            _keep_write_ahead_log(cursor)
            cursor.close()

        @event.listens_for(engine, "begin")
        def start(connection: Connection) -> None:
            self.cursor(connection).execute(begin)

        return engine

    def cursor(self, connection: Connection) -> _Statements:
        driver: Any = connection.connection.driver_connection
        return _Statements(driver)

    def settle(self, cursor: Any) -> None:
        """Every statement is carried out at once."""

    def is_carried_out(self, _cursor: Any) -> bool:
        return True

    def is_away(self, _error: BaseException) -> bool:
        return False

    def was_committed(self, writing: Engine, receipt: str) -> bool:
        raise NotImplementedError("a commit to a file is answered")

    def pass_on(self, hot: Hot, topics: Collection[Topic]) -> None:
        """Nobody else uses the file."""

    def looker(self, _reading: Engine) -> None:
        """The file is looked at in no time."""

    def relay(self, wakeup: Wakeup) -> None:
        """Nobody else uses the file."""

    def after_upgrade(self, connection: Connection) -> None:
        """A step says all there is."""


def _keep_write_ahead_log(cursor: sqlite3.Cursor) -> None:
    """Have the write-ahead log, which a database keeps once it has it.

    Servers that start together on a new database all want to give it one, and SQLite does not let those wait that come
    second: it says at once that the database is locked.
    """
    give_up = time.monotonic() + _BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > give_up:
                raise
            time.sleep(_PAUSE)
        else:
            return
