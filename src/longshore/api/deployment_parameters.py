"""Deployments with parameters: CodeDeploy's CreateDeployment, and what it has no member for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from longshore.api.deployments import create
from longshore.api.existing import existing_deployment
from longshore.api.operations import Call, reads, writes
from longshore.domain.parameters import BadParameterError, checked
from longshore.wire.service import AwsError

if TYPE_CHECKING:
    from mypy_boto3_codedeploy import type_defs as t


@writes("CreateDeployment")
def create_deployment(call: Call, asked: dict[str, Any]) -> Any:
    """Record the wish to deploy, with environment variables for the hooks."""
    wish = {member: value for member, value in asked.items() if member != "parameters"}
    try:
        parameters = checked((one["name"], one["value"]) for one in asked.get("parameters", ()))
    except BadParameterError as problem:
        raise AwsError("InvalidInputException", f"parameters: {problem}.") from None
    return create(call, cast("t.CreateDeploymentInputTypeDef", wish), parameters)


@reads("GetDeploymentParameters")
def get_deployment_parameters(call: Call, asked: dict[str, Any]) -> Any:
    """What a deployment's hooks are given; empty where nobody asked for any."""
    deployment = existing_deployment(call, asked["deploymentId"])
    shown = [{"name": name, "value": value} for name, value in sorted(deployment.parameters.items())]
    return {"deploymentId": deployment.id, "parameters": shown}
