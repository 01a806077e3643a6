"""One unit of work: what a function that reads or writes rows is given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Connection, CursorResult, Executable

from longshore.store.dialect import Dialect
from longshore.store.wakeup import Topic

T = TypeVar("T")


class Transaction:
    """One unit of work: all of it is committed, or none."""

    __slots__ = ("_cursor", "_dialect", "connection", "foreseen", "hints", "known", "last")

    def __init__(self, connection: Connection, dialect: Dialect) -> None:
        #: For SQLAlchemy Core.
        self.connection = connection
        #: Topics to tell once this is committed.
        self.hints: list[Topic] = []
        #: What is left to do right before the commit.
        self.last: list[tuple[Callable[[Transaction, list[Any]], None], Any]] = []
        #: What was found out and need not be again: whoever keeps something here keeps it true.
        self.known: dict[Any, Any] = {}
        #: What was asked ahead for the works that come first (`waiting.Foresee`), each to be taken once. It holds only
        #: while none but those have run.
        self.foreseen: dict[Any, Any] = {}
        self._dialect = dialect
        self._cursor: Any = None

    def execute(self, statement: Executable, parameters: Any = None) -> CursorResult[*tuple[Any, ...]]:
        """Run a Core statement."""
        return self.connection.execute(statement, parameters)

    def hot(self, sql: str, parameters: tuple[Any, ...] = ()) -> Any:
        """Run SQL text with `?` marks through the driver, for the few statements that every host pays for.

        Returns the driver's cursor. Core's building and running of a statement costs some 90 µs; this, a few. What
        nobody asks the outcome of may be carried out, and fail, only with what follows it (`settle`).
        """
        if self._cursor is None:
            self._cursor = self._dialect.cursor(self.connection)
        return self._cursor.execute(sql, parameters)

    def settle(self) -> None:
        """Have everything so far carried out, and raise what of it failed."""
        if self._cursor is not None:
            self._dialect.settle(self._cursor)

    def is_carried_out(self, cursor: Any) -> bool:
        """Whether the statement that `hot` gave this for has been."""
        return self._dialect.is_carried_out(cursor)

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
