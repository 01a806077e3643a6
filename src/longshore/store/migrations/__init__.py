"""The schema's history: one numbered file a change, applied forward at start (Alembic)."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Protocol

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine

from longshore.store.errors import NewerSchemaError


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
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            dialect.after_upgrade(connection)
    return before, after


def require_known(schema: str | None) -> str:
    """The newest step this code knows; raises NewerSchemaError unless it knows `schema` too."""
    known = {step.revision for step in ScriptDirectory.from_config(_config()).walk_revisions()}
    if schema is not None and schema not in known:
        raise _newer(schema)
    return newest()


def require_current(schema: str) -> None:
    """Raise NewerSchemaError unless this is the very step this code was made for."""
    if schema != newest():
        raise _newer(schema)


def current(connection: Connection) -> str | None:
    """The step the database is at; None where it is empty."""
    return MigrationContext.configure(connection).get_current_revision()


def is_current(connection: Connection) -> bool:
    """Whether the database is at the newest schema this code knows."""
    return current(connection) == newest()


def _newer(schema: str) -> NewerSchemaError:
    return NewerSchemaError(
        f"The database is at schema {schema}, which this version of Longshore does not know. "
        "Start the version that wrote it, or a newer one."
    )


@cache
def newest() -> str:
    """The newest step this code knows."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None
    return head


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config
