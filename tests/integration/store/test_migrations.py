"""Every schema there ever was comes up to today's, with its rows."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Boolean, Connection, Float, Integer, MetaData, String, Table, insert, select
from sqlalchemy.engine import URL

from longshore.store import access_keys, migrations, schema
from longshore.store.database import Store, Transaction, dialect_of, sqlite_url
from longshore.store.tables import metadata
from longshore.store.wakeup import Wakeup
from tests.conftest import Databases

STEPS = [step.revision for step in ScriptDirectory.from_config(migrations._config()).walk_revisions()][::-1]
KEY = "x"
USER = "arn:aws:iam::000000000000:user/web-1"


@pytest.fixture
def empty(request: pytest.FixtureRequest, databases: Databases) -> URL:
    """A database without tables, of each kind in turn."""
    if "postgresql" in request.node.callspec.id:
        return request.getfixturevalue("cluster").database()  # type: ignore[no-any-return]
    return databases()


def bring_to(connection: Connection, step: str) -> None:
    config = migrations._config()
    config.attributes["connection"] = connection
    command.upgrade(config, step)


def fill(connection: Connection) -> dict[str, Any]:
    """A row in every table, by table: what it holds in the columns of its primary key."""
    found = MetaData()
    found.reflect(connection)
    rows: dict[str, Any] = {}
    for table in found.sorted_tables:
        if table.name != "alembic_version":
            row = {column.name: value(table, column) for column in table.columns}
            connection.execute(insert(table).values(row))
            rows[table.name] = {column.name: row[column.name] for column in table.primary_key}
    return rows


def value(table: Table, column: Any) -> Any:
    """Something that fits; all that refers to anything refers to "x" or 1, and so is there."""
    fixed = {"principal_arn": USER, "kind": "user", "principal_id": None if table.name == "access_keys" else "x"}
    if column.name in fixed:
        return fixed[column.name]
    if isinstance(column.type, Boolean):
        return True
    if isinstance(column.type, Integer | Float):
        return 1
    return "x" if isinstance(column.type, String) else {"x": "x"}


@pytest.mark.parametrize("step", STEPS)
def test_a_database_of_any_earlier_schema_comes_up_with_its_rows(empty: URL, step: str) -> None:
    engine = dialect_of(empty).writing()
    with engine.begin() as connection:
        bring_to(connection, step)
        rows = fill(connection)
    engine.dispose()
    assert schema.step(empty) == step

    assert schema.bring_up(empty) == (step, STEPS[-1])
    assert schema.bring_up(empty) == (STEPS[-1], STEPS[-1])

    def look(tx: Transaction) -> None:
        for name, key in rows.items():
            table = metadata.tables[name]
            of_key = [table.c[column] == wanted for column, wanted in key.items()]
            assert len(tx.execute(select(table).where(*of_key)).all()) == 1, name
        kept = access_keys.find(tx, KEY)
        assert kept is not None
        assert (kept.secret_access_key, kept.principal_arn) == ("x", USER)
        if step < "0003":
            assert kept.principal_id is not None
            assert kept.status == "Active"
        if "0009" <= step < "0017":
            # What waited to be delivered goes out by the role of its group.
            assert tx.execute(select(metadata.tables["notifications"].c.role_arn)).scalars().all() == ["x"]

    store = Store(empty, Wakeup())
    store.read(look)
    store.close()


def test_servers_that_start_together_take_turns(empty: URL) -> None:
    """Each finds either nothing or all of the schema."""
    stores: list[Store] = []

    def start() -> None:
        stores.append(Store(empty, Wakeup()))

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stores) == 4
    assert all(store.is_current() for store in stores)
    for store in stores:
        store.close()


def test_a_server_waits_for_who_has_a_new_file_at_hand(tmp_path: Path) -> None:
    """SQLite lets nobody wait that wants the write-ahead log: it says at once that the file is locked."""
    other = sqlite3.connect(tmp_path / "new.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.5, other.execute, ["COMMIT"])
    release.start()
    store = Store(sqlite_url(tmp_path / "new.db"), Wakeup())
    assert store.is_current()
    store.close()
    release.join()
    other.close()


def test_each_file_begins_with_the_step_it_makes() -> None:
    """By that the steps are known without Alembic."""
    assert sorted(migrations._known()) == STEPS
    assert migrations.newest() == STEPS[-1]


def test_migrations_make_the_very_tables(database: URL) -> None:
    """The history of steps and the tables in code tell the same."""

    def is_other(_context: object, _column: object, _other: object, found: object, told: object) -> bool | None:
        # PostgreSQL's texts are of any length, by decision 12.
        return False if isinstance(found, String) and isinstance(told, String) else None

    def differences(tx: Transaction) -> list[object]:
        options = {"compare_type": is_other, "compare_server_default": False}
        return compare_metadata(MigrationContext.configure(tx.connection, opts=options), metadata)

    store = Store(database, Wakeup())
    assert store.read(differences) == []
    store.close()
