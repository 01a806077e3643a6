"""What the store asks of a database: everything that differs from one to the other stands behind this."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import Connection, Engine

from longshore.store.errors import StoreUnavailableError
from longshore.store.wakeup import Topic, Wakeup

if TYPE_CHECKING:
    from longshore.store.looking import Looker

#: `Transaction.hot`.
Hot = Callable[..., Any]


class Relay(Protocol):
    """Carries other replicas' hints to this process until it is closed."""

    def close(self) -> None: ...


class Dialect(Protocol):
    """One kind of database. `sqlite.SQLite` and `postgresql.PostgreSQL` are the two there are."""

    #: Whether a statement waits for a network: then none may run on the event loop.
    is_remote: bool
    #: Reads the schema's step, and the receipt of a write: what `was_committed` is asked by, NULL where nobody asks.
    opening: str
    #: Begins a transaction that sees one state of the rows.
    view: str

    def writing(self) -> Engine:
        """Connections whose transactions are the only writing ones of all replicas."""

    def reading(self) -> Engine:
        """Connections whose transactions see one state of the rows."""

    def cursor(self, connection: Connection) -> Any:
        """What executes SQL with `?` marks and gives a cursor. A statement may wait until an outcome is read."""

    def settle(self, cursor: Any) -> None:
        """Have all that waits carried out. Raises what the first of it to fail came to."""

    def is_carried_out(self, cursor: Any, /) -> bool:
        """Whether the statement that `execute` gave this for has been."""

    def is_away(self, error: BaseException, /) -> bool:
        """Whether this error says that the database is out of reach or busy for now, and nothing of the work."""

    def was_committed(self, writing: Engine, receipt: str) -> bool:
        """Whether a transaction whose commit got no answer was made. Raises what `is_away` knows."""

    def pass_on(self, hot: Hot, topics: Collection[Topic]) -> None:
        """Have the other replicas told of these topics if the transaction is committed."""

    def looker(self, reading: Engine) -> Looker | None:
        """What takes the event loop's quick looks; None where the loop may take them itself."""

    def relay(self, wakeup: Wakeup) -> Relay | None:
        """Begin to carry the other replicas' hints to `wakeup`; None where there can be no others."""

    def after_upgrade(self, connection: Connection) -> None:
        """Finish what a step of the schema has begun, in its transaction."""


def explained(dialect: Dialect, error: Exception) -> Exception:
    """The error as callers know it."""
    if not dialect.is_away(error):
        return error
    told = StoreUnavailableError(f"The database is out of reach: {' '.join(str(error).split())[:300]}")
    told.__cause__ = error
    return told
