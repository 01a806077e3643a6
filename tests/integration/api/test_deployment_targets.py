"""The instances of a deployment, by today's operations and by the older ones (server.md S1.10, S3, S12.29–S12.34)."""

from __future__ import annotations

from typing import Any

import pytest

from longshore.domain.deployment import ScriptCode
from longshore.domain.health import Turn
from longshore.domain.lifecycle import IN_PLACE
from longshore.domain.target import Diagnostics, Report, Target, advance, begin, skip, start
from longshore.store import targets
from longshore.store.targets import NewTarget

BLUE = {"ServerInstanceLabel": ["Blue"]}
MISSING = "d-NOSUCHONE"
EC2 = "arn:aws:ec2:us-east-1:123456789012:instance/i-0123456789abcdef0"


def arn(name: str) -> str:
    return f"arn:aws:codedeploy:us-east-1:123456789012:instance/{name}_aBcDeFgHiJ"


@pytest.fixture
def deployment(app: str, group: Any, deploy: Any, store: Any, clock: Any) -> str:
    """A running deployment: one host failed in its first event, one is untouched, one (on EC2) was skipped."""
    group(app, "web")
    deployment_id: str = deploy(app, "web", "InProgress")
    says = Diagnostics(error_code=ScriptCode.SCRIPT_FAILED, script_name="stop.sh", message="exit code 1", log_tail="no")
    failed = advance(start(begin(IN_PLACE), clock.now), Report(position=0, attempt="a", outcome=says), clock.advance(5))

    def new(name: str, its_arn: str, target: Target) -> NewTarget:
        return NewTarget(target_id=name, target_arn=its_arn, host=name, turn=Turn.UNHEALTHY, target=target)

    rows = [
        new("web_1", arn("web_1"), begin(IN_PLACE)),
        new("web_2", arn("web_2"), failed),
        new("i-0123456789abcdef0", EC2, skip(begin(IN_PLACE), clock.now)),
    ]
    store.write(lambda tx: targets.add(tx, deployment_id, rows))
    store.write(lambda tx: targets.save_progress(tx, deployment_id, "web_2", failed, clock.now))
    return deployment_id


def test_lists_and_their_filters(codedeploy: Any, deployment: str) -> None:
    def listed(**filters: list[str]) -> list[str]:
        asked = {"targetFilters": filters} if filters else {}
        ids: list[str] = codedeploy.list_deployment_targets(deploymentId=deployment, **asked)["targetIds"]
        statuses = {"instanceStatusFilter": filters["TargetStatus"]} if filters else {}
        older = codedeploy.list_deployment_instances(deploymentId=deployment, **statuses)["instancesList"]
        assert older == ids
        return ids

    assert listed() == ["i-0123456789abcdef0", "web_1", "web_2"]
    assert listed(TargetStatus=["Failed", "Pending"]) == ["web_1", "web_2"]
    assert listed(TargetStatus=["Ready"]) == []
    overview = codedeploy.get_deployment(deploymentId=deployment)["deploymentInfo"]["deploymentOverview"]
    assert overview == {"Pending": 1, "InProgress": 0, "Succeeded": 0, "Failed": 1, "Skipped": 1, "Ready": 0}


def test_what_is_told_of_an_instance(codedeploy: Any, deployment: str, clock: Any) -> None:
    """S3.4, S3.20, S3.22: by both generations of operations, by id and by ARN."""
    target = codedeploy.get_deployment_target(deploymentId=deployment, targetId=arn("web_2"))["deploymentTarget"]
    assert target["deploymentTargetType"] == "InstanceTarget"
    told = target["instanceTarget"]
    assert (told["targetId"], told["targetArn"], told["status"]) == ("web_2", arn("web_2"), "Failed")
    assert told["lastUpdatedAt"].timestamp() == clock.now
    assert "instanceLabel" not in told
    first, *others = told["lifecycleEvents"]
    assert first["diagnostics"] == {
        "errorCode": "ScriptFailed",
        "scriptName": "stop.sh",
        "message": "exit code 1",
        "logTail": "no",
    }
    assert [event["lifecycleEventName"] for event in told["lifecycleEvents"]] == list(IN_PLACE)
    assert all(event["status"] == "Skipped" and "endTime" in event and "startTime" not in event for event in others)
    summary = codedeploy.get_deployment_instance(deploymentId=deployment, instanceId="web_2")["instanceSummary"]
    assert (summary["instanceId"], summary["status"]) == (arn("web_2"), "Failed")
    assert summary["lifecycleEvents"] == told["lifecycleEvents"]


def test_batches(codedeploy: Any, deployment: str, refused: Any) -> None:
    """S12.0c, S12.31: an unknown target fails the call; an unknown instance is named beside the others."""
    found = codedeploy.batch_get_deployment_targets(deploymentId=deployment, targetIds=["web_2", EC2])
    assert [one["instanceTarget"]["targetId"] for one in found["deploymentTargets"]] == ["web_2", "i-0123456789abcdef0"]
    with refused("DeploymentTargetDoesNotExist") as why:
        codedeploy.batch_get_deployment_targets(deploymentId=deployment, targetIds=["web_2", "web_9"])
    assert "web_9" in why[0]
    older = codedeploy.batch_get_deployment_instances(deploymentId=deployment, instanceIds=["web_2", "web_9"])
    assert [one["instanceId"] for one in older["instancesSummary"]] == [arn("web_2")]
    assert "web_9" in older["errorMessage"]
    clean = codedeploy.batch_get_deployment_instances(deploymentId=deployment, instanceIds=["web_1"])
    assert clean["errorMessage"] == ""


@pytest.mark.parametrize(
    ("call", "members", "code"),
    [
        ("list_deployment_targets", {"deploymentId": ""}, "DeploymentIdRequired"),
        ("list_deployment_targets", {"deploymentId": MISSING}, "DeploymentDoesNotExist"),
        ("list_deployment_targets", {"targetFilters": {"Mood": ["Good"]}}, "InvalidTargetFilterName"),
        ("list_deployment_targets", {"targetFilters": {"TargetStatus": ["Fine"]}}, "InvalidInstanceStatus"),
        ("list_deployment_targets", {"targetFilters": {"ServerInstanceLabel": ["Red"]}}, "InvalidInstanceType"),
        ("list_deployment_targets", {"targetFilters": BLUE}, "InvalidDeploymentInstanceType"),
        ("list_deployment_targets", {"nextToken": "more"}, "InvalidNextToken"),
        ("list_deployment_instances", {"instanceStatusFilter": ["Fine"]}, "InvalidInstanceStatus"),
        ("list_deployment_instances", {"instanceTypeFilter": ["Red"]}, "InvalidInstanceType"),
        ("list_deployment_instances", {"instanceTypeFilter": ["Green"]}, "InvalidDeploymentInstanceType"),
        ("list_deployment_instances", {"nextToken": "more"}, "InvalidNextToken"),
        ("get_deployment_target", {"targetId": ""}, "DeploymentTargetIdRequired"),
        ("get_deployment_target", {"targetId": "w" * 1012}, "InvalidDeploymentTargetId"),
        ("get_deployment_target", {"targetId": "web_9"}, "DeploymentTargetDoesNotExist"),
        ("batch_get_deployment_targets", {"targetIds": []}, "DeploymentTargetIdRequired"),
        ("batch_get_deployment_targets", {"targetIds": ["web_1"] * 26}, "DeploymentTargetListSizeExceeded"),
        ("get_deployment_instance", {"instanceId": ""}, "InstanceIdRequired"),
        ("get_deployment_instance", {"instanceId": "web_9"}, "InstanceDoesNotExist"),
        ("batch_get_deployment_instances", {"instanceIds": []}, "InstanceIdRequired"),
        ("batch_get_deployment_instances", {"instanceIds": ["web_1"] * 26}, "BatchLimitExceeded"),
    ],
)  # fmt: skip
def test_refused(codedeploy: Any, deployment: str, refused: Any, call: str, members: Any, code: str) -> None:
    with refused(code):
        getattr(codedeploy, call)(**{"deploymentId": deployment, **members})


@pytest.mark.parametrize(
    ("call", "members"),
    [
        ("list_deployment_targets", {}),
        ("get_deployment_target", {"targetId": "web_1"}),
        ("batch_get_deployment_targets", {"targetIds": ["web_1"]}),
        ("list_deployment_instances", {}),
    ],
)
def test_before_the_start_nobody_knows_the_instances(
    codedeploy: Any, app: str, group: Any, deploy: Any, refused: Any, call: str, members: Any
) -> None:
    group(app, "web")
    with refused("DeploymentNotStarted"):
        getattr(codedeploy, call)(deploymentId=deploy(app, "web", "Created"), **members)
