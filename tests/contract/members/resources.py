"""Applications, configs, groups, revisions, on-premises instances, tags: each member said once, and its effect seen."""

from __future__ import annotations

import json
from typing import Any

from tests.acceptance.world import ACCOUNT, REGION, ControlPlane
from tests.contract.members.conversation import Conversation

ROLE = f"arn:aws:iam::{ACCOUNT}:role/deploy"
OTHER_ROLE = f"arn:aws:iam::{ACCOUNT}:role/deploy-2"
#: Empty ones.
AUTO_SCALING_GROUPS = ("asg", "asg-1", "asg-2")
_TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "codedeploy.amazonaws.com"}, "Action": "sts:AssumeRole"}
    ],
}
_RIGHTS = "arn:aws:iam::aws:policy/service-role/AWSCodeDeployRole"
ARN = f"arn:aws:codedeploy:{REGION}:{ACCOUNT}"
PLATFORMS = ("Server", "Lambda", "ECS")
PREDEFINED = 17
TAGS = [{"Key": "team", "Value": "shop"}, {"Key": "stage", "Value": ""}]


def applications(talk: Conversation) -> None:
    for platform in PLATFORMS:
        name = f"app-{platform}"
        made = talk.made("CreateApplication", applicationName=name, computePlatform=platform, tags=TAGS)
        told = talk.call("GetApplication", applicationName=name)["application"]
        made.told_back(told, tags="")
        assert told["applicationId"] == made.answer["applicationId"]
        assert told["linkedToGitHub"] is False
        assert "createTime" in told
        listed = talk.call("ListTagsForResource", ResourceArn=f"{ARN}:application:{name}")["Tags"]
        assert sorted(listed, key=str) == sorted(TAGS, key=str)
    talk.honours("CreateApplication", "tags")
    talk.honours("ListTagsForResource", "ResourceArn")
    talk.honours("GetApplication", "applicationName")

    names = ["app-ECS", "app-Server", "app-Lambda"]
    several = talk.call("BatchGetApplications", applicationNames=names)["applicationsInfo"]
    assert several == [talk.call("GetApplication", applicationName=name)["application"] for name in names]
    talk.honours("BatchGetApplications", "applicationNames")
    for number in range(6):
        talk.call("CreateApplication", applicationName=f"old-{number}")
    assert talk.pages("ListApplications", "applications") == sorted([*names, *(f"old-{n}" for n in range(6))])

    before = talk.call("GetApplication", applicationName="old-0")["application"]
    talk.call("UpdateApplication", applicationName="old-0", newApplicationName="renamed")
    after = talk.call("GetApplication", applicationName="renamed")["application"]
    assert after == before | {"applicationName": "renamed"}
    talk.refuses("ApplicationDoesNotExist", "GetApplication", applicationName="old-0")
    talk.honours("UpdateApplication", "applicationName", "newApplicationName")
    _misspelt(talk)
    talk.call("DeleteApplication", applicationName="renamed")
    talk.refuses("ApplicationDoesNotExist", "GetApplication", applicationName="renamed")
    talk.honours("DeleteApplication", "applicationName")


def _misspelt(talk: Conversation) -> None:
    """A name in another case is no member, and nothing is guessed: it is as if it were not there (S0.5)."""
    talk.refuses("ApplicationNameRequired", "GetApplication", ApplicationName="app-ECS")
    talk.refuses("ResourceArnRequired", "ListTagsForResource", resourceArn=f"{ARN}:application:app-ECS")
    talk.refuses("InvalidTagsToAdd", "CreateApplication", applicationName="new", tags=[{"key": "a", "value": "b"}])
    asked = {"applicationName": "app-ECS"}
    told = talk.call("GetApplication", **asked)
    assert talk.call("GetApplication", **asked, applicationname="nobody", andMore={"of": ["it"]}) == told


CANARY = {"type": "TimeBasedCanary", "timeBasedCanary": {"canaryPercentage": 15, "canaryInterval": 5}}
LINEAR = {"type": "TimeBasedLinear", "timeBasedLinear": {"linearPercentage": 20, "linearInterval": 2}}
ZONAL = {
    "firstZoneMonitorDurationInSeconds": 60,
    "monitorDurationInSeconds": 30,
    "minimumHealthyHostsPerZone": {"type": "HOST_COUNT", "value": 1},
}


def configs(talk: Conversation) -> None:
    custom: tuple[dict[str, Any], ...] = (
        {"deploymentConfigName": "count", "minimumHealthyHosts": {"type": "HOST_COUNT", "value": 2}},
        {
            "deploymentConfigName": "zones",
            "computePlatform": "Server",
            "minimumHealthyHosts": {"type": "FLEET_PERCENT", "value": 75},
            "zonalConfig": ZONAL,
        },
        {"deploymentConfigName": "canary", "computePlatform": "Lambda", "trafficRoutingConfig": CANARY},
        {"deploymentConfigName": "linear", "computePlatform": "ECS", "trafficRoutingConfig": LINEAR},
    )
    for given in custom:
        made = talk.made("CreateDeploymentConfig", **given)
        name = given["deploymentConfigName"]
        told = talk.call("GetDeploymentConfig", deploymentConfigName=name)["deploymentConfigInfo"]
        made.told_back(told)
        assert told["deploymentConfigId"] == made.answer["deploymentConfigId"]
        assert told["computePlatform"] == given.get("computePlatform", "Server")
    talk.honours("GetDeploymentConfig", "deploymentConfigName")

    names = talk.pages("ListDeploymentConfigs", "deploymentConfigsList")
    predefined = [name for name in names if name.startswith("CodeDeployDefault.")]
    assert len(predefined) == PREDEFINED
    assert sorted(names) == sorted([*predefined, *(given["deploymentConfigName"] for given in custom)])
    for name in predefined:
        told = talk.call("GetDeploymentConfig", deploymentConfigName=name)["deploymentConfigInfo"]
        member = "minimumHealthyHosts" if told["computePlatform"] == "Server" else "trafficRoutingConfig"
        of_all = {"deploymentConfigId", "deploymentConfigName", "computePlatform", "createTime"}
        assert set(told) == of_all | {member}, told

    talk.call("DeleteDeploymentConfig", deploymentConfigName="count")
    talk.refuses("DeploymentConfigDoesNotExist", "GetDeploymentConfig", deploymentConfigName="count")
    talk.honours("DeleteDeploymentConfig", "deploymentConfigName")


def revisions(talk: Conversation) -> None:
    app = {"applicationName": "app-Server"}
    plain = {"bucket": "bundles", "key": "shop/1.zip", "bundleType": "zip"}
    known: list[dict[str, Any]] = [
        {"revisionType": "S3", "s3Location": plain},
        {"revisionType": "S3", "s3Location": plain | {"key": "shop/2.tgz", "bundleType": "tgz"}},
        {"revisionType": "S3", "s3Location": plain | {"version": "v1", "eTag": "e1"}},
        {"revisionType": "S3", "s3Location": plain | {"bucket": "others", "key": "other"}},
        {"revisionType": "GitHub", "gitHubLocation": {"repository": "o/r", "commitId": "c" * 40}},
        {"revisionType": "GitHub", "gitHubLocation": {"repository": "o/r", "commitId": "d" * 40}},
    ]
    for number, revision in enumerate(known):
        made = talk.made("RegisterApplicationRevision", **app, revision=revision, description=f"number {number}")
        told = talk.call("GetApplicationRevision", **app, revision=revision)
        made.told_back(told | {"description": told["revisionInfo"]["description"]})
        assert told["revisionInfo"]["deploymentGroups"] == []
        assert {"firstUsedTime", "lastUsedTime"}.isdisjoint(told["revisionInfo"])
    talk.honours("GetApplicationRevision", "applicationName")
    for member in ("revisionType", "s3Location", "gitHubLocation"):
        talk.honours("GetApplicationRevision", f"revision.{member}")

    # Registering again changes the description and nothing else.
    before = talk.call("GetApplicationRevision", **app, revision=known[0])["revisionInfo"]
    talk.call("RegisterApplicationRevision", **app, revision=known[0])
    assert talk.call("GetApplicationRevision", **app, revision=known[0])["revisionInfo"] == before
    talk.call("RegisterApplicationRevision", **app, revision=known[0], description="again")
    again = talk.call("GetApplicationRevision", **app, revision=known[0])["revisionInfo"]
    assert again == before | {"description": "again"}

    # What travels in the revision itself, for the platforms that take it; nobody else does.
    for kind, member in (("String", "string"), ("AppSpecContent", "appSpecContent")):
        raw: dict[str, Any] = {"content": '{"version": 0.0}'}
        asked = {"revisionType": kind, member: raw}
        talk.call("RegisterApplicationRevision", applicationName="app-Lambda", revision=asked)
        told = talk.call("GetApplicationRevision", applicationName="app-Lambda", revision=asked)["revision"]
        assert told[member]["content"] == raw["content"]
        assert len(told[member]["sha256"]) == 64
        again = talk.call("GetApplicationRevision", applicationName="app-Lambda", revision=told)["revision"]
        assert again == told
        wrong = asked | {member: raw | {"sha256": "0" * 64}}
        for operation in ("RegisterApplicationRevision", "GetApplicationRevision"):
            talk.refuses("InvalidRevision", operation, applicationName="app-Lambda", revision=wrong)
            talk.honours(operation, f"revision.{member}")
            talk.refuses("InvalidRevision", operation, **app, revision=asked)
        batch = {"applicationName": "app-Lambda", "revisions": [told]}
        (found,) = talk.call("BatchGetApplicationRevisions", **batch)["revisions"]
        assert found["revisionLocation"] == told
        talk.honours("BatchGetApplicationRevisions", f"revisions[].{member}")

    unknown = {"revisionType": "S3", "s3Location": plain | {"key": "nowhere"}}
    asked_for = [known[4], unknown, known[2], known[0]]
    answer = talk.call("BatchGetApplicationRevisions", **app, revisions=asked_for)
    assert answer["applicationName"] == "app-Server"
    assert "s3://bundles/nowhere" in answer["errorMessage"]
    # In the order asked, each as it is told by itself.
    assert answer["revisions"] == [
        {
            "revisionLocation": revision,
            "genericRevisionInfo": talk.call("GetApplicationRevision", **app, revision=revision)["revisionInfo"],
        }
        for revision in (known[4], known[2], known[0])
    ]
    assert talk.call("BatchGetApplicationRevisions", **app, revisions=known)["errorMessage"] == ""
    talk.honours("BatchGetApplicationRevisions", "applicationName")
    for member in ("revisionType", "s3Location", "gitHubLocation"):
        talk.honours("BatchGetApplicationRevisions", f"revisions[].{member}")

    lambdas = talk.call("ListApplicationRevisions", applicationName="app-Lambda")["revisions"]
    assert [sorted(one) for one in lambdas] == [["revisionType", "string"], ["appSpecContent", "revisionType"]]
    _listing(talk, known)


def _listing(talk: Conversation, known: list[dict[str, Any]]) -> None:
    operation = "ListApplicationRevisions"

    def listed(**filters: Any) -> list[Any]:
        return list(talk.call(operation, applicationName="app-Server", **filters)["revisions"])

    assert talk.pages(operation, "revisions", applicationName="app-Server") == known
    assert listed(sortBy="registerTime", sortOrder="ascending") == known[:5]
    assert listed(sortBy="registerTime", sortOrder="descending") == known[:0:-1]
    assert listed(s3Bucket="others") == [known[3]]
    assert listed(s3Bucket="bundles", s3KeyPrefix="shop/2") == [known[1]]
    assert listed(deployed="include") == []
    assert listed(deployed="exclude") == known[:5]
    talk.honours(operation, "applicationName", "sortBy", "sortOrder", "s3Bucket", "s3KeyPrefix", "deployed")


def instances(talk: Conversation) -> None:
    user = f"arn:aws:iam::{ACCOUNT}:user/box-1"
    session = f"arn:aws:sts::{ACCOUNT}:assumed-role/hosts/box-2"
    for name, principal in (("box-1", {"iamUserArn": user}), ("box-2", {"iamSessionArn": session})):
        made = talk.made("RegisterOnPremisesInstance", instanceName=name, **principal)
        told = talk.call("GetOnPremisesInstance", instanceName=name)["instanceInfo"]
        made.told_back(told)
        assert told["instanceArn"].startswith(f"{ARN}:instance/{name}_")
        assert told["tags"] == []
        assert "deregisterTime" not in told
    talk.honours("GetOnPremisesInstance", "instanceName")

    tags = [{"Key": "role", "Value": "web"}, {"Key": "role", "Value": "db"}]
    talk.call("AddTagsToOnPremisesInstances", instanceNames=["box-1", "box-2"], tags=tags)
    both = talk.call("BatchGetOnPremisesInstances", instanceNames=["box-2", "nobody", "box-1"])["instanceInfos"]
    assert [info["instanceName"] for info in both] == ["box-2", "box-1"]
    assert all(sorted(info["tags"], key=str) == sorted(tags, key=str) for info in both)
    talk.honours("AddTagsToOnPremisesInstances", "instanceNames", "tags")
    talk.honours("BatchGetOnPremisesInstances", "instanceNames")
    talk.call("RemoveTagsFromOnPremisesInstances", instanceNames=["box-2"], tags=tags[:1])
    assert talk.call("GetOnPremisesInstance", instanceName="box-2")["instanceInfo"]["tags"] == tags[1:]
    talk.honours("RemoveTagsFromOnPremisesInstances", "instanceNames", "tags")

    for number in range(6):
        arn = f"arn:aws:iam::{ACCOUNT}:user/spare-{number}"
        talk.call("RegisterOnPremisesInstance", instanceName=f"spare-{number}", iamUserArn=arn)
    talk.call("DeregisterOnPremisesInstance", instanceName="spare-5")
    assert "deregisterTime" in talk.call("GetOnPremisesInstance", instanceName="spare-5")["instanceInfo"]
    talk.honours("DeregisterOnPremisesInstance", "instanceName")

    operation = "ListOnPremisesInstances"
    assert {"box-1", "box-2", "spare-5"} <= set(talk.pages(operation, "instanceNames"))
    assert talk.call(operation, registrationStatus="Deregistered")["instanceNames"] == ["spare-5"]
    for wanted, expected in (
        ({"Key": "role", "Value": "web", "Type": "KEY_AND_VALUE"}, ["box-1"]),
        ({"Key": "role", "Type": "KEY_ONLY"}, ["box-1", "box-2"]),
        ({"Value": "db", "Type": "VALUE_ONLY"}, ["box-1", "box-2"]),
    ):
        assert talk.call(operation, tagFilters=[wanted])["instanceNames"] == expected
    talk.honours(operation, "registrationStatus", "tagFilters")


def resource_tags(talk: Conversation) -> None:
    arn = f"{ARN}:deploymentconfig:zones"
    talk.call("TagResource", ResourceArn=arn, Tags=TAGS)
    listed = talk.call("ListTagsForResource", ResourceArn=arn)
    assert sorted(listed["Tags"], key=str) == sorted(TAGS, key=str)
    talk.honours("TagResource", "ResourceArn", "Tags")
    talk.call("UntagResource", ResourceArn=arn, TagKeys=["stage", "of-nobody"])
    assert talk.call("ListTagsForResource", ResourceArn=arn)["Tags"] == TAGS[:1]
    talk.honours("UntagResource", "ResourceArn", "TagKeys")


def connections(talk: Conversation, ours: Any) -> None:
    """`ours` is a client of our own service, which stores what no operation of CodeDeploy's can."""
    names = [f"account-{number}" for number in range(6)]
    for name in names:
        ours.put_git_hub_account_token(tokenName=name, token=f"secret-of-{name}", applicationNames=["app-ECS"])
    told = talk.call("GetApplication", applicationName="app-ECS")["application"]
    assert (told["linkedToGitHub"], told["gitHubAccountName"]) == (True, "account-5")
    assert talk.pages("ListGitHubAccountTokenNames", "tokenNameList") == names
    assert talk.call("DeleteGitHubAccountToken", tokenName="account-0") == {"tokenName": "account-0"}
    assert talk.call("ListGitHubAccountTokenNames")["tokenNameList"] == names[1:]
    talk.refuses("GitHubAccountTokenDoesNotExist", "DeleteGitHubAccountToken", tokenName="account-0")
    talk.honours("DeleteGitHubAccountToken", "tokenName")

    before = talk.call("ListApplications")["applications"]
    assert talk.call("DeleteResourcesByExternalId", externalId="stack-1") == {}
    assert talk.call("ListApplications")["applications"] == before
    talk.honours("DeleteResourcesByExternalId", "externalId")


def auto_scaling(plane: ControlPlane) -> None:
    """The service roles, and Auto Scaling groups for the deployment groups that name some."""
    iam, scaling = plane.client("iam"), plane.client("autoscaling")
    for arn in (ROLE, OTHER_ROLE):
        name = arn.rpartition("/")[2]
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(_TRUST))
        iam.attach_role_policy(RoleName=name, PolicyArn=_RIGHTS)
    scaling.create_launch_configuration(
        LaunchConfigurationName="nobody", ImageId="ami-longshore", InstanceType="t3.micro"
    )
    for name in AUTO_SCALING_GROUPS:
        scaling.create_auto_scaling_group(
            AutoScalingGroupName=name,
            LaunchConfigurationName="nobody",
            MinSize=0,
            MaxSize=0,
            AvailabilityZones=[f"{REGION}a"],
        )
