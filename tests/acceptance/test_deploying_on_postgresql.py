"""The main job once more, with the rows in PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance import test_deploying
from tests.acceptance.test_deploying import (
    Hosts,
    Shops,
    test_a_broken_revision_stops_at_the_floor,
    test_a_busy_group_takes_no_second_deployment,
    test_stopping_in_the_middle_of_a_roll,
)
from tests.acceptance.world import ControlPlane
from tests.postgresql import Cluster

__all__ = [
    "test_a_broken_revision_stops_at_the_floor",
    "test_a_busy_group_takes_no_second_deployment",
    "test_stopping_in_the_middle_of_a_roll",
]


@pytest.fixture(scope="module")
def shared_plane(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    plane = ControlPlane(
        tmp_path_factory.mktemp("plane"), options=("--database-url", cluster.address(cluster.database().database))
    )
    plane.start()
    yield plane
    plane.stop()


def test_the_documented_commands_roll_a_revision(tmp_path: Path, shared_plane: ControlPlane, hosts_of: Hosts) -> None:
    hosts = hosts_of(shared_plane, 2, views=True)
    test_deploying.roll_by_hand(tmp_path, shared_plane, hosts, versions=("1",), bucket="by-hand")


@pytest.mark.parametrize("event", ["ApplicationStop", "AfterInstall"])
def test_a_failing_hook_is_told(shared_plane: ControlPlane, hosts_of: Hosts, shop_of: Shops, event: str) -> None:
    test_deploying.test_a_failing_hook_is_told_with_its_script_exit_code_and_log(shared_plane, hosts_of, shop_of, event)


def test_what_is_each_servers_own_is_warned_of(shared_plane: ControlPlane) -> None:
    """With several servers on the database, objects and what onebox knows would be on one of them."""
    warned = {line["event"] for line in map(json.loads, shared_plane.log.read_text().splitlines())}
    assert {"bundles_are_local", "onebox_is_local"} <= warned
