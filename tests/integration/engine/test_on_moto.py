"""The engine and our providers against moto's server: an AWS that is not ours, without hosts or requests behind it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from longshore.domain.balancing import Balancer, BalancerKind
from longshore.engine.traffic import Traffic
from longshore.providers.autoscaling import Ec2AutoScaling
from longshore.providers.ec2 import Ec2Instances
from longshore.providers.elb import ElasticLoadBalancing
from longshore.providers.members import AwsMembers
from longshore.store.database import sqlite_url
from tests.contract.providers import places
from tests.contract.providers.places import Place
from tests.contract.providers.test_autoscaling import make
from tests.contract.providers.test_elb import classic, target_group
from tests.integration.engine.rollout import Rollout
from tests.integration.engine.test_auto_scaling import Fleet

TAGS = [{"Key": "role", "Value": "web", "Type": "KEY_AND_VALUE"}]


@pytest.fixture
def place() -> Iterator[Place]:
    with places.moto() as made:
        yield made


@pytest.fixture
def rollout(place: Place, tmp_path: Path) -> Iterator[Rollout]:
    made = Rollout(sqlite_url(tmp_path / "longshore.db"), hosts=0, minimum="CodeDeployDefault.HalfAtATime")
    made.world = replace(
        made.world,
        members=AwsMembers(Ec2Instances(place.roles), Ec2AutoScaling(place.roles)),
        traffic=Traffic(ElasticLoadBalancing(place.roles)),
    )
    made.mean(serviceRoleArn=place.access.role_arn)
    yield made
    made.close()


def in_traffic(place: Place, *balancers: Balancer) -> set[str]:
    found = [set(ElasticLoadBalancing(place.roles).backends(place.access, one)) for one in balancers]
    return set.intersection(*found)


def behind(*balancers: Balancer) -> dict[str, Any]:
    """What makes a group one with these load balancers."""
    named = {kind: [{"name": one.name} for one in balancers if one.kind is kind] for kind in BalancerKind}
    return {
        "deploymentStyle": {"deploymentType": "IN_PLACE", "deploymentOption": "WITH_TRAFFIC_CONTROL"},
        "loadBalancerInfo": {
            "elbInfoList": named[BalancerKind.CLASSIC],
            "targetGroupInfoList": named[BalancerKind.TARGET_GROUP],
        },
    }


def test_in_place_behind_both_kinds_of_load_balancers(place: Place, rollout: Rollout) -> None:
    balancers = [target_group(place, "web"), classic(place, "old")]
    rollout.instances = place.launch(4, role="web")
    for one in balancers:
        ElasticLoadBalancing(place.roles).register(place.access, one, rollout.instances)
    rollout.mean(ec2TagFilters=TAGS, **behind(*balancers))
    rollout.deploy()
    rollout.tick()
    first = rollout.ready()
    assert len(first) == 2
    rollout.go_on(until=lambda: rollout.at("Install"))
    assert in_traffic(place, *balancers) == set(rollout.instances) - set(first)
    rollout.go_on()
    assert rollout.info["status"] == "Succeeded"
    assert in_traffic(place, *balancers) == set(rollout.instances)


def test_a_stop_puts_back_who_was_not_touched(place: Place, rollout: Rollout) -> None:
    balancer = target_group(place, "web")
    rollout.instances = place.launch(2, role="web")
    ElasticLoadBalancing(place.roles).register(place.access, balancer, rollout.instances)
    rollout.mean(ec2TagFilters=TAGS, **behind(balancer))
    rollout.deploy()
    rollout.go_on(until=lambda: rollout.at("AfterBlockTraffic"))
    assert len(in_traffic(place, balancer)) == 1
    rollout.stop()
    rollout.go_on()
    assert rollout.info["status"] == "Stopped"
    assert in_traffic(place, balancer) == set(rollout.instances)


def test_a_load_balancer_that_is_not_there(place: Place, rollout: Rollout) -> None:
    rollout.instances = place.launch(2, role="web")
    rollout.mean(ec2TagFilters=TAGS, **behind(Balancer(kind=BalancerKind.TARGET_GROUP, name="nobody")))
    rollout.deploy()
    rollout.tick()
    assert rollout.info["errorInformation"]["code"] == "ELASTIC_LOAD_BALANCING_INVALID"


def test_an_auto_scaling_group_has_its_hooks_and_its_processes_rest_meanwhile(place: Place, tmp_path: Path) -> None:
    """As far as moto goes: it holds nobody up."""
    fleet = Fleet(sqlite_url(tmp_path / "longshore.db"))
    groups = Ec2AutoScaling(place.roles)
    fleet.world = replace(fleet.world, members=AwsMembers(Ec2Instances(place.roles), groups), scaling=groups)
    fleet.scaling = groups
    fleet.sweeper = fleet.another()
    make(place, "web", 2)
    scaling = place.owner("autoscaling")
    try:
        fleet.mean(serviceRoleArn=place.access.role_arn)
        processes = {"autoScalingGroupProcessesToSuspend": ["Launch", "Terminate"]}
        fleet.update(autoScalingGroups=["web"], terminationHookEnabled=True, ec2DeploymentOptions=processes)
        hooks = scaling.describe_lifecycle_hooks(AutoScalingGroupName="web")["LifecycleHooks"]
        (told,) = fleet.group["autoScalingGroups"]
        assert {one["LifecycleHookName"] for one in hooks} == {told["hook"], told["terminationHook"]}

        fleet.instances = [one.instance_id for one in groups.describe(place.access, ["web"])["web"].in_service]
        fleet.deploy()
        fleet.tick()
        assert fleet.overview == {"InProgress": 2}
        assert groups.describe(place.access, ["web"])["web"].suspended == {"Launch", "Terminate"}
        for instance in fleet.instances:
            fleet.run_all(instance)
        assert fleet.info["status"] == "Succeeded"
        fleet.look()
        assert groups.describe(place.access, ["web"])["web"].suspended == frozenset()

        fleet.update(autoScalingGroups=[])
        assert scaling.describe_lifecycle_hooks(AutoScalingGroupName="web")["LifecycleHooks"] == []
    finally:
        fleet.close()
