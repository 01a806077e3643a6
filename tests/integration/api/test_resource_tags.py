"""Tags of resources (server.md S1.15, S12.44–46)."""

from __future__ import annotations

from typing import Any

import pytest


def tag(key: str, value: str = "") -> dict[str, str]:
    return {"Key": key, "Value": value}


@pytest.fixture
def tags(codedeploy: Any) -> Any:
    return lambda arn: codedeploy.list_tags_for_resource(ResourceArn=arn)["Tags"]


@pytest.fixture
def arns(codedeploy: Any, scope: Any, app: Any, group: Any) -> Any:
    """One ARN of each kind of resource that has tags."""
    group(app, "web")
    codedeploy.create_deployment_config(
        deploymentConfigName="mine", minimumHealthyHosts={"type": "HOST_COUNT", "value": 0}
    )
    return {
        "application": scope.application_arn(app),
        "deploymentgroup": scope.deployment_group_arn(app, "web"),
        "deploymentconfig": scope.deployment_config_arn("mine"),
    }


@pytest.mark.parametrize("kind", ["application", "deploymentgroup", "deploymentconfig"])
def test_tag_and_untag(codedeploy: Any, arns: Any, tags: Any, kind: str) -> None:
    """S12.44, S12.45: the same key gets the new value; a key that is not there is no matter."""
    arn = arns[kind]
    codedeploy.tag_resource(ResourceArn=arn, Tags=[tag("b", "1"), tag("a", "1")])
    codedeploy.tag_resource(ResourceArn=arn, Tags=[tag("b", "2"), tag("c")])
    assert tags(arn) == [tag("a", "1"), tag("b", "2"), tag("c")]
    codedeploy.untag_resource(ResourceArn=arn, TagKeys=["b", "nope"])
    assert tags(arn) == [tag("a", "1"), tag("c")]
    assert all(tags(other) == [] for name, other in arns.items() if name != kind)


def test_tags_at_creation(codedeploy: Any, group: Any, scope: Any, tags: Any) -> None:
    """S12.1, S12.11: tags given when an application or a group is made."""
    codedeploy.create_application(applicationName="shop", tags=[tag("team", "a")])
    group("shop", "web", tags=[tag("team", "b")])
    assert tags(scope.application_arn("shop")) == [tag("team", "a")]
    assert tags(scope.deployment_group_arn("shop", "web")) == [tag("team", "b")]


def test_tags_survive_a_rename(codedeploy: Any, app: str, scope: Any, tags: Any) -> None:
    """S1.7: tags follow the id; the ARN follows the name."""
    codedeploy.tag_resource(ResourceArn=scope.application_arn(app), Tags=[tag("a")])
    codedeploy.update_application(applicationName=app, newApplicationName="store")
    assert tags(scope.application_arn("store")) == [tag("a")]
    assert tags(scope.application_arn(app)) == []


@pytest.mark.parametrize(
    "wrong", [[tag("")], [tag("a"), tag("a")], [tag("k" * 129)], [tag("k", "v" * 257)], [{"Value": "v"}]]
)
def test_bad_tags(codedeploy: Any, app: str, scope: Any, refused: Any, wrong: Any) -> None:
    """S1.15, S12.1, S12.44: InvalidTagsToAdd."""
    with refused("InvalidTagsToAdd"):
        codedeploy.tag_resource(ResourceArn=scope.application_arn(app), Tags=wrong)
    with refused("InvalidTagsToAdd"):
        codedeploy.create_application(applicationName="other", tags=wrong)


def test_no_tags(codedeploy: Any, app: str, scope: Any, refused: Any) -> None:
    """S12.44, S12.45: TagRequired, ResourceArnRequired."""
    arn = scope.application_arn(app)
    with refused("TagRequired"):
        codedeploy.tag_resource(ResourceArn=arn, Tags=[])
    with refused("TagRequired"):
        codedeploy.untag_resource(ResourceArn=arn, TagKeys=[])
    for call, members in (
        (codedeploy.tag_resource, {"Tags": [tag("a")]}),
        (codedeploy.untag_resource, {"TagKeys": ["a"]}),
        (codedeploy.list_tags_for_resource, {}),
    ):
        with refused("ResourceArnRequired"):
            call(**members)


def test_at_most_fifty(codedeploy: Any, app: str, scope: Any, refused: Any, tags: Any) -> None:
    """S12.46: fifty tags a resource."""
    arn = scope.application_arn(app)
    codedeploy.tag_resource(ResourceArn=arn, Tags=[tag(f"k{n}") for n in range(50)])
    with refused("InvalidTagsToAdd"):
        codedeploy.tag_resource(ResourceArn=arn, Tags=[tag("one more")])
    codedeploy.tag_resource(ResourceArn=arn, Tags=[tag("k0", "new")])
    assert len(tags(arn)) == 50


@pytest.mark.parametrize(
    ("resource", "code"),
    [
        ("application:nope", "ApplicationDoesNotExist"),
        ("deploymentgroup:nope/web", "ApplicationDoesNotExist"),
        ("deploymentgroup:shop/nope", "DeploymentGroupDoesNotExist"),
        ("deploymentconfig:nope", "DeploymentConfigDoesNotExist"),
        ("deploymentconfig:CodeDeployDefault.OneAtATime", "ArnNotSupported"),
        ("instance/web-1", "ArnNotSupported"),
        ("deploymentgroup:shop", "InvalidArn"),
        ("application:shop/web", "InvalidArn"),
        ("application:", "InvalidArn"),
    ],
)
def test_other_arns(codedeploy: Any, app: str, scope: Any, refused: Any, resource: str, code: str) -> None:
    """S12.44, S12.45: each wrong ARN has its own exception."""
    arn = f"arn:aws:codedeploy:{scope.region}:{scope.account}:{resource}"
    with refused(code):
        codedeploy.tag_resource(ResourceArn=arn, Tags=[tag("a")])
    with refused(code):
        codedeploy.untag_resource(ResourceArn=arn, TagKeys=["a"])


@pytest.mark.parametrize(
    "arn", ["shop", "arn:aws:codedeploy", "arn:aws:codedeploy:eu-west-9:123456789012:application:x"]
)
def test_arns_of_nowhere(codedeploy: Any, refused: Any, arn: str) -> None:
    """S12.46: no ARN, or one of another region, is InvalidArn."""
    with refused("InvalidArn"):
        codedeploy.list_tags_for_resource(ResourceArn=arn)


def test_list_of_an_unknown_resource(scope: Any, tags: Any) -> None:
    """S12.46: no tags."""
    assert tags(scope.application_arn("nope")) == []


def test_arn_of_another_service(codedeploy: Any, refused: Any) -> None:
    """S12.44: ArnNotSupported."""
    with refused("ArnNotSupported"):
        codedeploy.list_tags_for_resource(ResourceArn="arn:aws:s3:::bundles")
