"""Works that share a commit and have asked ahead what they will want to know."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import pytest
from sqlalchemy.engine import URL

from longshore.domain.config import ComputePlatform
from longshore.domain.ids import Scope
from longshore.store import applications
from longshore.store.database import Store, Transaction
from longshore.store.pipeline import Pipeline
from longshore.store.waiting import Foresee
from longshore.store.wakeup import Wakeup
from tests.postgresql import Cluster

SCOPE = Scope("000000000000", "us-east-1")

Work = Callable[[Transaction], str | None]


def foresee(tx: Transaction, name: str = "shop") -> None:
    applications.foresee_with_group(tx, SCOPE, name, "web")


def look(tx: Transaction, name: str = "shop") -> str | None:
    """The id of the application."""
    found, _ = applications.find_with_group(tx, SCOPE, name, "web")
    return None if found is None else found.id


def does_nothing(_tx: Transaction) -> None:
    pass


def gives_up(_tx: Transaction) -> None:
    raise ValueError("no")


def make(store: Store, name: str = "shop") -> str:
    made = store.write(lambda tx: applications.create(tx, SCOPE, name=name, platform=ComputePlatform.SERVER, now=1.0))
    return made.id


@pytest.fixture
def on_postgresql(cluster: Cluster, migrated: URL) -> Iterator[Store]:
    """SQLite answers on the spot."""
    url = cluster.database(like=migrated)
    store = Store(url, Wakeup())
    yield store
    store.close()
    cluster.drop(url)


def together(store: Store, works: Sequence[tuple[Work, Foresee | None]]) -> list[str]:
    """What these come to that share a commit."""
    is_held, go_on = threading.Event(), threading.Event()

    def hold(_tx: Transaction) -> None:
        is_held.set()
        go_on.wait(10)

    async def submit() -> list[object]:
        tasks = [asyncio.ensure_future(store.submit(work, foresee=ahead)) for work, ahead in works]
        await asyncio.sleep(0)
        go_on.set()
        return list(await asyncio.gather(*tasks, return_exceptions=True))

    holding = threading.Thread(target=store.write, args=(hold,))
    holding.start()
    assert is_held.wait(10)
    outcomes = asyncio.run(submit())
    holding.join()
    return [str(outcome) for outcome in outcomes]


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("idle", [does_nothing, gives_up])
def test_what_somebody_has_foreseen_for_nothing_is_believed_by_nobody(store: Store, idle: Work, *, fails: bool) -> None:
    """Others who share the commit may have changed it since."""
    shop = make(store)

    def rename(tx: Transaction) -> None:
        applications.rename(tx, shop, "other")
        if fails:
            gives_up(tx)

    assert together(store, [(rename, None), (look, None), (idle, foresee)]) == [
        "no" if fails else "None",
        shop if fails else "None",
        "no" if idle is gives_up else "None",
    ]


@pytest.mark.parametrize("refused", [0, 4])
def test_many_wait_together_for_what_each_of_them_asks(
    on_postgresql: Store, monkeypatch: pytest.MonkeyPatch, refused: int
) -> None:
    """Be it that some of them fail."""
    names = [f"shop-{number}" for number in range(30)]
    shops = [make(on_postgresql, name) for name in names]
    waits: list[Pipeline] = []
    settle = Pipeline.settle

    def counted(pipeline: Pipeline) -> None:
        if threading.current_thread().name == "store-writer" and not pipeline.is_idle:
            waits.append(pipeline)
        settle(pipeline)

    monkeypatch.setattr(Pipeline, "settle", counted)
    works: list[tuple[Work, Foresee | None]] = [
        (partial(look, name=name), partial(foresee, name=name)) for name in names
    ]
    for at in range(0, 7 * refused, 7):
        works.insert(at, (gives_up, partial(foresee, name=f"nobody's-{at}")))
    outcomes = together(on_postgresql, works)
    assert [outcome for outcome in outcomes if outcome != "no"] == shops
    # With their beginning, their question, their commit, and a savepoint to go back to for each that fails.
    assert len(waits) <= 6 + 2 * refused
