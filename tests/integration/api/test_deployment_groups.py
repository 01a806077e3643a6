"""Deployment groups (server.md S1.2, S1.7, S1.13, S1.14, S1.17, S7, S12.11–16; lambda_ecs_appspec.md L1–L3, E1–E8)."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select
from tests.integration.api.conftest import FULL, NO_SUCH, SILENT

from longshore.store import tables

ROLE = "arn:aws:iam::123456789012:role/CodeDeployServiceRole"
BLUE_GREEN = {"deploymentType": "BLUE_GREEN", "deploymentOption": "WITH_TRAFFIC_CONTROL"}
IN_PLACE = {"deploymentType": "IN_PLACE", "deploymentOption": "WITHOUT_TRAFFIC_CONTROL"}
WITH_BALANCER = {"deploymentType": "IN_PLACE", "deploymentOption": "WITH_TRAFFIC_CONTROL"}
BALANCER = {"targetGroupInfoList": [{"name": "web"}]}
SWAP = {
    "deploymentReadyOption": {"actionOnTimeout": "STOP_DEPLOYMENT", "waitTimeInMinutes": 60},
    "greenFleetProvisioningOption": {"action": "DISCOVER_EXISTING"},
    "terminateBlueInstancesOnDeploymentSuccess": {"action": "TERMINATE", "terminationWaitTimeInMinutes": 5},
}
TRIGGER = {
    "triggerName": "tell",
    "triggerTargetArn": "arn:aws:sns:us-east-1:123456789012:deployments",
    "triggerEvents": ["DeploymentSuccess", "InstanceFailure"],
}
SUSPEND = {"autoScalingGroupProcessesToSuspend": ["AZRebalance", "Terminate"]}
EXACT = {"Type": "KEY_AND_VALUE"}


def tag(key: str, value: str) -> dict[str, str]:
    return {"Key": key, "Value": value} | EXACT


@pytest.fixture
def update(codedeploy: Any, app: Any) -> Any:
    """`update(ec2TagFilters=[])` updates the group "web" of the application."""

    def update(**members: Any) -> Any:
        return codedeploy.update_deployment_group(applicationName=app, currentDeploymentGroupName="web", **members)

    return update


@pytest.fixture
def made(app: Any, group: Any, info: Any) -> Any:
    """`made(…)` creates the group "web" and returns what is then told of it."""

    def made(**members: Any) -> Any:
        group(app, "web", **members)
        return info(app, "web")

    return made


def test_defaults(app: str, group: Any, info: Any) -> None:
    """S1.17, S7.24, S7.25, S7.28: what a group is when nothing is said; empty collections are told as such."""
    group_id = group(app, "web")
    assert info(app, "web") == {
        "applicationName": app,
        "computePlatform": "Server",
        "deploymentGroupId": group_id,
        "deploymentGroupName": "web",
        "deploymentConfigName": "CodeDeployDefault.OneAtATime",
        "serviceRoleArn": ROLE,
        "ec2TagFilters": [],
        "onPremisesInstanceTagFilters": [],
        "autoScalingGroups": [],
        "triggerConfigurations": [],
        "deploymentStyle": IN_PLACE,
        "outdatedInstancesStrategy": "UPDATE",
        "terminationHookEnabled": False,
    }


@pytest.mark.parametrize(
    "members",
    [
        {"ec2TagFilters": [tag("Name", "web-*"), {"Key": "Env", "Type": "KEY_ONLY"}]},
        {"onPremisesInstanceTagFilters": [tag("Name", "web")]},
        {"ec2TagSet": {"ec2TagSetList": [[tag("a", "1"), tag("a", "2")], [tag("b", "")]]}},
        {"onPremisesTagSet": {"onPremisesTagSetList": [[{"Value": "1", "Type": "VALUE_ONLY"}]]}},
        {"triggerConfigurations": [TRIGGER]},
        {
            "alarmConfiguration": {
                "enabled": True,
                "ignorePollAlarmFailure": True,
                "alarms": [{"name": "a"}, {"name": "b"}],
            }
        },
        {"alarmConfiguration": {"enabled": False, "alarms": []}},
        {"autoRollbackConfiguration": {"enabled": True, "events": ["DEPLOYMENT_FAILURE"]}},
        {"autoRollbackConfiguration": {"enabled": False, "events": ["DEPLOYMENT_STOP_ON_ALARM"]}},
        {"outdatedInstancesStrategy": "IGNORE"},
        {"deploymentStyle": WITH_BALANCER, "loadBalancerInfo": BALANCER},
        {"loadBalancerInfo": {"elbInfoList": [{"name": "x"}], "targetGroupInfoList": [{"name": "y"}]}},
        {"deploymentStyle": BLUE_GREEN, "loadBalancerInfo": BALANCER, "blueGreenDeploymentConfiguration": SWAP},
        {"terminationHookEnabled": True},
        {"deploymentConfigName": "CodeDeployDefault.AllAtOnce"},
    ],
)
def test_every_member_is_read_back_and_usable_again(made: Any, info: Any, update: Any, app: str, members: Any) -> None:
    """S7.28: what was given is told as it was given, and what is told can be given back."""
    told = made(**members)
    assert {member: told[member] for member in members} == members
    unusable = ("applicationName", "computePlatform", "deploymentGroupId", "deploymentGroupName")
    assert update(**{name: value for name, value in told.items() if name not in unusable})["hooksNotCleanedUp"] == []
    assert info(app, "web") == told


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({"serviceRoleArn": ""}, "RoleRequired"),
        ({"serviceRoleArn": "CodeDeployServiceRole"}, "InvalidRole"),
        ({"serviceRoleArn": "arn:aws:iam::123456789012:user/x"}, "InvalidRole"),
        # S7.3, S7.4
        ({"ec2TagFilters": [{}]}, "InvalidEC2Tag"),
        ({"ec2TagFilters": [{"Type": "KEY_AND_VALUE", "Key": "a"}]}, "InvalidEC2Tag"),
        ({"ec2TagFilters": [{"Type": "SOME", "Key": "a"}]}, "InvalidEC2Tag"),
        ({"ec2TagFilters": [tag("k", str(n)) for n in range(11)]}, "InvalidEC2Tag"),
        ({"ec2TagFilters": [tag("k" * 129, "v")]}, "InvalidEC2Tag"),
        ({"ec2TagSet": {"ec2TagSetList": [[]]}}, "InvalidEC2Tag"),
        ({"ec2TagSet": {"ec2TagSetList": [[tag("k", str(n)) for n in range(11)]]}}, "InvalidEC2Tag"),
        ({"ec2TagSet": {"ec2TagSetList": [[tag("k", "v")]] * 4}}, "TagSetListLimitExceeded"),
        ({"onPremisesInstanceTagFilters": [{"Type": "VALUE_ONLY", "Key": "a"}]}, "InvalidTag"),
        ({"onPremisesInstanceTagFilters": [tag("k", str(n)) for n in range(11)]}, "InvalidTag"),
        ({"onPremisesTagSet": {"onPremisesTagSetList": [[tag("k", "v")], []]}}, "InvalidTag"),
        ({"onPremisesTagSet": {"onPremisesTagSetList": [[tag("k", "v")]] * 4}}, "TagSetListLimitExceeded"),
        (
            {"ec2TagFilters": [tag("k", "v")], "ec2TagSet": {"ec2TagSetList": [[tag("k", "v")]]}},
            "InvalidEC2TagCombination",
        ),
        (
            {
                "onPremisesInstanceTagFilters": [tag("k", "v")],
                "onPremisesTagSet": {"onPremisesTagSetList": [[tag("k", "v")]]},
            },
            "InvalidOnPremisesTagCombination",
        ),
        # Names are looked at before Auto Scaling is asked; what it says is the last word (S9.10).
        ({"autoScalingGroups": [str(n) for n in range(11)]}, "InvalidAutoScalingGroup"),
        ({"autoScalingGroups": ["web", "web"]}, "InvalidAutoScalingGroup"),
        ({"autoScalingGroups": [""]}, "InvalidAutoScalingGroup"),
        ({"autoScalingGroups": ["a" * 256]}, "InvalidAutoScalingGroup"),
        ({"autoScalingGroups": ["web", NO_SUCH]}, "InvalidAutoScalingGroup"),
        ({"autoScalingGroups": ["web", FULL]}, "LifecycleHookLimitExceeded"),
        ({"autoScalingGroups": ["web", SILENT]}, "Throttling"),
        ({"ec2DeploymentOptions": SUSPEND}, "InvalidAutoScalingGroupProcessToSuspend"),
        (
            {
                "autoScalingGroups": ["web"],
                "ec2DeploymentOptions": SUSPEND,
                "deploymentStyle": BLUE_GREEN,
                "loadBalancerInfo": BALANCER,
                "blueGreenDeploymentConfiguration": SWAP,
            },
            "InvalidAutoScalingGroupProcessToSuspend",
        ),
        (
            {
                "autoScalingGroups": ["web"],
                "ec2DeploymentOptions": {"autoScalingGroupProcessesToSuspend": ["Terminate", "Terminate"]},
            },
            "InvalidAutoScalingGroupProcessToSuspend",
        ),
        ({"deploymentConfigName": "nope"}, "DeploymentConfigDoesNotExist"),
        ({"deploymentConfigName": "CodeDeployDefault.LambdaAllAtOnce"}, "InvalidDeploymentConfigName"),
        # S7.27
        ({"triggerConfigurations": [TRIGGER | {"triggerName": ""}]}, "InvalidTriggerConfig"),
        ({"triggerConfigurations": [TRIGGER | {"triggerTargetArn": ""}]}, "InvalidTriggerConfig"),
        ({"triggerConfigurations": [TRIGGER | {"triggerEvents": []}]}, "InvalidTriggerConfig"),
        ({"triggerConfigurations": [TRIGGER | {"triggerEvents": ["Lunch"]}]}, "InvalidTriggerConfig"),
        ({"triggerConfigurations": [{"triggerName": "tell"}]}, "InvalidTriggerConfig"),
        ({"triggerConfigurations": [TRIGGER, TRIGGER]}, "InvalidTriggerConfig"),
        (
            {"triggerConfigurations": [TRIGGER | {"triggerName": str(n)} for n in range(11)]},
            "TriggerTargetsLimitExceeded",
        ),
        # S7.21
        ({"alarmConfiguration": {"enabled": True}}, "InvalidAlarmConfig"),
        ({"alarmConfiguration": {"enabled": True, "alarms": []}}, "InvalidAlarmConfig"),
        ({"alarmConfiguration": {"alarms": [{"name": ""}]}}, "InvalidAlarmConfig"),
        ({"alarmConfiguration": {"alarms": [{}]}}, "InvalidAlarmConfig"),
        ({"alarmConfiguration": {"alarms": [{"name": "a" * 256}]}}, "InvalidAlarmConfig"),
        ({"alarmConfiguration": {"alarms": [{"name": "a"}, {"name": "a"}]}}, "InvalidAlarmConfig"),
        ({"alarmConfiguration": {"alarms": [{"name": str(n)} for n in range(11)]}}, "AlarmsLimitExceeded"),
        # S5.2
        ({"autoRollbackConfiguration": {"enabled": True}}, "InvalidAutoRollbackConfig"),
        ({"autoRollbackConfiguration": {"enabled": True, "events": ["BAD_MOOD"]}}, "InvalidAutoRollbackConfig"),
        # S7.8, S1.14
        ({"deploymentStyle": WITH_BALANCER}, "InvalidLoadBalancerInfo"),
        ({"deploymentStyle": WITH_BALANCER, "loadBalancerInfo": {"elbInfoList": []}}, "InvalidLoadBalancerInfo"),
        ({"loadBalancerInfo": {"elbInfoList": [{"name": ""}]}}, "InvalidLoadBalancerInfo"),
        ({"loadBalancerInfo": {"elbInfoList": [{"name": str(n)} for n in range(11)]}}, "InvalidLoadBalancerInfo"),
        ({"loadBalancerInfo": {"targetGroupInfoList": [{}]}}, "InvalidLoadBalancerInfo"),
        ({"loadBalancerInfo": {"targetGroupPairInfoList": [{"targetGroups": []}]}}, "InvalidLoadBalancerInfo"),
        ({"deploymentStyle": {"deploymentType": "SIDEWAYS"}}, "InvalidDeploymentStyle"),
        ({"deploymentStyle": {"deploymentOption": "WITH_LUCK"}}, "InvalidDeploymentStyle"),
        (
            {
                "deploymentStyle": {"deploymentType": "BLUE_GREEN", "deploymentOption": "WITHOUT_TRAFFIC_CONTROL"},
                "blueGreenDeploymentConfiguration": SWAP,
            },
            "InvalidDeploymentStyle",
        ),
        # S7.7
        (
            {
                "deploymentStyle": BLUE_GREEN,
                "loadBalancerInfo": BALANCER,
                "blueGreenDeploymentConfiguration": SWAP,
                "onPremisesInstanceTagFilters": [tag("k", "v")],
            },
            "InvalidDeploymentStyle",
        ),
        # S7.17
        (
            {"deploymentStyle": BLUE_GREEN, "loadBalancerInfo": BALANCER},
            "InvalidBlueGreenDeploymentConfiguration",
        ),
        ({"ecsServices": [{"serviceName": "s", "clusterName": "c"}]}, "InvalidECSService"),
        ({"outdatedInstancesStrategy": "PONDER"}, "InvalidInput"),
        (
            {"ec2DeploymentOptions": {"autoScalingGroupProcessesToSuspend": ["Launch"]}},
            "InvalidAutoScalingGroupProcessToSuspend",
        ),
        ({"tags": [{"Key": "", "Value": "v"}]}, "InvalidTagsToAdd"),
    ],
)
def test_refused_at_creation(app: str, group: Any, refused: Any, members: Any, code: str) -> None:
    """S7.3–S7.8, S7.17, S7.21, S7.27, S5.2, S1.13–S1.16, S12.11: each broken rule has its exception."""
    with refused(code):
        group(app, "web", **members)


@pytest.mark.parametrize(
    "change",
    [
        {"deploymentReadyOption": {"actionOnTimeout": "STOP_DEPLOYMENT", "waitTimeInMinutes": 2881}},
        {"deploymentReadyOption": {"actionOnTimeout": "STOP_DEPLOYMENT", "waitTimeInMinutes": -1}},
        {"deploymentReadyOption": {"waitTimeInMinutes": 5}},
        {"greenFleetProvisioningOption": {"action": "BUY_MORE"}},
        {"terminateBlueInstancesOnDeploymentSuccess": {"action": "TERMINATE", "terminationWaitTimeInMinutes": 2881}},
        {"terminateBlueInstancesOnDeploymentSuccess": {"terminationWaitTimeInMinutes": 1}},
    ],
)
def test_bad_blue_green(app: str, group: Any, refused: Any, change: Any) -> None:
    """S4.6, S4.7, S7.12–S7.15: waits of up to two days, and actions that exist."""
    with refused("InvalidBlueGreenDeploymentConfiguration"):
        group(
            app,
            "web",
            deploymentStyle=BLUE_GREEN,
            loadBalancerInfo=BALANCER,
            blueGreenDeploymentConfiguration=SWAP | change,
        )


def test_wait_that_does_not_apply(made: Any) -> None:
    """S7.14: with CONTINUE_DEPLOYMENT the wait is told as 0."""
    ready = {"actionOnTimeout": "CONTINUE_DEPLOYMENT", "waitTimeInMinutes": 30}
    told = made(
        deploymentStyle=BLUE_GREEN,
        loadBalancerInfo=BALANCER,
        blueGreenDeploymentConfiguration=SWAP | {"deploymentReadyOption": ready},
    )
    assert told["blueGreenDeploymentConfiguration"]["deploymentReadyOption"]["waitTimeInMinutes"] == 0


def test_style_with_one_member(made: Any) -> None:
    """S1.17: on Server the other one has its default."""
    told = made(deploymentStyle={"deploymentOption": "WITH_TRAFFIC_CONTROL"}, loadBalancerInfo=BALANCER)
    assert told["deploymentStyle"] == WITH_BALANCER


def test_names(codedeploy: Any, app: str, group: Any, refused: Any) -> None:
    """S1.2, S12.11: one of each name in an application; another application's group is another matter."""
    group(app, "web")
    with refused("DeploymentGroupAlreadyExists"):
        group(app, "web")
    codedeploy.create_application(applicationName="other")
    assert group("other", "web") != group(app, "Web")
    with refused("InvalidDeploymentGroupName"):
        group(app, "a b")
    with refused("DeploymentGroupNameRequired"):
        group(app, "")
    with refused("ApplicationDoesNotExist"):
        group("nope", "web")


def test_limit(tight: Any, refused: Any) -> None:
    """S1.12: no more groups than an application may have."""
    tight.create_application(applicationName="shop")
    for name in "abc":
        tight.create_deployment_group(applicationName="shop", deploymentGroupName=name, serviceRoleArn=ROLE)
    with refused("DeploymentGroupLimitExceeded"):
        tight.create_deployment_group(applicationName="shop", deploymentGroupName="d", serviceRoleArn=ROLE)


def test_list_pages(tight: Any, pages: Any, refused: Any) -> None:
    """S12.0a, S12.14: names in order, page after page, of one application."""
    for application in ("shop", "other"):
        tight.create_application(applicationName=application)
        for name in "cab":
            tight.create_deployment_group(applicationName=application, deploymentGroupName=name, serviceRoleArn=ROLE)
    first = tight.list_deployment_groups(applicationName="shop")
    assert first["applicationName"] == "shop"
    assert pages(tight.list_deployment_groups, "deploymentGroups", applicationName="shop") == [["a", "b"], ["c"]]
    with refused("InvalidNextToken"):
        tight.list_deployment_groups(applicationName="other", nextToken=first["nextToken"])
    with refused("ApplicationDoesNotExist"):
        tight.list_deployment_groups(applicationName="nope")


def test_unknown_group(codedeploy: Any, app: str, info: Any, update: Any, refused: Any) -> None:
    """S12.12, S12.15: the application first, then the group, which the message names."""
    with refused("ApplicationDoesNotExist"):
        info("nope", "web")
    with refused("DeploymentGroupDoesNotExist") as why:
        info(app, "nope")
    assert "nope" in why[0]
    with refused("DeploymentGroupDoesNotExist"):
        update()


def test_batch_get(codedeploy: Any, app: str, group: Any, refused: Any) -> None:
    """S12.13, S12.0c: in order; unknown ones are named in errorMessage, which is "" when all are known."""
    for name in ("a", "b"):
        group(app, name)
    found = codedeploy.batch_get_deployment_groups(applicationName=app, deploymentGroupNames=["b", "nope", "a"])
    assert [one["deploymentGroupName"] for one in found["deploymentGroupsInfo"]] == ["b", "a"]
    assert "nope" in found["errorMessage"]
    clean = codedeploy.batch_get_deployment_groups(applicationName=app, deploymentGroupNames=["a"])
    assert clean["errorMessage"] == ""
    with refused("BatchLimitExceeded"):
        codedeploy.batch_get_deployment_groups(applicationName=app, deploymentGroupNames=[f"g{n}" for n in range(101)])
    with refused("DeploymentGroupNameRequired"):
        codedeploy.batch_get_deployment_groups(applicationName=app, deploymentGroupNames=[])


def test_update_leaves_what_is_absent(made: Any, update: Any, info: Any, app: str) -> None:
    """S7.19: an absent member is unchanged."""
    before = made(
        ec2TagFilters=[tag("a", "1")],
        triggerConfigurations=[TRIGGER],
        alarmConfiguration={"enabled": True, "alarms": [{"name": "a"}]},
        outdatedInstancesStrategy="IGNORE",
        deploymentConfigName="CodeDeployDefault.AllAtOnce",
    )
    update()
    assert info(app, "web") == before
    update(serviceRoleArn=ROLE + "2")
    assert info(app, "web") == before | {"serviceRoleArn": ROLE + "2"}


def test_update_replaces_what_is_present(made: Any, update: Any, info: Any, app: str) -> None:
    """S7.19: a present list or structure replaces wholly."""
    made(
        ec2TagFilters=[tag("a", "1"), tag("b", "1")],
        autoRollbackConfiguration={"enabled": True, "events": ["DEPLOYMENT_FAILURE"]},
    )
    update(ec2TagFilters=[tag("c", "1")], autoRollbackConfiguration={"enabled": False})
    told = info(app, "web")
    assert told["ec2TagFilters"] == [tag("c", "1")]
    assert told["autoRollbackConfiguration"] == {"enabled": False}


def test_update_clears_what_is_empty(made: Any, update: Any, info: Any, app: str) -> None:
    """S7.19: an empty list clears, be it in a structure."""
    made(
        ec2TagFilters=[tag("a", "1")],
        onPremisesTagSet={"onPremisesTagSetList": [[tag("a", "1")]]},
        triggerConfigurations=[TRIGGER],
        loadBalancerInfo=BALANCER,
        autoRollbackConfiguration={"enabled": True, "events": ["DEPLOYMENT_FAILURE"]},
    )
    update(
        ec2TagFilters=[],
        onPremisesTagSet={"onPremisesTagSetList": []},
        triggerConfigurations=[],
        loadBalancerInfo={"targetGroupInfoList": []},
        autoScalingGroups=[],
        autoRollbackConfiguration={},
    )
    told = info(app, "web")
    assert told["ec2TagFilters"] == told["triggerConfigurations"] == []
    assert not {"onPremisesTagSet", "loadBalancerInfo", "autoRollbackConfiguration"} & set(told)


def test_auto_scaling_groups(made: Any, update: Any, info: Any, app: str) -> None:
    """S7.28, S14.7: given as names and told as objects; they can be taken away and given back."""
    members = {"autoScalingGroups": ["web", "api"], "ec2DeploymentOptions": SUSPEND}
    told = made(**members)
    assert [one["name"] for one in told["autoScalingGroups"]] == ["web", "api"]
    hooks = {one["hook"] for one in told["autoScalingGroups"]}
    assert len(hooks) == 2
    assert told["ec2DeploymentOptions"] == SUSPEND
    assert update(autoScalingGroups=[])["hooksNotCleanedUp"] == []
    assert info(app, "web")["autoScalingGroups"] == []
    update(autoScalingGroups=["web"])
    (again,) = info(app, "web")["autoScalingGroups"]
    assert again["name"] == "web"
    assert again["hook"] not in hooks
    update(ec2DeploymentOptions={"autoScalingGroupProcessesToSuspend": []})
    assert "ec2DeploymentOptions" not in info(app, "web")


def test_one_tag_form_clears_the_other(made: Any, update: Any, info: Any, app: str) -> None:
    """S7.19: naming hosts in one form clears the other; an empty other form along with it is fine."""
    made(ec2TagFilters=[tag("a", "1")], onPremisesInstanceTagFilters=[tag("a", "1")])
    several = {"ec2TagSetList": [[tag("b", "1")]]}
    update(ec2TagSet=several)
    told = info(app, "web")
    assert told["ec2TagSet"] == several
    assert told["ec2TagFilters"] == []
    assert told["onPremisesInstanceTagFilters"] == [tag("a", "1")]
    update(ec2TagFilters=[])
    assert info(app, "web")["ec2TagSet"] == several
    update(ec2TagFilters=[tag("c", "1")], ec2TagSet={"ec2TagSetList": []})
    told = info(app, "web")
    assert told["ec2TagFilters"] == [tag("c", "1")]
    assert "ec2TagSet" not in told


def test_update_is_checked_as_the_group_it_makes(made: Any, update: Any, info: Any, app: str, refused: Any) -> None:
    """S7.8, S7.17: an update cannot lead where a creation could not; a refused one changes nothing."""
    before = made(deploymentStyle=WITH_BALANCER, loadBalancerInfo=BALANCER)
    with refused("InvalidLoadBalancerInfo"):
        update(loadBalancerInfo={})
    with refused("InvalidBlueGreenDeploymentConfiguration"):
        update(deploymentStyle=BLUE_GREEN)
    with refused("DeploymentConfigDoesNotExist"):
        update(deploymentConfigName="nope", ec2TagFilters=[tag("a", "1")])
    with refused("InvalidRole"):
        update(serviceRoleArn="nobody")
    with refused("InvalidAutoScalingGroup"):
        update(autoScalingGroups=["web"] * 2)
    assert info(app, "web") == before
    update(deploymentStyle=BLUE_GREEN, blueGreenDeploymentConfiguration=SWAP)
    assert info(app, "web")["deploymentStyle"] == BLUE_GREEN


def test_rename(
    codedeploy: Any, app: str, group: Any, deploy: Any, store: Any, info: Any, update: Any, refused: Any
) -> None:
    """S1.7, S12.15: the id and past deployments stay with the group; a taken name is refused."""
    group_id = group(app, "web")
    group(app, "api")
    past = deploy(app, "web", "Succeeded")
    with refused("DeploymentGroupAlreadyExists"):
        update(newDeploymentGroupName="api")
    with refused("InvalidDeploymentGroupName"):
        update(newDeploymentGroupName="a b")
    update(newDeploymentGroupName="web")
    update(newDeploymentGroupName="front")
    assert info(app, "front")["deploymentGroupId"] == group_id
    with refused("DeploymentGroupDoesNotExist"):
        info(app, "web")
    query = select(tables.deployments.c.group_name).where(tables.deployments.c.id == past)
    assert store.read(lambda tx: tx.execute(query).scalar_one()) == "front"


def test_last_deployments(app: str, group: Any, deploy: Any, info: Any, clock: Any) -> None:
    """S7.24, S7.25: the newest of any outcome, the newest that succeeded, and its revision."""
    group(app, "web")
    succeeded = deploy(app, "web", "Succeeded")
    first = clock.now
    clock.advance(100)
    failed = deploy(app, "web", "Failed")
    told = info(app, "web")
    last = told["lastSuccessfulDeployment"]
    assert (last["deploymentId"], last["status"]) == (succeeded, "Succeeded")
    assert last["createTime"].timestamp() == pytest.approx(first, abs=0.001)
    assert last["endTime"].timestamp() == pytest.approx(first + 60, abs=0.001)
    assert told["lastAttemptedDeployment"]["deploymentId"] == failed
    assert told["targetRevision"]["s3Location"]["key"] == "shop/1.zip"
    active = deploy(app, "web", "InProgress")
    last = info(app, "web")["lastAttemptedDeployment"]
    assert last["deploymentId"] == active
    assert "endTime" not in last


def test_delete(
    codedeploy: Any, app: str, group: Any, deploy: Any, store: Any, clock: Any, refused: Any, info: Any
) -> None:
    """S1.19, S7.20, S12.16: ended deployments go, one under way is asked to stop; a new group has a new id."""
    group_id = group(app, "web")
    group(app, "api")
    ended, active = deploy(app, "web", "Succeeded"), deploy(app, "web", "InProgress")
    other = deploy(app, "api", "Succeeded")
    answer = codedeploy.delete_deployment_group(applicationName=app, deploymentGroupName="web")
    assert answer["hooksNotCleanedUp"] == []
    with refused("DeploymentGroupDoesNotExist"):
        info(app, "web")
    columns = tables.deployments.c
    query = select(columns.id, columns.stop_requested_by, columns.wake_at).where(columns.id.in_([ended, active, other]))
    left = {row.id: row for row in store.read(lambda tx: tx.execute(query).all())}
    assert set(left) == {active, other}
    assert left[active].stop_requested_by
    assert left[active].wake_at == clock.now
    assert left[other].stop_requested_by is None
    assert group(app, "web") != group_id


def test_delete_of_what_is_not_there(codedeploy: Any, app: str) -> None:
    """S12.16: success with an empty list."""
    for application in (app, "nope"):
        answer = codedeploy.delete_deployment_group(applicationName=application, deploymentGroupName="nope")
        assert answer["hooksNotCleanedUp"] == []


# Lambda


@pytest.fixture
def function(codedeploy: Any) -> Any:
    codedeploy.create_application(applicationName="fn", computePlatform="Lambda")
    return "fn"


def test_lambda_defaults(function: str, group: Any, info: Any) -> None:
    """L1, D12: BLUE_GREEN with traffic control, LambdaAllAtOnce."""
    group(function, "live")
    told = info(function, "live")
    assert told["deploymentStyle"] == BLUE_GREEN
    assert told["deploymentConfigName"] == "CodeDeployDefault.LambdaAllAtOnce"
    assert told["computePlatform"] == "Lambda"


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({"deploymentStyle": IN_PLACE}, "InvalidDeploymentStyle"),
        ({"deploymentStyle": {"deploymentType": "BLUE_GREEN"}}, "InvalidDeploymentStyle"),
        ({"blueGreenDeploymentConfiguration": SWAP}, "InvalidBlueGreenDeploymentConfiguration"),
        ({"ec2TagFilters": [tag("a", "1")]}, "InvalidEC2Tag"),
        ({"ec2TagSet": {"ec2TagSetList": [[tag("a", "1")]]}}, "InvalidEC2Tag"),
        ({"onPremisesInstanceTagFilters": [tag("a", "1")]}, "InvalidTag"),
        ({"onPremisesTagSet": {"onPremisesTagSetList": [[tag("a", "1")]]}}, "InvalidTag"),
        ({"autoScalingGroups": ["web"]}, "InvalidAutoScalingGroup"),
        ({"loadBalancerInfo": BALANCER}, "InvalidLoadBalancerInfo"),
        ({"ecsServices": [{"serviceName": "s", "clusterName": "c"}]}, "InvalidECSService"),
        ({"serviceRoleArn": ""}, "RoleRequired"),
        ({"alarmConfiguration": {"enabled": True}}, "InvalidAlarmConfig"),
        ({"autoRollbackConfiguration": {"enabled": True}}, "InvalidAutoRollbackConfig"),
        ({"deploymentConfigName": "CodeDeployDefault.OneAtATime"}, "InvalidDeploymentConfigName"),
    ],
)
def test_refused_for_lambda(function: str, group: Any, refused: Any, members: Any, code: str) -> None:
    """L1–L3, D11: what a Lambda group cannot have."""
    with refused(code):
        group(function, "live", **members)


# ECS

PAIR = {
    "targetGroups": [{"name": "blue"}, {"name": "green"}],
    "prodTrafficRoute": {"listenerArns": ["arn:aws:elasticloadbalancing:::listener/app/x/1/2"]},
}
ECS_SWAP = {
    "deploymentReadyOption": {"actionOnTimeout": "CONTINUE_DEPLOYMENT"},
    "terminateBlueInstancesOnDeploymentSuccess": {"action": "TERMINATE"},
}
ECS: dict[str, Any] = {
    "ecsServices": [{"serviceName": "web", "clusterName": "main"}],
    "loadBalancerInfo": {"targetGroupPairInfoList": [PAIR]},
    "blueGreenDeploymentConfiguration": ECS_SWAP,
}


@pytest.fixture
def service(codedeploy: Any) -> Any:
    codedeploy.create_application(applicationName="ecs", computePlatform="ECS")
    return "ecs"


def test_ecs_group(service: str, group: Any, info: Any) -> None:
    """E1, E7, D12: read back as given, the waits spelt out."""
    group(service, "live", **ECS)
    told = info(service, "live")
    assert told["ecsServices"] == ECS["ecsServices"]
    assert told["loadBalancerInfo"] == ECS["loadBalancerInfo"]
    assert told["deploymentStyle"] == BLUE_GREEN
    assert told["deploymentConfigName"] == "CodeDeployDefault.ECSAllAtOnce"
    assert told["blueGreenDeploymentConfiguration"] == {
        "deploymentReadyOption": {"actionOnTimeout": "CONTINUE_DEPLOYMENT", "waitTimeInMinutes": 0},
        "terminateBlueInstancesOnDeploymentSuccess": {"action": "TERMINATE", "terminationWaitTimeInMinutes": 0},
    }


def pair(**changes: Any) -> dict[str, Any]:
    return {"loadBalancerInfo": {"targetGroupPairInfoList": [PAIR | changes]}}


def swap(option: str, **members: Any) -> dict[str, Any]:
    return {"blueGreenDeploymentConfiguration": ECS_SWAP | {option: members}}


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({"deploymentStyle": IN_PLACE}, "InvalidDeploymentStyle"),
        ({"ecsServices": []}, "InvalidECSService"),
        ({"ecsServices": [{"serviceName": "web"}]}, "InvalidECSService"),
        ({"ecsServices": ECS["ecsServices"] * 2}, "InvalidECSService"),
        ({"loadBalancerInfo": {}}, "InvalidLoadBalancerInfo"),
        ({"loadBalancerInfo": BALANCER}, "InvalidLoadBalancerInfo"),
        ({"loadBalancerInfo": {"elbInfoList": [{"name": "x"}]} | ECS["loadBalancerInfo"]}, "InvalidLoadBalancerInfo"),
        (pair(targetGroups=[{"name": "blue"}]), "InvalidTargetGroupPair"),
        (pair(targetGroups=[{"name": "blue"}, {"name": "blue"}]), "InvalidTargetGroupPair"),
        (pair(targetGroups=[{"name": "blue"}, {}]), "InvalidTargetGroupPair"),
        (pair(prodTrafficRoute={"listenerArns": []}), "InvalidTargetGroupPair"),
        (pair(prodTrafficRoute={"listenerArns": ["a", "b"]}), "InvalidTargetGroupPair"),
        (pair(testTrafficRoute={"listenerArns": ["a", "b"]}), "InvalidTargetGroupPair"),
        ({"blueGreenDeploymentConfiguration": {}}, "InvalidBlueGreenDeploymentConfiguration"),
        (swap("deploymentReadyOption"), "InvalidBlueGreenDeploymentConfiguration"),
        (
            swap("deploymentReadyOption", actionOnTimeout="CONTINUE_DEPLOYMENT", waitTimeInMinutes=5),
            "InvalidBlueGreenDeploymentConfiguration",
        ),
        (
            swap("deploymentReadyOption", actionOnTimeout="STOP_DEPLOYMENT", waitTimeInMinutes=0),
            "InvalidBlueGreenDeploymentConfiguration",
        ),
        (
            swap("terminateBlueInstancesOnDeploymentSuccess", action="KEEP_ALIVE"),
            "InvalidBlueGreenDeploymentConfiguration",
        ),
        (
            swap("terminateBlueInstancesOnDeploymentSuccess", action="TERMINATE", terminationWaitTimeInMinutes=2881),
            "InvalidBlueGreenDeploymentConfiguration",
        ),
        (
            swap("greenFleetProvisioningOption", action="DISCOVER_EXISTING"),
            "InvalidBlueGreenDeploymentConfiguration",
        ),
        ({"ec2TagFilters": [tag("a", "1")]}, "InvalidEC2Tag"),
        ({"onPremisesInstanceTagFilters": [tag("a", "1")]}, "InvalidTag"),
        ({"autoScalingGroups": ["web"]}, "InvalidAutoScalingGroup"),
        ({"deploymentConfigName": "CodeDeployDefault.OneAtATime"}, "InvalidDeploymentConfigName"),
    ],
)
def test_refused_for_ecs(service: str, group: Any, refused: Any, members: Any, code: str) -> None:
    """E1, E2, E5, E6, E8, D11: what an ECS group must be."""
    with refused(code):
        group(service, "live", **(ECS | members))


def test_one_group_for_an_ecs_service(codedeploy: Any, service: str, group: Any, refused: Any) -> None:
    """E3: another group, of any application, cannot take the service; the group itself may be updated."""
    group(service, "live", **ECS)
    codedeploy.create_application(applicationName="ecs2", computePlatform="ECS")
    with refused("ECSServiceMappingLimitExceeded") as why:
        group("ecs2", "live", **ECS)
    assert "web" in why[0]
    codedeploy.update_deployment_group(applicationName=service, currentDeploymentGroupName="live", **ECS)
    group("ecs2", "live", **(ECS | {"ecsServices": [{"serviceName": "web", "clusterName": "other"}]}))
