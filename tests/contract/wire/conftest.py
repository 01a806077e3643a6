"""A control plane of this process for the tests of one module, on each database in turn."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.wire.plane import Plane, plane


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def here(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    database_url = None
    if request.param == "postgresql":
        cluster = request.getfixturevalue("cluster")
        database_url = cluster.address(cluster.database().database)
    with plane(tmp_path_factory.mktemp("here"), database_url=database_url) as made:
        yield made
