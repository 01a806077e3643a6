"""Rollbacks, through the operations, the rows and the engine (server.md S5, S6.7)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy.engine import URL

from longshore.api import deployment_groups, deployments
from longshore.domain.deployment import ScriptCode
from tests.integration.engine.rollout import REVISION, Rollout

BROKEN = {"revisionType": "S3", "s3Location": {"bucket": "releases", "key": "shop-2.zip", "bundleType": "zip"}}
ON_FAILURE = {"enabled": True, "events": ["DEPLOYMENT_FAILURE"]}
ON_STOP = {"enabled": True, "events": ["DEPLOYMENT_STOP_ON_REQUEST"]}


@pytest.fixture
def rollout(database: URL) -> Iterator[Rollout]:
    made = Rollout(database, hosts=2, minimum="CodeDeployDefault.OneAtATime")
    yield made
    made.close()


def succeed(rollout: Rollout, **options: Any) -> str:
    identifier = rollout.deploy(REVISION, **options)
    end(rollout, ScriptCode.SUCCESS)
    assert rollout.info["status"] == "Succeeded"
    return identifier


def fail(rollout: Rollout, **options: Any) -> str:
    identifier = rollout.deploy(BROKEN, **options)
    end(rollout, ScriptCode.SCRIPT_FAILED)
    assert rollout.info["status"] == "Failed"
    return identifier


def end(rollout: Rollout, code: ScriptCode) -> None:
    """Every host that is given a command runs each of its events to this end."""
    rollout.now += 10
    for _ in range(10):
        rollout.tick(times=1)
        for name in rollout.ready():
            for _ in range(7):
                rollout.run_event(name, code)
        if rollout.is_final:
            return


def follow(rollout: Rollout) -> dict[str, Any]:
    """Turn to the deployment that rolls the last one back; what it is."""
    rollout.deployment_id = rollout.info["rollbackInfo"]["rollbackDeploymentId"]
    return rollout.info


def group(rollout: Rollout) -> dict[str, Any]:
    asked = {"applicationName": "shop", "deploymentGroupName": "prod"}
    info: dict[str, Any] = rollout.call(deployment_groups.get_deployment_group, **asked)["deploymentGroupInfo"]
    return info


def listed(rollout: Rollout) -> list[str]:
    ids: list[str] = rollout.call(deployments.list_deployments, applicationName="shop", deploymentGroupName="prod")[
        "deployments"
    ]
    return ids


def test_a_failed_deployment_is_rolled_back_to_the_last_good_revision(rollout: Rollout) -> None:
    """S5.1, S5.4, S5.5, S5.6, S5.8."""
    good = succeed(rollout, fileExistsBehavior="OVERWRITE")
    failed = fail(
        rollout,
        autoRollbackConfiguration=ON_FAILURE,
        fileExistsBehavior="RETAIN",
        ignoreApplicationStopFailures=True,
        description="broken",
    )
    told = rollout.info["rollbackInfo"]
    rollback = follow(rollout)
    assert failed in told["rollbackMessage"]
    assert rollback["deploymentId"] in told["rollbackMessage"]
    assert rollback["creator"] == "codeDeployRollback"
    assert rollback["rollbackInfo"]["rollbackTriggeringDeploymentId"] == failed
    assert failed in rollback["rollbackInfo"]["rollbackMessage"]
    assert rollback["deploymentId"] in rollback["rollbackInfo"]["rollbackMessage"]
    assert rollback["revision"] == REVISION
    assert (rollback["fileExistsBehavior"], rollback["ignoreApplicationStopFailures"]) == ("OVERWRITE", True)
    assert rollback["deploymentConfigName"] == "CodeDeployDefault.OneAtATime"
    assert not {"description", "autoRollbackConfiguration", "completeTime", "errorInformation"} & set(rollback)

    end(rollout, ScriptCode.SUCCESS)
    assert rollout.info["status"] == "Succeeded"
    assert rollout.overview == {"Succeeded": 2}, "every host of the group, not only those that were reached"
    assert rollout.info["rollbackInfo"]["rollbackTriggeringDeploymentId"] == failed
    assert group(rollout)["targetRevision"] == REVISION
    assert sorted(listed(rollout)) == sorted([good, failed, rollout.deployment_id])


def test_the_group_is_the_rollbacks_from_the_moment_the_deployment_ends(rollout: Rollout) -> None:
    """S6.2: nobody else's deployment can come between."""
    succeed(rollout)
    fail(rollout, autoRollbackConfiguration=ON_FAILURE)
    rollback = follow(rollout)
    assert rollback["status"] == "Created"
    with pytest.raises(Exception, match=f"already has an active Deployment '{rollback['deploymentId']}'"):
        rollout.deploy(REVISION)


@pytest.mark.parametrize(
    ("groups_own", "deployments_own", "is_rolled_back"),
    [
        (None, None, False),
        (ON_FAILURE, None, True),
        (None, ON_FAILURE, True),
        (ON_FAILURE, {"enabled": False}, False),
        (ON_STOP, ON_FAILURE, True),
        (ON_FAILURE, ON_STOP, False),
        ({"enabled": False, "events": ["DEPLOYMENT_FAILURE"]}, None, False),
    ],
)
def test_whose_configuration_counts(
    rollout: Rollout, groups_own: Any, deployments_own: Any, is_rolled_back: bool
) -> None:
    """S5.2, S5.3."""
    if groups_own:
        rollout.call(
            deployment_groups.update_deployment_group,
            applicationName="shop",
            currentDeploymentGroupName="prod",
            autoRollbackConfiguration=groups_own,
        )
    succeed(rollout)
    fail(rollout, **({"autoRollbackConfiguration": deployments_own} if deployments_own else {}))
    assert ("rollbackDeploymentId" in rollout.info["rollbackInfo"]) == is_rolled_back


def test_without_an_earlier_success_it_says_why_nothing_happens(rollout: Rollout) -> None:
    """S5.7."""
    failed = fail(rollout, autoRollbackConfiguration=ON_FAILURE)
    info = rollout.info["rollbackInfo"]
    assert "rollbackDeploymentId" not in info
    assert failed in info["rollbackMessage"]
    assert "cannot be rolled back" in info["rollbackMessage"]
    assert listed(rollout) == [failed]


def test_what_touched_no_host_is_not_undone(database: URL) -> None:
    rollout = Rollout(database, hosts=0, minimum="CodeDeployDefault.OneAtATime")
    failed = rollout.deploy(REVISION, autoRollbackConfiguration=ON_FAILURE)
    rollout.tick()
    assert rollout.info["errorInformation"]["code"] == "NO_INSTANCES"
    assert "nothing to undo" in rollout.info["rollbackInfo"]["rollbackMessage"]
    assert listed(rollout) == [failed]
    rollout.close()


def test_a_rollback_that_fails_is_not_rolled_back(rollout: Rollout) -> None:
    """S5.8: also where the group's configuration would have it."""
    rollout.call(
        deployment_groups.update_deployment_group,
        applicationName="shop",
        currentDeploymentGroupName="prod",
        autoRollbackConfiguration=ON_FAILURE,
    )
    succeed(rollout)
    failed = fail(rollout)
    rollback = follow(rollout)["deploymentId"]
    end(rollout, ScriptCode.SCRIPT_FAILED)
    assert rollout.info["status"] == "Failed"
    assert rollout.info["rollbackInfo"]["rollbackTriggeringDeploymentId"] == failed
    assert "rollbackDeploymentId" not in rollout.info["rollbackInfo"]
    assert listed(rollout)[0] == rollback


@pytest.mark.parametrize(
    ("configured", "said", "is_rolled_back"),
    [
        (ON_STOP, None, True),
        (ON_STOP, False, False),
        (None, True, True),
        (ON_FAILURE, None, False),
        (ON_FAILURE, True, True),
        (None, False, False),
    ],
)
def test_a_stop_says_whether_to_roll_back_else_the_configuration(
    rollout: Rollout, configured: Any, said: bool | None, is_rolled_back: bool
) -> None:
    """S6.7."""
    succeed(rollout)
    rollout.now += 10
    rollout.deploy(BROKEN, **({"autoRollbackConfiguration": configured} if configured else {}))
    rollout.tick()
    rollout.run_event(rollout.ready()[0])
    asked = {} if said is None else {"autoRollbackEnabled": said}
    rollout.call(deployments.stop_deployment, deploymentId=rollout.deployment_id, **asked)
    rollout.tick(times=1)
    assert rollout.info["status"] == "Stopped"
    assert ("rollbackDeploymentId" in rollout.info["rollbackInfo"]) == is_rolled_back
    if is_rolled_back:
        follow(rollout)
        end(rollout, ScriptCode.SUCCESS)
        assert rollout.info["status"] == "Succeeded"
        assert rollout.info["revision"] == REVISION


def test_a_deleted_group_is_not_rolled_back(rollout: Rollout) -> None:
    succeed(rollout)
    rollout.now += 10
    failed = rollout.deploy(BROKEN, autoRollbackConfiguration=ON_FAILURE)
    rollout.tick()
    rollout.run_event(rollout.ready()[0])
    rollout.call(deployment_groups.delete_deployment_group, applicationName="shop", deploymentGroupName="prod")
    rollout.tick()
    assert rollout.info["errorInformation"]["code"] == "DEPLOYMENT_GROUP_MISSING"
    assert rollout.info["deploymentId"] == failed
    assert "group was deleted" in rollout.info["rollbackInfo"]["rollbackMessage"]
