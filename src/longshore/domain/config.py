"""The deployment configs that every account has (server.md S1.11, S2.4–S2.7; lambda_ecs_appspec.md §2)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from longshore.domain.health import MinimumHealthyHosts, MinimumType


class ComputePlatform(StrEnum):
    SERVER = "Server"
    LAMBDA = "Lambda"
    ECS = "ECS"


PREDEFINED_PREFIX = "CodeDeployDefault."
ONE_AT_A_TIME = PREDEFINED_PREFIX + "OneAtATime"


@dataclass(frozen=True, kw_only=True)
class DeploymentConfig:
    """A deployment config, predefined or custom."""

    id: str
    name: str
    platform: ComputePlatform
    #: Epoch seconds.
    create_time: float
    minimum: MinimumHealthyHosts | None = None
    #: `trafficRoutingConfig` as the API spells it; Lambda and ECS only.
    routing: dict[str, Any] | None = None
    #: `zonalConfig` as the API spells it; Server only.
    zonal: dict[str, Any] | None = None

    @property
    def is_predefined(self) -> bool:
        return self.name.startswith(PREDEFINED_PREFIX)


def _predefined() -> dict[str, DeploymentConfig]:
    server = {
        "OneAtATime": MinimumHealthyHosts(type=MinimumType.MOST_CONCURRENCY, value=1),
        "HalfAtATime": MinimumHealthyHosts(type=MinimumType.FLEET_PERCENT, value=50),
        "AllAtOnce": MinimumHealthyHosts(type=MinimumType.FLEET_PERCENT, value=0),
    }
    shifting: dict[str, tuple[ComputePlatform, dict[str, Any]]] = {
        "LambdaAllAtOnce": (ComputePlatform.LAMBDA, {"type": "AllAtOnce"}),
        "ECSAllAtOnce": (ComputePlatform.ECS, {"type": "AllAtOnce"}),
    }
    for platform, minutes in ((ComputePlatform.LAMBDA, (5, 10, 15, 30)), (ComputePlatform.ECS, (5, 15))):
        for interval in minutes:
            routing = {"canaryPercentage": 10, "canaryInterval": interval}
            shifting[f"{platform.value}Canary10Percent{interval}Minutes"] = (
                platform,
                {"type": "TimeBasedCanary", "timeBasedCanary": routing},
            )
    for platform, minutes in ((ComputePlatform.LAMBDA, (1, 2, 3, 10)), (ComputePlatform.ECS, (1, 3))):
        for interval in minutes:
            # AWS spells Lambda's one-minute config without the final "s", and ECS's with it.
            unit = "Minute" if platform is ComputePlatform.LAMBDA and interval == 1 else "Minutes"
            routing = {"linearPercentage": 10, "linearInterval": interval}
            shifting[f"{platform.value}Linear10PercentEvery{interval}{unit}"] = (
                platform,
                {"type": "TimeBasedLinear", "timeBasedLinear": routing},
            )
    configs = [
        DeploymentConfig(
            id="",
            name=PREDEFINED_PREFIX + name,
            platform=ComputePlatform.SERVER,
            create_time=_PREDEFINED_SINCE,
            minimum=minimum,
        )
        for name, minimum in server.items()
    ] + [
        DeploymentConfig(
            id="", name=PREDEFINED_PREFIX + name, platform=platform, create_time=_PREDEFINED_SINCE, routing=routing
        )
        for name, (platform, routing) in shifting.items()
    ]
    return {
        config.name: replace(config, id=f"00000000-0000-0000-0000-{number:012d}")
        for number, config in enumerate(configs, start=1)
    }


#: CodeDeploy's first day, epoch seconds: predefined configs have to say when they were made.
_PREDEFINED_SINCE = 1412640000.0

#: The 17 configs of every account and region, by name; ids are fixed (S1.11).
PREDEFINED = _predefined()

#: The config of a group that names none, by platform (S1.17, D12).
DEFAULT_CONFIG = {
    ComputePlatform.SERVER: ONE_AT_A_TIME,
    ComputePlatform.LAMBDA: PREDEFINED_PREFIX + "LambdaAllAtOnce",
    ComputePlatform.ECS: PREDEFINED_PREFIX + "ECSAllAtOnce",
}
