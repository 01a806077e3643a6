"""The schema of a database, seen and brought up without opening a store on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Engine
from sqlalchemy.engine import URL

from longshore.store import migrations
from longshore.store.database import dialect_of
from longshore.store.dialect import Dialect
from longshore.store.errors import StoreUnavailableError

T = TypeVar("T")


def step(url: str | URL) -> str | None:
    """The step the database is at; None where it has no tables yet.

    Raises:
        DatabaseUrlError, StoreUnavailableError: as `Store`.
    """

    def look(_dialect: Dialect, engine: Engine) -> str | None:
        with engine.connect() as connection:
            return migrations.current(connection)

    return _with(url, look)


def bring_up(url: str | URL) -> tuple[str | None, str]:
    """Bring the database to the newest schema, all steps or none; returns from which, and to which.

    Raises:
        DatabaseError: as `Store`; nothing was changed.
    """
    return _with(url, lambda dialect, engine: migrations.upgrade(engine, dialect))


def _with(url: str | URL, work: Callable[[Dialect, Engine], T]) -> T:
    dialect = dialect_of(url)
    engine = dialect.writing()
    try:
        return work(dialect, engine)
    except Exception as error:
        if dialect.is_away(error):
            raise StoreUnavailableError(f"The database is out of reach: {error}") from error
        raise
    finally:
        engine.dispose()
