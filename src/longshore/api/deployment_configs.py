"""Operations on deployment configs (server.md S2.1–S2.4, S2.21–S2.23; lambda_ecs_appspec.md D6–D10)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from longshore.api.existing import existing_config
from longshore.api.operations import Call, reads, writes
from longshore.api.pages import page_of_names
from longshore.domain.config import PREDEFINED_PREFIX, ComputePlatform, DeploymentConfig
from longshore.domain.health import MinimumHealthyHosts, MinimumType
from longshore.domain.ids import new_id
from longshore.store import deployment_configs
from longshore.wire.service import AwsError

if TYPE_CHECKING:
    from mypy_boto3_codedeploy.type_defs import (
        CreateDeploymentConfigInputTypeDef,
        CreateDeploymentConfigOutputTypeDef,
        DeleteDeploymentConfigInputTypeDef,
        GetDeploymentConfigInputTypeDef,
        GetDeploymentConfigOutputTypeDef,
        ListDeploymentConfigsInputTypeDef,
        ListDeploymentConfigsOutputTypeDef,
    )

#: Traffic may take two days to shift, minutes (D8).
_LONGEST_SHIFT = 2880


@writes("CreateDeploymentConfig")
def create_deployment_config(
    call: Call, asked: CreateDeploymentConfigInputTypeDef
) -> CreateDeploymentConfigOutputTypeDef:
    config = _config(asked, call.now)
    if deployment_configs.find(call.tx, call.scope, config.name) is not None:
        raise AwsError(
            "DeploymentConfigAlreadyExistsException",
            f"There is a deployment config named {config.name} already. Choose another name: a config cannot be"
            " changed, and its name is one for all compute platforms.",
        )
    if deployment_configs.number(call.tx, call.scope) >= call.limits.custom_configs:
        raise AwsError(
            "DeploymentConfigLimitExceededException",
            f"There are {call.limits.custom_configs} custom deployment configs already, as many as an account may"
            " have. Delete one first.",
        )
    deployment_configs.create(call.tx, call.scope, config)
    return cast("CreateDeploymentConfigOutputTypeDef", {"deploymentConfigId": config.id})


@reads("GetDeploymentConfig")
def get_deployment_config(call: Call, asked: GetDeploymentConfigInputTypeDef) -> GetDeploymentConfigOutputTypeDef:
    config = existing_config(call, asked["deploymentConfigName"])
    info = {
        "deploymentConfigId": config.id,
        "deploymentConfigName": config.name,
        "createTime": config.create_time,
        "computePlatform": config.platform.value,
        "minimumHealthyHosts": config.minimum and {"type": config.minimum.type.value, "value": config.minimum.value},
        "trafficRoutingConfig": config.routing,
        "zonalConfig": config.zonal,
    }
    return cast("GetDeploymentConfigOutputTypeDef", {"deploymentConfigInfo": info})


@reads("ListDeploymentConfigs")
def list_deployment_configs(call: Call, asked: ListDeploymentConfigsInputTypeDef) -> ListDeploymentConfigsOutputTypeDef:
    def read(after: str | None, count: int) -> list[str]:
        names = deployment_configs.names(call.tx, call.scope)
        return [name for name in names if after is None or name > after][:count]

    names, token = page_of_names(call, ["ListDeploymentConfigs"], asked.get("nextToken"), read)
    return cast("ListDeploymentConfigsOutputTypeDef", {"deploymentConfigsList": names, "nextToken": token})


@writes("DeleteDeploymentConfig")
def delete_deployment_config(call: Call, asked: DeleteDeploymentConfigInputTypeDef) -> None:
    """Delete a custom config; deleting one that is not there is no matter (S2.21)."""
    name = asked["deploymentConfigName"]
    config = deployment_configs.find(call.tx, call.scope, name)
    if config is None:
        return
    if config.is_predefined:
        raise AwsError("InvalidOperationException", f"{name} is predefined; only custom configs can be deleted.")
    if deployment_configs.is_in_use(call.tx, call.scope, name):
        raise AwsError(
            "DeploymentConfigInUseException",
            f"{name} is in use by a deployment group or by a deployment under way. Give those groups another config"
            " and let the deployments end first.",
        )
    deployment_configs.remove(call.tx, config)


def _config(asked: CreateDeploymentConfigInputTypeDef, now: float) -> DeploymentConfig:
    """The config that is asked for, if it can be."""
    name = asked["deploymentConfigName"]
    if name.startswith(PREDEFINED_PREFIX):
        raise AwsError(
            "InvalidDeploymentConfigNameException",
            f"{name} begins with {PREDEFINED_PREFIX}, which only predefined configs do. Choose another name.",
        )
    platform = ComputePlatform(asked.get("computePlatform", ComputePlatform.SERVER))
    return DeploymentConfig(
        id=new_id(),
        name=name,
        platform=platform,
        create_time=now,
        minimum=minimum_healthy_hosts(platform, asked.get("minimumHealthyHosts")),
        routing=traffic_routing(platform, asked.get("trafficRoutingConfig")),
        zonal=zonal_config(platform, asked.get("zonalConfig")),
    )


def minimum_healthy_hosts(platform: ComputePlatform, asked: Mapping[str, Any] | None) -> MinimumHealthyHosts | None:
    """How many hosts must stay healthy: for Server only, and there always (S2.2, D6)."""

    def refused(why: str) -> AwsError:
        return AwsError("InvalidMinimumHealthyHostValueException", why)

    if platform is not ComputePlatform.SERVER:
        if asked is not None:
            raise refused(f"A config for {platform} deploys to no hosts: leave out minimumHealthyHosts.")
        return None
    if asked is None or "type" not in asked or "value" not in asked:
        raise refused("A config for Server needs minimumHealthyHosts with a type and a value.")
    if problem := _bad_minimum(asked["type"], asked["value"]):
        raise refused(f"minimumHealthyHosts {problem}")
    return MinimumHealthyHosts(type=MinimumType(asked["type"]), value=asked["value"])


def _bad_minimum(kind: str, value: int) -> str | None:
    if kind not in (MinimumType.HOST_COUNT, MinimumType.FLEET_PERCENT):
        return f"has the type {kind}; it must be HOST_COUNT or FLEET_PERCENT."
    if value < 0:
        return f"is {value}; it must not be negative."
    if kind == MinimumType.FLEET_PERCENT and value > 99:
        return f"is {value} percent; it must be at most 99, or no host could ever be deployed to."
    return None


def traffic_routing(platform: ComputePlatform, asked: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """How traffic shifts: for Lambda and ECS only, and there always (D6–D9)."""

    def refused(why: str) -> AwsError:
        return AwsError("InvalidTrafficRoutingConfigurationException", why)

    if platform is ComputePlatform.SERVER:
        if asked is not None:
            raise refused("A config for Server shifts no traffic in steps: leave out trafficRoutingConfig.")
        return None
    if asked is None or "type" not in asked:
        raise refused(f"A config for {platform} needs trafficRoutingConfig with a type.")
    if asked["type"] not in _SHIFTS:
        raise refused(f"The type {asked['type']} must be one of {', '.join(_SHIFTS)}.")
    member = _SHIFTS[asked["type"]]
    if others := [other for other in _SHIFTS.values() if other and other != member and other in asked]:
        raise refused(f"The type {asked['type']} goes without {others[0]}.")
    if member is not None and (problem := _bad_shift(member, asked.get(member, {}))):
        raise refused(problem)
    return dict(asked)


#: Each type of trafficRoutingConfig, and the member that goes with it (D7).
_SHIFTS = {"TimeBasedCanary": "timeBasedCanary", "TimeBasedLinear": "timeBasedLinear", "AllAtOnce": None}


def _bad_shift(member: str, shift: Mapping[str, Any]) -> str | None:
    """What is wrong with the percentage and the interval of a canary or a linear shift (D8)."""
    prefix = "canary" if member == "timeBasedCanary" else "linear"
    percentage, interval = shift.get(f"{prefix}Percentage"), shift.get(f"{prefix}Interval")
    if percentage is None or interval is None:
        return f"{member} needs a {prefix}Percentage and a {prefix}Interval."
    if not 1 <= percentage <= 99:
        return f"{prefix}Percentage is {percentage}; it must be from 1 to 99."
    steps = 100 // percentage if prefix == "linear" else 1
    if interval < 1 or interval * steps > _LONGEST_SHIFT:
        return (
            f"{prefix}Interval is {interval} minutes; it must be from 1 to {_LONGEST_SHIFT // steps}, so that the"
            f" shift takes at most {_LONGEST_SHIFT}."
        )
    return None


def zonal_config(platform: ComputePlatform, asked: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Deploying one Availability Zone after another: for Server only."""

    def refused(why: str) -> AwsError:
        return AwsError("InvalidZonalDeploymentConfigurationException", why)

    if asked is None:
        return None
    if platform is not ComputePlatform.SERVER:
        raise refused(f"A config for {platform} deploys to no hosts: leave out zonalConfig.")
    for member in ("firstZoneMonitorDurationInSeconds", "monitorDurationInSeconds"):
        if asked.get(member, 0) < 0:
            raise refused(f"{member} is {asked[member]}; it must not be negative.")
    per_zone = asked.get("minimumHealthyHostsPerZone")
    if per_zone is not None:
        if "type" not in per_zone or "value" not in per_zone:
            raise refused("minimumHealthyHostsPerZone needs a type and a value.")
        if problem := _bad_minimum(per_zone["type"], per_zone["value"]):
            raise refused(f"minimumHealthyHostsPerZone {problem}")
    return dict(asked)
