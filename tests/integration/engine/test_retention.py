"""What is forgotten of deployments that ended long ago, and what is not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.engine import URL

from longshore.api import deployment_groups, deployments
from longshore.domain.deployment import ScriptCode
from longshore.engine.retention import Retention
from longshore.store import tables
from longshore.wire.service import AwsError
from tests.integration.engine.rollout import Rollout

DAY = 86_400.0
GROUP = {"applicationName": "shop", "deploymentGroupName": "prod"}


@pytest.fixture
def rollout(database: URL) -> Iterator[Rollout]:
    made = Rollout(database, hosts=1, minimum="CodeDeployDefault.AllAtOnce")
    yield made
    made.close()


def deployed(rollout: Rollout, code: ScriptCode = ScriptCode.SUCCESS) -> str:
    rollout.now += DAY
    made = rollout.deploy()
    rollout.tick()
    for _ in range(7):
        rollout.run_event("web-00", code)
    rollout.tick()
    assert rollout.is_final
    return made


def listed(rollout: Rollout) -> list[str]:
    found: list[str] = rollout.call(deployments.list_deployments, **GROUP)["deployments"]
    return found


def rows_of(rollout: Rollout, table: Any) -> int:
    return rollout.store.read(lambda tx: tx.execute(select(func.count()).select_from(table)).scalar_one())


def test_old_deployments_go_and_what_a_group_needs_stays(rollout: Rollout) -> None:
    old = [deployed(rollout) for _ in range(3)]
    good = deployed(rollout)
    failed = [deployed(rollout, ScriptCode.SCRIPT_FAILED) for _ in range(3)]
    retention = Retention(rollout.store, 1.5 * DAY, clock=lambda: rollout.now)
    assert retention.sweep() == 4
    assert set(listed(rollout)) == {good, *failed[1:]}
    assert rows_of(rollout, tables.targets) == 3, "their targets are gone with them"
    with pytest.raises(AwsError, match="DeploymentDoesNotExist"):
        rollout.call(deployments.get_deployment, deploymentId=old[0])

    rollout.now += 100 * DAY
    running = rollout.deploy()
    rollout.tick()
    assert retention.sweep() == 2
    assert set(listed(rollout)) == {good, running}
    info = rollout.call(deployment_groups.get_deployment_group, **GROUP)["deploymentGroupInfo"]
    assert info["lastSuccessfulDeployment"]["deploymentId"] == good
    assert retention.sweep() == 0


def test_nothing_is_forgotten_too_early(rollout: Rollout) -> None:
    made = [deployed(rollout) for _ in range(3)]
    assert Retention(rollout.store, 30 * DAY, clock=lambda: rollout.now).sweep() == 0
    assert set(listed(rollout)) == set(made)
