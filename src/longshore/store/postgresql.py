"""PostgreSQL: one database for any number of servers."""

from __future__ import annotations

import secrets
import time
from collections.abc import Collection
from typing import Any

import orjson
import psycopg
from psycopg.types.json import set_json_loads
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from longshore.store.dialect import Hot
from longshore.store.errors import UnfitDatabaseError
from longshore.store.looking import Looker
from longshore.store.pipeline import Outcome, Pipeline
from longshore.store.relay import NotifyRelay, payloads
from longshore.store.wakeup import Topic, Wakeup

#: The lock that every write transaction of every replica takes first (docs/decisions/0012).
_WRITERS_LOCK = 0x4C6F6E67
#: What holds in every session.
_SESSION = {
    # Milliseconds. A server that was frozen inside a transaction loses it, and the lock with it.
    "idle_in_transaction_session_timeout": 10_000,
    "lock_timeout": 30_000,
    "statement_timeout": 50_000,
    # Every table has an index for what is asked of it, in the order in which it is asked for. A statement that was
    # prepared while a table was small would go on to read and sort all of it.
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    # Else what can only be read as a whole, be it five rows, costs so much by that measure that it is compiled first.
    "jit": "off",
}
#: A connection that cannot be made, or over which nothing comes any more, is given up after seconds, not hours.
_CONNECTING: dict[str, Any] = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
_AWAY = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.errors.IdleInTransactionSessionTimeout,  # the driver does not count it among the first
    PoolTimeoutError,
)
#: How long a commit that got no answer is asked after, seconds.
_ASK_FOR = 15.0
_ASK_EVERY = 0.2


class PostgreSQL:
    """See `dialect.Dialect`.

    Transactions are begun and ended by us and not by the driver, so that what begins one, and takes its lock, travels
    with its first statement, and its commit with the last.
    """

    is_remote = True
    opening = "SELECT version_num, pg_current_xact_id()::text FROM alembic_version"
    view = "BEGIN"

    def __init__(self, url: URL) -> None:
        self._url = url.set(drivername="postgresql+psycopg")
        #: Who we are among the replicas: our own hints need not come back to us.
        self._name = secrets.token_hex(4)

    def writing(self) -> Engine:
        return self._engine("", "BEGIN", f"SELECT pg_advisory_xact_lock({_WRITERS_LOCK})", connections=1)

    def reading(self) -> Engine:
        # What goes to the server together without a BEGIN is a transaction too, and is to see one state of the rows.
        session = "; SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
        return self._engine(session, self.view, connections=16)

    def _engine(self, session: str, *begin: str, connections: int) -> Engine:
        engine = create_engine(
            self._url,
            pool_size=connections,
            max_overflow=2,
            pool_timeout=10,
            # The driver would deallocate what it prepares together with all of ours.
            connect_args={
                "autocommit": True,
                "prepare_threshold": None,
                "application_name": "longshore",
                **_CONNECTING,
            },
        )

        @event.listens_for(engine, "connect")
        def configure(connection: Any, record: Any) -> None:
            set_json_loads(orjson.loads, connection)
            connection.execute("; ".join(f"SET {name} = {value}" for name, value in _SESSION.items()) + session)
            record.info[Pipeline] = Pipeline(connection)

        @event.listens_for(engine, "begin")
        def start(connection: Connection) -> None:
            pipeline = self.cursor(connection)
            if pipeline.is_idle:  # not begun by `Transaction.hot`
                for statement in begin:
                    pipeline.execute(statement)

        @event.listens_for(engine, "before_cursor_execute")
        def keep_order(connection: Connection, *_about: Any) -> None:
            self.settle(self.cursor(connection))

        @event.listens_for(engine, "commit")
        def commit(connection: Connection) -> None:
            # With what still waits; the driver finds nothing left to commit.
            pipeline = self.cursor(connection)
            pipeline.execute("COMMIT")
            pipeline.settle()

        @event.listens_for(engine, "rollback")
        def forget(connection: Connection) -> None:
            if not connection.invalidated:
                self.cursor(connection).drop()

        return engine

    def cursor(self, connection: Connection) -> Pipeline:
        pipeline: Pipeline = connection.info[Pipeline]
        return pipeline

    def settle(self, cursor: Pipeline) -> None:
        cursor.settle()

    def is_carried_out(self, cursor: Outcome) -> bool:
        return cursor.has_come

    def is_away(self, error: BaseException) -> bool:
        cause = error.orig if isinstance(error, DBAPIError) else error
        return isinstance(cause, _AWAY)

    def was_committed(self, writing: Engine, receipt: str) -> bool:
        until = time.monotonic() + _ASK_FOR
        while True:
            try:
                # Begun under the writers' lock: whatever the transaction came to, it is over.
                with writing.connect() as connection, connection.begin():
                    told = self.cursor(connection).execute("SELECT pg_xact_status(?::xid8)", (receipt,)).fetchall()
                    return told == [("committed",)]
            except Exception as error:
                if not self.is_away(error) or time.monotonic() > until:
                    raise
                time.sleep(_ASK_EVERY)

    def pass_on(self, hot: Hot, topics: Collection[Topic]) -> None:
        messages = payloads(self._name, topics)
        hot("SELECT pg_notify('longshore', message) FROM unnest(?::text[]) AS message", (messages,))

    def looker(self, reading: Engine) -> Looker:
        return Looker(self, reading)

    def relay(self, wakeup: Wakeup) -> NotifyRelay:
        # SQLAlchemy's spelling of the URL with what libpq wants to hear besides.
        arguments = self._url.get_dialect()().create_connect_args(self._url)[1]
        return NotifyRelay({**arguments, "application_name": "longshore", **_CONNECTING}, self._name, wakeup)

    def after_upgrade(self, connection: Connection) -> None:
        """Have every text ordered by its bytes, and of any length, as SQLite has it.

        Lists are ordered and paged by names: an order that depends on the database's language would be another on
        each installation. Lengths are the API's to check, with the API's own errors.
        """
        encoding = connection.exec_driver_sql("SHOW server_encoding").scalar()
        if encoding != "UTF8":
            raise UnfitDatabaseError(
                f"The database's encoding is {encoding}, and Longshore needs UTF8. Make another with: "
                "createdb --encoding UTF8 --template template0 NAME"
            )
        columns = connection.exec_driver_sql(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = current_schema()"
            " AND data_type IN ('character varying', 'text') AND table_name <> 'alembic_version'"
            " AND (data_type <> 'text' OR collation_name IS DISTINCT FROM 'C')"
        ).all()
        by_table: dict[str, list[str]] = {}
        for table, column in columns:
            by_table.setdefault(table, []).append(f'ALTER COLUMN "{column}" TYPE text COLLATE "C"')
        for table, changes in by_table.items():
            connection.exec_driver_sql(f'ALTER TABLE "{table}" {", ".join(changes)}')
