"""The same of PostgreSQL, by the plans it says it carried out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy.engine import URL

from longshore.domain.ids import Scope
from longshore.store import deployments
from longshore.store.database import Store, Transaction, dialect_of
from longshore.store.wakeup import Wakeup
from tests.postgresql import Cluster

HERE = Scope("000000000000", "us-east-1")


@pytest.fixture(scope="module")
def many(cluster: Cluster, migrated: URL) -> Iterator[Store]:
    """100,000 deployments on PostgreSQL, as years of use would have left them."""
    store = Store(cluster.database(like=migrated), Wakeup())
    columns = (
        "id, account, region, application_id, group_id, application_name, group_name, compute_platform, config_name,"
        " status, creator, create_time, revision, revision_identity, document"
    )
    fill = (
        f"INSERT INTO deployments ({columns}) SELECT 'd-' || lpad(n::text, 9, '0'), ?, ?, 'a', 'group-' || n % 10,"
        " 'shop', 'prod', 'Server', 'config', CASE n / 10 % 5 WHEN 3 THEN 'Failed' ELSE 'Succeeded' END,"
        " 'user', n, '{}', 'r', '{}' FROM generate_series(1, 100000) n"
    )
    store.write(lambda tx: tx.hot(fill, (HERE.account, HERE.region)) and None)
    store.write(lambda tx: tx.hot("ANALYZE deployments") and None)
    yield store
    store.close()


@pytest.mark.parametrize("group_id", [None, "group-3"])
@pytest.mark.parametrize("statuses", [(), ("Failed",)])
@pytest.mark.parametrize("before", [None, (50_000.0, "d-000050000")])
def test_a_page_of_100_000_deployments_is_read_by_an_index_on_postgresql(
    many: Store, group_id: str | None, statuses: tuple[str, ...], before: tuple[float, str] | None
) -> None:
    """No table is passed over, nothing is sorted, and no more rows are read than the page has."""
    nodes: list[dict[str, Any]] = []

    def collect(node: dict[str, Any]) -> None:
        nodes.append(node)
        for below in node.get("Plans", ()):
            collect(below)

    class Explaining(Transaction):
        def hot(self, sql: str, parameters: Any = ()) -> Any:
            ((plan,),) = super().hot(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", parameters).fetchall()
            collect(plan[0]["Plan"])
            return super().hot(sql, parameters)

    found = many.read(
        lambda tx: deployments.page(
            Explaining(tx.connection, dialect_of("postgresql:///")),
            HERE,
            group_id=group_id,
            statuses=statuses,
            since=1.0,
            until=99_990.0,
            before=before,
            limit=101,
        )
    )
    assert len(found) == 101
    assert {node["Node Type"] for node in nodes} <= {"Limit", "Index Scan", "Index Only Scan"}, nodes
    assert all(node["Actual Rows"] <= 101 for node in nodes), nodes
    assert all(node.get("Rows Removed by Filter", 0) == 0 for node in nodes), nodes
