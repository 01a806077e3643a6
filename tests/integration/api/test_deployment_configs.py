"""Deployment configs (server.md S1.3, S1.11, S2.1–S2.4, S2.21; lambda_ecs_appspec.md D1–D10)."""

from __future__ import annotations

from typing import Any

import pytest

HOSTS = {"type": "HOST_COUNT", "value": 1}


def canary(percentage: Any, interval: Any) -> dict[str, Any]:
    return {
        "type": "TimeBasedCanary",
        "timeBasedCanary": {"canaryPercentage": percentage, "canaryInterval": interval},
    }


def linear(percentage: Any, interval: Any) -> dict[str, Any]:
    return {
        "type": "TimeBasedLinear",
        "timeBasedLinear": {"linearPercentage": percentage, "linearInterval": interval},
    }


@pytest.mark.parametrize(
    ("kind", "value"), [("HOST_COUNT", 0), ("HOST_COUNT", 500), ("FLEET_PERCENT", 0), ("FLEET_PERCENT", 99)]
)
def test_server_config(codedeploy: Any, clock: Any, kind: str, value: Any) -> None:
    """S2.1, S2.2, S12.8: minimumHealthyHosts and no trafficRoutingConfig."""
    minimum = {"type": kind, "value": value}
    made = codedeploy.create_deployment_config(deploymentConfigName="mine", minimumHealthyHosts=minimum)
    found = codedeploy.get_deployment_config(deploymentConfigName="mine")["deploymentConfigInfo"]
    assert found.pop("createTime").timestamp() == pytest.approx(clock.now, abs=0.001)
    assert found == {
        "deploymentConfigId": made["deploymentConfigId"],
        "deploymentConfigName": "mine",
        "computePlatform": "Server",
        "minimumHealthyHosts": minimum,
    }


@pytest.mark.parametrize(
    "minimum",
    [
        None,
        {},
        {"type": "HOST_COUNT"},
        {"value": 1},
        {"type": "HOST_COUNT", "value": -1},
        {"type": "FLEET_PERCENT", "value": 100},
        {"type": "MOST_CONCURRENCY", "value": 1},
    ],
)
def test_bad_minimum(codedeploy: Any, refused: Any, minimum: Any) -> None:
    """S2.2, S2.4: missing, out of range, or the type nobody can submit."""
    members = {} if minimum is None else {"minimumHealthyHosts": minimum}
    with refused("InvalidMinimumHealthyHostValue"):
        codedeploy.create_deployment_config(deploymentConfigName="mine", **members)


def test_members_of_the_other_platforms(codedeploy: Any, refused: Any) -> None:
    """S2.2, D6: each platform has its own members, and only those."""
    with refused("InvalidTrafficRoutingConfiguration"):
        codedeploy.create_deployment_config(
            deploymentConfigName="mine", minimumHealthyHosts=HOSTS, trafficRoutingConfig=canary(10, 5)
        )
    for platform in ("Lambda", "ECS"):
        with refused("InvalidTrafficRoutingConfiguration"):
            codedeploy.create_deployment_config(deploymentConfigName="mine", computePlatform=platform)
        with refused("InvalidMinimumHealthyHostValue"):
            codedeploy.create_deployment_config(
                deploymentConfigName="mine",
                computePlatform=platform,
                trafficRoutingConfig=canary(10, 5),
                minimumHealthyHosts=HOSTS,
            )
        with refused("InvalidZonalDeploymentConfiguration"):
            codedeploy.create_deployment_config(
                deploymentConfigName="mine",
                computePlatform=platform,
                trafficRoutingConfig=canary(10, 5),
                zonalConfig={"monitorDurationInSeconds": 1},
            )


@pytest.mark.parametrize("platform", ["Lambda", "ECS"])
@pytest.mark.parametrize(
    "routing",
    [
        {"type": "AllAtOnce"},
        canary(25, 45),
        canary(1, 1),
        canary(99, 2880),
        linear(99, 2880),
        linear(67, 2880),
        linear(50, 1440),
        linear(34, 1440),
        linear(33, 960),
        linear(25, 720),
        linear(10, 288),
        linear(1, 28),
    ],
)
def test_traffic_routing(codedeploy: Any, platform: str, routing: Any) -> None:
    """D4, D7, D8, D9: what may be asked for is kept as it was asked for, and there are no minimumHealthyHosts."""
    codedeploy.create_deployment_config(
        deploymentConfigName="mine", computePlatform=platform, trafficRoutingConfig=routing
    )
    found = codedeploy.get_deployment_config(deploymentConfigName="mine")["deploymentConfigInfo"]
    assert found["trafficRoutingConfig"] == routing
    assert found["computePlatform"] == platform
    assert "minimumHealthyHosts" not in found


@pytest.mark.parametrize(
    "routing",
    [
        {},
        {"type": "Gradual"},
        {"type": "TimeBasedCanary"},
        {"type": "TimeBasedCanary", "timeBasedCanary": {}},
        {"type": "TimeBasedCanary", "timeBasedCanary": {"canaryPercentage": 10}},
        linear(10, 5) | {"type": "TimeBasedCanary"},
        canary(10, 5) | {"type": "AllAtOnce"},
        linear(10, 5) | canary(10, 5),
        canary(0, 5),
        canary(100, 5),
        canary(10, 0),
        canary(10, 2881),
        linear(0, 5),
        linear(-1, 5),
        linear(10, 0),
        linear(50, 1441),
        linear(33, 961),
        linear(10, 289),
        linear(1, 29),
    ],
)
def test_bad_traffic_routing(codedeploy: Any, refused: Any, routing: Any) -> None:
    """D7, D8: a type has its own member, percentages are 1–99, and a shift takes two days at most."""
    with refused("InvalidTrafficRoutingConfiguration"):
        codedeploy.create_deployment_config(
            deploymentConfigName="mine", computePlatform="Lambda", trafficRoutingConfig=routing
        )


def test_zonal_config(codedeploy: Any) -> None:
    """S2.1: zonalConfig is kept as it was asked for."""
    zonal = {
        "firstZoneMonitorDurationInSeconds": 60,
        "monitorDurationInSeconds": 0,
        "minimumHealthyHostsPerZone": {"type": "FLEET_PERCENT", "value": 50},
    }
    codedeploy.create_deployment_config(deploymentConfigName="mine", minimumHealthyHosts=HOSTS, zonalConfig=zonal)
    found = codedeploy.get_deployment_config(deploymentConfigName="mine")["deploymentConfigInfo"]
    assert found["zonalConfig"] == zonal


@pytest.mark.parametrize(
    "zonal",
    [
        {"monitorDurationInSeconds": -1},
        {"firstZoneMonitorDurationInSeconds": -1},
        {"minimumHealthyHostsPerZone": {"type": "FLEET_PERCENT", "value": 100}},
        {"minimumHealthyHostsPerZone": {"value": 1}},
        {"minimumHealthyHostsPerZone": {"type": "MOST_CONCURRENCY", "value": 1}},
    ],
)
def test_bad_zonal_config(codedeploy: Any, refused: Any, zonal: Any) -> None:
    """S12.7: InvalidZonalDeploymentConfiguration."""
    with refused("InvalidZonalDeploymentConfiguration"):
        codedeploy.create_deployment_config(deploymentConfigName="mine", minimumHealthyHosts=HOSTS, zonalConfig=zonal)


@pytest.mark.parametrize("name", ["CodeDeployDefault.Mine", "CodeDeployDefault.OneAtATime", "a b", "x" * 101])
def test_bad_names(codedeploy: Any, refused: Any, name: str) -> None:
    """S1.3, D10: the charset, the length, and the prefix that is reserved."""
    with refused("InvalidDeploymentConfigName"):
        codedeploy.create_deployment_config(deploymentConfigName=name, minimumHealthyHosts=HOSTS)


def test_names_are_unique_across_platforms(codedeploy: Any, refused: Any) -> None:
    """S1.3, D9: one name, whatever the platform. The prefix is reserved in its exact case only."""
    codedeploy.create_deployment_config(deploymentConfigName="mine", minimumHealthyHosts=HOSTS)
    with refused("DeploymentConfigAlreadyExists"):
        codedeploy.create_deployment_config(
            deploymentConfigName="mine", computePlatform="ECS", trafficRoutingConfig=canary(10, 5)
        )
    codedeploy.create_deployment_config(deploymentConfigName="codedeploydefault.Mine", minimumHealthyHosts=HOSTS)


def test_limit(tight: Any, refused: Any) -> None:
    """S1.12: no more custom configs than the account may have."""
    for name in ("a", "b"):
        tight.create_deployment_config(deploymentConfigName=name, minimumHealthyHosts=HOSTS)
    with refused("DeploymentConfigLimitExceeded"):
        tight.create_deployment_config(deploymentConfigName="c", minimumHealthyHosts=HOSTS)


def test_predefined_configs(codedeploy: Any) -> None:
    """S1.11, S2.4: OneAtATime reports a type that nobody can submit, and has a fixed id."""
    found = codedeploy.get_deployment_config(deploymentConfigName="CodeDeployDefault.OneAtATime")
    found = found["deploymentConfigInfo"]
    assert found["minimumHealthyHosts"] == {"type": "MOST_CONCURRENCY", "value": 1}
    assert found["deploymentConfigId"] == "00000000-0000-0000-0000-000000000001"
    canary10 = codedeploy.get_deployment_config(deploymentConfigName="CodeDeployDefault.ECSCanary10Percent5Minutes")
    assert canary10["deploymentConfigInfo"]["trafficRoutingConfig"] == canary(10, 5)


def test_unknown_config(codedeploy: Any, refused: Any) -> None:
    """S12.8: DeploymentConfigDoesNotExist."""
    with refused("DeploymentConfigDoesNotExist"):
        codedeploy.get_deployment_config(deploymentConfigName="nope")


def test_list_has_all_platforms(codedeploy: Any, elsewhere: Any) -> None:
    """S12.9, D1: the 17 predefined ones of every platform, and the account's own in this region."""
    codedeploy.create_deployment_config(deploymentConfigName="mine", minimumHealthyHosts=HOSTS)
    names = codedeploy.list_deployment_configs()["deploymentConfigsList"]
    assert len(names) == 18
    assert "mine" in names
    assert len(elsewhere.list_deployment_configs()["deploymentConfigsList"]) == 17


def test_list_pages(tight: Any, pages: Any) -> None:
    """S12.0a: every config once, in order."""
    tight.create_deployment_config(deploymentConfigName="mine", minimumHealthyHosts=HOSTS)
    names = [name for page in pages(tight.list_deployment_configs, "deploymentConfigsList") for name in page]
    assert names == sorted(set(names))
    assert len(names) == 18


def test_delete(codedeploy: Any, refused: Any) -> None:
    """S2.21: predefined ones stay, an unknown name is a success, a deleted one is gone."""
    with refused("InvalidOperation"):
        codedeploy.delete_deployment_config(deploymentConfigName="CodeDeployDefault.AllAtOnce")
    codedeploy.delete_deployment_config(deploymentConfigName="nope")
    codedeploy.create_deployment_config(deploymentConfigName="mine", minimumHealthyHosts=HOSTS)
    codedeploy.delete_deployment_config(deploymentConfigName="mine")
    with refused("DeploymentConfigDoesNotExist"):
        codedeploy.get_deployment_config(deploymentConfigName="mine")


def test_delete_of_a_config_in_use(codedeploy: Any, app: str, group: Any, deploy: Any, refused: Any) -> None:
    """S2.21: a group's config stays, and so does that of a deployment under way."""
    codedeploy.create_deployment_config(deploymentConfigName="mine", minimumHealthyHosts=HOSTS)
    group(app, "web", deploymentConfigName="mine")
    with refused("DeploymentConfigInUse"):
        codedeploy.delete_deployment_config(deploymentConfigName="mine")
    deploy(app, "web", "InProgress")
    codedeploy.update_deployment_group(
        applicationName=app,
        currentDeploymentGroupName="web",
        deploymentConfigName="CodeDeployDefault.AllAtOnce",
    )
    with refused("DeploymentConfigInUse"):
        codedeploy.delete_deployment_config(deploymentConfigName="mine")


@pytest.mark.parametrize("call", ["create_deployment_config", "get_deployment_config", "delete_deployment_config"])
def test_a_config_is_named(codedeploy: Any, refused: Any, call: str) -> None:
    with refused("DeploymentConfigNameRequired"):
        getattr(codedeploy, call)()
