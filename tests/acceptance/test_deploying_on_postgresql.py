"""The main job once more, with the rows in PostgreSQL: every test of test_deploying.py, and what differs."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.acceptance.test_deploying import *  # noqa: F403  # each test of it is one of this file too
from tests.acceptance.world import ControlPlane
from tests.postgresql import Cluster


def _on_postgresql(folder: pytest.TempPathFactory, cluster: Cluster) -> Iterator[ControlPlane]:
    plane = ControlPlane(
        folder.mktemp("plane"), options=("--database-url", cluster.address(cluster.database().database))
    )
    plane.start()
    yield plane
    plane.stop()


@pytest.fixture(scope="module")
def shared_plane(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    yield from _on_postgresql(tmp_path_factory, cluster)


@pytest.fixture
def own_plane(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    yield from _on_postgresql(tmp_path_factory, cluster)


def test_what_is_each_servers_own_is_warned_of(shared_plane: ControlPlane) -> None:
    """With several servers on the database, objects and what onebox knows would be on one of them."""
    warned = {line["event"] for line in map(json.loads, shared_plane.log.read_text().splitlines())}
    assert {"bundles_are_local", "onebox_is_local"} <= warned
