"""One unit of work: what a function that reads or writes rows is given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Connection, CursorResult, Executable

from longshore.store.wakeup import Topic

T = TypeVar("T")


class Transaction:
    """One unit of work: all of it is committed, or none."""

    __slots__ = ("_cursor", "_open_cursor", "connection", "hints", "last")

    def __init__(self, connection: Connection, open_cursor: Callable[[Connection], Any]) -> None:
        #: For SQLAlchemy Core.
        self.connection = connection
        #: Topics to tell once this is committed.
        self.hints: list[Topic] = []
        #: What is left to do right before the commit.
        self.last: list[tuple[Callable[[Transaction, list[Any]], None], Any]] = []
        self._open_cursor = open_cursor
        self._cursor: Any = None

    def execute(self, statement: Executable, parameters: Any = None) -> CursorResult[*tuple[Any, ...]]:
        """Run a Core statement."""
        return self.connection.execute(statement, parameters)

    def hot(self, sql: str, parameters: tuple[Any, ...] = ()) -> Any:
        """Run SQL text with `?` marks through the driver, for the few statements that every host pays for.

        Returns the driver's cursor. Core's building and running of a statement costs some 90 µs; this, a few.
        """
        if self._cursor is None:
            self._cursor = self._open_cursor(self.connection)
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
