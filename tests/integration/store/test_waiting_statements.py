"""Statements whose outcome nobody has asked for yet: they are carried out in their order, and fail for who asked."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator

import psycopg
import pytest
from sqlalchemy import func, insert, select
from sqlalchemy.engine import URL

from longshore.store import tables
from longshore.store.database import Store, Transaction
from longshore.store.pipeline import Pipeline
from longshore.store.wakeup import Wakeup
from tests.postgresql import Cluster

SECRETS = tables.server_secrets


def put(tx: Transaction, name: str, value: str = "x") -> None:
    tx.hot("INSERT INTO server_secrets (name, value) VALUES (?, ?)", (name, value))


def names(store: Store) -> set[str]:
    rows = store.read(lambda tx: tx.hot("SELECT name FROM server_secrets").fetchall())
    return {row[0] for row in rows}


def together(store: Store, *works: Callable[[Transaction], None]) -> list[Exception | None]:
    """What these come to that share a commit."""
    return store.write_each(works)


def taken_twice(tx: Transaction) -> None:
    """Ends with a change that fails, of which it does not ask."""
    put(tx, "half")
    put(tx, "taken")


def taken_early(tx: Transaction) -> None:
    """Goes on for long after a change that fails, and asks of nothing."""
    taken_twice(tx)
    for n in range(40):
        put(tx, f"late-{n}")


def gives_up(tx: Transaction) -> None:
    """Fails by itself, with a change begun that fails as well."""
    taken_early(tx)
    raise ValueError("no")


FAILING = pytest.mark.parametrize("failing", [taken_twice, taken_early, gives_up])


def test_what_nobody_asks_about_is_done_by_the_commit(store: Store) -> None:
    store.write(lambda tx: put(tx, "one"))
    assert names(store) == {"one"}


@FAILING
def test_a_change_that_fails_unasked_fails_its_own_work_and_no_other(
    store: Store, failing: Callable[[Transaction], None]
) -> None:
    store.write(lambda tx: put(tx, "taken"))
    before, failed, after = store.write_each([lambda tx: put(tx, "before"), failing, lambda tx: put(tx, "after")])
    assert (before, after) == (None, None)
    assert re.search(r"^no$|server_secrets", str(failed))
    assert names(store) == {"taken", "before", "after"}


def test_who_asks_behind_a_change_that_fails_is_told_as_if_it_had_never_been(store: Store) -> None:
    """Its question travels with that change, and so does the next one's."""
    counted: list[int] = []

    def count(tx: Transaction) -> None:
        put(tx, f"{len(counted)}")
        counted.append(tx.hot("SELECT count(*) FROM server_secrets").fetchone()[0])

    store.write(lambda tx: put(tx, "taken"))
    works = [count, taken_twice, taken_twice, count, lambda tx: put(tx, "unasked"), taken_twice, count, taken_twice]
    outcomes = together(store, *works)
    assert [outcome is None for outcome in outcomes] == [work is not taken_twice for work in works]
    assert counted == [2, 3, 5]
    assert names(store) == {"taken", "0", "1", "unasked", "2"}


@FAILING
def test_alone_it_is_told_as_well_and_the_next_is_none_the_worse(
    store: Store, failing: Callable[[Transaction], None]
) -> None:
    store.write(lambda tx: put(tx, "taken"))
    with pytest.raises(Exception, match=r"^no$|server_secrets"):
        store.write(failing)
    store.write(lambda tx: put(tx, "after"))
    assert names(store) == {"taken", "after"}


def test_a_look_that_fails_unasked_is_told(store: Store) -> None:
    with pytest.raises(Exception, match="nowhere"):
        store.read(lambda tx: tx.hot("SELECT 1 FROM nowhere") and None)
    with pytest.raises(Exception, match="nowhere"):
        asyncio.run(store.fetch(lambda tx: tx.hot("SELECT 1 FROM nowhere") and None, quick=True))


def test_a_look_that_gives_up_leaves_the_next_alone(store: Store) -> None:
    """Whatever it has asked, and not waited for."""

    def gives_up_looking(tx: Transaction) -> None:
        for _ in range(40):
            tx.hot("SELECT name FROM server_secrets")
        raise ValueError("no")

    store.write(lambda tx: put(tx, "one"))
    for _ in range(3):
        with pytest.raises(ValueError, match="no"):
            store.read(gives_up_looking)
        assert names(store) == {"one"}


def test_a_question_that_nobody_reads_the_answer_of_holds_nothing_up(store: Store, database: URL) -> None:
    """It may live on in the traceback of whoever asked."""

    def asks(tx: Transaction) -> None:
        tx.known["asked"] = tx.hot("SELECT name FROM server_secrets")
        raise ValueError("no")

    store.write_each([lambda tx, n=n: put(tx, f"{n}") for n in range(3)])
    failures = [*store.write_each([asks, asks])]
    with pytest.raises(ValueError, match="no") as alone:
        store.write(asks)
    other = Store(database, Wakeup())
    other.write(lambda tx: put(tx, "other"))
    store.write(lambda tx: put(tx, "after"))
    other.close()
    assert names(store) == {"0", "1", "2", "other", "after"}
    assert [str(failure) for failure in (*failures, alone.value)] == ["no"] * 3


def test_statements_of_core_keep_their_place_among_the_others(store: Store) -> None:
    def mixed(tx: Transaction) -> list[int]:
        count = select(func.count()).select_from(SECRETS)
        put(tx, "one")
        first = tx.execute(count).scalar_one()
        tx.execute(insert(SECRETS).values(name="two", value="x"))
        put(tx, "three")
        return [first, tx.execute(count).scalar_one()]

    assert store.write(mixed) == [1, 3]


def test_several_questions_are_answered_whenever_they_are_read(store: Store) -> None:
    def work(tx: Transaction) -> list[object]:
        put(tx, "one")
        asked = [tx.hot("SELECT count(*) FROM server_secrets WHERE name = ?", (name,)) for name in ("one", "two")]
        put(tx, "two")
        return [outcome.fetchone()[0] for outcome in reversed(asked)]

    assert store.write(work) == [0, 1]


def test_the_outcome_tells_how_many_rows_were_changed(store: Store) -> None:
    store.write_each([lambda tx, n=n: put(tx, f"{n}") for n in range(3)])
    assert store.write(lambda tx: tx.hot("DELETE FROM server_secrets WHERE name <> ?", ("1",)).rowcount) == 2


@pytest.fixture
def pipeline(cluster: Cluster) -> Iterator[Pipeline]:
    """A session's, with a table of its own."""
    with psycopg.connect(cluster.address(), autocommit=True, prepare_threshold=None) as connection:
        connection.execute("CREATE TEMPORARY TABLE numbers (n integer PRIMARY KEY, filling text)")
        yield Pipeline(connection)


def test_a_statement_that_could_not_be_prepared_is_prepared_when_it_can_be(pipeline: Pipeline) -> None:
    for _ in range(2):
        pipeline.execute("INSERT INTO numbers VALUES (1, NULL)")
        missing = pipeline.execute("SELECT n FROM later")
        unreached = pipeline.execute("SELECT 'was never reached'")
        with pytest.raises(psycopg.errors.UndefinedTable):
            missing.fetchone()
        with pytest.raises(psycopg.OperationalError, match="before this one failed"):
            unreached.fetchone()
    pipeline.execute("CREATE TEMPORARY TABLE later AS SELECT 7 AS n")
    assert pipeline.execute("SELECT n FROM later").fetchone() == (7,)
    assert pipeline.execute("SELECT 'was never reached'").fetchone() == ("was never reached",)
    # All that goes together without a transaction of its own is one.
    assert pipeline.execute("SELECT count(*) FROM numbers").fetchone() == (0,)


def test_more_waits_and_more_is_answered_than_goes_over_the_wire_at_once(pipeline: Pipeline) -> None:
    filling = "x" * 20_000
    for n in range(1000):
        pipeline.execute("INSERT INTO numbers VALUES (?, ?)", (n, filling))
    found = [pipeline.execute("SELECT n, filling FROM numbers WHERE n = ?", (n,)) for n in range(1000)]
    assert [outcome.fetchall() for outcome in found] == [[(n, filling)] for n in range(1000)]


def test_who_is_frozen_in_the_midst_of_a_transaction_loses_its_locks(pipeline: Pipeline, cluster: Cluster) -> None:
    """Statements go out before anybody asks what came of them."""
    pipeline.execute("SET idle_in_transaction_session_timeout = 1000")
    with psycopg.connect(cluster.address(), autocommit=True) as other:
        other.execute("SET lock_timeout = 20000")
        pipeline.execute("BEGIN")
        pipeline.execute("SELECT pg_advisory_xact_lock(7)").fetchone()
        for _ in range(40):
            pipeline.execute("SELECT 1")
        other.execute("SELECT pg_advisory_lock(7)")
    with pytest.raises(psycopg.OperationalError):
        pipeline.settle()


def test_a_message_that_cannot_be_sent_ends_the_connection(pipeline: Pipeline) -> None:
    """Nobody knows what of it went out; what followed would be told the outcome of something else."""
    pipeline.execute("BEGIN")
    pipeline.execute("SELECT 1", (1,) * 70_000)
    with pytest.raises(psycopg.OperationalError, match="65535"):
        pipeline.settle()
    with pytest.raises(psycopg.OperationalError):
        pipeline.execute("SELECT 1").fetchone()


def test_any_number_of_texts_can_be_carried_out(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only so many are kept prepared."""
    monkeypatch.setattr("longshore.store.pipeline._MOST_PREPARED", 3)
    for _ in range(2):
        for n in range(10):
            assert pipeline.execute(f"SELECT {n} + ?::integer", (n,)).fetchone() == (2 * n,)
    assert pipeline.execute("SELECT count(*) FROM pg_prepared_statements").fetchone() == (3,)


def test_values_come_back_as_they_went(pipeline: Pipeline) -> None:
    values = (None, True, -7, 2**40, 0.1, 1e300, "é ' \\ %s $1", ["a", "b,c", "{}"])
    kinds = "boolean", "boolean", "integer", "bigint", "float8", "float8", "text", "text[]"
    row = pipeline.execute(f"SELECT {', '.join(f'?::{kind}' for kind in kinds)}", values).fetchone()
    assert row == values
