"""The audit as it is stored: in the transaction of the change, in one chain, and never changed."""

from __future__ import annotations

import asyncio
import threading

import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DatabaseError

from longshore.domain.audit import BrokenChainError, Entry, Head, Outcome
from longshore.store import audit, server_secrets
from longshore.store.database import Store, Transaction
from longshore.store.wakeup import Wakeup

ACCOUNT = "000000000000"


def entry(name: str, *, account: str = ACCOUNT, time: float = 1.5, outcome: Outcome = Outcome.SUCCEEDED) -> Entry:
    return Entry(
        account=account,
        time=time,
        outcome=outcome,
        principal_arn=f"arn:aws:iam::{account}:user/ci/{name}",
        operation="CreateApplication",
        resources=(("applicationName", name),),
    )


def change(tx: Transaction, name: str) -> None:
    """A change, and the record of it."""
    server_secrets.get_or_make(tx, name, lambda: "made")
    audit.append(tx, entry(name))


def names(store: Store, **filters: object) -> list[str]:
    records = store.read(lambda tx: audit.page(tx, ACCOUNT, after=0, limit=1000, **filters))  # type: ignore[arg-type]
    return [record.entry.resources[0][1] for record in records]


def verify(store: Store) -> Head:
    return store.read(lambda tx: audit.verify(tx, ACCOUNT))


def tamper(store: Store, statement: str) -> None:
    """What somebody with the database in hand can do, once the guard is out of the way."""

    def work(tx: Transaction) -> None:
        if is_sqlite(tx):
            for verb in ("update", "delete"):
                tx.execute(text(f"DROP TRIGGER audit_records_no_{verb}"))
        else:
            tx.execute(text("DROP TRIGGER audit_records_append_only ON audit_records"))
        tx.execute(text(statement))

    store.write(work)


def is_sqlite(tx: Transaction) -> bool:
    return tx.connection.dialect.name == "sqlite"


def break_records(tx: Transaction) -> None:
    """Let no record be written any more."""
    if is_sqlite(tx):
        statement = "CREATE TRIGGER full BEFORE INSERT ON audit_records BEGIN SELECT RAISE(ABORT, 'disk full'); END"
        tx.execute(text(statement))
        return
    tx.execute(
        text("CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'disk full'; END $$")
    )
    tx.execute(text("CREATE TRIGGER broken BEFORE INSERT ON audit_records FOR EACH ROW EXECUTE FUNCTION fail()"))


def test_a_change_and_its_record_are_committed_together_or_not_at_all(store: Store) -> None:
    """Writes that share a transaction do not share a fate, nor do their records."""

    def fail(tx: Transaction) -> None:
        change(tx, "failing")
        raise ValueError("no")

    async def together() -> None:
        writes = [store.submit(lambda tx, n=number: change(tx, f"good-{n}")) for number in range(20)]
        writes.insert(10, store.submit(fail))
        await asyncio.gather(*writes, return_exceptions=True)

    asyncio.run(together())
    assert sorted(names(store)) == sorted(f"good-{number}" for number in range(20))
    assert store.read(lambda tx: server_secrets.find(tx, "failing")) is None
    assert verify(store).sequence == 20


def test_a_change_whose_record_cannot_be_written_is_not_made(store: Store) -> None:
    store.write(lambda tx: change(tx, "first"))
    store.write(break_records)
    with pytest.raises(Exception, match="disk full"):
        store.write(lambda tx: change(tx, "second"))
    assert store.read(lambda tx: server_secrets.find(tx, "second")) is None
    assert names(store) == ["first"]


def test_writers_on_several_replicas_form_one_chain(database: URL, store: Store) -> None:
    replicas = [store, *(Store(database, Wakeup()) for _ in range(3))]

    def write(number: int) -> None:
        for again in range(25):
            replicas[number].write(lambda tx, n=again: audit.append(tx, entry(f"{number}-{n}")))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert verify(store).sequence == 100
    assert len(set(names(store))) == 100
    for replica in replicas[1:]:
        replica.close()


def test_every_account_has_a_chain_of_its_own(store: Store) -> None:
    def both(tx: Transaction) -> None:
        audit.append(tx, entry("one"))
        audit.append(tx, entry("two", account="111111111111"))
        audit.append(tx, entry("three"))

    store.write(both)
    assert store.read(audit.accounts) == [ACCOUNT, "111111111111"]
    assert names(store) == ["one", "three"]
    assert verify(store).sequence == 2
    assert store.read(lambda tx: audit.verify(tx, "111111111111")).sequence == 1
    assert store.read(lambda tx: audit.verify(tx, "222222222222")).sequence == 0


@pytest.mark.parametrize(
    "statement", ["UPDATE audit_records SET count = 2", "DELETE FROM audit_records", "TRUNCATE audit_records"]
)
def test_the_database_itself_refuses_to_alter_a_record(store: Store, statement: str) -> None:
    if statement.startswith("TRUNCATE") and store.read(is_sqlite):
        return  # no statement that SQLite has
    store.write(lambda tx: change(tx, "one"))
    with pytest.raises(DatabaseError, match="never changed or deleted"):
        store.write(lambda tx: tx.execute(text(statement)))
    assert names(store) == ["one"]


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("UPDATE audit_records SET principal_arn = 'x' WHERE sequence = 3", "Record 3 was changed"),
        ("UPDATE audit_records SET time = 9 WHERE sequence = 3", "Record 3 was changed"),
        ("UPDATE audit_records SET resources = '[]' WHERE sequence = 3", "Record 3 was changed"),
        ("DELETE FROM audit_records WHERE sequence = 3", "After record 2 comes 4"),
        ("DELETE FROM audit_records WHERE sequence > 3", "ends at record 5, but the last one here is 3"),
        ("DELETE FROM audit_records", "ends at record 5, but the last one here is 0"),
        ("UPDATE audit_heads SET sequence = 4", "end does not belong to record 4"),
        ("DELETE FROM audit_heads", "beyond the chain's end"),
        ("UPDATE audit_records SET hash = previous_hash WHERE sequence = 5", "Record 5 was changed"),
    ],
)
def test_altered_records_are_found(store: Store, statement: str, told: str) -> None:
    for number in range(5):
        store.write(lambda tx, n=number: change(tx, f"n-{n}"))
    assert verify(store).sequence == 5
    tamper(store, statement)
    with pytest.raises(BrokenChainError, match=told):
        verify(store)


def test_records_are_found_by_what_one_knows_of_them(store: Store) -> None:
    def several(tx: Transaction) -> None:
        audit.append(tx, entry("shop", time=10.0))
        audit.append(tx, entry("shop%", time=20.0))
        audit.append(tx, entry('sh"op', time=30.0, outcome=Outcome.REFUSED))

    store.write(several)
    assert names(store, since=20.0) == ["shop%", 'sh"op']
    assert names(store, until=20.0) == ["shop", "shop%"]
    assert names(store, resource="shop") == ["shop"]
    assert names(store, resource="shop%") == ["shop%"]
    assert names(store, resource='sh"op') == ['sh"op']
    assert names(store, resource="sh") == names(store, resource="applicationName") == []
    assert names(store, principal="shop") == ["shop"]
    assert names(store, principal=f"arn:aws:iam::{ACCOUNT}:user/ci/shop") == ["shop"]
    assert names(store, principal="hop") == []
    assert names(store, outcome="Refused") == ['sh"op']
    assert names(store, operation="DeleteApplication") == []
