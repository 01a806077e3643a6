"""Lists that grow without end are read by an index, from where the page begins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.dialects import sqlite

from longshore.domain.ids import Scope
from longshore.store import deployments
from longshore.store.database import Store, Transaction, sqlite_url
from longshore.store.wakeup import Wakeup


@pytest.mark.parametrize("group_id", [None, "a-group"])
@pytest.mark.parametrize("before", [None, (5.0, "d-ABCDEFGHI")])
def test_a_page_of_deployments_is_read_by_an_index(
    tmp_path: Path, group_id: str | None, before: tuple[float, str] | None
) -> None:
    asked: list[Any] = []

    class Recorder:
        def execute(self, statement: Any) -> list[Any]:
            asked.append(statement)
            return []

    deployments.page(
        Recorder(),  # type: ignore[arg-type]
        Scope("000000000000", "us-east-1"),
        group_id=group_id,
        statuses=None,
        since=1.0,
        until=None if before else 9.0,
        before=before,
        limit=101,
    )
    sql = str(asked[0].compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True}))

    def plan(tx: Transaction) -> list[str]:
        return [row[3] for row in tx.hot(f"EXPLAIN QUERY PLAN {sql}").fetchall()]

    store = Store(sqlite_url(tmp_path / "longshore.db"), Wakeup())
    try:
        (step,) = store.read(plan)
    finally:
        store.close()
    assert step.startswith("SEARCH deployments USING COVERING INDEX" if group_id else "SEARCH deployments USING"), step
    bounds = "(create_time,id)<(?,?)" if before else "create_time>? AND create_time<?"
    assert bounds in step, step
