"""A deployment that goes zone by zone, and waits between them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy.engine import URL

from longshore.domain.alarms import AlarmState
from longshore.domain.deployment import ScriptCode
from longshore.engine.alarms import LOOK_EVERY
from longshore.wire.service import AwsError
from tests.integration.engine.rollout import Rollout

Make = Callable[..., Rollout]
ZONES = {"i-0a1": "eu-1a", "i-0a2": "eu-1a", "i-0b1": "eu-1b", "i-0b2": "eu-1b", "i-0c1": "eu-1c"}


@pytest.fixture
def make(database: URL) -> Iterator[Make]:
    made: list[Rollout] = []

    def one(minimum: dict[str, Any] | None = None, **zonal: Any) -> Rollout:
        floor = minimum or {"type": "HOST_COUNT", "value": 0}
        rollout = Rollout(database, hosts=0, minimum=floor, zonal=zonal)
        made.append(rollout)
        rollout.mean(ec2TagFilters=[{"Key": "role", "Value": "web", "Type": "KEY_AND_VALUE"}])
        rollout.members.zones = dict(ZONES)
        rollout.instances = sorted(ZONES)
        return rollout

    yield one
    for each in made:
        each.close()


def test_one_zone_after_the_other_with_a_pause(make: Make) -> None:
    rollout = make(firstZoneMonitorDurationInSeconds=600, monitorDurationInSeconds=60)
    rollout.deploy()
    rollout.tick()
    assert rollout.ready() == ["i-0a1", "i-0a2"]
    rollout.run_all("i-0a1")
    rollout.tick()
    assert rollout.ready() == ["i-0a2"]
    rollout.run_all("i-0a2")
    rollout.tick()
    assert rollout.ready() == []
    assert rollout.info["status"] == "InProgress"
    rollout.pass_time(599.0)
    assert rollout.ready() == []
    rollout.pass_time(1.0)
    assert rollout.ready() == ["i-0b1", "i-0b2"]
    for name in rollout.ready():
        rollout.run_all(name)
    rollout.tick()
    rollout.pass_time(60.0)
    assert rollout.ready() == ["i-0c1"]
    rollout.run_all("i-0c1")
    rollout.tick()
    assert rollout.info["status"] == "Succeeded"
    assert rollout.overview == {"Succeeded": 5}


def test_the_zones_floor_and_everybodys_both_hold(make: Make) -> None:
    rollout = make({"type": "HOST_COUNT", "value": 4}, minimumHealthyHostsPerZone={"type": "HOST_COUNT", "value": 0})
    rollout.deploy()
    rollout.tick()
    assert rollout.ready() == ["i-0a1"], "four of five must stay up, though none in the zone"


def test_a_zone_that_goes_below_its_floor_ends_the_deployment(make: Make) -> None:
    rollout = make()
    rollout.deploy()
    rollout.tick()
    for name in rollout.ready():
        rollout.run_event(name, ScriptCode.SCRIPT_FAILED)
    rollout.tick()
    assert rollout.info["status"] == "Failed"
    assert rollout.info["errorInformation"]["code"] == "HEALTH_CONSTRAINTS"
    assert "In eu-1a 0 of 2 succeeded" in rollout.info["errorInformation"]["message"]
    assert rollout.overview == {"Failed": 2, "Skipped": 3}


def test_the_last_zone_counts_too(make: Make) -> None:
    rollout = make()
    rollout.deploy()
    rollout.go_on(until=lambda: [name for name in rollout.ready() if name == "i-0c1"])
    rollout.run_event("i-0c1", ScriptCode.SCRIPT_FAILED)
    rollout.tick()
    assert rollout.info["status"] == "Failed"


def test_an_alarm_stops_it_while_a_zone_is_monitored(make: Make) -> None:
    rollout = make(monitorDurationInSeconds=3600)
    rollout.mean(alarmConfiguration={"enabled": True, "alarms": [{"name": "errors"}]})
    rollout.alarms.now = {"errors": AlarmState.OK}
    rollout.deploy()
    rollout.tick()
    for name in rollout.ready():
        rollout.run_all(name)
    rollout.pass_time(100.0)
    assert rollout.info["status"] == "InProgress"
    rollout.alarms.now = {"errors": AlarmState.ALARM}
    rollout.pass_time(2 * LOOK_EVERY)
    assert rollout.info["status"] == "Stopped"
    assert rollout.overview == {"Succeeded": 2, "Skipped": 3}


def test_a_rollback_goes_to_all_zones_at_once(make: Make) -> None:
    rollout = make(monitorDurationInSeconds=30)
    rollout.mean(autoRollbackConfiguration={"enabled": True, "events": ["DEPLOYMENT_FAILURE"]})
    rollout.deploy()
    rollout.go_on()
    rollout.deploy(
        {"revisionType": "S3", "s3Location": {"bucket": "releases", "key": "shop-2.zip", "bundleType": "zip"}}
    )
    rollout.tick()
    for name in rollout.ready():
        rollout.run_event(name, ScriptCode.SCRIPT_FAILED)
    rollout.tick()
    rollout.deployment_id = rollout.info["rollbackInfo"]["rollbackDeploymentId"]
    rollout.tick()
    assert rollout.ready() == sorted(ZONES)


def test_blue_green_groups_take_no_zonal_config(make: Make) -> None:
    rollout = make()
    rollout.mean(
        onPremisesInstanceTagFilters=[],
        deploymentStyle={"deploymentType": "BLUE_GREEN", "deploymentOption": "WITH_TRAFFIC_CONTROL"},
        loadBalancerInfo={"targetGroupInfoList": [{"name": "web"}]},
        blueGreenDeploymentConfiguration={
            "terminateBlueInstancesOnDeploymentSuccess": {"action": "KEEP_ALIVE"},
            "deploymentReadyOption": {"actionOnTimeout": "CONTINUE_DEPLOYMENT"},
            "greenFleetProvisioningOption": {"action": "DISCOVER_EXISTING"},
        },
    )
    with pytest.raises(AwsError, match="zone by zone") as refused:
        rollout.deploy()
    assert refused.value.code == "InvalidDeploymentConfigNameException"
