"""The things that operations are asked about, or the error that they are not there."""

from __future__ import annotations

from longshore.api.operations import Call
from longshore.domain.config import DeploymentConfig
from longshore.store import applications, deployment_configs, deployment_groups, deployments
from longshore.store.applications import Application
from longshore.store.deployment_groups import DeploymentGroup
from longshore.store.deployments import Deployment
from longshore.wire.service import AwsError


def existing_application(call: Call, name: str) -> Application:
    found = applications.find(call.tx, call.scope, name)
    if found is None:
        raise application_missing(call, name)
    return found


def application_missing(call: Call, name: str) -> AwsError:
    return AwsError(
        "ApplicationDoesNotExistException",
        f"There is no application named {name} for account {call.scope.account} in {call.scope.region}. aws deploy"
        " list-applications shows those that there are.",
    )


def existing_group(call: Call, application: Application, name: str) -> DeploymentGroup:
    found = deployment_groups.find(call.tx, application.id, name)
    if found is None:
        raise group_missing(application.name, name)
    return found


def existing_application_and_group(call: Call, name: str, group_name: str) -> tuple[Application, DeploymentGroup]:
    application, group = applications.find_with_group(call.tx, call.scope, name, group_name)
    if application is None:
        raise application_missing(call, name)
    if group is None:
        raise group_missing(name, group_name)
    return application, group


def group_missing(application_name: str, name: str) -> AwsError:
    return AwsError(
        "DeploymentGroupDoesNotExistException",
        f"Application {application_name} has no deployment group named {name}. aws deploy list-deployment-groups"
        f" --application-name {application_name} shows those that it has.",
    )


def existing_config(call: Call, name: str) -> DeploymentConfig:
    found = deployment_configs.find(call.tx, call.scope, name)
    if found is None:
        raise config_missing(call, name)
    return found


def config_missing(call: Call, name: str) -> AwsError:
    return AwsError(
        "DeploymentConfigDoesNotExistException",
        f"There is no deployment config named {name} for account {call.scope.account} in {call.scope.region}. aws"
        " deploy list-deployment-configs shows those that there are.",
    )


def existing_deployment(call: Call, deployment_id: str) -> Deployment:
    found = deployments.find(call.tx, call.scope, deployment_id)
    if found is None:
        raise AwsError(
            "DeploymentDoesNotExistException",
            f"There is no deployment {deployment_id} for account {call.scope.account} in {call.scope.region}. aws"
            " deploy list-deployments shows those that there are.",
        )
    return found
