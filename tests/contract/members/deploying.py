"""Deployments to a real host: every member asked for, told back and acted on; every outcome read in full."""

from __future__ import annotations

from typing import Any

from tests.acceptance.world import ACCOUNT, ControlPlane, Host, Revision, wait_until
from tests.contract.members.conversation import Conversation
from tests.contract.members.groups import BLUE_GREEN, FILTER
from tests.contract.members.resources import ROLE

APP = {"applicationName": "app-Server"}
LIVE = APP | {"deploymentGroupName": "live"}
IDLE = APP | {"deploymentGroupName": "idle"}
FINAL = ("Succeeded", "Failed", "Stopped")
EVENTS = ("ApplicationStop", "DownloadBundle", "BeforeInstall", "Install", "AfterInstall", "ApplicationStart")
#: In every DeploymentInfo (S3.26).
ALWAYS = {
    *(
        "applicationName",
        "deploymentGroupName",
        "deploymentConfigName",
        "deploymentId",
        "revision",
        "status",
        "creator",
    ),
    *("createTime", "deploymentOverview", "ignoreApplicationStopFailures", "updateOutdatedInstancesOnly"),
    *("rollbackInfo", "deploymentStyle", "instanceTerminationWaitTimeStarted", "fileExistsBehavior"),
    *("deploymentStatusMessages", "computePlatform"),
}
NO_HOSTS = {"Pending": 0, "InProgress": 0, "Succeeded": 0, "Failed": 0, "Skipped": 0, "Ready": 0}
IDLE_HOSTS = [f"idle-{number}" for number in range(7)]


def deployments(talk: Conversation, plane: ControlPlane, host: Host) -> None:
    talk.call("RegisterOnPremisesInstance", instanceName=host.name, iamUserArn=host.arn)
    tags = [{"Key": "role", "Value": "live"}]
    talk.call("AddTagsToOnPremisesInstances", instanceNames=[host.name], tags=tags)
    filters = [{"Key": "role", "Value": "live", "Type": "KEY_AND_VALUE"}]
    talk.call("CreateDeploymentGroup", **LIVE, serviceRoleArn=ROLE, onPremisesInstanceTagFilters=filters)
    s3 = plane.client("s3")
    s3.create_bucket(Bucket="live")
    hooks = {"ApplicationStart": "echo started"}
    good = _pushed(s3, "good", Revision(hooks=hooks))
    bad = _pushed(s3, "bad", Revision(hooks={"BeforeInstall": "echo broken; exit 3"}))
    slow = _pushed(s3, "slow", Revision(hooks={"BeforeInstall": "sleep 2"}))

    first = _first_success(talk, host, good)
    _what_the_others_tell_of_it(talk, first, good)
    failed = _failure_and_rollback(talk, host, bad, good)
    _restart(talk, good)
    _only_outdated(talk, good)
    _stops(talk, host, slow)
    _refused(talk, good, first)
    _lists(talk, failed)
    _of_seven_hosts(talk, good)
    _of_two_sides(talk, plane, good)
    _in_batches(talk, host, first, failed)


def _pushed(s3: Any, key: str, revision: Revision) -> dict[str, Any]:
    s3.put_object(Bucket="live", Key=key, Body=revision.zip())
    return {"revisionType": "S3", "s3Location": {"bucket": "live", "key": key, "bundleType": "zip"}}


def _info(talk: Conversation, deployment_id: str) -> dict[str, Any]:
    info: dict[str, Any] = talk.look("GetDeployment", deploymentId=deployment_id)["deploymentInfo"]
    assert set(info) >= ALWAYS, ALWAYS - set(info)
    assert set(info["deploymentOverview"]) == set(NO_HOSTS)
    return info


def _ended(talk: Conversation, deployment_id: str) -> dict[str, Any]:
    def info() -> dict[str, Any] | None:
        found = _info(talk, deployment_id)
        return found if found["status"] in FINAL else None

    ended: dict[str, Any] = wait_until(f"{deployment_id} ends", info)
    assert talk.call("GetDeployment", deploymentId=deployment_id)["deploymentInfo"] == ended
    assert ended["createTime"] <= ended["completeTime"]
    return ended


def _first_success(talk: Conversation, host: Host, good: dict[str, Any]) -> str:
    made = talk.made(
        "CreateDeployment",
        **LIVE,
        revision=good,
        deploymentConfigName="CodeDeployDefault.AllAtOnce",
        description="the first",
        ignoreApplicationStopFailures=True,
        updateOutdatedInstancesOnly=False,
        fileExistsBehavior="OVERWRITE",
        deploymentMode="STANDARD",
        autoRollbackConfiguration={"enabled": True, "events": ["DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_REQUEST"]},
        overrideAlarmConfiguration={"enabled": False, "ignorePollAlarmFailure": True, "alarms": [{"name": "errors"}]},
    )
    identifier = str(made.answer["deploymentId"])
    told = _ended(talk, identifier)
    # Absent for what is no restart, as the model has it.
    made.told_back(told, deploymentMode="")
    assert (told["status"], told["creator"], told["rollbackInfo"]) == ("Succeeded", "user", {})
    assert told["deploymentOverview"] == NO_HOSTS | {"Succeeded": 1}
    assert told["deploymentStyle"] == {
        "deploymentType": "IN_PLACE",
        "deploymentOption": "WITHOUT_TRAFFIC_CONTROL",
    }
    assert told["startTime"] <= told["completeTime"]
    assert {"previousRevision", "errorInformation", "deploymentMode"}.isdisjoint(told)
    talk.honours("GetDeployment", "deploymentId")

    target = talk.call("GetDeploymentTarget", deploymentId=identifier, targetId=host.name)["deploymentTarget"]
    assert target["deploymentTargetType"] == "InstanceTarget"
    instance = target["instanceTarget"]
    of_all = {"deploymentId", "targetId", "targetArn", "status", "lastUpdatedAt", "lifecycleEvents"}
    assert set(instance) == of_all
    assert (instance["deploymentId"], instance["targetId"], instance["status"]) == (identifier, host.name, "Succeeded")
    assert [event["lifecycleEventName"] for event in instance["lifecycleEvents"]] == [*EVENTS, "ValidateService"]
    for event in instance["lifecycleEvents"]:
        assert set(event) == {"lifecycleEventName", "status", "startTime", "endTime", "diagnostics"}, event
        assert event["status"] == "Succeeded"
        assert event["diagnostics"]["errorCode"] == "Success"
        assert event["diagnostics"]["message"].startswith("Succeeded")
        assert {"scriptName", "logTail"} <= set(event["diagnostics"])
    by_arn = talk.call("GetDeploymentTarget", deploymentId=identifier, targetId=instance["targetArn"])
    assert by_arn["deploymentTarget"] == target
    assert talk.call("BatchGetDeploymentTargets", deploymentId=identifier, targetIds=[host.name]) == {
        "deploymentTargets": [target]
    }
    talk.honours("GetDeploymentTarget", "deploymentId", "targetId")
    talk.honours("BatchGetDeploymentTargets", "deploymentId", "targetIds")

    # The older operations tell the same by other names.
    summary = talk.call("GetDeploymentInstance", deploymentId=identifier, instanceId=host.name)["instanceSummary"]
    assert summary == {
        "instanceId": instance["targetArn"],
        **{name: instance[name] for name in of_all - {"targetId", "targetArn"}},
    }
    both = talk.call("BatchGetDeploymentInstances", deploymentId=identifier, instanceIds=[host.name, "nobody"])
    assert both["instancesSummary"] == [summary]
    assert "nobody" in both["errorMessage"]
    talk.honours("GetDeploymentInstance", "deploymentId", "instanceId")
    talk.honours("BatchGetDeploymentInstances", "deploymentId", "instanceIds")
    return identifier


def _what_the_others_tell_of_it(talk: Conversation, deployment_id: str, good: dict[str, Any]) -> None:
    """The group and the revision know that they were deployed (S7.24, S7.25, S13.6)."""
    info = _info(talk, deployment_id)
    group = talk.call("GetDeploymentGroup", **LIVE)["deploymentGroupInfo"]
    last = {
        "deploymentId": deployment_id,
        "status": "Succeeded",
        "createTime": info["createTime"],
        "endTime": info["completeTime"],
    }
    assert group["lastAttemptedDeployment"] == group["lastSuccessfulDeployment"] == last
    assert group["targetRevision"] == good
    revision = talk.call("GetApplicationRevision", **APP, revision=good)["revisionInfo"]
    assert revision["registerTime"] == revision["firstUsedTime"] == revision["lastUsedTime"] == info["createTime"]
    assert deployment_id in revision["description"]
    assert revision["deploymentGroups"] == ["live"]
    assert talk.call("ListApplicationRevisions", **APP, deployed="include")["revisions"] == [good]
    listed = talk.call("ListApplicationRevisions", **APP, sortBy="lastUsedTime", sortOrder="descending")["revisions"]
    assert listed[0] == good


def _failure_and_rollback(talk: Conversation, host: Host, bad: dict[str, Any], good: dict[str, Any]) -> str:
    rollback = {"enabled": True, "events": ["DEPLOYMENT_FAILURE"]}
    identifier = talk.call("CreateDeployment", **LIVE, revision=bad, autoRollbackConfiguration=rollback)["deploymentId"]
    told = _ended(talk, identifier)
    assert told["status"] == "Failed"
    assert told["deploymentOverview"] == NO_HOSTS | {"Failed": 1}
    assert told["errorInformation"]["code"] == "HEALTH_CONSTRAINTS"
    assert told["errorInformation"]["message"]
    assert told["previousRevision"] == good
    following = told["rollbackInfo"]["rollbackDeploymentId"]
    for one in (identifier, following):
        assert one in told["rollbackInfo"]["rollbackMessage"]

    back = _ended(talk, following)
    assert (back["status"], back["creator"], back["revision"]) == ("Succeeded", "codeDeployRollback", good)
    assert back["rollbackInfo"]["rollbackTriggeringDeploymentId"] == identifier
    for one in (identifier, following):
        assert one in back["rollbackInfo"]["rollbackMessage"]

    target = talk.call("GetDeploymentTarget", deploymentId=identifier, targetId=host.name)["deploymentTarget"]
    events = target["instanceTarget"]["lifecycleEvents"]
    event = events[2]
    assert (event["lifecycleEventName"], event["status"]) == ("BeforeInstall", "Failed")
    # What was never begun has an end and no start (S3.4).
    assert len(events) == len(EVENTS) + 1
    for later in events[3:]:
        assert set(later) == {"lifecycleEventName", "status", "endTime"}
        assert later["status"] == "Skipped"
    said = event["diagnostics"]
    assert (said["errorCode"], said["scriptName"]) == ("ScriptFailed", "scripts/BeforeInstall.sh")
    assert "broken" in said["logTail"]
    assert said["message"]
    return str(identifier)


def _restart(talk: Conversation, good: dict[str, Any]) -> None:
    made = talk.made("CreateDeployment", **LIVE, deploymentMode="RESTART")
    told = _ended(talk, made.answer["deploymentId"])
    made.told_back(told)
    assert (told["status"], told["revision"]) == ("Succeeded", good)
    talk.refuses("InvalidRevision", "CreateDeployment", **LIVE, deploymentMode="RESTART", revision=good)
    talk.refuses("InvalidInput", "CreateDeployment", **LIVE, deploymentMode="NONE", revision=good)


def _only_outdated(talk: Conversation, good: dict[str, Any]) -> None:
    """Nothing is outdated, so no host is touched (S6.17); the revision is the group's own (S6.21)."""
    made = talk.made("CreateDeployment", **LIVE, updateOutdatedInstancesOnly=True)
    told = _ended(talk, made.answer["deploymentId"])
    made.told_back(told)
    assert (told["status"], told["revision"], told["deploymentOverview"]) == ("Succeeded", good, NO_HOSTS)


def _is_in(talk: Conversation, deployment_id: str, host: Host, event: str) -> bool:
    if _info(talk, deployment_id)["status"] == "Created":
        return False
    answer = talk.look("GetDeploymentTarget", deploymentId=deployment_id, targetId=host.name)
    events = answer["deploymentTarget"]["instanceTarget"]["lifecycleEvents"]
    return any(one["lifecycleEventName"] == event and one["status"] == "InProgress" for one in events)


def _stops(talk: Conversation, host: Host, slow: dict[str, Any]) -> None:
    for rolls_back in (False, True):
        identifier = talk.call("CreateDeployment", **LIVE, revision=slow)["deploymentId"]
        wait_until("the host's script runs", lambda one=identifier: _is_in(talk, one, host, "BeforeInstall"))
        answer = talk.call("StopDeployment", deploymentId=identifier, autoRollbackEnabled=rolls_back)
        assert answer["status"] in ("Pending", "Succeeded")
        assert answer["statusMessage"]
        told = _ended(talk, identifier)
        assert (told["status"], told["errorInformation"]["code"]) == ("Stopped", "MANUAL_STOP")
        assert ACCOUNT in told["errorInformation"]["message"]
        assert ("rollbackDeploymentId" in told["rollbackInfo"]) == rolls_back, told["rollbackInfo"]
        assert talk.call("StopDeployment", deploymentId=identifier)["status"] == "Succeeded"
        if rolls_back:
            _ended(talk, told["rollbackInfo"]["rollbackDeploymentId"])
    talk.honours("StopDeployment", "deploymentId", "autoRollbackEnabled")


def _refused(talk: Conversation, good: dict[str, Any], ended: str) -> None:
    wish = LIVE | {"revision": good}
    talk.refuses(
        "InvalidTargetInstances",
        "CreateDeployment",
        "targetInstances",
        **wish,
        targetInstances={
            "tagFilters": [FILTER],
            "autoScalingGroups": ["asg"],
            "ec2TagSet": {"ec2TagSetList": [[FILTER]]},
        },
    )
    options = {"autoScalingGroupProcessesToSuspend": ["AZRebalance"]}
    code = "InvalidAutoScalingGroupProcessToSuspend"
    talk.refuses(code, "CreateDeployment", **wish, ec2DeploymentOptions=options)
    group = APP | {"deploymentGroupName": "scaling"}
    talk.call("CreateDeploymentGroup", **group, serviceRoleArn=ROLE, autoScalingGroups=["asg"])
    made = talk.made("CreateDeployment", **group, revision=good, ec2DeploymentOptions=options)
    told = _ended(talk, made.answer["deploymentId"])
    made.told_back(told)
    assert told["errorInformation"]["code"] == "NO_INSTANCES"
    # These hosts are in no availability zone (S2.23).
    identifier = talk.call("CreateDeployment", **wish, deploymentConfigName="zones")["deploymentId"]
    told = _ended(talk, identifier)
    assert (told["deploymentConfigName"], told["errorInformation"]["code"]) == ("zones", "HEALTH_CONSTRAINTS_INVALID")
    plain = APP | {"deploymentGroupName": "plain"}
    exact = {"bucket": "bundles", "key": "k", "bundleType": "tar", "version": "v1", "eTag": "e1"}
    for revision in (
        {"revisionType": "S3", "s3Location": exact},
        {"revisionType": "GitHub", "gitHubLocation": {"repository": "o/r", "commitId": "c" * 40}},
    ):
        made = talk.made("CreateDeployment", **plain, revision=revision)
        made.told_back(_ended(talk, made.answer["deploymentId"]))
    raw = {"revisionType": "String", "string": {"content": "{}", "sha256": "0"}}
    content = {"revisionType": "AppSpecContent", "appSpecContent": {"content": "{}", "sha256": "0"}}
    for revision in (raw, content):
        member = "string" if revision is raw else "appSpecContent"
        talk.refuses("InvalidRevision", "CreateDeployment", f"revision.{member}", **LIVE, revision=revision)

    for wait in ("READY_WAIT", "TERMINATION_WAIT"):
        asked = {"deploymentId": ended, "deploymentWaitType": wait}
        talk.refuses("DeploymentAlreadyCompleted", "ContinueDeployment", *asked, **asked)
    operation = "SkipWaitTimeForInstanceTermination"
    talk.refuses("DeploymentAlreadyCompleted", operation, "deploymentId", deploymentId=ended)
    asked = {"deploymentId": ended, "lifecycleEventHookExecutionId": "one", "status": "Succeeded"}
    code = "UnsupportedActionForDeploymentType"
    talk.refuses(code, "PutLifecycleEventHookExecutionStatus", *asked, **asked)


def _lists(talk: Conversation, failed: str) -> None:
    every = talk.pages("ListDeployments", "deployments")
    assert len(set(every)) == len(every) > 5
    told = {one: _info(talk, one) for one in every}
    times = [told[one]["createTime"] for one in every]
    assert times == sorted(times, reverse=True)
    batch = talk.call("BatchGetDeployments", deploymentIds=[every[3], "d-NOBODYS00", every[0]])["deploymentsInfo"]
    assert batch == [told[every[3]], told[every[0]]]
    talk.honours("BatchGetDeployments", "deploymentIds")

    of_live = talk.pages("ListDeployments", "deployments", **LIVE)
    assert of_live == [one for one in every if told[one]["deploymentGroupName"] == "live"]
    talk.honours("ListDeployments", *LIVE)
    statuses = ["Failed", "Stopped"]
    wanted = [one for one in every if told[one]["status"] in statuses]
    assert failed in wanted
    assert _all(talk, "ListDeployments", "deployments", includeOnlyStatuses=statuses) == wanted
    # Bounds belong to the window; either may be left open.
    moment = told[failed]["createTime"].timestamp()
    on_time = talk.call("ListDeployments", createTimeRange={"start": moment, "end": moment})["deployments"]
    assert on_time == [failed]
    at = every.index(failed)
    older = talk.call("ListDeployments", createTimeRange={"end": moment})["deployments"]
    assert older == every[at:][:5]
    newer = talk.pages("ListDeployments", "deployments", createTimeRange={"start": moment})
    assert newer == every[: at + 1]
    assert talk.call("ListDeployments", externalId="stack-1")["deployments"] == []
    talk.honours("ListDeployments", "includeOnlyStatuses", "createTimeRange", "externalId")


def _of_seven_hosts(talk: Conversation, good: dict[str, Any]) -> None:
    """Nobody runs these hosts, so there is time to look at them."""
    for name in IDLE_HOSTS:
        arn = f"arn:aws:iam::{ACCOUNT}:user/{name}"
        talk.call("RegisterOnPremisesInstance", instanceName=name, iamUserArn=arn)
    tags = [{"Key": "role", "Value": "idle"}]
    talk.call("AddTagsToOnPremisesInstances", instanceNames=IDLE_HOSTS, tags=tags)
    filters = [{"Key": "role", "Value": "idle", "Type": "KEY_AND_VALUE"}]
    talk.call("CreateDeploymentGroup", **IDLE, serviceRoleArn=ROLE, onPremisesInstanceTagFilters=filters)
    identifier = talk.call("CreateDeployment", **IDLE, revision=good)["deploymentId"]
    wait_until("a host is at work", lambda: _info(talk, identifier)["deploymentOverview"]["InProgress"])
    overview = talk.call("GetDeployment", deploymentId=identifier)["deploymentInfo"]["deploymentOverview"]
    assert overview == NO_HOSTS | {"Pending": 6, "InProgress": 1}

    d = {"deploymentId": identifier}
    assert talk.pages("ListDeploymentTargets", "targetIds", **d) == IDLE_HOSTS
    assert talk.pages("ListDeploymentInstances", "instancesList", **d) == IDLE_HOSTS
    begun = talk.call("ListDeploymentTargets", **d, targetFilters={"TargetStatus": ["InProgress", "Failed"]})
    assert begun["targetIds"] == IDLE_HOSTS[:1]
    older = talk.call("ListDeploymentInstances", **d, instanceStatusFilter=["InProgress", "Failed"])
    assert older["instancesList"] == IDLE_HOSTS[:1]
    talk.honours("ListDeploymentTargets", "deploymentId", "targetFilters")
    talk.honours("ListDeploymentInstances", "deploymentId", "instanceStatusFilter")
    labels = {"ServerInstanceLabel": ["Blue"]}
    code = "InvalidDeploymentInstanceType"
    talk.refuses(code, "ListDeploymentTargets", **d, targetFilters=labels)
    talk.refuses(code, "ListDeploymentInstances", "instanceTypeFilter", **d, instanceTypeFilter=["Green"])
    pending = talk.call("GetDeploymentTarget", **d, targetId="idle-3")["deploymentTarget"]["instanceTarget"]
    assert pending["status"] == "Pending"
    assert {event["status"] for event in pending["lifecycleEvents"]} == {"Pending"}
    for wait in ("READY_WAIT", "TERMINATION_WAIT"):
        talk.refuses("UnsupportedActionForDeploymentType", "ContinueDeployment", **d, deploymentWaitType=wait)
    talk.refuses("UnsupportedActionForDeploymentType", "SkipWaitTimeForInstanceTermination", **d)
    talk.call("StopDeployment", **d)
    assert _ended(talk, identifier)["deploymentOverview"] == NO_HOSTS | {"Skipped": 7}


def _of_two_sides(talk: Conversation, plane: ControlPlane, good: dict[str, Any]) -> None:
    """Blue/green, to hosts that nobody runs: there is time to look at them."""
    vpc = plane.client("ec2").describe_vpcs()["Vpcs"][0]["VpcId"]
    plane.client("elbv2").create_target_group(Name="sides", Protocol="HTTP", Port=8080, VpcId=vpc, TargetType="ip")
    for name, address in (("blue-1", "127.0.0.21"), ("green-1", "127.0.0.22")):
        arn = f"arn:aws:iam::{ACCOUNT}:user/{name}"
        talk.call("RegisterOnPremisesInstance", instanceName=name, iamUserArn=arn)
        tags = [{"Key": "colour", "Value": name[:-2]}, {"Key": "longshore:address", "Value": address}]
        talk.call("AddTagsToOnPremisesInstances", instanceNames=[name], tags=tags)
    group = APP | {"deploymentGroupName": "sides"}
    shared = {
        "loadBalancerInfo": {"targetGroupInfoList": [{"name": "sides"}]},
        "blueGreenDeploymentConfiguration": BLUE_GREEN["blueGreenDeploymentConfiguration"],
        "deploymentStyle": BLUE_GREEN["deploymentStyle"],
    }
    members = {"onPremisesTagSet": {"onPremisesTagSetList": _of_colour("blue")}, **shared}
    talk.call("CreateDeploymentGroup", **group, serviceRoleArn=ROLE, **members)
    replacements = {"ec2TagSet": {"ec2TagSetList": _of_colour("green")}}
    made = talk.made("CreateDeployment", **group, revision=good, targetInstances=replacements)
    identifier = made.answer["deploymentId"]
    d = {"deploymentId": identifier}
    wait_until("its turn has come", lambda: _info(talk, identifier)["deploymentOverview"]["InProgress"])
    told = talk.call("GetDeployment", **d)["deploymentInfo"]
    made.told_back(told)
    assert {name: told[name] for name in shared} == shared
    # Originals are counted once they begin to lose their traffic (S3.24).
    assert told["deploymentOverview"] == NO_HOSTS | {"InProgress": 1}

    target = talk.call("GetDeploymentTarget", **d, targetId="green-1")["deploymentTarget"]["instanceTarget"]
    assert target["instanceLabel"] == "Green"
    traffic = ["BeforeAllowTraffic", "AllowTraffic", "AfterAllowTraffic"]
    events = [event["lifecycleEventName"] for event in target["lifecycleEvents"]]
    assert events == [*EVENTS, "ValidateService", *traffic]
    assert talk.call("GetDeploymentInstance", **d, instanceId="green-1")["instanceSummary"]["instanceType"] == "Green"
    several = talk.call("BatchGetDeploymentTargets", **d, targetIds=["green-1", "blue-1"])["deploymentTargets"]
    assert [one["instanceTarget"]["instanceLabel"] for one in several] == ["Green", "Blue"]
    older = talk.call("BatchGetDeploymentInstances", **d, instanceIds=["blue-1", "green-1"])["instancesSummary"]
    assert {one["instanceType"] for one in older} == {"Blue", "Green"}
    for label, name in (("Blue", "blue-1"), ("Green", "green-1")):
        found = talk.call("ListDeploymentTargets", **d, targetFilters={"ServerInstanceLabel": [label]})
        assert found["targetIds"] == [name]
        assert talk.call("ListDeploymentInstances", **d, instanceTypeFilter=[label])["instancesList"] == [name]
    talk.refuses("DeploymentIsNotInReadyState", "ContinueDeployment", **d)
    talk.call("StopDeployment", **d)
    assert _ended(talk, identifier)["status"] == "Stopped"

    others = {"tagFilters": [FILTER], "autoScalingGroups": ["asg"]}
    made = talk.made("CreateDeployment", **group, revision=good, targetInstances=others)
    told = _ended(talk, made.answer["deploymentId"])
    made.told_back(told)
    assert told["errorInformation"]["code"] == "NO_INSTANCES"
    # In place, with both kinds of load balancers.
    changed = APP | {"deploymentGroupName": "changed"}
    balancers = talk.call("GetDeploymentGroup", **changed)["deploymentGroupInfo"]["loadBalancerInfo"]
    told = _ended(talk, talk.call("CreateDeployment", **changed, revision=good)["deploymentId"])
    assert told["loadBalancerInfo"] == balancers
    assert set(balancers) == {"elbInfoList", "targetGroupInfoList"}


def _of_colour(colour: str) -> list[list[dict[str, str]]]:
    return [
        [{"Key": "colour", "Value": colour, "Type": "KEY_AND_VALUE"}],
        [{"Key": "longshore:address", "Type": "KEY_ONLY"}],
    ]


def _in_batches(talk: Conversation, host: Host, first: str, failed: str) -> None:
    """Several at once are told as each is told by itself."""
    names = ["app-ECS", "app-Lambda"]
    several = talk.call("BatchGetApplications", applicationNames=names)["applicationsInfo"]
    assert several == [talk.call("GetApplication", applicationName=name)["application"] for name in names]

    for app in ("app-Server", "app-ECS", "app-Lambda"):
        names = _all(talk, "ListDeploymentGroups", "deploymentGroups", applicationName=app)
        several = talk.call("BatchGetDeploymentGroups", applicationName=app, deploymentGroupNames=names)
        assert several["deploymentGroupsInfo"] == [
            talk.call("GetDeploymentGroup", applicationName=app, deploymentGroupName=name)["deploymentGroupInfo"]
            for name in names
        ]

    every = _all(talk, "ListDeployments", "deployments")
    assert talk.call("BatchGetDeployments", deploymentIds=every[:25])["deploymentsInfo"] == [
        talk.call("GetDeployment", deploymentId=one)["deploymentInfo"] for one in every[:25]
    ]

    known = _all(talk, "ListApplicationRevisions", "revisions", **APP)
    assert talk.call("BatchGetApplicationRevisions", **APP, revisions=known)["revisions"] == [
        {
            "revisionLocation": revision,
            "genericRevisionInfo": talk.call("GetApplicationRevision", **APP, revision=revision)["revisionInfo"],
        }
        for revision in known
    ]

    for one in (first, failed):
        targets = talk.call("BatchGetDeploymentTargets", deploymentId=one, targetIds=[host.name])
        alone = talk.call("GetDeploymentTarget", deploymentId=one, targetId=host.name)
        assert targets["deploymentTargets"] == [alone["deploymentTarget"]]
        instances = talk.call("BatchGetDeploymentInstances", deploymentId=one, instanceIds=[host.name])
        summary = talk.call("GetDeploymentInstance", deploymentId=one, instanceId=host.name)["instanceSummary"]
        assert instances == {"instancesSummary": [summary], "errorMessage": ""}

    names = ["spare-5", host.name, "box-2"]
    assert talk.call("BatchGetOnPremisesInstances", instanceNames=names)["instanceInfos"] == [
        talk.call("GetOnPremisesInstance", instanceName=name)["instanceInfo"] for name in names
    ]


def _all(talk: Conversation, operation: str, result: str, **given: Any) -> list[Any]:
    found: list[Any] = []
    token: dict[str, str] = {}
    while token or not found:
        answer = talk.call(operation, **given, **token)
        found += answer[result]
        if "nextToken" not in answer:
            break
        token = {"nextToken": answer["nextToken"]}
    return found
