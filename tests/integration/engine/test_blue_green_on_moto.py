"""Blue/green deployments by our providers against moto's server: an AWS that is not ours, without hosts behind it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import URL

from longshore.domain.blue_green import SUSPENDED, Phase
from longshore.engine.server.fleets import Fleets
from longshore.engine.server.replacing import Replacing
from longshore.engine.traffic import Traffic
from longshore.providers.autoscaling import Ec2AutoScaling
from longshore.providers.ec2 import Ec2Instances
from longshore.providers.elb import ElasticLoadBalancing
from longshore.providers.members import AwsMembers
from longshore.store.database import sqlite_url
from tests.contract.providers import places
from tests.contract.providers.places import Place
from tests.contract.providers.test_autoscaling import make as make_group
from tests.contract.providers.test_elb import target_group
from tests.integration.engine.test_blue_green import KEEP, BlueGreen, terminate


class OnMoto(BlueGreen):
    """The same world, whose AWS is moto's server."""

    def __init__(self, database: URL, place: Place) -> None:
        super().__init__(database, "CodeDeployDefault.HalfAtATime")
        self.mean(serviceRoleArn=place.access.role_arn)
        self.place = place
        self.groups = Ec2AutoScaling(place.roles)
        self.ec2 = Ec2Instances(place.roles)
        self.balancing = ElasticLoadBalancing(place.roles)
        self.target_group = target_group(place, "web")
        members = AwsMembers(self.ec2, self.groups)
        fleets = Fleets(members, self.ec2, self.groups)
        self.world = replace(
            self.world,
            members=members,
            traffic=Traffic(self.balancing),
            replacing=Replacing(self.store, fleets, limit=1000, account_limit=2000),
        )

    def serve(self, names: list[str]) -> None:
        self.balancing.register(self.place.access, self.target_group, names)

    def members_of(self, group: str) -> list[str]:
        described = self.groups.describe(self.place.access, [group])
        return sorted(one.instance_id for one in described[group].members) if group in described else []

    def alive(self) -> list[str]:
        found = self.place.owner("ec2").describe_instances()["Reservations"]
        machines = [one for reserved in found for one in reserved["Instances"]]
        return sorted(one["InstanceId"] for one in machines if one["State"]["Name"] in ("pending", "running"))

    @property
    def in_traffic(self) -> list[str]:
        alive = self.alive()
        backends = self.balancing.backends(self.place.access, self.target_group)
        return sorted(name for name in backends if name in alive)

    def pass_by(self) -> None:
        self.instances = self.alive()
        self.tick()
        for name in self.ready():
            self.run_event(name)
        self.now += 2.0


@pytest.fixture
def world(tmp_path: Path) -> Iterator[OnMoto]:
    with places.moto() as place:
        made = OnMoto(sqlite_url(tmp_path / "longshore.db"), place)
        yield made
        made.close()


def test_replacements_found_by_tag(world: OnMoto) -> None:
    world.arrange(blue=0, green=0, after=KEEP)
    blue, green = world.place.launch(2, colour="blue"), world.place.launch(2, colour="green")
    world.serve(blue)
    world.begin()
    world.until_phase(Phase.BLOCK)
    assert world.in_traffic == sorted([*blue, *green])
    assert world.to_the_end()["status"] == "Succeeded"
    assert (world.in_traffic, world.alive()) == (green, sorted([*blue, *green]))
    assert world.group["ec2TagFilters"][0]["Value"] == "green"


def test_a_copied_group_and_its_original_deleted(world: OnMoto) -> None:
    world.arrange(copies=True, blue=0, after=terminate())
    make_group(world.place, "blue", 2)
    blue = world.members_of("blue")
    world.serve(blue)
    copy = f"CodeDeploy_prod_{world.begin()}"
    made = world.groups.describe(world.place.access, [copy])[copy]
    assert (made.desired, made.suspended, made.tags["app"]) == (2, frozenset(SUSPENDED), "shop")
    world.until_phase(Phase.BLOCK)
    green = world.members_of(copy)
    assert world.in_traffic == sorted([*blue, *green])
    assert world.to_the_end()["status"] == "Succeeded"
    assert world.groups.describe(world.place.access, ["blue"]) == {}
    assert (world.in_traffic, world.alive()) == (green, green)
    assert world.groups.describe(world.place.access, [copy])[copy].suspended == frozenset()


@pytest.mark.parametrize("phase", [Phase.REROUTE, Phase.BLOCK, Phase.TERMINATION_WAIT])
def test_a_stop_and_the_way_back(world: OnMoto, phase: Phase) -> None:
    world.arrange(copies=True, blue=0, after=KEEP)
    make_group(world.place, "blue", 1)
    world.serve(world.members_of("blue"))
    first = f"CodeDeploy_prod_{world.begin()}"
    assert world.to_the_end()["status"] == "Succeeded"
    blue = world.members_of(first)
    assert world.in_traffic == blue
    world.have_terminated(minutes=60)
    second = f"CodeDeploy_prod_{world.begin()}"
    world.until_phase(phase)
    world.pass_by()
    world.stop_and_roll_back()
    info: dict[str, Any] = world.to_the_end()
    assert info["status"] == "Stopped"
    world.deployment_id = info["rollbackInfo"]["rollbackDeploymentId"]
    assert world.to_the_end()["status"] == "Succeeded"
    assert world.in_traffic == blue
    assert set(world.members_of(second)) <= set(world.alive()), "replacements stay to be looked at"
    assert [one["name"] for one in world.group["autoScalingGroups"]] == [first]
