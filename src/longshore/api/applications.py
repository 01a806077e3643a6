"""Operations on applications."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from longshore.api import auto_scaling
from longshore.api.existing import application_missing, existing_application
from longshore.api.operations import Call, reads, writes
from longshore.api.pages import page_of_names
from longshore.api.resource_tags import tags_to_add
from longshore.domain.config import ComputePlatform
from longshore.store import applications, deployment_groups, lifecycle_hooks, resource_tags
from longshore.store.applications import Application
from longshore.wire.service import AwsError

if TYPE_CHECKING:
    from mypy_boto3_codedeploy.type_defs import (
        ApplicationInfoTypeDef,
        BatchGetApplicationsInputTypeDef,
        BatchGetApplicationsOutputTypeDef,
        CreateApplicationInputTypeDef,
        CreateApplicationOutputTypeDef,
        DeleteApplicationInputTypeDef,
        GetApplicationInputTypeDef,
        GetApplicationOutputTypeDef,
        ListApplicationsInputTypeDef,
        ListApplicationsOutputTypeDef,
        UpdateApplicationInputTypeDef,
    )


@writes("CreateApplication")
def create_application(call: Call, asked: CreateApplicationInputTypeDef) -> CreateApplicationOutputTypeDef:
    name = asked["applicationName"]
    tags = tags_to_add(asked.get("tags", ()), call.limits)
    _check_is_free(call, name)
    if applications.number(call.tx, call.scope) >= call.limits.applications:
        raise AwsError(
            "ApplicationLimitExceededException",
            f"There are {call.limits.applications} applications in {call.scope.region} already, as many as an account"
            " may have. Delete one first.",
        )
    platform = ComputePlatform(asked.get("computePlatform", ComputePlatform.SERVER))
    made = applications.create(call.tx, call.scope, name=name, platform=platform, now=call.now)
    resource_tags.put(call.tx, made.id, tags)
    return cast("CreateApplicationOutputTypeDef", {"applicationId": made.id})


@reads("GetApplication", quick=True)
def get_application(call: Call, asked: GetApplicationInputTypeDef) -> GetApplicationOutputTypeDef:
    application = existing_application(call, asked["applicationName"])
    return cast("GetApplicationOutputTypeDef", {"application": _info(application)})


@reads("BatchGetApplications")
def batch_get_applications(call: Call, asked: BatchGetApplicationsInputTypeDef) -> BatchGetApplicationsOutputTypeDef:
    names = asked["applicationNames"]
    if len(names) > call.limits.batch_applications:
        raise AwsError(
            "BatchLimitExceededException",
            f"{len(names)} applications were asked for; the most at once is {call.limits.batch_applications}. Ask in"
            " several calls.",
        )
    found = applications.several(call.tx, call.scope, names)
    if missing := [name for name in dict.fromkeys(names) if name not in found]:
        raise application_missing(call, ", ".join(missing))
    infos = [_info(found[name]) for name in names]
    return cast("BatchGetApplicationsOutputTypeDef", {"applicationsInfo": infos})


@reads("ListApplications")
def list_applications(call: Call, asked: ListApplicationsInputTypeDef) -> ListApplicationsOutputTypeDef:
    names, token = page_of_names(
        call,
        ["ListApplications"],
        asked.get("nextToken"),
        lambda after, count: applications.names(call.tx, call.scope, after=after, count=count),
    )
    return cast("ListApplicationsOutputTypeDef", {"applications": names, "nextToken": token})


@writes("UpdateApplication")
def update_application(call: Call, asked: UpdateApplicationInputTypeDef) -> None:
    application = existing_application(call, asked["applicationName"])
    name = asked["newApplicationName"]
    if name != application.name:
        _check_is_free(call, name)
        applications.rename(call.tx, application.id, name)


@writes("DeleteApplication")
def delete_application(call: Call, asked: DeleteApplicationInputTypeDef) -> Any:
    application = applications.find(call.tx, call.scope, asked["applicationName"])
    if application is None:
        return None
    disowned = lifecycle_hooks.of_groups(call.tx, deployment_groups.ids(call.tx, application.id))
    applications.remove(call.tx, application, by=call.caller, now=call.now)
    return auto_scaling.leaving(disowned)


def _check_is_free(call: Call, name: str) -> None:
    if applications.find(call.tx, call.scope, name) is not None:
        raise AwsError(
            "ApplicationAlreadyExistsException",
            f"There is an application named {name} in {call.scope.region} already. Choose another name.",
        )


def _info(application: Application) -> ApplicationInfoTypeDef:
    return cast(
        "ApplicationInfoTypeDef",
        {
            "applicationId": application.id,
            "applicationName": application.name,
            "createTime": application.create_time,
            "linkedToGitHub": application.github_token_name is not None,
            **({"gitHubAccountName": application.github_token_name} if application.github_token_name else {}),
            "computePlatform": application.compute_platform.value,
        },
    )
