"""Documents of onebox's services in one SQLite file: what a service knows, and finds again when it starts.

A document is a JSON object, named by its kind (``ec2.instance``), whose it is, and its id. All that a call changes is
changed in one transaction, and only the machinery outside (processes, proxies) has to be brought in line afterwards.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: What their file is called.
FILE = "onebox.db"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS documents (
    kind TEXT NOT NULL,
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    id TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (kind, account, region, id)
) WITHOUT ROWID;
"""

Document = dict[str, Any]


@dataclass(frozen=True, order=True, slots=True)
class Owner:
    """Whose a document is."""

    account: str
    region: str


class Records:
    """One connection, one transaction at a time."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Documents hold keys and user data: nobody else may read them.
        path.touch(mode=0o600)
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.executescript(_SCHEMA)

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Everything read and written in the block, at once: durable when it ends, undone when it raises.

        Short work only, and none outside the rows: all other calls of onebox wait.
        """
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield Transaction(self._connection)
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close the file. The records are of no use afterwards."""
        with self._lock:
            self._connection.close()


class Transaction:
    """What may be done to documents."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def get(self, kind: str, owner: Owner, identifier: str) -> Document | None:
        """A document, or None where there is none of that id."""
        row = self._connection.execute(
            "SELECT document FROM documents WHERE kind = ? AND account = ? AND region = ? AND id = ?",
            (kind, owner.account, owner.region, identifier),
        ).fetchone()
        return None if row is None else json.loads(row[0])

    def put(self, kind: str, owner: Owner, identifier: str, document: Document) -> None:
        """Store a document, in the place of any of that id."""
        self._connection.execute(
            "INSERT OR REPLACE INTO documents VALUES (?, ?, ?, ?, ?)",
            (kind, owner.account, owner.region, identifier, json.dumps(document)),
        )

    def delete(self, kind: str, owner: Owner, identifier: str) -> None:
        """Forget a document; one that is not there is none the less gone."""
        self._connection.execute(
            "DELETE FROM documents WHERE kind = ? AND account = ? AND region = ? AND id = ?",
            (kind, owner.account, owner.region, identifier),
        )

    def all(self, kind: str, owner: Owner) -> dict[str, Document]:
        """An owner's documents of a kind, by id and in the order of ids."""
        rows = self._connection.execute(
            "SELECT id, document FROM documents WHERE kind = ? AND account = ? AND region = ? ORDER BY id",
            (kind, owner.account, owner.region),
        )
        return {identifier: json.loads(document) for identifier, document in rows}

    def count(self, kind: str, owner: Owner) -> int:
        """How many documents of a kind an owner has."""
        found: tuple[int] = self._connection.execute(
            "SELECT count(*) FROM documents WHERE kind = ? AND account = ? AND region = ?",
            (kind, owner.account, owner.region),
        ).fetchone()
        return found[0]

    def between(self, kind: str, owner: Owner, first: str, last: str) -> dict[str, Document]:
        """Those of an owner's documents of a kind whose ids are neither before `first` nor after `last`, in order."""
        rows = self._connection.execute(
            "SELECT id, document FROM documents WHERE kind = ? AND account = ? AND region = ? AND id BETWEEN ? AND ?"
            " ORDER BY id",
            (kind, owner.account, owner.region, first, last),
        )
        return {identifier: json.loads(document) for identifier, document in rows}

    def delete_between(self, kind: str, owner: Owner, first: str, last: str) -> None:
        """Forget what `between` gives."""
        self._connection.execute(
            "DELETE FROM documents WHERE kind = ? AND account = ? AND region = ? AND id BETWEEN ? AND ?",
            (kind, owner.account, owner.region, first, last),
        )

    def everyones(self, kind: str) -> list[tuple[Owner, str, Document]]:
        """The documents of a kind, whoever's they are: for what runs by itself."""
        rows = self._connection.execute(
            "SELECT account, region, id, document FROM documents WHERE kind = ? ORDER BY account, region, id", (kind,)
        )
        return [
            (Owner(account, region), identifier, json.loads(document)) for account, region, identifier, document in rows
        ]
