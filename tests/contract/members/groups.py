"""Deployment groups of every platform and style: each member said, told back, changed, cleared."""

from __future__ import annotations

from typing import Any

from tests.contract.members.conversation import Conversation
from tests.contract.members.resources import ARN, OTHER_ROLE, ROLE, TAGS

FILTER = {"Key": "role", "Value": "web", "Type": "KEY_AND_VALUE"}
OTHER_FILTER = {"Key": "stage", "Type": "KEY_ONLY"}
TRIGGER = {
    "triggerName": "tell",
    "triggerTargetArn": "arn:aws:sns:us-east-1:000000000000:topic",
    "triggerEvents": ["DeploymentFailure", "InstanceFailure"],
}
READY = {"actionOnTimeout": "STOP_DEPLOYMENT", "waitTimeInMinutes": 30}
ENDING = {"action": "TERMINATE", "terminationWaitTimeInMinutes": 5}
#: Everything that a Server group deployed to in place may have, but for the other form of tags.
IN_PLACE: dict[str, Any] = {
    "deploymentConfigName": "CodeDeployDefault.AllAtOnce",
    "ec2TagFilters": [FILTER],
    "onPremisesInstanceTagFilters": [FILTER, OTHER_FILTER],
    "serviceRoleArn": ROLE,
    "triggerConfigurations": [TRIGGER],
    "alarmConfiguration": {"enabled": True, "ignorePollAlarmFailure": True, "alarms": [{"name": "errors"}]},
    "autoRollbackConfiguration": {"enabled": True, "events": ["DEPLOYMENT_FAILURE"]},
    "outdatedInstancesStrategy": "IGNORE",
    "deploymentStyle": {"deploymentType": "IN_PLACE", "deploymentOption": "WITH_TRAFFIC_CONTROL"},
    "loadBalancerInfo": {"elbInfoList": [{"name": "classic"}], "targetGroupInfoList": [{"name": "modern"}]},
    "terminationHookEnabled": True,
    "ec2DeploymentOptions": {"autoScalingGroupProcessesToSuspend": ["AZRebalance"]},
}
BLUE_GREEN: dict[str, Any] = {
    "serviceRoleArn": ROLE,
    "ec2TagSet": {"ec2TagSetList": [[FILTER], [FILTER, OTHER_FILTER]]},
    "deploymentStyle": {"deploymentType": "BLUE_GREEN", "deploymentOption": "WITH_TRAFFIC_CONTROL"},
    "loadBalancerInfo": {"targetGroupInfoList": [{"name": "modern"}]},
    "blueGreenDeploymentConfiguration": {
        "deploymentReadyOption": READY,
        "greenFleetProvisioningOption": {"action": "DISCOVER_EXISTING"},
        "terminateBlueInstancesOnDeploymentSuccess": ENDING,
    },
}
ECS: dict[str, Any] = {
    "serviceRoleArn": ROLE,
    "deploymentStyle": {"deploymentType": "BLUE_GREEN", "deploymentOption": "WITH_TRAFFIC_CONTROL"},
    "blueGreenDeploymentConfiguration": {
        "deploymentReadyOption": READY,
        "terminateBlueInstancesOnDeploymentSuccess": ENDING,
    },
    "loadBalancerInfo": {
        "targetGroupPairInfoList": [
            {
                "targetGroups": [{"name": "blue"}, {"name": "green"}],
                "prodTrafficRoute": {"listenerArns": ["arn:aws:elasticloadbalancing:us-east-1:1:listener/prod"]},
                "testTrafficRoute": {"listenerArns": ["arn:aws:elasticloadbalancing:us-east-1:1:listener/test"]},
            }
        ]
    },
    "ecsServices": [{"clusterName": "main", "serviceName": "shop"}],
}
#: In every answer, be it empty (S7.28).
ALWAYS = {"ec2TagFilters", "onPremisesInstanceTagFilters", "autoScalingGroups", "triggerConfigurations"}


def groups(talk: Conversation) -> None:
    made: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("app-Server", "in-place", IN_PLACE | {"autoScalingGroups": ["asg-1", "asg-2"], "tags": TAGS}),
        ("app-Server", "sets", {"serviceRoleArn": ROLE, "onPremisesTagSet": {"onPremisesTagSetList": [[FILTER]]}}),
        ("app-Server", "blue-green", BLUE_GREEN),
        ("app-Server", "plain", {"serviceRoleArn": ROLE}),
        ("app-ECS", "service", ECS),
        ("app-Lambda", "function", {"serviceRoleArn": ROLE, "deploymentConfigName": "canary"}),
    )
    for app, name, members in made:
        created = talk.made("CreateDeploymentGroup", applicationName=app, deploymentGroupName=name, **members)
        told = _told(talk, app, name)
        created.told_back(told, tags="", autoScalingGroups="")
        assert told["deploymentGroupId"] == created.answer["deploymentGroupId"]
        assert set(told) >= ALWAYS
        assert told["computePlatform"] == app.removeprefix("app-")
        absent = {"targetRevision", "lastSuccessfulDeployment", "lastAttemptedDeployment"}
        assert absent.isdisjoint(told), "nothing has been deployed yet"
    # Names go in, objects come out (S7.28).
    scaling = _told(talk, "app-Server", "in-place")["autoScalingGroups"]
    assert [one["name"] for one in scaling] == ["asg-1", "asg-2"]
    assert len({one["hook"] for one in scaling}) == 2
    listed = talk.call("ListTagsForResource", ResourceArn=f"{ARN}:deploymentgroup:app-Server/in-place")["Tags"]
    assert sorted(listed, key=str) == sorted(TAGS, key=str)
    talk.honours("CreateDeploymentGroup", "autoScalingGroups", "tags")
    talk.honours("GetDeploymentGroup", "applicationName", "deploymentGroupName")

    app = {"applicationName": "app-Server"}
    batch = talk.call("BatchGetDeploymentGroups", **app, deploymentGroupNames=["sets", "nowhere", "in-place"])
    assert batch["deploymentGroupsInfo"] == [_told(talk, "app-Server", name) for name in ("sets", "in-place")]
    assert "nowhere" in batch["errorMessage"]
    assert talk.call("BatchGetDeploymentGroups", **app, deploymentGroupNames=["sets"])["errorMessage"] == ""
    talk.honours("BatchGetDeploymentGroups", "applicationName", "deploymentGroupNames")
    for number in range(3):
        talk.call("CreateDeploymentGroup", **app, deploymentGroupName=f"spare-{number}", serviceRoleArn=ROLE)
    names = talk.pages("ListDeploymentGroups", "deploymentGroups", **app)
    assert names == sorted(["in-place", "sets", "blue-green", "plain", "spare-0", "spare-1", "spare-2"])
    talk.honours("ListDeploymentGroups", "applicationName")

    _updates(talk)

    talk.call("DeleteDeploymentGroup", **app, deploymentGroupName="spare-0")
    talk.refuses("DeploymentGroupDoesNotExist", "GetDeploymentGroup", **app, deploymentGroupName="spare-0")
    talk.honours("DeleteDeploymentGroup", "applicationName", "deploymentGroupName")


def _updates(talk: Conversation) -> None:
    """One member at a time: the others stay as they were, and an empty one clears (S7.19)."""
    app = {"applicationName": "app-Server"}
    talk.call("CreateDeploymentGroup", **app, deploymentGroupName="changing", serviceRoleArn=ROLE)
    members = IN_PLACE | {"serviceRoleArn": OTHER_ROLE, "autoScalingGroups": ["asg-1"]}
    # A load balancer before the style that needs it, Auto Scaling groups before what is done to them.
    order = ("loadBalancerInfo", "autoScalingGroups", *(name for name in members if name[:4] not in ("load", "auto")))
    for member in (*order, "autoRollbackConfiguration"):
        before = _told(talk, "app-Server", "changing")
        _change(talk, "changing", member, members[member])
        after = _told(talk, "app-Server", "changing")
        # Hooks are named as they come.
        if member in ("autoScalingGroups", "terminationHookEnabled"):
            (told,) = after["autoScalingGroups"]
            assert told["name"] == "asg-1"
            before["autoScalingGroups"] = after["autoScalingGroups"]
        if member != "autoScalingGroups":
            before[member] = members[member]
        assert after == before, member

    for flat, form, value in (
        ("ec2TagFilters", "ec2TagSet", BLUE_GREEN["ec2TagSet"]),
        ("onPremisesInstanceTagFilters", "onPremisesTagSet", {"onPremisesTagSetList": [[FILTER], [OTHER_FILTER]]}),
    ):
        before = _told(talk, "app-Server", "changing")
        _change(talk, "changing", form, value)
        assert _told(talk, "app-Server", "changing") == before | {flat: [], form: value}

    for member, empty in (
        ("ec2TagSet", {"ec2TagSetList": []}),
        ("onPremisesTagSet", {}),
        ("triggerConfigurations", []),
        ("alarmConfiguration", {}),
        ("ec2DeploymentOptions", {"autoScalingGroupProcessesToSuspend": []}),
        ("autoScalingGroups", []),
    ):
        before = _told(talk, "app-Server", "changing")
        assert before.pop(member)
        _change(talk, "changing", member, empty)
        assert _told(talk, "app-Server", "changing") == before | ({member: []} if member in ALWAYS else {}), member

    before = _told(talk, "app-Server", "changing")
    assert talk.call(
        "UpdateDeploymentGroup", **app, currentDeploymentGroupName="changing", newDeploymentGroupName="changed"
    ) == {"hooksNotCleanedUp": []}
    assert _told(talk, "app-Server", "changed") == before | {"deploymentGroupName": "changed"}
    talk.honours("UpdateDeploymentGroup", "applicationName", "currentDeploymentGroupName", "newDeploymentGroupName")

    style = BLUE_GREEN["deploymentStyle"]
    configuration = BLUE_GREEN["blueGreenDeploymentConfiguration"] | {
        "terminateBlueInstancesOnDeploymentSuccess": {"action": "TERMINATE", "terminationWaitTimeInMinutes": 60}
    }
    _change(talk, "blue-green", "blueGreenDeploymentConfiguration", configuration)
    told = _told(talk, "app-Server", "blue-green")
    assert (told["blueGreenDeploymentConfiguration"], told["deploymentStyle"]) == (configuration, style)
    for member, value in (
        ("ecsServices", [{"clusterName": "main", "serviceName": "other"}]),
        ("loadBalancerInfo", ECS["loadBalancerInfo"]),
    ):
        if member == "loadBalancerInfo":
            (pair,) = value["targetGroupPairInfoList"]
            value = {"targetGroupPairInfoList": [pair | {"targetGroups": [{"name": "one"}, {"name": "two"}]}]}
        before = _told(talk, "app-ECS", "service")
        _change(talk, "service", member, value, app="app-ECS")
        assert _told(talk, "app-ECS", "service") == before | {member: value}


def _change(talk: Conversation, group: str, member: str, value: Any, *, app: str = "app-Server") -> None:
    """The caller compares the whole group with what it was before."""
    given = {"applicationName": app, "currentDeploymentGroupName": group, member: value}
    assert talk.call("UpdateDeploymentGroup", **given) == {"hooksNotCleanedUp": []}
    talk.said("UpdateDeploymentGroup", {member: value})


def _told(talk: Conversation, app: str, group: str) -> dict[str, Any]:
    answer = talk.call("GetDeploymentGroup", applicationName=app, deploymentGroupName=group)
    info: dict[str, Any] = answer["deploymentGroupInfo"]
    return info
