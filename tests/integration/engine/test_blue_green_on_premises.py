"""Blue/green deployments to on-premises hosts that load balancers find: ours, AWS has none (decision 18)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy.engine import URL

from longshore.api import deployment_groups, deployments, on_premises_instances, plans
from longshore.domain.balancing import TrafficState
from longshore.domain.blue_green import Phase
from longshore.store import deployments as deployment_rows
from longshore.wire.service import AwsError
from tests.integration.engine.rollout import REVISION, Rollout

WITH_ADDRESS = {"Key": "longshore:address", "Type": "KEY_ONLY"}
KEEP = {"action": "KEEP_ALIVE"}
TERMINATE = {"action": "TERMINATE", "terminationWaitTimeInMinutes": 5}


def coloured(colour: str) -> dict[str, str]:
    return {"Key": "colour", "Value": colour, "Type": "KEY_AND_VALUE"}


def registered(*filters: dict[str, str]) -> dict[str, Any]:
    """A group's onPremisesTagSet: whoever matches one of these, and has an address."""
    return {"onPremisesTagSetList": [list(filters), [WITH_ADDRESS]]}


def replacements(*filters: dict[str, str]) -> dict[str, Any]:
    return {"ec2TagSet": {"ec2TagSetList": [list(filters), [WITH_ADDRESS]]}}


class OnPremises(Rollout):
    """Two machines of two hosts each, blue at port 8080 and green at 8081, behind a target group of addresses."""

    def __init__(self, database: URL) -> None:
        super().__init__(database, hosts=4, minimum="CodeDeployDefault.AllAtOnce")
        self.blue, self.green = self.names[:2], self.names[2:]
        self.place = {name: f"10.0.3.{17 + number % 2}:{8080 + number // 2}" for number, name in enumerate(self.names)}
        for name in self.names:
            self.tag(name, "colour", "blue" if name in self.blue else "green")
            self.tag(name, "longshore:address", self.place[name])
        self.balancers.hosts["addresses"] = {self.place[name]: TrafficState.HEALTHY for name in self.blue}

    def arrange(self, after: dict[str, Any] = KEEP, **members: Any) -> None:
        group = {
            "onPremisesTagSet": registered(coloured("blue")),
            "deploymentStyle": {"deploymentType": "BLUE_GREEN", "deploymentOption": "WITH_TRAFFIC_CONTROL"},
            "loadBalancerInfo": {"targetGroupInfoList": [{"name": "addresses"}]},
            "blueGreenDeploymentConfiguration": {
                "deploymentReadyOption": {"actionOnTimeout": "CONTINUE_DEPLOYMENT"},
                "greenFleetProvisioningOption": {"action": "DISCOVER_EXISTING"},
                "terminateBlueInstancesOnDeploymentSuccess": after,
            },
        }
        self.mean(**{**group, **members})

    def begin(self, colour: str = "green") -> None:
        self.deploy(targetInstances=replacements(coloured(colour)))
        self.tick()

    def until(self, condition: Callable[[], object]) -> None:
        for _ in range(1000):
            if condition():
                return
            self.tick()
            for name in self.ready():
                self.run_event(name)
            self.balancers.follow()
            self.now += 1.0
        raise AssertionError(f"it does not come to that: {self.info}")

    def to_the_end(self) -> dict[str, Any]:
        self.until(lambda: self.is_final)
        return self.info

    @property
    def phase(self) -> Phase | None:
        row = self.store.read(lambda tx: deployment_rows.get(tx, self.deployment_id))
        return None if row is None else row.phase

    @property
    def serving(self) -> list[str]:
        states = self.balancers.hosts["addresses"]
        return [name for name in self.names if states.get(self.place[name]) is TrafficState.HEALTHY]

    @property
    def group(self) -> dict[str, Any]:
        asked = {"applicationName": "shop", "deploymentGroupName": "prod"}
        info: dict[str, Any] = self.call(deployment_groups.get_deployment_group, **asked)["deploymentGroupInfo"]
        return info

    def problems(self) -> dict[str, str]:
        """What a plan says."""
        group = {"applicationName": "shop", "deploymentGroupName": "prod"}
        asked = {**group, "revision": REVISION, "targetInstances": replacements(coloured("green"))}
        return {one["code"]: one["message"] for one in self.call(plans.plan_deployment, **asked)["problems"]}


@pytest.fixture
def world(database: URL) -> Iterator[OnPremises]:
    made = OnPremises(database)
    yield made
    made.close()


@pytest.mark.parametrize(
    "members",
    [
        {"onPremisesTagSet": {"onPremisesTagSetList": [[coloured("blue")]]}},
        {"onPremisesTagSet": {"onPremisesTagSetList": [[coloured("blue"), WITH_ADDRESS]]}},
        {"onPremisesTagSet": {}, "onPremisesInstanceTagFilters": [coloured("blue")]},
    ],
)
def test_who_does_not_ask_is_refused_as_by_aws(world: OnPremises, members: dict[str, Any]) -> None:
    """S7.7."""
    with pytest.raises(AwsError, match="longshore:address") as refused:
        world.arrange(**members)
    assert refused.value.code == "InvalidDeploymentStyleException"


def test_no_copy_stands_for_on_premises_hosts(world: OnPremises) -> None:
    copying = {"greenFleetProvisioningOption": {"action": "COPY_AUTO_SCALING_GROUP"}}
    with pytest.raises(AwsError, match="DISCOVER_EXISTING") as refused:
        world.arrange(autoScalingGroups=["blue"], blueGreenDeploymentConfiguration=copying)
    assert refused.value.code == "InvalidBlueGreenDeploymentConfigurationException"


def test_two_fleets_take_turns(world: OnPremises) -> None:
    world.arrange()
    assert world.problems() == {}
    world.begin()
    world.until(lambda: world.phase is Phase.REROUTE)
    assert world.serving == world.blue
    world.until(lambda: world.phase is Phase.BLOCK)
    assert world.serving == world.names
    assert world.to_the_end()["status"] == "Succeeded"
    assert (world.serving, world.overview) == (world.green, {"Succeeded": 4})
    assert world.group["onPremisesTagSet"] == registered(coloured("green"))
    world.begin("blue")
    assert world.to_the_end()["status"] == "Succeeded"
    assert world.serving == world.blue
    assert world.group["onPremisesTagSet"] == registered(coloured("blue"))


def test_who_cannot_be_terminated_runs_on_and_the_deployment_says_so(world: OnPremises) -> None:
    world.arrange(after=TERMINATE)
    world.begin()
    world.until(lambda: world.phase is Phase.TERMINATION_WAIT)
    assert world.serving == world.green
    info = world.to_the_end()
    assert info["status"] == "Succeeded"
    (said,) = info["deploymentStatusMessages"]
    assert f"On-premises instances run on without traffic: {', '.join(world.blue)}." in said


def test_a_rollback_while_the_originals_wait(world: OnPremises) -> None:
    world.arrange(after=TERMINATE)
    world.begin()
    world.to_the_end()
    world.begin("blue")
    world.until(lambda: world.phase is Phase.TERMINATION_WAIT)
    assert world.serving == world.blue
    world.call(deployments.stop_deployment, deploymentId=world.deployment_id, autoRollbackEnabled=True)
    stopped = world.to_the_end()
    world.deployment_id = stopped["rollbackInfo"]["rollbackDeploymentId"]
    assert world.to_the_end()["status"] == "Succeeded"
    assert world.serving == world.green
    assert world.group["onPremisesTagSet"] == registered(coloured("green"))


@pytest.mark.parametrize("address", ["10.0.3.17:8080", "10.0.3.17"])
def test_a_replacement_where_an_original_serves_is_refused(world: OnPremises, address: str) -> None:
    """To take the original out would take the replacement out."""
    world.arrange()
    retagged(world, world.green[0], address)
    assert world.problems()["ELB_INVALID_INSTANCE"].startswith(f"{world.blue[0]}, {world.green[0]} are all at")
    world.begin()
    assert (world.info["status"], world.info["errorInformation"]["code"]) == ("Failed", "ELB_INVALID_INSTANCE")
    assert world.serving == world.blue


def test_an_address_that_is_none_is_refused_before_anything_is_done(world: OnPremises) -> None:
    world.arrange()
    retagged(world, world.green[0], "web-1.example.com")
    world.begin()
    assert world.info["errorInformation"]["code"] == "ELB_INVALID_INSTANCE"
    assert "web-1.example.com" in world.info["errorInformation"]["message"]


def test_an_address_that_goes_away_meanwhile_fails_its_host(world: OnPremises) -> None:
    world.arrange()
    world.begin()
    world.until(lambda: world.phase is Phase.INSTALL and world.at("Install"))
    untagged(world, world.green[0])
    assert world.to_the_end()["status"] == "Succeeded", "the config lets all but one fail"
    assert "longshore:address" in world.diagnostics(world.green[0], "AllowTraffic")["message"]
    assert world.serving == world.green[1:]


def test_load_balancers_that_take_no_address_move_nobodys_traffic(world: OnPremises) -> None:
    world.arrange(loadBalancerInfo={"targetGroupInfoList": [{"name": "web"}]})
    world.begin()
    info = world.to_the_end()
    assert (info["status"], info["errorInformation"]["code"]) == ("Failed", "ELB_INVALID_INSTANCE")
    assert "target group of type ip" in world.diagnostics(world.green[0], "AllowTraffic")["message"]
    assert world.serving == world.blue


def untagged(world: OnPremises, name: str) -> None:
    tag = {"Key": "longshore:address", "Value": world.place[name]}
    remove = on_premises_instances.remove_tags_from_on_premises_instances
    world.call(remove, instanceNames=[name], tags=[tag])


def retagged(world: OnPremises, name: str, address: str) -> None:
    untagged(world, name)
    world.tag(name, "longshore:address", address)
