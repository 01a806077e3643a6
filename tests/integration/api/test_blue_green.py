"""Blue/green deployments as the operations show and steer them (server.md S3.23, S3.24, S6.9–S6.13, S6.18)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select, update

from longshore.domain.blue_green import Phase
from longshore.domain.deployment import TargetStatus
from longshore.domain.health import Turn
from longshore.domain.lifecycle import BLUE_GREEN, Label
from longshore.domain.target import begin
from longshore.store import deployments, tables, targets
from longshore.store.targets import NewTarget

STYLE = {"deploymentType": "BLUE_GREEN", "deploymentOption": "WITH_TRAFFIC_CONTROL"}
BALANCER = {"targetGroupInfoList": [{"name": "web"}]}
CONFIGURATION: dict[str, Any] = {
    "deploymentReadyOption": {"actionOnTimeout": "STOP_DEPLOYMENT", "waitTimeInMinutes": 30},
    "greenFleetProvisioningOption": {"action": "DISCOVER_EXISTING"},
    "terminateBlueInstancesOnDeploymentSuccess": {"action": "TERMINATE", "terminationWaitTimeInMinutes": 60},
}


@pytest.fixture
def deployment(app: str, group: Any, deploy: Any, store: Any, clock: Any) -> str:
    """A blue/green deployment under way: one replacement is Ready, one failed; one original is untouched."""
    group(app, "web", deploymentStyle=STYLE, loadBalancerInfo=BALANCER, blueGreenDeploymentConfiguration=CONFIGURATION)
    deployment_id: str = deploy(app, "web", "InProgress")
    document = {"deploymentStyle": STYLE, "blueGreenDeploymentConfiguration": CONFIGURATION}
    where = tables.deployments.c.id == deployment_id
    store.write(lambda tx: tx.execute(update(tables.deployments).where(where).values(document=document)))

    def new(name: str, label: Label, status: TargetStatus) -> NewTarget:
        arn = f"arn:aws:ec2:us-east-1:123456789012:instance/{name}"
        target = replace(begin(BLUE_GREEN[label], label=label), status=status)
        return NewTarget(target_id=name, target_arn=arn, host=name, turn=Turn.UNHEALTHY, target=target)

    rows = [
        new("i-blue", Label.BLUE, TargetStatus.PENDING),
        new("i-green-1", Label.GREEN, TargetStatus.READY),
        new("i-green-2", Label.GREEN, TargetStatus.FAILED),
    ]
    store.write(lambda tx: targets.add(tx, deployment_id, rows))
    return deployment_id


@pytest.fixture
def enter(store: Any, deployment: str, clock: Any) -> Any:
    """Move the deployment to a phase, as the engine does."""
    return lambda phase: store.write(lambda tx: deployments.enter(tx, deployment, phase, clock.now))


def continued(store: Any, deployment_id: str) -> Any:
    column = tables.deployments.c.continued
    query = select(column).where(tables.deployments.c.id == deployment_id)
    return store.read(lambda tx: tx.execute(query).scalar_one())


def test_originals_and_replacements_are_told_apart(codedeploy: Any, deployment: str, enter: Any) -> None:
    """S3.23."""
    enter(Phase.INSTALL)

    def listed(*labels: str) -> list[str]:
        asked = {"targetFilters": {"ServerInstanceLabel": list(labels)}}
        ids: list[str] = codedeploy.list_deployment_targets(deploymentId=deployment, **asked)["targetIds"]
        older = codedeploy.list_deployment_instances(deploymentId=deployment, instanceTypeFilter=list(labels))
        assert older["instancesList"] == ids
        return ids

    assert listed("Blue") == ["i-blue"]
    assert listed("Green") == ["i-green-1", "i-green-2"]
    assert listed("Blue", "Green") == ["i-blue", "i-green-1", "i-green-2"]
    both = {"ServerInstanceLabel": ["Green"], "TargetStatus": ["Ready"]}
    assert codedeploy.list_deployment_targets(deploymentId=deployment, targetFilters=both)["targetIds"] == ["i-green-1"]
    target = codedeploy.get_deployment_target(deploymentId=deployment, targetId="i-blue")["deploymentTarget"]
    assert target["instanceTarget"]["instanceLabel"] == "Blue"
    assert len(target["instanceTarget"]["lifecycleEvents"]) == 3
    older = codedeploy.get_deployment_instance(deploymentId=deployment, instanceId="i-green-1")["instanceSummary"]
    assert (older["instanceType"], older["status"]) == ("Green", "Ready")


def test_originals_are_counted_once_they_lose_their_traffic(codedeploy: Any, deployment: str, enter: Any) -> None:
    """S3.24."""

    def overview() -> dict[str, int]:
        counted = codedeploy.get_deployment(deploymentId=deployment)["deploymentInfo"]["deploymentOverview"]
        assert len(counted) == 6
        return {name: number for name, number in counted.items() if number}

    enter(Phase.INSTALL)
    assert overview() == {"Ready": 1, "Failed": 1}
    enter(Phase.BLOCK)
    assert overview() == {"Pending": 1, "Ready": 1, "Failed": 1}


def test_targets_are_not_known_while_replacements_are_being_made(
    codedeploy: Any, deployment: str, enter: Any, refused: Any
) -> None:
    enter(Phase.PROVISION)
    with refused("DeploymentNotStarted"):
        codedeploy.list_deployment_targets(deploymentId=deployment)


def test_a_ready_deployment_can_be_told_to_go_on(
    codedeploy: Any, deployment: str, enter: Any, refused: Any, store: Any
) -> None:
    """S6.10."""
    enter(Phase.INSTALL)
    with refused("DeploymentIsNotInReadyState"):
        codedeploy.continue_deployment(deploymentId=deployment, deploymentWaitType="READY_WAIT")
    enter(Phase.READY_WAIT)
    assert codedeploy.get_deployment(deploymentId=deployment)["deploymentInfo"]["status"] == "Ready"
    with refused("InvalidDeploymentStatus"):
        codedeploy.continue_deployment(deploymentId=deployment, deploymentWaitType="TERMINATION_WAIT")
    codedeploy.continue_deployment(deploymentId=deployment)
    assert continued(store, deployment) == "READY_WAIT"


@pytest.mark.parametrize("way", ["continue", "skip"])
def test_the_wait_for_termination_can_be_ended(
    codedeploy: Any, deployment: str, enter: Any, refused: Any, store: Any, way: str
) -> None:
    """S6.10, S6.12, S6.13."""

    def end() -> None:
        if way == "skip":
            codedeploy.skip_wait_time_for_instance_termination(deploymentId=deployment)
        else:
            codedeploy.continue_deployment(deploymentId=deployment, deploymentWaitType="TERMINATION_WAIT")

    enter(Phase.BLOCK)
    info = codedeploy.get_deployment(deploymentId=deployment)["deploymentInfo"]
    assert info["instanceTerminationWaitTimeStarted"] is False
    with refused("UnsupportedActionForDeploymentType" if way == "skip" else "InvalidDeploymentStatus"):
        end()
    enter(Phase.TERMINATION_WAIT)
    info = codedeploy.get_deployment(deploymentId=deployment)["deploymentInfo"]
    assert (info["instanceTerminationWaitTimeStarted"], info["status"]) == (True, "InProgress")
    assert info["blueGreenDeploymentConfiguration"] == CONFIGURATION
    end()
    assert continued(store, deployment) == "TERMINATION_WAIT"


def test_one_whose_originals_are_going_cannot_be_stopped(
    codedeploy: Any, deployment: str, enter: Any, refused: Any
) -> None:
    """S6.9."""
    enter(Phase.RETIRE)
    with refused("UnsupportedActionForDeploymentType"):
        codedeploy.stop_deployment(deploymentId=deployment)


def test_a_group_that_copies_names_the_one_group_to_copy(codedeploy: Any, app: str, group: Any, refused: Any) -> None:
    configuration = {**CONFIGURATION, "greenFleetProvisioningOption": {"action": "COPY_AUTO_SCALING_GROUP"}}
    members: dict[str, Any] = {
        "deploymentStyle": STYLE,
        "loadBalancerInfo": BALANCER,
        "blueGreenDeploymentConfiguration": configuration,
    }
    for names in ([], ["a", "b"]):
        with refused("InvalidBlueGreenDeploymentConfiguration") as why:
            group(app, "web", **members, autoScalingGroups=names)
        assert "exactly one" in why[0]
    group(app, "web", **members, autoScalingGroups=["a"])
    with refused("InvalidTargetInstances"):
        codedeploy.create_deployment(
            applicationName=app,
            deploymentGroupName="web",
            revision={"revisionType": "S3", "s3Location": {"bucket": "b", "key": "k.zip", "bundleType": "zip"}},
            targetInstances={"autoScalingGroups": ["b"]},
        )
