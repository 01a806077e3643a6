"""Every constraint on every member of CodeDeploy's 47 operations has an exception its operation lists."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.model import ListShape, MapShape, OperationModel, Shape, StructureShape

from longshore import models
from longshore.api.constraint_errors import explain, overlay
from longshore.api.limits import Limits
from longshore.wire.constraints import Checks, Kind, Violation, first_error

CODEDEPLOY = models.load("codedeploy")
OVERLAY = overlay(Limits())

#: The few members no exception of the operation is made for. DeleteResourcesByExternalId lists none at all.
WITHOUT_AN_EXCEPTION: dict[tuple[str, str], str] = {
    ("CreateDeployment", "deploymentMode"): "InvalidInputException",
    ("CreateDeploymentGroup", "outdatedInstancesStrategy"): "InvalidInputException",
    ("UpdateDeploymentGroup", "outdatedInstancesStrategy"): "InvalidInputException",
}


def constrained(shape: Shape, path: tuple[str | int, ...] = ()) -> Iterator[Violation]:
    """One violation of each kind for each constrained place of a shape, by model and overlay."""

    def broken(kind: Kind, limit: Any, *, at: Shape, value: str = "'?'", path: tuple[str | int, ...]) -> Violation:
        member = next((part for part in reversed(path) if isinstance(part, str)), "")
        return Violation(path=path, kind=kind, shape=at.name, member=member, value=value, limit=limit)

    def of(constraints: dict[str, Any], at: Shape, path: tuple[str | int, ...]) -> Iterator[Violation]:
        if constraints.get("min"):
            empty = "[]" if isinstance(at, ListShape) else "''"
            yield broken("min", constraints["min"], at=at, value=empty, path=path)
        elif constraints.get("min") == 0 and at.type_name in ("integer", "long"):
            yield broken("min", 0, at=at, value="-1", path=path)
        if constraints.get("max") is not None:
            yield broken("max", constraints["max"], at=at, path=path)
        if constraints.get("pattern"):
            yield broken("pattern", constraints["pattern"], at=at, path=path)
        if constraints.get("enum"):
            yield broken("enum", tuple(constraints["enum"]), at=at, path=path)

    if path:
        yield from of({**shape.metadata, **OVERLAY.get(shape.name, {})}, shape, path)
    if isinstance(shape, StructureShape):
        required = {*shape.required_members, *OVERLAY.get(shape.name, {}).get("required", ())}
        for name, member in shape.members.items():
            if name in required:
                yield broken("required", None, at=member, value="None", path=(*path, name))
            yield from of(dict(OVERLAY.get(f"{shape.name}.{name}", {})), member, (*path, name))
            yield from constrained(member, (*path, name))
    elif isinstance(shape, ListShape):
        yield from constrained(shape.member, (*path, 0))
    elif isinstance(shape, MapShape):
        yield from constrained(shape.key, (*path, "key"))
        yield from constrained(shape.value, (*path, "key"))


def everything_constrained() -> Iterator[tuple[OperationModel, Violation]]:
    for name in CODEDEPLOY.operation_names:
        operation = CODEDEPLOY.operation_model(name)
        if operation.input_shape is not None:
            for violation in constrained(operation.input_shape):
                yield operation, violation


def test_the_walk_over_the_model_finds_what_is_constrained() -> None:
    found = list(everything_constrained())
    assert len({operation.name for operation, _ in found}) >= 43
    assert len(found) > 350


@pytest.mark.parametrize("operation_name", CODEDEPLOY.operation_names)
def test_every_violation_is_an_exception_of_its_operation_made_for_the_member(operation_name: str) -> None:
    operation = CODEDEPLOY.operation_model(operation_name)
    listed = {shape.name for shape in operation.error_shapes}
    for violation in constrained(operation.input_shape) if operation.input_shape else ():
        error = explain(operation, violation)
        assert error.status == 400
        assert len(error.message) < 400
        without = WITHOUT_AN_EXCEPTION.get((operation_name, str(violation.path[0])))
        assert error.code in listed, (violation, error)
        assert (error.code == "InvalidInputException") is (without is not None), (violation, error)


def test_the_overlay_names_only_what_the_model_has() -> None:
    for name in OVERLAY:
        shape_name, _, member = name.partition(".")
        shape = CODEDEPLOY.shape_for(shape_name)
        required = OVERLAY[name].get("required", ())
        members = [*([member] if member else []), *required]
        assert not members or isinstance(shape, StructureShape)
        for each in members:
            assert each in shape.members, name


NAME = {"applicationName": "web"}
GROUP = {**NAME, "deploymentGroupName": "prod"}
NEW_GROUP = {**GROUP, "serviceRoleArn": "arn:aws:iam::000000000000:role/r"}
OLD_GROUP = {**NAME, "currentDeploymentGroupName": "prod"}
DEPLOYMENT = {"deploymentId": "d-ABCDEFGHI"}
S3 = {"revisionType": "S3", "s3Location": {"bucket": "b", "key": "k", "bundleType": "zip"}}
FILTER = {"Key": "k", "Type": "KEY_ONLY"}


@pytest.mark.parametrize(
    ("operation", "given", "code"),
    [
        ("CreateApplication", {}, "ApplicationNameRequired"),
        ("CreateApplication", {"applicationName": ""}, "ApplicationNameRequired"),
        ("CreateApplication", {"applicationName": "a b"}, "InvalidApplicationName"),
        ("CreateApplication", {"applicationName": "a" * 101}, "InvalidApplicationName"),
        ("CreateApplication", {**NAME, "computePlatform": "EKS"}, "InvalidComputePlatform"),
        ("CreateApplication", {"computePlatform": "EKS"}, "ApplicationNameRequired"),
        ("CreateApplication", {**NAME, "tags": [{"Key": ""}]}, "InvalidTagsToAdd"),
        ("CreateApplication", {**NAME, "tags": [{"Key": "k" * 129}]}, "InvalidTagsToAdd"),
        ("CreateApplication", {**NAME, "tags": []}, None),
        ("CreateDeploymentGroup", {**NEW_GROUP, "onPremisesInstanceTagFilters": [{"Type": "ANY"}]}, "InvalidTag"),
        ("CreateDeploymentGroup", {**NEW_GROUP, "tags": [{"Value": "v"}]}, "InvalidTagsToAdd"),
        ("UpdateApplication", {"newApplicationName": "a"}, "ApplicationNameRequired"),
        ("UpdateApplication", {**NAME, "newApplicationName": "a/b"}, "InvalidApplicationName"),
        ("BatchGetApplications", {"applicationNames": []}, "ApplicationNameRequired"),
        ("BatchGetApplications", {"applicationNames": ["a", ""]}, "InvalidApplicationName"),
        ("BatchGetDeploymentGroups", {**NAME, "deploymentGroupNames": []}, "DeploymentGroupNameRequired"),
        ("BatchGetDeployments", {"deploymentIds": ["d-1"]}, "InvalidDeploymentId"),
        ("BatchGetDeploymentTargets", {**DEPLOYMENT}, "DeploymentTargetIdRequired"),
        ("BatchGetDeploymentInstances", {**DEPLOYMENT, "instanceIds": [""]}, "InvalidInstanceName"),
        ("GetDeployment", {}, "DeploymentIdRequired"),
        ("GetDeployment", {"deploymentId": "d-abcdefghi"}, "InvalidDeploymentId"),
        ("GetDeployment", {"deploymentId": "d-ABCDEFGHI\n"}, "InvalidDeploymentId"),
        ("ContinueDeployment", {}, "DeploymentIdRequired"),
        ("ContinueDeployment", {**DEPLOYMENT, "deploymentWaitType": "LONG"}, "InvalidDeploymentWaitType"),
        ("SkipWaitTimeForInstanceTermination", {}, "DeploymentIdRequired"),
        ("CreateDeploymentConfig", {"deploymentConfigName": "ä"}, "InvalidDeploymentConfigName"),
        (
            "CreateDeploymentConfig",
            {"deploymentConfigName": "c", "minimumHealthyHosts": {"type": "MOST_CONCURRENCY", "value": 1}},
            "InvalidMinimumHealthyHostValue",
        ),
        (
            "CreateDeploymentConfig",
            {"deploymentConfigName": "c", "minimumHealthyHosts": {"type": "HOST_COUNT", "value": -1}},
            "InvalidMinimumHealthyHostValue",
        ),
        (
            "CreateDeploymentConfig",
            {"deploymentConfigName": "c", "trafficRoutingConfig": {"type": "Sometimes"}},
            "InvalidTrafficRoutingConfiguration",
        ),
        (
            "CreateDeploymentConfig",
            {"deploymentConfigName": "c", "zonalConfig": {"monitorDurationInSeconds": -1}},
            "InvalidZonalDeploymentConfiguration",
        ),
        ("CreateDeploymentGroup", GROUP, "RoleRequired"),
        ("CreateDeploymentGroup", NEW_GROUP, None),
        ("CreateDeploymentGroup", {**NEW_GROUP, "ec2TagFilters": [FILTER | {"Type": "ANY"}]}, "InvalidEC2Tag"),
        ("CreateDeploymentGroup", {**NEW_GROUP, "alarmConfiguration": {"alarms": [{}]}}, "InvalidAlarmConfig"),
        (
            "CreateDeploymentGroup",
            {**NEW_GROUP, "alarmConfiguration": {"alarms": [{"name": "a" * 256}]}},
            "InvalidAlarmConfig",
        ),
        ("CreateDeploymentGroup", {**NEW_GROUP, "triggerConfigurations": [{}]}, "InvalidTriggerConfig"),
        (
            "CreateDeploymentGroup",
            {
                **NEW_GROUP,
                "triggerConfigurations": [
                    {"triggerName": "t", "triggerTargetArn": "a", "triggerEvents": ["DeploymentBegun"]}
                ],
            },
            "InvalidTriggerConfig",
        ),
        (
            "UpdateDeploymentGroup",
            {**OLD_GROUP, "autoRollbackConfiguration": {"events": ["DEPLOYMENT_LATE"]}},
            "InvalidAutoRollbackConfig",
        ),
        ("UpdateDeploymentGroup", {**OLD_GROUP, "newDeploymentGroupName": "a b"}, "InvalidDeploymentGroupName"),
        ("UpdateDeploymentGroup", {"applicationName": "a b"}, "DeploymentGroupNameRequired"),
        (
            "UpdateDeploymentGroup",
            {**OLD_GROUP, "deploymentStyle": {"deploymentType": "CANARY"}},
            "InvalidDeploymentStyle",
        ),
        (
            "UpdateDeploymentGroup",
            {
                **OLD_GROUP,
                "blueGreenDeploymentConfiguration": {
                    "terminateBlueInstancesOnDeploymentSuccess": {"terminationWaitTimeInMinutes": 2881}
                },
            },
            "InvalidBlueGreenDeploymentConfiguration",
        ),
        ("UpdateDeploymentGroup", {**OLD_GROUP, "outdatedInstancesStrategy": "LATER"}, "InvalidInput"),
        ("CreateDeployment", {**GROUP, "revision": {"revisionType": "Git"}}, "InvalidRevision"),
        ("CreateDeployment", {**GROUP, "revision": S3, "description": "d" * 257}, "DescriptionTooLong"),
        ("CreateDeployment", {**GROUP, "revision": S3, "fileExistsBehavior": "ASK"}, "InvalidFileExistsBehavior"),
        (
            "CreateDeployment",
            {**GROUP, "revision": S3, "targetInstances": {"tagFilters": [FILTER | {"Type": "ANY"}]}},
            "InvalidTargetInstances",
        ),
        (
            "CreateDeployment",
            {**GROUP, "revision": S3, "overrideAlarmConfiguration": {"alarms": [{}]}},
            "InvalidAlarmConfig",
        ),
        ("CreateDeployment", {"deploymentConfigName": "a b"}, "ApplicationNameRequired"),
        ("RegisterApplicationRevision", {**NAME}, "RevisionRequired"),
        ("ListApplicationRevisions", {**NAME, "sortBy": "name"}, "InvalidSortBy"),
        ("ListApplicationRevisions", {**NAME, "sortOrder": "up"}, "InvalidSortOrder"),
        ("ListApplicationRevisions", {**NAME, "deployed": "maybe"}, "InvalidDeployedStateFilter"),
        ("ListDeployments", {"includeOnlyStatuses": ["Done"]}, "InvalidDeploymentStatus"),
        ("ListDeploymentInstances", {**DEPLOYMENT, "instanceStatusFilter": ["Done"]}, "InvalidInstanceStatus"),
        ("ListDeploymentInstances", {**DEPLOYMENT, "instanceTypeFilter": ["Red"]}, "InvalidInstanceType"),
        ("ListDeploymentTargets", {**DEPLOYMENT, "targetFilters": {"Colour": ["Red"]}}, "InvalidTargetFilterName"),
        (
            "PutLifecycleEventHookExecutionStatus",
            {**DEPLOYMENT, "lifecycleEventHookExecutionId": "e", "status": "Pending"},
            "InvalidLifecycleEventHookExecutionStatus",
        ),
        ("PutLifecycleEventHookExecutionStatus", DEPLOYMENT, "InvalidLifecycleEventHookExecutionStatus"),
        ("RegisterOnPremisesInstance", {"instanceName": "i-0123"}, "InvalidInstanceName"),
        ("RegisterOnPremisesInstance", {"instanceName": "00:11"}, "InvalidInstanceName"),
        ("RegisterOnPremisesInstance", {"instanceName": "a", "iamUserArn": "ada"}, "InvalidIamUserArn"),
        ("RegisterOnPremisesInstance", {"instanceName": "a", "iamSessionArn": "ada"}, "InvalidIamSessionArn"),
        ("AddTagsToOnPremisesInstances", {"tags": [], "instanceNames": []}, "InstanceNameRequired"),
        ("AddTagsToOnPremisesInstances", {"tags": [], "instanceNames": ["a"]}, "TagRequired"),
        ("AddTagsToOnPremisesInstances", {"tags": [{"Value": "v"}], "instanceNames": ["a"]}, "InvalidTag"),
        ("ListOnPremisesInstances", {"registrationStatus": "Lost"}, "InvalidRegistrationStatus"),
        ("ListOnPremisesInstances", {"tagFilters": [FILTER | {"Type": "ANY"}]}, "InvalidTagFilter"),
        ("DeleteGitHubAccountToken", {}, "GitHubAccountTokenNameRequired"),
        ("TagResource", {"ResourceArn": "web", "Tags": [{"Key": "k"}]}, "InvalidArn"),
        ("TagResource", {"ResourceArn": "arn:aws:codedeploy:r:1:application:a", "Tags": []}, "TagRequired"),
        ("UntagResource", {"ResourceArn": "arn:aws:codedeploy:r:1:application:a"}, "TagRequired"),
        ("ListTagsForResource", {}, "ResourceArnRequired"),
        ("DeleteResourcesByExternalId", {}, None),
    ],
)
def test_what_is_wrong_with_a_request_has_the_name_aws_gives_it(
    operation: str, given: dict[str, Any], code: str | None
) -> None:
    model = CODEDEPLOY.operation_model(operation)
    broken = Checks(OVERLAY).plan(model.input_shape)(given)
    answered = first_error(model, broken, explain).code if broken else None
    assert answered == (f"{code}Exception" if code else None)


@pytest.mark.parametrize(
    ("operation", "given", "message"),
    [
        ("CreateApplication", {}, "Application name is required."),
        ("UpdateDeploymentGroup", NAME, "Current deployment group name is required."),
        (
            "CreateApplication",
            {"applicationName": "a b"},
            "Application name 'a b' is not valid: use 1 to 100 letters, digits and the characters + = , . @ _ -.",
        ),
        (
            "GetDeployment",
            {"deploymentId": "x"},
            "Deployment id 'x' is not valid: a deployment id looks like d-A1B2C3D4E.",
        ),
        (
            "ListApplicationRevisions",
            {**NAME, "sortOrder": "up"},
            "sortOrder is 'up'; it must be one of ascending, descending.",
        ),
    ],
)
def test_the_sentence_names_the_member_the_value_and_what_is_allowed(
    operation: str, given: dict[str, Any], message: str
) -> None:
    model = CODEDEPLOY.operation_model(operation)
    assert first_error(model, Checks(OVERLAY).plan(model.input_shape)(given), explain).message == message
