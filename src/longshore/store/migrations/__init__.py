"""The schema's history: one numbered file a change, applied forward at start (Alembic)."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine


class NewerSchemaError(Exception):
    """The database was written by a newer Longshore."""


def upgrade(engine: Engine) -> None:
    """Bring the database to the newest schema this code knows, in one transaction a step.

    Raises:
        NewerSchemaError: the database is at a step this code does not know; nothing was changed.
    """
    config = _config()
    script = ScriptDirectory.from_config(config)
    with engine.connect() as connection:
        with connection.begin():
            at = MigrationContext.configure(connection).get_current_revision()
        if at == script.get_current_head():
            return
        known = {step.revision for step in script.walk_revisions()}
        if at is not None and at not in known:
            raise NewerSchemaError(
                f"The database is at schema {at}, which this version of Longshore does not know. "
                "Start the version that wrote it, or a newer one."
            )
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def is_current(connection: Connection) -> bool:
    """Whether the database is at the newest schema this code knows."""
    return MigrationContext.configure(connection).get_current_revision() == _newest()


@cache
def _newest() -> str | None:
    return ScriptDirectory.from_config(_config()).get_current_head()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config


def require_known(revision: str) -> None:
    """Raise NewerSchemaError unless this code knows how to bring a database up from this schema."""
    if revision not in {step.revision for step in ScriptDirectory.from_config(_config()).walk_revisions()}:
        raise NewerSchemaError(f"It is at schema {revision}, which this version of Longshore does not know.")
