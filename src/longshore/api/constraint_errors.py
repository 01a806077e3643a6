"""Which of CodeDeploy's exceptions a malformed input is.

CodeDeploy answers each malformed member with an exception made for it, and only with exceptions the operation lists.
So the tables go by member, and the operation's own list chooses where a member has several.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from botocore.model import OperationModel

from longshore.api.limits import Limits
from longshore.wire.constraints import Overlay, Violation, describe
from longshore.wire.service import AwsError

_NAME: Final = {"min": 1, "max": 100, "pattern": "[A-Za-z0-9+=,.@_-]*"}
_DAYS_2: Final = 48 * 60

#: What CodeDeploy documents and its model leaves out, but for `lengths`.
_FIXED: Final[Overlay] = {
    # Ids and names. An on-premises name that began with "i-" could be taken for an EC2 instance.
    "DeploymentId": {"min": 1, "pattern": "d-[A-Z0-9]{9}"},
    "InstanceName": _NAME | {"pattern": "(?!i-)[A-Za-z0-9+=,.@_-]*"},
    "GitHubAccountTokenName": {"min": 1, "max": 100},
    "Role": {"min": 1},
    "AutoScalingGroupName": {"min": 1, "max": 255},
    "LifecycleEventHookExecutionId": {"min": 1},
    "IamUserArn": {"min": 1, "pattern": r"arn:aws:iam::[0-9]{12}:user/[A-Za-z0-9/+=,.@_-]+"},
    "IamSessionArn": {
        "min": 1,
        "pattern": r"arn:aws:sts::[0-9]{12}:assumed-role/[A-Za-z0-9+=,.@_-]+/[A-Za-z0-9+=,.@_-]+",
    },
    # Texts.
    "TriggerName": {"min": 1},
    "TriggerTargetArn": {"min": 1},
    "Tag.Key": {"min": 1},
    # Numbers: the range of a percentage depends on the type beside it and is the operation's to check.
    "MinimumHealthyHostsValue": {"min": 0},
    "MinimumHealthyHostsPerZoneValue": {"min": 0},
    "WaitTimeInSeconds": {"min": 0},
    "Duration": {"min": 0, "max": _DAYS_2},
    "PutLifecycleEventHookExecutionStatusInput.status": {"enum": ["Succeeded", "Failed"]},
    # At least one. How many at most is for the operations to say, by `api.limits`.
    "AddTagsToOnPremisesInstancesInput.tags": {"min": 1},
    "ApplicationsList": {"min": 1},
    "DeploymentGroupsList": {"min": 1},
    "DeploymentsList": {"min": 1},
    "InstanceNameList": {"min": 1},
    "InstancesList": {"min": 1},
    "ListDeploymentsInput.externalId": {"min": 1, "max": 1024},
    "RemoveTagsFromOnPremisesInstancesInput.tags": {"min": 1},
    "RevisionLocationList": {"min": 1},
    "TagKeyList": {"min": 1},
    "TagResourceInput.Tags": {"min": 1},
    "TargetIdList": {"min": 1},
    "TriggerEventTypeList": {"min": 1},
    # What must be there although the model does not mark it.
    "Alarm": {"required": ["name"]},
    "Tag": {"required": ["Key"]},
    "TriggerConfig": {"required": ["triggerName", "triggerTargetArn", "triggerEvents"]},
    "ContinueDeploymentInput": {"required": ["deploymentId"]},
    "CreateDeploymentInput": {"required": ["deploymentGroupName"]},
    "DeleteGitHubAccountTokenInput": {"required": ["tokenName"]},
    "PutLifecycleEventHookExecutionStatusInput": {
        "required": ["deploymentId", "lifecycleEventHookExecutionId", "status"],
    },
    "SkipWaitTimeForInstanceTerminationInput": {"required": ["deploymentId"]},
    "UpdateApplicationInput": {"required": ["applicationName", "newApplicationName"]},
}


def overlay(limits: Limits) -> Overlay:
    """What CodeDeploy documents and its model leaves out."""
    return {**_FIXED, **lengths(limits)}


def lengths(limits: Limits) -> Overlay:
    """How long texts may be, by their shapes; our own service has some of the same."""
    return {
        "AlarmName": {"min": 1, "max": limits.alarm_name_length},
        "Arn": {"max": limits.arn_length, "pattern": "arn:[^:]+:[^:]+:[^:]*:[^:]*:.+"},
        "Description": {"max": limits.description_length},
        "InstanceId": {"min": 1, "max": limits.arn_length},
        "Key": {"max": limits.tag_key_length},
        "TargetId": {"min": 1, "max": limits.arn_length},
        "Value": {"max": limits.tag_value_length},
    }


#: Member of an input → what its absence is. "Exception" is left off, here and below.
_ABSENT: Final[Mapping[str, str]] = {
    "ResourceArn": "ResourceArnRequired",
    "TagKeys": "TagRequired",
    "Tags": "TagRequired",
    "applicationName": "ApplicationNameRequired",
    "applicationNames": "ApplicationNameRequired",
    "currentDeploymentGroupName": "DeploymentGroupNameRequired",
    "deploymentConfigName": "DeploymentConfigNameRequired",
    "deploymentGroupName": "DeploymentGroupNameRequired",
    "deploymentGroupNames": "DeploymentGroupNameRequired",
    "deploymentId": "DeploymentIdRequired",
    "deploymentIds": "DeploymentIdRequired",
    "iamSessionArn": "IamArnRequired",
    "iamUserArn": "IamUserArnRequired",
    "instanceId": "InstanceIdRequired",
    "instanceIds": "InstanceIdRequired",
    "instanceName": "InstanceNameRequired",
    "instanceNames": "InstanceNameRequired",
    "newApplicationName": "ApplicationNameRequired",
    "newDeploymentGroupName": "DeploymentGroupNameRequired",
    "revision": "RevisionRequired",
    "revisions": "RevisionRequired",
    "serviceRoleArn": "RoleRequired",
    "tags": "TagRequired",
    "targetId": "DeploymentTargetIdRequired",
    "targetIds": "DeploymentTargetIdRequired",
    "tokenName": "GitHubAccountTokenNameRequired",
}

#: Member of an input → what anything else wrong with it, or inside it, is.
_INVALID: Final[Mapping[str, tuple[str, ...]]] = {
    "ResourceArn": ("InvalidArn",),
    "TagKeys": ("InvalidTagsToAdd",),
    "Tags": ("InvalidTagsToAdd",),
    "alarmConfiguration": ("InvalidAlarmConfig",),
    "applicationName": ("InvalidApplicationName",),
    "applicationNames": ("InvalidApplicationName",),
    "autoRollbackConfiguration": ("InvalidAutoRollbackConfig",),
    "autoScalingGroups": ("InvalidAutoScalingGroup",),
    "blueGreenDeploymentConfiguration": ("InvalidBlueGreenDeploymentConfiguration",),
    "computePlatform": ("InvalidComputePlatform",),
    "createTimeRange": ("InvalidTimeRange",),
    "currentDeploymentGroupName": ("InvalidDeploymentGroupName",),
    "deployed": ("InvalidDeployedStateFilter",),
    "deploymentConfigName": ("InvalidDeploymentConfigName",),
    "deploymentGroupName": ("InvalidDeploymentGroupName",),
    "deploymentGroupNames": ("InvalidDeploymentGroupName",),
    "deploymentId": ("InvalidDeploymentId",),
    "deploymentIds": ("InvalidDeploymentId",),
    "deploymentMode": ("InvalidInput",),
    "deploymentStyle": ("InvalidDeploymentStyle",),
    "deploymentWaitType": ("InvalidDeploymentWaitType",),
    "description": ("DescriptionTooLong",),
    "ec2DeploymentOptions": ("InvalidAutoScalingGroupProcessToSuspend",),
    "ec2TagFilters": ("InvalidEC2Tag",),
    "ec2TagSet": ("InvalidEC2Tag",),
    "ecsServices": ("InvalidECSService",),
    "externalId": ("InvalidExternalId",),
    "fileExistsBehavior": ("InvalidFileExistsBehavior",),
    "iamSessionArn": ("InvalidIamSessionArn",),
    "iamUserArn": ("InvalidIamUserArn",),
    "includeOnlyStatuses": ("InvalidDeploymentStatus",),
    "instanceId": ("InvalidInstanceName",),
    "instanceIds": ("InvalidInstanceName",),
    "instanceName": ("InvalidInstanceName",),
    "instanceNames": ("InvalidInstanceName",),
    "instanceStatusFilter": ("InvalidInstanceStatus",),
    "instanceTypeFilter": ("InvalidInstanceType",),
    "lifecycleEventHookExecutionId": ("InvalidLifecycleEventHookExecutionId",),
    "loadBalancerInfo": ("InvalidLoadBalancerInfo",),
    "minimumHealthyHosts": ("InvalidMinimumHealthyHostValue",),
    "newApplicationName": ("InvalidApplicationName",),
    "newDeploymentGroupName": ("InvalidDeploymentGroupName",),
    "nextToken": ("InvalidNextToken",),
    "onPremisesInstanceTagFilters": ("InvalidTag",),
    "onPremisesTagSet": ("InvalidTag",),
    "overrideAlarmConfiguration": ("InvalidAlarmConfig",),
    "registrationStatus": ("InvalidRegistrationStatus",),
    "revision": ("InvalidRevision",),
    "revisions": ("InvalidRevision",),
    "s3Bucket": ("InvalidBucketNameFilter",),
    "s3KeyPrefix": ("InvalidKeyPrefixFilter",),
    "serviceRoleArn": ("InvalidRole",),
    "sortBy": ("InvalidSortBy",),
    "sortOrder": ("InvalidSortOrder",),
    "status": ("InvalidLifecycleEventHookExecutionStatus",),
    "tagFilters": ("InvalidTagFilter",),
    "tags": ("InvalidTagsToAdd", "InvalidTag"),
    "targetFilters": ("InvalidTargetFilterName",),
    "targetId": ("InvalidDeploymentTargetId",),
    "targetIds": ("InvalidDeploymentTargetId",),
    "targetInstances": ("InvalidTargetInstances",),
    "tokenName": ("InvalidGitHubAccountTokenName",),
    "trafficRoutingConfig": ("InvalidTrafficRoutingConfiguration",),
    "triggerConfigurations": ("InvalidTriggerConfig",),
    "zonalConfig": ("InvalidZonalDeploymentConfiguration",),
}

_NAME_HINT: Final = "use 1 to 100 letters, digits and the characters + = , . @ _ -"

#: Shape → what its pattern allows, in words.
_ALLOWED: Final[Mapping[str, str]] = {
    "ApplicationName": _NAME_HINT,
    "Arn": "an ARN looks like arn:aws:codedeploy:us-east-1:123456789012:application:name",
    "DeploymentConfigName": _NAME_HINT,
    "DeploymentGroupName": _NAME_HINT,
    "DeploymentId": "a deployment id looks like d-A1B2C3D4E",
    "IamSessionArn": "it looks like arn:aws:sts::123456789012:assumed-role/role/session",
    "IamUserArn": "it looks like arn:aws:iam::123456789012:user/name",
    "InstanceName": f"{_NAME_HINT}; it must not begin with i-",
}


def explain(operation: OperationModel, violation: Violation) -> AwsError:
    """The exception of `operation` for one broken constraint."""
    listed = {shape.name for shape in operation.error_shapes}
    for name in (*_candidates(violation), "InvalidInput"):
        if (code := f"{name}Exception") in listed:
            return AwsError(code, _sentence(operation, violation))
    return AwsError("ValidationException", _sentence(operation, violation))


def _candidates(violation: Violation) -> tuple[str, ...]:
    """What the violation may be called, best first."""
    member = str(violation.path[0])
    invalid = _INVALID.get(member, ())
    if violation.is_absence and member in _ABSENT:
        return (_ABSENT[member], *invalid)
    return invalid


def _sentence(operation: OperationModel, violation: Violation) -> str:
    member = _in_words(violation.member) if len(violation.path) == 1 else violation.where
    if violation.is_absence and _must_be_there(operation, violation.member):
        return f"{member} is required."
    if violation.is_absence:
        return f"{member} must not be empty: give a value, or leave it out."
    if violation.kind == "pattern" and violation.shape in _ALLOWED:
        return f"{member} {violation.value} is not valid: {_ALLOWED[violation.shape]}."
    return describe(violation)


def _must_be_there(operation: OperationModel, member: str) -> bool:
    shape = operation.input_shape
    assert shape is not None  # what is broken is in it
    return member in {*shape.required_members, *_FIXED.get(shape.name, {}).get("required", ())}


def _in_words(member: str) -> str:
    """``deploymentGroupName`` → ``Deployment group name``."""
    return re.sub(r"(?<=[a-z])([A-Z])", lambda found: " " + found[1].lower(), member[:1].upper() + member[1:])
