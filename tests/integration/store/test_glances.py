"""Looks that the event loop takes by itself at PostgreSQL, and those that it leaves to others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import psycopg
import pytest
from sqlalchemy import select
from sqlalchemy.engine import URL

from longshore.store import tables
from longshore.store.database import Store, Transaction, dialect_of
from longshore.store.glancing import Glancer, NotAtOnceError
from longshore.store.wakeup import Wakeup
from tests.postgresql import Cluster

MANY = 200


@pytest.fixture
def url(cluster: Cluster, migrated: URL) -> Iterator[URL]:
    made = cluster.database(like=migrated)
    yield made
    cluster.drop(made)


@pytest.fixture
def glancer(url: URL) -> Iterator[Glancer]:
    reading = dialect_of(url).reading()
    made = Glancer(reading)
    yield made
    made.close()
    reading.dispose()


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 60))


async def connected(glancer: Glancer) -> None:
    """The looks before it has its connection are taken elsewhere."""
    while True:
        try:
            await glancer.look(lambda tx: tx.hot("SELECT 1").fetchone())
        except NotAtOnceError:
            await asyncio.sleep(0.01)
        else:
            return


def double(n: int) -> Callable[[Transaction], int]:
    return lambda tx: int(tx.hot("SELECT ?::integer * 2", (n,)).fetchone()[0])


def count(tx: Transaction) -> Any:
    return tx.hot("SELECT count(*) FROM server_secrets")


def count_twice(tx: Transaction) -> tuple[int, int]:
    one, other = count(tx), count(tx)
    return one.fetchone()[0], other.fetchone()[0]


def test_each_gets_its_own_answer(glancer: Glancer) -> None:
    async def test() -> None:
        await connected(glancer)
        assert await asyncio.gather(*(glancer.look(double(n)) for n in range(MANY))) == [2 * n for n in range(MANY)]
        assert await glancer.look(lambda tx: "asked nothing") == "asked nothing"

    run(test)


def ask_again(tx: Transaction) -> int:
    first = count(tx).fetchone()[0]
    return int(first + count(tx).fetchone()[0])


def ask_for_what_is_not_there(tx: Transaction) -> None:
    tx.hot("SELECT 1 FROM nowhere")


def ask_through_core(tx: Transaction) -> object:
    return tx.execute(select(tables.server_secrets)).all()


def change_something(tx: Transaction) -> None:
    tx.hot("DELETE FROM server_secrets")


@pytest.mark.parametrize("work", [ask_again, ask_for_what_is_not_there, ask_through_core, change_something])
def test_what_cannot_be_answered_at_once_is_left_to_others_and_harms_none(
    glancer: Glancer, work: Callable[[Transaction], object]
) -> None:
    async def test() -> None:
        await connected(glancer)
        works: list[Callable[[Transaction], object]] = [double(1), work, double(2), work, double(3)]
        answers = await asyncio.gather(*map(glancer.look, works), return_exceptions=True)
        assert answers[::2] == [2, 4, 6]
        assert all(isinstance(answer, NotAtOnceError) for answer in answers[1::2])

    run(test)


def test_the_error_of_a_look_is_its_callers(glancer: Glancer) -> None:
    def refuse(tx: Transaction) -> None:
        if count(tx).fetchone() == (0,):
            raise LookupError("nothing there")

    async def test() -> None:
        await connected(glancer)
        with pytest.raises(LookupError, match="nothing there"):
            await glancer.look(refuse)

    run(test)


def test_all_that_one_asks_is_answered_on_one_view(glancer: Glancer, url: URL) -> None:
    writing = Store(url, Wakeup())

    def add(tx: Transaction, n: int) -> None:
        tx.hot("INSERT INTO server_secrets (name, value) VALUES (?, '')", (f"{n}",))

    async def test() -> None:
        await connected(glancer)
        writes = [writing.submit(lambda tx, n=n: add(tx, n)) for n in range(MANY)]
        views = [glancer.look(count_twice) for _ in range(MANY)]
        *_, found = await asyncio.gather(asyncio.gather(*writes), asyncio.gather(*views))
        assert all(one == other for one, other in found)
        assert await glancer.look(count_twice) == (MANY, MANY)

    run(test)
    writing.close()


def test_a_connection_that_is_lost_fails_nobody_for_good(glancer: Glancer, url: URL) -> None:
    def end_all_sessions() -> None:
        with psycopg.connect(url.render_as_string(hide_password=False), autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )

    async def test() -> None:
        await connected(glancer)
        slow = [glancer.look(lambda tx: tx.hot("SELECT pg_sleep(20)").fetchone()) for _ in range(3)]
        under_way = asyncio.gather(*slow, return_exceptions=True)
        await asyncio.sleep(0.1)
        await asyncio.to_thread(end_all_sessions)
        assert all(isinstance(one, NotAtOnceError) for one in await under_way)
        await connected(glancer)
        assert await glancer.look(double(4)) == 8

    run(test)


def test_one_loop_after_another_may_look(glancer: Glancer) -> None:
    async def test() -> None:
        await connected(glancer)
        assert await glancer.look(double(5)) == 10

    run(test)
    run(test)


def test_more_is_asked_than_goes_over_the_wire_at_once(glancer: Glancer) -> None:
    long = "x" * 200_000

    async def test() -> None:
        await connected(glancer)
        works = [lambda tx: tx.hot("SELECT length(?)", (long,)).fetchone()[0] for _ in range(50)]
        assert set(await asyncio.gather(*map(glancer.look, works))) == {len(long)}

    run(test)


def test_what_cannot_be_sent_is_told_to_who_asked_and_hinders_nobody(glancer: Glancer) -> None:
    def with_nul(tx: Transaction) -> Any:
        tx.hot("SELECT 1")
        return tx.hot("SELECT length(?)", ("a\0b",)).fetchone()

    async def test() -> None:
        await connected(glancer)
        outcomes = await asyncio.gather(*map(glancer.look, (double(1), with_nul, double(2))), return_exceptions=True)
        assert isinstance(outcomes.pop(1), psycopg.DataError)
        assert outcomes == [2, 4]
        assert await glancer.look(double(3)) == 6

    run(test)
