"""Group commit, hints, migrations and leases."""

from __future__ import annotations

import asyncio
import threading

import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL

from longshore.store import server_secrets, wakeup
from longshore.store.database import Store, Transaction, dialect_of
from longshore.store.errors import NewerSchemaError, StoreClosedError
from longshore.store.wakeup import Wakeup


def keep(tx: Transaction, name: str) -> str:
    return server_secrets.get_or_make(tx, name, lambda: "kept")


def test_a_write_is_there_for_the_next_reader(store: Store) -> None:
    store.write(lambda tx: keep(tx, "one"))
    assert store.read(lambda tx: server_secrets.find(tx, "one")) == "kept"


def test_a_reader_changes_nothing(store: Store) -> None:
    """What changes something is recorded in its own transaction, and there is no way round that one."""
    with pytest.raises(Exception, match=r"read.?only"):
        store.read(lambda tx: tx.hot("DELETE FROM applications"))


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
    is_held, go_on = threading.Event(), threading.Event()

    def hold(_tx: Transaction) -> None:
        is_held.set()
        go_on.wait(10)

    blocking = threading.Thread(target=store.write, args=(hold,))
    blocking.start()
    assert is_held.wait(10)

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


def test_what_was_written_survives_a_new_start(database: URL, store: Store) -> None:
    store.write(lambda tx: keep(tx, "one"))
    again = Store(database, Wakeup())
    assert again.read(lambda tx: server_secrets.find(tx, "one")) == "kept"
    again.close()


def test_a_newer_schema_is_refused_and_left_alone(database: URL, store: Store) -> None:
    store.write(lambda tx: tx.hot("UPDATE alembic_version SET version_num = '9999'") and None)
    store.close()
    with pytest.raises(NewerSchemaError, match="9999"):
        Store(database, Wakeup())
    engine = dialect_of(database).reading()
    with engine.connect() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == "9999"
    engine.dispose()


def test_a_server_that_is_overtaken_by_a_newer_schema_writes_nothing_more(database: URL, store: Store) -> None:
    """Another replica has brought the schema up while we run: reads say so, writes are refused."""
    newer = Store(database, Wakeup())
    newer.write(lambda tx: tx.hot("UPDATE alembic_version SET version_num = '9999'") and None)
    newer.close()
    assert not store.is_current()
    with pytest.raises(NewerSchemaError, match="9999"):
        store.write(lambda tx: keep(tx, "late"))
    assert store.read(lambda tx: server_secrets.find(tx, "late")) is None


def test_a_closed_store_says_so(store: Store) -> None:
    store.close()
    with pytest.raises(StoreClosedError):
        store.write(lambda tx: None)
