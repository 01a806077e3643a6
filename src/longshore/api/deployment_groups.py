"""Operations on deployment groups (server.md S7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from longshore.api import auto_scaling
from longshore.api.existing import existing_application, existing_config, existing_group
from longshore.api.group_rules import changed_document, check_role
from longshore.api.operations import Call, reads, writes
from longshore.api.pages import page_of_names
from longshore.api.resource_tags import tags_to_add
from longshore.domain.config import DEFAULT_CONFIG, ComputePlatform
from longshore.domain.notification import of_setup
from longshore.store import applications, deployment_groups, lifecycle_hooks, notifications, resource_tags
from longshore.store.applications import Application
from longshore.store.deployment_groups import DeploymentGroup, LastDeployment
from longshore.wire.service import AwsError

if TYPE_CHECKING:
    from mypy_boto3_codedeploy.type_defs import (
        BatchGetDeploymentGroupsInputTypeDef,
        BatchGetDeploymentGroupsOutputTypeDef,
        CreateDeploymentGroupInputTypeDef,
        CreateDeploymentGroupOutputTypeDef,
        DeleteDeploymentGroupInputTypeDef,
        DeleteDeploymentGroupOutputTypeDef,
        DeploymentGroupInfoTypeDef,
        GetDeploymentGroupInputTypeDef,
        GetDeploymentGroupOutputTypeDef,
        LastDeploymentInfoTypeDef,
        ListDeploymentGroupsInputTypeDef,
        ListDeploymentGroupsOutputTypeDef,
        UpdateDeploymentGroupInputTypeDef,
        UpdateDeploymentGroupOutputTypeDef,
    )


@writes("CreateDeploymentGroup")
def create_deployment_group(call: Call, asked: CreateDeploymentGroupInputTypeDef) -> CreateDeploymentGroupOutputTypeDef:
    name, role = asked["deploymentGroupName"], asked["serviceRoleArn"]
    check_role(role)
    tags = tags_to_add(asked.get("tags", ()), call.limits)
    application = existing_application(call, asked["applicationName"])
    platform = application.compute_platform
    config_name = asked.get("deploymentConfigName", DEFAULT_CONFIG[platform])
    document = changed_document({}, asked, platform, call.limits)
    _check_is_free(call, application, name)
    _check_config(call, config_name, platform)
    _check_ecs_service_is_free(call, document, None)
    if deployment_groups.number(call.tx, application.id) >= call.limits.groups_per_application:
        raise AwsError(
            "DeploymentGroupLimitExceededException",
            f"{application.name} has {call.limits.groups_per_application} deployment groups already, as many as an"
            " application may have. Delete one first.",
        )
    made = deployment_groups.create(
        call.tx,
        call.scope,
        application_id=application.id,
        name=name,
        deployment_config_name=config_name,
        service_role_arn=role,
        document=document,
        now=call.now,
    )
    resource_tags.put(call.tx, made.id, tags)
    auto_scaling.keep_hooks(call, asked, made.id, name=name, document=document, role=role)
    _greet(call, application, name, role, (), document.get("triggerConfigurations", ()))
    return cast("CreateDeploymentGroupOutputTypeDef", {"deploymentGroupId": made.id})


def _greet(
    call: Call,
    application: Application,
    group: str,
    role_arn: str,
    before: Sequence[Mapping[str, Any]],
    after: Sequence[Mapping[str, Any]],
) -> None:
    """Send a test notification for each trigger that is new or changed (S7.27)."""
    found = [of_setup(call.scope, application.name, group, trigger) for trigger in after if trigger not in before]
    notifications.add(call.tx, call.scope, found, call.now, role_arn=role_arn)


@reads("GetDeploymentGroup")
def get_deployment_group(call: Call, asked: GetDeploymentGroupInputTypeDef) -> GetDeploymentGroupOutputTypeDef:
    application = existing_application(call, asked["applicationName"])
    group = existing_group(call, application, asked["deploymentGroupName"])
    info = _info(call, application, group, deployment_groups.last_deployments(call.tx, [group]))
    return cast("GetDeploymentGroupOutputTypeDef", {"deploymentGroupInfo": info})


@reads("BatchGetDeploymentGroups")
def batch_get_deployment_groups(
    call: Call, asked: BatchGetDeploymentGroupsInputTypeDef
) -> BatchGetDeploymentGroupsOutputTypeDef:
    """The groups that exist, in the order asked; `errorMessage` names the others (S12.0c)."""
    application = existing_application(call, asked["applicationName"])
    names = asked["deploymentGroupNames"]
    if len(names) > call.limits.batch_groups:
        raise AwsError(
            "BatchLimitExceededException",
            f"{len(names)} deployment groups were asked for; the most at once is {call.limits.batch_groups}. Ask in"
            " several calls.",
        )
    found = deployment_groups.several(call.tx, application.id, names)
    last = deployment_groups.last_deployments(call.tx, found.values())
    unknown = [name for name in names if name not in found]
    return cast(
        "BatchGetDeploymentGroupsOutputTypeDef",
        {
            "deploymentGroupsInfo": [_info(call, application, found[name], last) for name in names if name in found],
            "errorMessage": f"{application.name} has no deployment group {', '.join(unknown)}." if unknown else "",
        },
    )


@reads("ListDeploymentGroups")
def list_deployment_groups(call: Call, asked: ListDeploymentGroupsInputTypeDef) -> ListDeploymentGroupsOutputTypeDef:
    application = existing_application(call, asked["applicationName"])
    names, token = page_of_names(
        call,
        ["ListDeploymentGroups", application.id],
        asked.get("nextToken"),
        lambda after, count: deployment_groups.names(call.tx, application.id, after=after, count=count),
    )
    return cast(
        "ListDeploymentGroupsOutputTypeDef",
        {"applicationName": application.name, "deploymentGroups": names, "nextToken": token},
    )


@writes("UpdateDeploymentGroup")
def update_deployment_group(call: Call, asked: UpdateDeploymentGroupInputTypeDef) -> UpdateDeploymentGroupOutputTypeDef:
    """Change a group: an absent member stays, a present one replaces, an empty one clears (S7.19)."""
    if "serviceRoleArn" in asked:
        check_role(asked["serviceRoleArn"])
    application = existing_application(call, asked["applicationName"])
    group = existing_group(call, application, asked["currentDeploymentGroupName"])
    name = asked.get("newDeploymentGroupName", group.name)
    config_name = asked.get("deploymentConfigName", group.deployment_config_name)
    role = asked.get("serviceRoleArn", group.service_role_arn)
    document = changed_document(group.document, asked, application.compute_platform, call.limits)
    if name != group.name:
        _check_is_free(call, application, name)
    _check_config(call, config_name, application.compute_platform)
    _check_ecs_service_is_free(call, document, group)
    deployment_groups.change(
        call.tx, group, name=name, deployment_config_name=config_name, service_role_arn=role, document=document
    )
    disowned = auto_scaling.keep_hooks(call, asked, group.id, name=name, document=document, role=role)
    before, after = (one.get("triggerConfigurations", ()) for one in (group.document, document))
    _greet(call, application, name, role, before, after)
    return cast("UpdateDeploymentGroupOutputTypeDef", auto_scaling.answer(disowned))


@writes("DeleteDeploymentGroup")
def delete_deployment_group(call: Call, asked: DeleteDeploymentGroupInputTypeDef) -> DeleteDeploymentGroupOutputTypeDef:
    """Delete a group; deleting one that is not there is no matter (S12.16)."""
    application = applications.find(call.tx, call.scope, asked["applicationName"])
    group = None
    if application is not None:
        group = deployment_groups.find(call.tx, application.id, asked["deploymentGroupName"])
    if group is None:
        return cast("DeleteDeploymentGroupOutputTypeDef", auto_scaling.answer([]))
    disowned = lifecycle_hooks.of_groups(call.tx, [group.id])
    deployment_groups.remove(call.tx, group, by=call.caller, now=call.now)
    return cast("DeleteDeploymentGroupOutputTypeDef", auto_scaling.answer(disowned))


def _check_is_free(call: Call, application: Application, name: str) -> None:
    if deployment_groups.find(call.tx, application.id, name) is not None:
        raise AwsError(
            "DeploymentGroupAlreadyExistsException",
            f"{application.name} has a deployment group named {name} already. Choose another name.",
        )


def _check_config(call: Call, name: str, platform: ComputePlatform) -> None:
    config = existing_config(call, name)
    if config.platform is not platform:
        raise AwsError(
            "InvalidDeploymentConfigNameException",
            f"The compute platform of deployment config {name} is {config.platform}, which does not match the"
            f" application's, {platform}. Name a config for {platform}.",
        )


def _check_ecs_service_is_free(call: Call, document: Mapping[str, Any], group: DeploymentGroup | None) -> None:
    """An ECS service has one deployment group (E3)."""
    for wanted in document.get("ecsServices", ()):
        cluster, service = wanted["clusterName"], wanted["serviceName"]
        other = deployment_groups.of_ecs_service(call.tx, call.scope, cluster=cluster, service=service)
        if other is not None and (group is None or other.id != group.id):
            raise AwsError(
                "ECSServiceMappingLimitExceededException",
                f"The ECS service {service} of cluster {cluster} belongs to the deployment group {other.name}; a"
                " service has one group. Use that one, or take the service out of it first.",
            )


def _info(
    call: Call, application: Application, group: DeploymentGroup, last: Mapping[str, LastDeployment]
) -> DeploymentGroupInfoTypeDef:
    return cast(
        "DeploymentGroupInfoTypeDef",
        {
            "applicationName": application.name,
            "computePlatform": application.compute_platform.value,
            "deploymentGroupId": group.id,
            "deploymentGroupName": group.name,
            "deploymentConfigName": group.deployment_config_name,
            "serviceRoleArn": group.service_role_arn,
            # These are always there, be they empty (S7.28).
            "ec2TagFilters": [],
            "onPremisesInstanceTagFilters": [],
            "triggerConfigurations": [],
            **group.document,
            # Given as names, told as objects (S7.28, S9.1).
            "autoScalingGroups": auto_scaling.shown(call, group.id, group.document.get("autoScalingGroups", ())),
            "targetRevision": group.target_revision,
            "lastSuccessfulDeployment": _last(last.get(group.last_successful_deployment_id or "")),
            "lastAttemptedDeployment": _last(last.get(group.last_attempted_deployment_id or "")),
        },
    )


def _last(deployment: LastDeployment | None) -> LastDeploymentInfoTypeDef | None:
    if deployment is None:
        return None
    return cast(
        "LastDeploymentInfoTypeDef",
        {
            "deploymentId": deployment.id,
            "status": deployment.status.value,
            "createTime": deployment.create_time,
            "endTime": deployment.end_time,
        },
    )
