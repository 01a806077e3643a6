"""An error's message says what to do next, and names commands that there are (server.md S0.7)."""

from __future__ import annotations

import re
from typing import Any

import pytest
from botocore import xform_name
from tests.integration.api.test_deployments import MISSING, REVISION

from longshore import models

COMMANDS = {xform_name(name, "-") for name in models.load("codedeploy").operation_names}
ROLE = "arn:aws:iam::123456789012:role/CodeDeployServiceRole"
ARN = "arn:aws:codedeploy:{region}:123456789012"
TAG = {"Key": "team", "Value": "web"}
IN_SHOP = {"applicationName": "shop"}
WEB = IN_SHOP | {"deploymentGroupName": "web"}


@pytest.mark.parametrize(
    ("code", "operation", "asked"),
    [
        ("ApplicationDoesNotExist", "get_application", {"applicationName": "nope"}),
        ("ApplicationDoesNotExist", "create_deployment", WEB | {"applicationName": "nope", "revision": REVISION}),
        ("DeploymentGroupDoesNotExist", "get_deployment_group", WEB | {"deploymentGroupName": "nope"}),
        ("DeploymentConfigDoesNotExist", "get_deployment_config", {"deploymentConfigName": "nope"}),
        (
            "DeploymentConfigDoesNotExist",
            "update_deployment_group",
            IN_SHOP | {"currentDeploymentGroupName": "web", "deploymentConfigName": "nope"},
        ),
        ("DeploymentDoesNotExist", "stop_deployment", {"deploymentId": MISSING}),
        ("RevisionDoesNotExist", "get_application_revision", IN_SHOP | {"revision": REVISION}),
        ("InstanceNotRegistered", "get_on_premises_instance", {"instanceName": "nope"}),
        ("InstanceNotRegistered", "add_tags_to_on_premises_instances", {"instanceNames": ["nope"], "tags": [TAG]}),
        ("DeploymentTargetDoesNotExist", "get_deployment_target", {"deploymentId": "{ended}", "targetId": "nope"}),
        ("InstanceDoesNotExist", "get_deployment_instance", {"deploymentId": "{ended}", "instanceId": "nope"}),
        ("GitHubAccountTokenDoesNotExist", "delete_git_hub_account_token", {"tokenName": "nope"}),
    ],
)
def test_what_is_not_there_is_told_with_the_command_that_shows_what_is(
    codedeploy: Any, app: str, group: Any, deploy: Any, refused: Any, code: str, operation: str, asked: dict[str, Any]
) -> None:
    group(app, "web")
    ended = deploy(app, "web", "Succeeded", REVISION | {"s3Location": {"bucket": "b", "key": "k", "bundleType": "zip"}})
    given = {name: ended if value == "{ended}" else value for name, value in asked.items()}
    with refused(code) as why:
        getattr(codedeploy, operation)(**given)
    shown = re.search(r"aws deploy ([a-z-]+)(?: --[a-z-]+ \S+)? shows", why[0])
    assert shown, why
    assert shown[1] in COMMANDS


def test_all_that_is_missing_is_named_at_once(codedeploy: Any, app: str, refused: Any) -> None:
    with refused("ApplicationDoesNotExist") as why:
        codedeploy.batch_get_applications(applicationNames=["gone", app, "lost", "gone"])
    assert "named gone, lost for account" in why[0]
    codedeploy.register_on_premises_instance(instanceName="web-1", iamUserArn="arn:aws:iam::123456789012:user/web-1")
    with refused("InstanceNotRegistered") as why:
        codedeploy.add_tags_to_on_premises_instances(instanceNames=["gone", "web-1", "lost"], tags=[TAG])
    assert "named gone, lost is registered" in why[0]
    assert codedeploy.get_on_premises_instance(instanceName="web-1")["instanceInfo"]["tags"] == []


def test_format_comes_before_what_is_there(codedeploy: Any, app: str, scope: Any, refused: Any) -> None:
    """S0.7: presence, format, existence, limits."""
    nowhere = {"applicationName": "nope", "deploymentGroupName": "nope"}
    with refused("RoleRequired"):
        codedeploy.create_deployment_group(**nowhere)
    with refused("InvalidRole"):
        codedeploy.create_deployment_group(**nowhere, serviceRoleArn="nobody")
    twice = [TAG, TAG]
    with refused("InvalidTagsToAdd"):
        codedeploy.create_deployment_group(**nowhere, serviceRoleArn=ROLE, tags=twice)
    with refused("InvalidRole"):
        codedeploy.update_deployment_group(
            applicationName="nope", currentDeploymentGroupName="nope", serviceRoleArn="nobody"
        )
    with refused("InvalidTimeRange"):
        codedeploy.list_deployments(**nowhere, createTimeRange={"start": 2, "end": 1})
    with refused("InvalidTagsToAdd"):
        codedeploy.tag_resource(ResourceArn=f"{ARN}:application:nope".format(region=scope.region), Tags=twice)
    with refused("InvalidArn"):
        codedeploy.tag_resource(ResourceArn=f"{ARN}:application:nope".format(region="elsewhere-1"), Tags=twice)
    with refused("ApplicationDoesNotExist"):
        codedeploy.create_deployment_group(**nowhere, serviceRoleArn=ROLE)


def test_a_member_that_may_be_left_out_is_not_called_required(codedeploy: Any, app: str, refused: Any) -> None:
    with refused("DeploymentGroupNameRequired") as why:
        codedeploy.update_deployment_group(
            applicationName=app, currentDeploymentGroupName="web", newDeploymentGroupName=""
        )
    assert why == ["New deployment group name must not be empty: give a value, or leave it out."]
    with refused("DeploymentGroupNameRequired") as why:
        codedeploy.update_deployment_group(applicationName=app, currentDeploymentGroupName="")
    assert why == ["Current deployment group name is required."]


@pytest.mark.parametrize("key", ["aws:team", "AWS:cloudformation:stack-name"])
def test_keys_of_tags_that_are_awss_own_are_refused(
    codedeploy: Any, app: str, scope: Any, refused: Any, key: str
) -> None:
    """As everywhere in AWS; a key that has the letters elsewhere is anybody's."""
    arn = f"{ARN}:application:{app}".format(region=scope.region)
    codedeploy.register_on_premises_instance(instanceName="web-1", iamUserArn="arn:aws:iam::123456789012:user/web-1")
    reserved = [{"Key": key, "Value": "x"}]
    for call in (
        lambda: codedeploy.tag_resource(ResourceArn=arn, Tags=reserved),
        lambda: codedeploy.create_application(applicationName="new", tags=reserved),
        lambda: codedeploy.create_deployment_group(**WEB, serviceRoleArn=ROLE, tags=reserved),
    ):
        with refused("InvalidTagsToAdd") as why:
            call()
        assert "Choose another" in why[0]
    with refused("InvalidTag"):
        codedeploy.add_tags_to_on_premises_instances(instanceNames=["web-1"], tags=reserved)
    fine = [{"Key": "my-aws:team", "Value": "x"}]
    codedeploy.tag_resource(ResourceArn=arn, Tags=fine)
    codedeploy.add_tags_to_on_premises_instances(instanceNames=["web-1"], tags=fine)


@pytest.mark.parametrize("member", ["revisionType", "bundleType"])
def test_what_a_revision_lacks_is_called_missing(codedeploy: Any, app: str, refused: Any, member: str) -> None:
    location = {"bucket": "b", "key": "k", "bundleType": "zip"}
    revision = {"revisionType": "S3", "s3Location": {name: location[name] for name in location if name != member}}
    revision.pop(member, None)
    with refused("InvalidRevision") as why:
        codedeploy.register_application_revision(applicationName=app, revision=revision)
    assert f"{member} is missing" in why[0]
