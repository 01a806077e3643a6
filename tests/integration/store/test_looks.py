"""Quick looks of the event loop, many at once: on both databases each is answered as if it were the only one."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from sqlalchemy import select

from longshore.store import server_secrets, tables
from longshore.store.database import Store, Transaction
from longshore.store.errors import StoreClosedError

MANY = 100


def in_a_loop(test: Callable[[Store], Coroutine[Any, Any, None]]) -> Callable[[Store], None]:
    @functools.wraps(test)
    def run(store: Store) -> None:
        asyncio.run(asyncio.wait_for(test(store), 120))

    return run


class RefusedError(Exception):
    """What an operation says of its input."""


def rows(tx: Transaction) -> int:
    return int(tx.hot("SELECT count(*) FROM server_secrets").fetchone()[0])


def has(tx: Transaction, name: str) -> bool:
    return tx.hot("SELECT 1 FROM server_secrets WHERE name = ?", (name,)).fetchone() is not None


@in_a_loop
async def test_each_gets_its_own_answer_or_its_own_error(store: Store) -> None:
    def number(tx: Transaction, n: int) -> int:
        if n % 7 == 3:
            raise RefusedError(n)
        if n % 7 == 5:
            tx.hot("SELECT 1 FROM nowhere")
        return int(tx.hot("SELECT 0 + ?", (n,)).fetchone()[0])

    found: list[Any] = await asyncio.gather(
        *(store.fetch(lambda tx, n=n: number(tx, n), quick=True) for n in range(MANY)), return_exceptions=True
    )
    for n, one in enumerate(found):
        match n % 7:
            case 3:
                assert isinstance(one, RefusedError)
                assert one.args == (n,)
            case 5:
                assert "nowhere" in str(one)
            case _:
                assert one == n


@in_a_loop
async def test_a_look_sees_one_state_of_the_rows_and_all_that_was_committed_before_it(store: Store) -> None:
    async def change(n: int) -> None:
        # Two rows a commit: whoever sees one number and then another has seen two states.
        def work(tx: Transaction) -> None:
            server_secrets.put(tx, f"a-{n}", "x")
            server_secrets.put(tx, f"b-{n}", "x")

        await store.submit(work)
        assert await store.fetch(lambda tx: has(tx, f"b-{n}"), quick=True)

    async def look() -> None:
        first, second = await store.fetch(lambda tx: (rows(tx), rows(tx)), quick=True)
        assert first == second
        assert first % 2 == before % 2

    before = await store.fetch(rows, quick=True)
    await asyncio.gather(*(job for n in range(MANY) for job in (change(n), look())))


@in_a_loop
async def test_statements_of_core_and_of_the_driver_are_of_one_look(store: Store) -> None:
    """Each kind begins a transaction in its own way."""

    def both(tx: Transaction) -> tuple[int, int]:
        return rows(tx), len(tx.execute(select(tables.server_secrets.c.name)).all())

    found = await asyncio.gather(*(store.peek(both) for _ in range(MANY)))
    assert {one - other for one, other in found} == {0}
    assert await store.fetch(rows, quick=True) == found[0][0]


@in_a_loop
async def test_nobody_changes_anything_by_looking(store: Store) -> None:
    with pytest.raises(Exception, match=r"(?i)read.?only"):
        await store.fetch(lambda tx: tx.hot("INSERT INTO server_secrets VALUES ('new', 'x')") and None, quick=True)
    assert not await store.fetch(lambda tx: has(tx, "new"), quick=True)


@in_a_loop
async def test_a_closed_store_says_so(store: Store) -> None:
    await store.fetch(rows, quick=True)
    store.close()
    with pytest.raises(StoreClosedError):
        await store.submit(rows)
