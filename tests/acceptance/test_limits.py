"""`longshore server --limit`: numbers and lengths of an operator's own, asked over the wire (server.md S1.12–S1.16)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.acceptance.world import ACCOUNT, ControlPlane

REVISION = {"revisionType": "GitHub", "gitHubLocation": {"repository": "o/r", "commitId": "c" * 40}}
ROLE = f"arn:aws:iam::{ACCOUNT}:role/deploy"
ARN = f"arn:aws:codedeploy:us-east-1:{ACCOUNT}:application:shop"
#: Some are narrower than usual, some wider.
ASKED = (
    *("github-tokens=2", "description-length=300", "tag-key-length=5", "tag-value-length=300"),
    *("alarm-name-length=4", "alarms=2", "filters-per-tag-list=1", "arn-length=60"),
)


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    options = tuple(word for one in ASKED for word in ("--limit", one))
    made = ControlPlane(tmp_path_factory.mktemp("limits"), options=options)
    made.start()
    made.client("codedeploy").create_application(applicationName="shop")
    yield made
    made.stop()


def refused(client: Any, operation: str, **asked: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        getattr(client, operation)(**asked)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def test_texts_may_be_as_long_as_the_operator_says(plane: ControlPlane) -> None:
    deploy = plane.client("codedeploy")
    app = {"applicationName": "shop"}
    group = app | {"deploymentGroupName": "prod"}

    deploy.register_application_revision(**app, revision=REVISION, description="d" * 300)
    for operation, asked in (
        ("register_application_revision", app | {"revision": REVISION}),
        ("create_deployment", group | {"revision": REVISION}),
    ):
        code, why = refused(deploy, operation, **asked, description="d" * 301)
        assert (code, "at most 300 characters" in why) == ("DescriptionTooLongException", True), why

    deploy.tag_resource(ResourceArn=ARN, Tags=[{"Key": "k" * 5, "Value": "v" * 300}])
    assert deploy.list_tags_for_resource(ResourceArn=ARN)["Tags"] == [{"Key": "k" * 5, "Value": "v" * 300}]
    for tag in ({"Key": "k" * 6, "Value": ""}, {"Key": "k", "Value": "v" * 301}):
        assert refused(deploy, "tag_resource", ResourceArn=ARN, Tags=[tag])[0] == "InvalidTagsToAddException"
    assert refused(deploy, "list_tags_for_resource", ResourceArn=f"{ARN}{'x' * 60}")[0] == "InvalidArnException"

    alarms = {"enabled": True, "alarms": [{"name": "long"}]}
    filters = [{"Key": "k", "Value": "v" * 300, "Type": "KEY_AND_VALUE"}]
    deploy.create_deployment_group(
        **group, serviceRoleArn=ROLE, alarmConfiguration=alarms, onPremisesInstanceTagFilters=filters
    )
    changed = app | {"currentDeploymentGroupName": "prod"}
    for code, change in (
        ("InvalidAlarmConfigException", {"alarmConfiguration": {"enabled": True, "alarms": [{"name": "longer"}]}}),
        ("AlarmsLimitExceededException", {"alarmConfiguration": {"alarms": [{"name": one} for one in "abc"]}}),
        ("InvalidTagException", {"onPremisesInstanceTagFilters": [{"Key": "k" * 6, "Type": "KEY_ONLY"}]}),
        ("InvalidEC2TagException", {"ec2TagFilters": [{"Key": one, "Type": "KEY_ONLY"} for one in "ab"]}),
    ):
        assert refused(deploy, "update_deployment_group", **changed, **change)[0] == code

    # By the door of our own service, too: what a deployment is told is one thing.
    ours = plane.client("longshore")
    code, why = refused(ours, "create_deployment", **group, revision=REVISION, description="d" * 301)
    assert (code, "at most 300 characters" in why) == ("InvalidInputException", True), why
    ours.create_deployment(**group, revision=REVISION, description="d" * 300)


def test_an_account_keeps_as_many_tokens_of_github_as_the_operator_says(plane: ControlPlane) -> None:
    ours = plane.client("longshore")
    for name in ("one", "two"):
        ours.put_git_hub_account_token(tokenName=name, token="a-token-of-github")
    code, why = refused(ours, "put_git_hub_account_token", tokenName="three", token="a-token-of-github")
    assert (code, why) == ("LimitExceededException", "The account has 2 tokens already; delete one first.")
    # One that is there may be replaced, and makes room when it goes.
    ours.put_git_hub_account_token(tokenName="two", token="another-token")
    plane.client("codedeploy").delete_git_hub_account_token(tokenName="one")
    ours.put_git_hub_account_token(tokenName="three", token="a-token-of-github")


def test_a_limit_that_is_none_is_refused_at_the_start(tmp_path: Path, plane: ControlPlane) -> None:
    done = plane.run("longshore", "server", "--data-dir", tmp_path / "data", "--limit", "tag-length=5", check=False)
    assert done.returncode == 2
    assert "write NAME=NUMBER, with one of the names applications, " in done.stderr
