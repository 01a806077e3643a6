"""The schema's history: one numbered file a change, applied forward at start.

Alembic is loaded where there is something to apply: it is 7 MB, and most servers find their database as they left it.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from sqlalchemy import Connection, Engine, inspect

from longshore.store.errors import NewerSchemaError

if TYPE_CHECKING:
    from alembic.config import Config


class _Dialect(Protocol):
    def after_upgrade(self, connection: Connection) -> None: ...


def upgrade(writing: Engine, dialect: _Dialect) -> tuple[str | None, str]:
    """Bring the database to the newest schema this code knows, all steps or none; returns from which, and to which.

    A transaction of `writing` is the only one that writes: servers that start together take their turns.

    Raises:
        NewerSchemaError: the database is at a step this code does not know; nothing was changed.
    """
    with writing.connect() as connection, connection.begin():
        before = current(connection)
        after = require_known(before)
        if before != after:
            _apply(connection)
            dialect.after_upgrade(connection)
    return before, after


def require_known(schema: str | None) -> str:
    """The newest step this code knows; raises NewerSchemaError unless it knows `schema` too."""
    if schema is not None and schema not in _known():
        raise _newer(schema)
    return newest()


def require_current(schema: str) -> None:
    """Raise NewerSchemaError unless this is the very step this code was made for."""
    if schema != newest():
        raise _newer(schema)


def current(connection: Connection) -> str | None:
    """The step the database is at; None where it is empty."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    step: str | None = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return step


def is_current(connection: Connection) -> bool:
    """Whether the database is at the newest schema this code knows."""
    return current(connection) == newest()


def _newer(schema: str) -> NewerSchemaError:
    return NewerSchemaError(
        f"The database is at schema {schema}, which this version of Longshore does not know. "
        "Start the version that wrote it, or a newer one."
    )


def newest() -> str:
    """The newest step this code knows."""
    return max(_known())


@cache
def _known() -> frozenset[str]:
    """Every step: the number that its file begins with."""
    return frozenset(file.name[:4] for file in Path(__file__).parent.glob("versions/[0-9]*.py"))


def _apply(connection: Connection) -> None:
    from alembic import command

    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config
