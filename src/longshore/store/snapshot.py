"""Copies of SQLite databases, taken while others write to them, and whether such a copy is fit to be used."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path

from longshore.store import migrations

#: Pages copied between two reports of progress: some 16 MB.
_STEP = 4096
#: How long to wait for a writer's lock, seconds.
_PATIENCE = 30.0


class DamagedError(Exception):
    """The file is no sound database of ours; the message says what is wrong with it."""


def copy(source: Path, to: Path, progress: Callable[[int, int], None]) -> None:
    """Copy the database as it is at one moment; `progress` is told (bytes done, bytes in all).

    Raises:
        sqlite3.Error: it cannot be read, or not be written where it shall go.
    """
    with (
        contextlib.closing(sqlite3.connect(f"{source.as_uri()}?mode=rw", uri=True, timeout=_PATIENCE)) as reading,
        contextlib.closing(sqlite3.connect(to, timeout=_PATIENCE)) as writing,
    ):
        reading.isolation_level = None
        # Held until the end: without it, every commit of the server would make the copying begin anew.
        reading.execute("BEGIN")
        (page_size,) = reading.execute("PRAGMA page_size").fetchone()
        reading.execute("SELECT count(*) FROM sqlite_master").fetchone()
        reading.backup(
            writing,
            pages=_STEP,
            progress=lambda _status, left, total: progress((total - left) * page_size, total * page_size),
            sleep=0.01,
        )
        # One file, with nothing beside it that belongs to it.
        writing.execute("PRAGMA journal_mode = DELETE")


def examine(path: Path) -> str:
    """The schema of a copy of the control plane's database, once it is known to be sound.

    Raises:
        DamagedError: it is not.
        NewerSchemaError: a newer Longshore has written it.
    """
    try:
        with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as reading:
            (found,) = reading.execute("PRAGMA integrity_check(1)").fetchone()
            if found != "ok":
                raise DamagedError(f"The database in it is damaged: {found}.")
            if row := reading.execute("PRAGMA foreign_key_check").fetchone():
                raise DamagedError(f"The database in it has a row of {row[0]} that belongs to no row of {row[2]}.")
            (schema,) = reading.execute("SELECT version_num FROM alembic_version").fetchone()
    except (sqlite3.DatabaseError, TypeError) as error:
        raise DamagedError(f"The database in it is none of Longshore's, or damaged: {error}.") from None
    migrations.require_known(schema)
    return str(schema)
