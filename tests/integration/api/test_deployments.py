"""Deployments as their callers see them before any host does (server.md S1.17, S3.26, S6, S12.21–28, S12.42–47)."""

from __future__ import annotations

from typing import Any

import pytest
from tests.integration.api.test_deployment_groups import BALANCER, BLUE_GREEN, SWAP, tag

REVISION = {"revisionType": "S3", "s3Location": {"bucket": "bundles", "key": "shop/2.zip", "bundleType": "zip"}}
MISSING = "d-NOSUCHONE"
GITHUB = {"revisionType": "GitHub", "gitHubLocation": {"repository": "owner/shop", "commitId": "a" * 40}}
APPSPEC = {"revisionType": "AppSpecContent", "appSpecContent": {"content": "version: 0.0"}}


@pytest.fixture
def shop(app: str, group: Any) -> dict[str, str]:
    """An application and its group "web", as the members of a call."""
    group(app, "web")
    return {"applicationName": app, "deploymentGroupName": "web"}


@pytest.fixture
def function(codedeploy: Any, group: Any) -> dict[str, str]:
    codedeploy.create_application(applicationName="hello", computePlatform="Lambda")
    group("hello", "live")
    return {"applicationName": "hello", "deploymentGroupName": "live"}


@pytest.fixture
def service(codedeploy: Any, group: Any) -> dict[str, str]:
    """An ECS application and group."""
    codedeploy.create_application(applicationName="cart", computePlatform="ECS")
    pair = {
        "targetGroups": [{"name": "blue"}, {"name": "green"}],
        "prodTrafficRoute": {
            "listenerArns": ["arn:aws:elasticloadbalancing:us-east-1:123456789012:listener/app/l/1/2"]
        },
    }
    group(
        *("cart", "live"),
        ecsServices=[{"serviceName": "cart", "clusterName": "main"}],
        loadBalancerInfo={"targetGroupPairInfoList": [pair]},
        blueGreenDeploymentConfiguration={
            "deploymentReadyOption": {"actionOnTimeout": "CONTINUE_DEPLOYMENT"},
            "terminateBlueInstancesOnDeploymentSuccess": {"action": "TERMINATE"},
        },
    )
    return {"applicationName": "cart", "deploymentGroupName": "live"}


def test_a_new_deployment_is_told_in_full(codedeploy: Any, shop: Any, clock: Any) -> None:
    """S1.17, S3.26: the members that are always there, and nothing that nobody knows yet."""
    deployment_id = codedeploy.create_deployment(**shop, revision=REVISION)["deploymentId"]
    told = codedeploy.get_deployment(deploymentId=deployment_id)["deploymentInfo"]
    assert told.pop("createTime").timestamp() == clock.now
    assert told == {
        **shop,
        "deploymentConfigName": "CodeDeployDefault.OneAtATime",
        "deploymentId": deployment_id,
        "revision": REVISION,
        "status": "Created",
        "creator": "user",
        "ignoreApplicationStopFailures": False,
        "updateOutdatedInstancesOnly": False,
        "rollbackInfo": {},
        "deploymentStyle": {"deploymentType": "IN_PLACE", "deploymentOption": "WITHOUT_TRAFFIC_CONTROL"},
        "instanceTerminationWaitTimeStarted": False,
        "fileExistsBehavior": "DISALLOW",
        "deploymentStatusMessages": [],
        "computePlatform": "Server",
        "deploymentOverview": dict.fromkeys(("Pending", "InProgress", "Succeeded", "Failed", "Skipped", "Ready"), 0),
    }
    known = codedeploy.get_application_revision(applicationName="shop", revision=REVISION)["revisionInfo"]
    assert deployment_id in known["description"]
    assert known["registerTime"] == known["firstUsedTime"] == known["lastUsedTime"]


def test_what_a_deployment_asks_for_is_told_back(codedeploy: Any, app: str, group: Any) -> None:
    """S5.3, S6.19: a deployment's own settings stand in the group's place, for this one deployment."""
    group(
        *(app, "web"),
        autoScalingGroups=["fleet"],
        ec2DeploymentOptions={"autoScalingGroupProcessesToSuspend": ["Terminate"]},
        autoRollbackConfiguration={"enabled": True, "events": ["DEPLOYMENT_FAILURE"]},
        alarmConfiguration={"enabled": True, "alarms": [{"name": "cpu"}]},
    )
    own = {
        "deploymentConfigName": "CodeDeployDefault.AllAtOnce",
        "description": "d" * 256,
        "ignoreApplicationStopFailures": True,
        "updateOutdatedInstancesOnly": True,
        "fileExistsBehavior": "RETAIN",
        "autoRollbackConfiguration": {"enabled": False},
        "overrideAlarmConfiguration": {"enabled": False},
        "ec2DeploymentOptions": {"autoScalingGroupProcessesToSuspend": []},
    }
    made = codedeploy.create_deployment(
        applicationName=app, deploymentGroupName="web", revision=REVISION, deploymentMode="STANDARD", **own
    )
    told = codedeploy.get_deployment(deploymentId=made["deploymentId"])["deploymentInfo"]
    assert {name: told[name] for name in own} == own
    assert "deploymentMode" not in told


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({"deploymentGroupName": None}, "DeploymentGroupNameRequired"),
        ({"applicationName": "nope"}, "ApplicationDoesNotExist"),
        ({"deploymentGroupName": "nope"}, "DeploymentGroupDoesNotExist"),
        ({"revision": None}, "RevisionRequired"),
        ({"revision": None, "updateOutdatedInstancesOnly": True}, "RevisionRequired"),
        ({"revision": APPSPEC}, "InvalidRevision"),
        ({"deploymentConfigName": "a b"}, "InvalidDeploymentConfigName"),
        ({"deploymentConfigName": "CodeDeployDefault.LambdaAllAtOnce"}, "InvalidDeploymentConfigName"),
        ({"deploymentConfigName": "nope"}, "DeploymentConfigDoesNotExist"),
        ({"description": "d" * 257}, "DescriptionTooLong"),
        ({"targetInstances": {}}, "InvalidTargetInstances"),
        ({"overrideAlarmConfiguration": {"enabled": True}}, "InvalidAlarmConfig"),
        ({"overrideAlarmConfiguration": {"alarms": [{"name": "a"}] * 2}}, "InvalidAlarmConfig"),
        ({"overrideAlarmConfiguration": {"alarms": [{"name": str(n)} for n in range(11)]}}, "AlarmsLimitExceeded"),
        ({"autoRollbackConfiguration": {"enabled": True}}, "InvalidAutoRollbackConfig"),
        ({"autoRollbackConfiguration": {"enabled": True, "events": ["RAIN"]}}, "InvalidAutoRollbackConfig"),
        ({"fileExistsBehavior": "ASK"}, "InvalidFileExistsBehavior"),
        ({"deploymentMode": "GENTLE"}, "InvalidInput"),
        (
            {"ec2DeploymentOptions": {"autoScalingGroupProcessesToSuspend": ["Launch"]}},
            "InvalidAutoScalingGroupProcessToSuspend",
        ),
        (
            {"ec2DeploymentOptions": {"autoScalingGroupProcessesToSuspend": ["Terminate"]}},
            "InvalidAutoScalingGroupProcessToSuspend",
        ),
        # What is missing comes before what is malformed, and that before what is not there (S0.7).
        ({"revision": None, "applicationName": "a b"}, "InvalidApplicationName"),
        ({"fileExistsBehavior": "ASK", "applicationName": "nope"}, "InvalidFileExistsBehavior"),
        ({"deploymentGroupName": None, "applicationName": "a b"}, "DeploymentGroupNameRequired"),
        (
            {"overrideAlarmConfiguration": {"enabled": True}, "deploymentGroupName": "nope"},
            "DeploymentGroupDoesNotExist",
        ),
    ],
)
def test_refused_on_server(codedeploy: Any, shop: Any, refused: Any, members: Any, code: str) -> None:
    asked = {**shop, "revision": REVISION, **members}
    with refused(code):
        codedeploy.create_deployment(**{name: value for name, value in asked.items() if value is not None})
    assert codedeploy.list_deployments()["deployments"] == []


@pytest.mark.parametrize("platform", ["function", "service"])
@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({}, "OperationNotSupported"),
        ({"revision": None}, "RevisionRequired"),
        ({"revision": {"revisionType": "String", "string": {"content": "version: 0.0"}}}, "OperationNotSupported"),
        ({"revision": {"revisionType": "AppSpecContent"}}, "InvalidRevision"),
        ({"revision": {"revisionType": "AppSpecContent", "appSpecContent": {"content": ""}}}, "InvalidRevision"),
        (
            {"revision": {"revisionType": "AppSpecContent", "appSpecContent": {"content": "x", "sha256": "0" * 64}}},
            "InvalidRevision",
        ),
        ({"revision": GITHUB}, "InvalidRevision"),
        ({"fileExistsBehavior": "DISALLOW"}, "InvalidFileExistsBehavior"),
        ({"updateOutdatedInstancesOnly": True}, "InvalidUpdateOutdatedInstancesOnlyValue"),
        ({"ignoreApplicationStopFailures": True}, "InvalidIgnoreApplicationStopFailuresValue"),
        ({"updateOutdatedInstancesOnly": False, "ignoreApplicationStopFailures": False}, "OperationNotSupported"),
        ({"targetInstances": {"tagFilters": [tag("a", "1")]}}, "InvalidTargetInstances"),
        ({"deploymentMode": "RESTART", "revision": None}, "InvalidComputePlatform"),
        ({"deploymentConfigName": "CodeDeployDefault.OneAtATime"}, "InvalidDeploymentConfigName"),
        (
            {"ec2DeploymentOptions": {"autoScalingGroupProcessesToSuspend": ["Terminate"]}},
            "InvalidAutoScalingGroupProcessToSuspend",
        ),
    ],
)  # fmt: skip
def test_deployments_that_shift_traffic_are_checked_in_full_and_then_refused(
    codedeploy: Any, request: Any, refused: Any, platform: str, members: Any, code: str
) -> None:
    """A14–A21: what is wrong is said first; what is right, and not built yet, is refused and leaves no trace."""
    asked = {**request.getfixturevalue(platform), "revision": APPSPEC, **members}
    with refused(code):
        codedeploy.create_deployment(**{name: value for name, value in asked.items() if value is not None})
    assert codedeploy.list_application_revisions(applicationName=asked["applicationName"])["revisions"] == []


@pytest.mark.parametrize(
    ("targets", "code"),
    [
        (
            {"tagFilters": [tag("a", "1")], "ec2TagSet": {"ec2TagSetList": [[tag("a", "1")]]}},
            "InvalidTargetInstances",
        ),
        ({"tagFilters": [tag("a", str(n)) for n in range(11)]}, "InvalidTargetInstances"),
        ({"tagFilters": [{}]}, "InvalidTargetInstances"),
        ({"tagFilters": [tag("a" * 129, "1")]}, "InvalidTargetInstances"),
        ({"ec2TagSet": {"ec2TagSetList": [[tag("a", "1")]] * 4}}, "InvalidTargetInstances"),
        ({"ec2TagSet": {"ec2TagSetList": [[]]}}, "InvalidTargetInstances"),
        ({"autoScalingGroups": [str(n) for n in range(11)]}, "InvalidTargetInstances"),
    ],
)
def test_blue_green_targets_are_checked(
    codedeploy: Any, app: str, group: Any, refused: Any, targets: Any, code: str
) -> None:
    """S6.18."""
    group(app, "web", deploymentStyle=BLUE_GREEN, loadBalancerInfo=BALANCER, blueGreenDeploymentConfiguration=SWAP)
    with refused(code):
        codedeploy.create_deployment(
            applicationName=app, deploymentGroupName="web", revision=REVISION, targetInstances=targets
        )


@pytest.mark.parametrize(
    "targets",
    [
        {"tagFilters": [tag("a", "1")]},
        {"ec2TagSet": {"ec2TagSetList": [[tag("a", "1")]]}, "autoScalingGroups": ["green"]},
    ],
)
def test_blue_green_targets_are_told_as_they_were_given(codedeploy: Any, app: str, group: Any, targets: Any) -> None:
    group(app, "web", deploymentStyle=BLUE_GREEN, loadBalancerInfo=BALANCER, blueGreenDeploymentConfiguration=SWAP)
    made = codedeploy.create_deployment(
        applicationName=app, deploymentGroupName="web", revision=REVISION, targetInstances=targets
    )
    info = codedeploy.get_deployment(deploymentId=made["deploymentId"])["deploymentInfo"]
    assert (info["targetInstances"], info["deploymentStyle"]) == (targets, BLUE_GREEN)
    assert info["blueGreenDeploymentConfiguration"]["greenFleetProvisioningOption"] == {"action": "DISCOVER_EXISTING"}


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({}, "RevisionDoesNotExist"),
        ({"revision": REVISION}, "InvalidRevision"),
        ({"updateOutdatedInstancesOnly": True}, "InvalidUpdateOutdatedInstancesOnlyValue"),
    ],
)
def test_a_restart_names_no_revision_and_needs_one_that_was_deployed(
    codedeploy: Any, shop: Any, refused: Any, members: Any, code: str
) -> None:
    with refused(code):
        codedeploy.create_deployment(**shop, deploymentMode="RESTART", **members)


def test_a_restart_of_a_blue_green_group_is_refused(codedeploy: Any, app: str, group: Any, refused: Any) -> None:
    group(app, "web", deploymentStyle=BLUE_GREEN, loadBalancerInfo=BALANCER, blueGreenDeploymentConfiguration=SWAP)
    with refused("InvalidInput"):
        codedeploy.create_deployment(applicationName=app, deploymentGroupName="web", deploymentMode="RESTART")


def test_a_restart_is_of_the_last_revision_that_succeeded(codedeploy: Any, shop: Any, deploy: Any) -> None:
    deploy("shop", "web", "Succeeded")
    deploy("shop", "web", "Failed", REVISION)
    made = codedeploy.create_deployment(**shop, deploymentMode="RESTART")
    told = codedeploy.get_deployment(deploymentId=made["deploymentId"])["deploymentInfo"]
    assert told["deploymentMode"] == "RESTART"
    assert told["revision"] == told["previousRevision"] != REVISION


def test_the_account_has_so_many_deployments_at_once(tight: Any, refused: Any) -> None:
    """S1.12, S6.2."""
    tight.create_application(applicationName="shop")
    for name in ("a", "b", "c"):
        tight.create_deployment_group(
            applicationName="shop", deploymentGroupName=name, serviceRoleArn="arn:aws:iam::123456789012:role/deploy"
        )
    asked = {"applicationName": "shop", "revision": REVISION}
    first = tight.create_deployment(**asked, deploymentGroupName="a")["deploymentId"]
    with refused("DeploymentLimitExceeded") as why:
        tight.create_deployment(**asked, deploymentGroupName="a")
    assert f"already has an active Deployment '{first}'" in why[0]
    tight.create_deployment(**asked, deploymentGroupName="b")
    with refused("DeploymentLimitExceeded"):
        tight.create_deployment(**asked, deploymentGroupName="c")


@pytest.mark.parametrize(
    ("status", "call", "code"),
    [
        ("Created", "continue_deployment", "UnsupportedActionForDeploymentType"),
        ("InProgress", "continue_deployment", "UnsupportedActionForDeploymentType"),
        ("Succeeded", "continue_deployment", "DeploymentAlreadyCompleted"),
        ("Created", "skip_wait_time_for_instance_termination", "DeploymentNotStarted"),
        ("InProgress", "skip_wait_time_for_instance_termination", "UnsupportedActionForDeploymentType"),
        ("Failed", "skip_wait_time_for_instance_termination", "DeploymentAlreadyCompleted"),
    ],
)
def test_an_in_place_deployment_has_no_waits(
    codedeploy: Any, shop: Any, deploy: Any, refused: Any, status: str, call: str, code: str
) -> None:
    """S6.10, S6.12."""
    deployment_id = deploy("shop", "web", status)
    with refused(code):
        getattr(codedeploy, call)(deploymentId=deployment_id)


@pytest.mark.parametrize(
    ("call", "members", "code"),
    [
        ("continue_deployment", {}, "DeploymentIdRequired"),
        ("continue_deployment", {"deploymentId": "nope"}, "InvalidDeploymentId"),
        ("continue_deployment", {"deploymentId": MISSING}, "DeploymentDoesNotExist"),
        ("continue_deployment", {"deploymentId": MISSING, "deploymentWaitType": "NAP"}, "InvalidDeploymentWaitType"),
        ("skip_wait_time_for_instance_termination", {}, "DeploymentIdRequired"),
        ("skip_wait_time_for_instance_termination", {"deploymentId": MISSING}, "DeploymentDoesNotExist"),
    ],
)  # fmt: skip
def test_malformed_waits(codedeploy: Any, refused: Any, call: str, members: Any, code: str) -> None:
    with refused(code):
        getattr(codedeploy, call)(**members)


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({}, "UnsupportedActionForDeploymentType"),
        ({"status": "InProgress"}, "InvalidLifecycleEventHookExecutionStatus"),
        ({"status": "Fine"}, "InvalidLifecycleEventHookExecutionStatus"),
        ({"lifecycleEventHookExecutionId": ""}, "InvalidLifecycleEventHookExecutionId"),
        ({"deploymentId": "nope"}, "InvalidDeploymentId"),
        ({"deploymentId": MISSING}, "DeploymentDoesNotExist"),
        ({"deploymentId": ""}, "DeploymentIdRequired"),
    ],
)
def test_instances_have_no_hook_functions(
    codedeploy: Any, shop: Any, deploy: Any, refused: Any, members: Any, code: str
) -> None:
    """S6.14."""
    asked = {
        "deploymentId": deploy("shop", "web", "InProgress"),
        "lifecycleEventHookExecutionId": "a-hook",
        "status": "Succeeded",
    }
    with refused(code):
        codedeploy.put_lifecycle_event_hook_execution_status(**{**asked, **members})


def test_without_a_token_there_is_none_to_list_or_delete(codedeploy: Any, refused: Any) -> None:
    assert codedeploy.list_git_hub_account_token_names()["tokenNameList"] == []
    with refused("InvalidNextToken"):
        codedeploy.list_git_hub_account_token_names(nextToken="more")
    with refused("GitHubAccountTokenNameRequired"):
        codedeploy.delete_git_hub_account_token()
    with refused("InvalidGitHubAccountTokenName"):
        codedeploy.delete_git_hub_account_token(tokenName="t" * 101)
    with refused("GitHubAccountTokenDoesNotExist"):
        codedeploy.delete_git_hub_account_token(tokenName="mine")


def test_nothing_carries_an_external_id(codedeploy: Any, shop: Any, deploy: Any, refused: Any) -> None:
    deployment_id = deploy("shop", "web", "Succeeded")
    codedeploy.delete_resources_by_external_id(externalId="stack")
    codedeploy.delete_resources_by_external_id()
    assert codedeploy.list_deployments()["deployments"] == [deployment_id]
    assert codedeploy.list_deployments(externalId="stack")["deployments"] == []
    with refused("InvalidExternalId"):
        codedeploy.list_deployments(externalId="")


def test_deployments_are_listed_newest_first_by_group_status_and_time(
    codedeploy: Any, app: str, group: Any, deploy: Any, clock: Any, refused: Any
) -> None:
    """S12.24."""
    group(app, "web")
    group(app, "api")
    made = []
    for name, status in (("web", "Succeeded"), ("api", "Failed"), ("web", "Stopped"), ("web", "InProgress")):
        clock.advance(60)
        made.append((deploy(app, name, status), clock.now))
    (first, _), (second, at_second), (third, at_third), (fourth, _) = made

    def listed(**asked: Any) -> list[str]:
        ids: list[str] = codedeploy.list_deployments(**asked)["deployments"]
        return ids

    web = {"applicationName": app, "deploymentGroupName": "web"}
    assert listed() == [fourth, third, second, first]
    assert listed(**web) == [fourth, third, first]
    assert listed(includeOnlyStatuses=["Failed", "Stopped"]) == [third, second]
    assert listed(**web, includeOnlyStatuses=["Succeeded"]) == [first]
    assert listed(createTimeRange={"start": at_second, "end": at_third}) == [third, second]
    assert listed(createTimeRange={"start": at_third}) == [fourth, third]
    assert listed(createTimeRange={"end": at_second}) == [second, first]
    assert listed(createTimeRange={}) == listed(includeOnlyStatuses=[]) == listed()
    for asked, code in (
        ({"applicationName": app}, "DeploymentGroupNameRequired"),
        ({"deploymentGroupName": "web"}, "ApplicationNameRequired"),
        ({**web, "applicationName": "nope"}, "ApplicationDoesNotExist"),
        ({**web, "deploymentGroupName": "nope"}, "DeploymentGroupDoesNotExist"),
        ({"createTimeRange": {"start": at_third, "end": at_second}}, "InvalidTimeRange"),
        ({"includeOnlyStatuses": ["Fine"]}, "InvalidDeploymentStatus"),
    ):
        with refused(code):
            codedeploy.list_deployments(**asked)


def test_a_token_is_good_for_its_own_list_and_for_a_day(tight: Any, clock: Any, refused: Any) -> None:
    """S12.0a."""
    for name in ("a", "b", "c"):
        tight.create_application(applicationName=name)
    token = tight.list_applications()["nextToken"]
    for _ in range(2):
        assert tight.list_applications(nextToken=token)["applications"] == ["c"]
    with refused("InvalidNextToken"):
        tight.list_deployments(nextToken=token)
    with refused("InvalidNextToken"):
        tight.list_applications(nextToken=token[:-3] + "AAA")
    clock.advance(24 * 3600 + 1)
    with refused("InvalidNextToken") as why:
        tight.list_applications(nextToken=token)
    assert "expired" in why[0]


def test_batches_of_deployments(codedeploy: Any, shop: Any, deploy: Any, refused: Any) -> None:
    """S12.0b, S12.0c: in the order asked, without those that are not there."""
    first, second = (deploy("shop", "web", status) for status in ("Failed", "Succeeded"))
    found = codedeploy.batch_get_deployments(deploymentIds=[second, MISSING, first])["deploymentsInfo"]
    assert [info["deploymentId"] for info in found] == [second, first]
    with refused("DeploymentIdRequired"):
        codedeploy.batch_get_deployments(deploymentIds=[])
    with refused("InvalidDeploymentId"):
        codedeploy.batch_get_deployments(deploymentIds=[first, "nope"])
    with refused("BatchLimitExceeded"):
        codedeploy.batch_get_deployments(deploymentIds=[first] * 26)


def test_stopping(codedeploy: Any, shop: Any, deploy: Any, refused: Any) -> None:
    """S6.5–S6.7, S12.25."""
    deployment_id = deploy("shop", "web", "InProgress")
    assert codedeploy.stop_deployment(deploymentId=deployment_id, autoRollbackEnabled=False)["status"] == "Succeeded"
    assert codedeploy.stop_deployment(deploymentId=deploy("shop", "web", "Stopped"))["status"] == "Succeeded"
    with refused("DeploymentAlreadyCompleted"):
        codedeploy.stop_deployment(deploymentId=deploy("shop", "web", "Failed"))
    with refused("DeploymentDoesNotExist"):
        codedeploy.stop_deployment(deploymentId=MISSING)
    running = deploy("shop", "web", "InProgress")
    codedeploy.delete_deployment_group(**shop)
    with refused("DeploymentGroupDoesNotExist"):
        codedeploy.stop_deployment(deploymentId=running)
    assert codedeploy.get_deployment(deploymentId=running)["deploymentInfo"]["status"] == "InProgress"
