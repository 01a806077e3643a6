"""Group commit, hints, migrations and leases."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, text

from longshore.store import migrations, server_secrets, wakeup
from longshore.store.database import Store, StoreClosedError, Transaction, sqlite_url
from longshore.store.tables import metadata
from longshore.store.wakeup import Wakeup


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "longshore.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    opened = Store(sqlite_url(path), Wakeup())
    yield opened
    opened.close()


def keep(tx: Transaction, name: str) -> str:
    return server_secrets.get_or_make(tx, name, lambda: "kept")


def test_a_write_is_there_for_the_next_reader(store: Store) -> None:
    store.write(lambda tx: keep(tx, "one"))
    assert store.read(lambda tx: server_secrets.find(tx, "one")) == "kept"


def test_a_failing_write_is_undone_alone(store: Store) -> None:
    """Writes that share a transaction do not share a fate."""

    def fail(tx: Transaction) -> None:
        keep(tx, "failing")
        raise ValueError("no")

    async def together() -> list[object]:
        writes = [store.submit(lambda tx, n=number: keep(tx, f"good-{n}")) for number in range(20)]
        writes.insert(10, store.submit(fail))
        return list(await asyncio.gather(*writes, return_exceptions=True))

    outcomes = asyncio.run(together())
    assert [outcome for outcome in outcomes if outcome != "kept"] == [outcomes[10]]
    assert isinstance(outcomes[10], ValueError)
    assert store.read(lambda tx: server_secrets.find(tx, "failing")) is None
    assert all(store.read(lambda tx, n=number: server_secrets.find(tx, f"good-{n}")) for number in range(20))


def test_waiting_writes_share_a_commit(store: Store) -> None:
    """While one write holds the thread, the others gather, and then go together."""
    go_on = threading.Event()
    blocking = threading.Thread(target=lambda: store.write(lambda tx: go_on.wait(10)))
    blocking.start()

    async def crowd() -> set[int]:
        waiting = [asyncio.ensure_future(store.submit(lambda tx: id(tx))) for _ in range(50)]
        await asyncio.sleep(0)
        go_on.set()
        return set(await asyncio.gather(*waiting))

    transactions = asyncio.run(crowd())
    blocking.join()
    assert len(transactions) == 1


def test_hints_come_after_the_commit_and_never_from_a_failed_write(store: Store) -> None:
    topic = wakeup.host("us-east-1/web-1")

    async def told() -> tuple[bool, bool]:
        store.wakeup.attach(asyncio.get_running_loop())
        hint = store.wakeup.register(topic)

        def fail(tx: Transaction) -> None:
            tx.tell(topic)
            raise ValueError("no")

        await asyncio.gather(store.submit(fail), return_exceptions=True)
        after_failure = hint.is_set()
        await store.submit(lambda tx: tx.tell(topic))
        await asyncio.wait_for(hint.wait(), 5)
        return after_failure, hint.is_set()

    assert asyncio.run(told()) == (False, True)


def test_what_was_written_survives_a_new_start(path: Path, store: Store) -> None:
    store.write(lambda tx: keep(tx, "one"))
    again = Store(sqlite_url(path), Wakeup())
    assert again.read(lambda tx: server_secrets.find(tx, "one")) == "kept"
    again.close()


def test_migrations_make_the_very_tables(path: Path, store: Store) -> None:
    """The history of steps and the tables in code tell the same."""
    with create_engine(sqlite_url(path)).connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_a_newer_schema_is_refused_and_left_alone(path: Path, store: Store) -> None:
    store.close()
    engine = create_engine(sqlite_url(path))
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(migrations.NewerSchemaError, match="9999"):
        Store(sqlite_url(path), Wakeup())
    with engine.connect() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == "9999"
    engine.dispose()


def test_a_closed_store_says_so(store: Store) -> None:
    store.close()
    with pytest.raises(StoreClosedError):
        store.write(lambda tx: None)
