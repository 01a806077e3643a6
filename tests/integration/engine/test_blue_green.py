"""Blue/green deployments to EC2 instances: real rows, operations and engine; hosts and AWS of a test's own (S7.11)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy.engine import URL

from longshore.api import deployment_groups, deployment_waits, deployments, plans
from longshore.commands.envelope import specification
from longshore.domain.alarms import AlarmState
from longshore.domain.balancing import TrafficState
from longshore.domain.blue_green import SUSPENDED, Phase
from longshore.domain.deployment import ScriptCode
from longshore.domain.instance import InstanceState
from longshore.domain.lifecycle import ALLOW_TRAFFIC, BLOCK_TRAFFIC, IN_PLACE
from longshore.providers.ports import NoBalancerError, PermanentError, TransientError
from longshore.store import applications, notifications
from longshore.store import deployment_groups as deployment_group_rows
from longshore.store import deployments as deployment_rows
from longshore.store.database import Transaction
from longshore.wire.service import Call as WireCall
from longshore.wire.service import Caller
from tests.integration.engine.rollout import REVISION, SCOPE, Rollout

TOPIC = "arn:aws:sns:eu-central-1:111122223333:news"
KEEP = {"action": "KEEP_ALIVE"}


def terminate(minutes: int = 0) -> dict[str, Any]:
    return {"action": "TERMINATE", "terminationWaitTimeInMinutes": minutes}


class BlueGreen(Rollout):
    """A group whose originals, tagged blue or in the Auto Scaling group `blue`, serve behind a target group."""

    def __init__(self, database: URL, minimum: Any) -> None:
        super().__init__(database, hosts=0, minimum=minimum)
        self.blue: list[str] = []
        self.green: list[str] = []
        #: Hosts and their events that fail.
        self.broken: set[tuple[str, str]] = set()

    def arrange(
        self,
        *,
        copies: bool = False,
        blue: int = 2,
        green: int = 2,
        after: Any = KEEP,
        ready_minutes: int | None = None,
    ) -> None:
        """Say how the group deploys, and have its originals serve."""
        ready: dict[str, Any] = {"actionOnTimeout": "CONTINUE_DEPLOYMENT"}
        if ready_minutes is not None:
            ready = {"actionOnTimeout": "STOP_DEPLOYMENT", "waitTimeInMinutes": ready_minutes}
        if copies:
            self.blue = self.cloud.make_group("blue", blue)
        else:
            self.blue = self.cloud.launch(blue, colour="blue")
            self.green = self.cloud.launch(green, colour="green")
        self.balancers.hosts["web"] = dict.fromkeys(self.blue, TrafficState.HEALTHY)
        self.mean(
            onPremisesInstanceTagFilters=[],
            deploymentStyle={"deploymentType": "BLUE_GREEN", "deploymentOption": "WITH_TRAFFIC_CONTROL"},
            loadBalancerInfo={"targetGroupInfoList": [{"name": "web"}]},
            blueGreenDeploymentConfiguration={
                "deploymentReadyOption": ready,
                "greenFleetProvisioningOption": {"action": "DISCOVER_EXISTING"},
                "terminateBlueInstancesOnDeploymentSuccess": after,
            },
            ec2TagFilters=[_tag("blue")],
        )
        self.copies = copies
        if copies:
            self.store.write(self._copy_blue)

    def _copy_blue(self, tx: Transaction) -> None:
        """As the operation leaves a group that copies its Auto Scaling group, but for the lifecycle hook."""
        (group_id,) = deployment_group_rows.ids(tx, _application(tx))
        group = deployment_group_rows.by_id(tx, group_id)
        assert group is not None
        document = {name: value for name, value in group.document.items() if name != "ec2TagFilters"}
        configuration = dict(document["blueGreenDeploymentConfiguration"])
        configuration["greenFleetProvisioningOption"] = {"action": "COPY_AUTO_SCALING_GROUP"}
        document |= {"autoScalingGroups": ["blue"], "blueGreenDeploymentConfiguration": configuration}
        deployment_group_rows.redefine(tx, group_id, document)

    def have_terminated(self, minutes: int) -> None:
        """From now on originals are terminated, so long after they have lost their traffic."""

        def change(tx: Transaction) -> None:
            (group_id,) = deployment_group_rows.ids(tx, _application(tx))
            group = deployment_group_rows.by_id(tx, group_id)
            assert group is not None
            configuration = group.document["blueGreenDeploymentConfiguration"]
            configuration = {**configuration, "terminateBlueInstancesOnDeploymentSuccess": terminate(minutes)}
            document = {**group.document, "blueGreenDeploymentConfiguration": configuration}
            deployment_group_rows.redefine(tx, group_id, document)

        self.store.write(change)

    def begin(self, **options: Any) -> str:
        """Deploy, up to the first event of a replacement."""
        if not self.copies:
            options.setdefault("targetInstances", {"tagFilters": [_tag("green")]})
        self.deploy(**options)
        self.tick()
        return self.deployment_id

    def pass_by(self) -> None:
        """A second in which agents, balancers and AWS do their part."""
        self.instances = [*self.cloud.machines]
        self.tick()
        for name in self.ready():
            if name in self.cloud.running():
                event = self._progress(name).event.name
                self.run_event(name, ScriptCode.SCRIPT_FAILED if (name, event) in self.broken else ScriptCode.SUCCESS)
        self.balancers.follow()
        self.cloud.follow()
        self.now += 1.0

    def until(self, condition: Callable[[], object]) -> None:
        for _ in range(3000):
            if condition():
                return
            self.pass_by()
        raise AssertionError(f"it does not come to that: {self.phase} {self.info}")

    def until_phase(self, phase: Phase) -> None:
        self.until(lambda: self.phase is phase or self.is_final)
        assert self.phase is phase, self.info

    def to_the_end(self) -> dict[str, Any]:
        self.until(lambda: self.is_final)
        return self.info

    @property
    def phase(self) -> Phase | None:
        row = self.store.read(lambda tx: deployment_rows.get(tx, self.deployment_id))
        return None if row is None else row.phase

    @property
    def serving(self) -> list[str]:
        """Who gets requests."""
        return sorted(
            name
            for name, state in self.balancers.hosts["web"].items()
            if state is TrafficState.HEALTHY and name in self.cloud.running()
        )

    @property
    def group(self) -> dict[str, Any]:
        asked = {"applicationName": "shop", "deploymentGroupName": "prod"}
        info: dict[str, Any] = self.call(deployment_groups.get_deployment_group, **asked)["deploymentGroupInfo"]
        return info

    @property
    def told_to_agents(self) -> tuple[str, str]:
        """Creator and type in the specification (S3.18)."""
        row = self.store.read(lambda tx: deployment_rows.get(tx, self.deployment_id))
        assert row is not None
        told = specification(row)
        return told["DeploymentCreator"], told["DeploymentType"]

    def stop_and_roll_back(self) -> None:
        self.call(deployments.stop_deployment, deploymentId=self.deployment_id, autoRollbackEnabled=True)

    def go(self, wait: str = "READY_WAIT") -> None:
        self.call(deployment_waits.continue_deployment, deploymentId=self.deployment_id, deploymentWaitType=wait)


def _application(tx: Transaction) -> str:
    found = applications.find(tx, SCOPE, "shop")
    assert found is not None
    return found.id


def _tag(colour: str) -> dict[str, str]:
    return {"Key": "colour", "Value": colour, "Type": "KEY_AND_VALUE"}


Make = Callable[..., BlueGreen]


@pytest.fixture
def make(database: URL) -> Iterator[Make]:
    made: list[BlueGreen] = []

    def one(minimum: Any = "CodeDeployDefault.AllAtOnce", **arrangement: Any) -> BlueGreen:
        made.append(BlueGreen(database, minimum))
        made[-1].arrange(**arrangement)
        return made[-1]

    yield one
    for each in made:
        each.close()


def test_replacements_that_are_there_take_the_originals_place(make: Make) -> None:
    """S7.11, S7.15: originals that are kept lose their traffic and leave the group."""
    world = make()
    world.begin()
    assert world.overview == {"InProgress": 2}, "originals are not counted yet"
    assert tuple(world.events(world.green[0])) == (*IN_PLACE, *ALLOW_TRAFFIC)
    assert tuple(world.events(world.blue[0])) == BLOCK_TRAFFIC
    world.until_phase(Phase.REROUTE)
    assert world.serving == world.blue
    world.until_phase(Phase.BLOCK)
    assert world.serving == sorted([*world.blue, *world.green])
    info = world.to_the_end()
    assert (info["status"], info["instanceTerminationWaitTimeStarted"]) == ("Succeeded", False)
    assert world.serving == world.green
    assert sorted(world.cloud.running()) == sorted([*world.blue, *world.green])
    assert world.overview == {"Succeeded": 4}
    assert world.group["ec2TagFilters"] == [_tag("green")]
    assert world.group["targetRevision"] == info["revision"]


def test_what_was_let_go_can_be_the_next_replacement(make: Make) -> None:
    """Two fleets that take turns."""
    world = make()
    world.begin()
    world.to_the_end()
    world.begin(targetInstances={"tagFilters": [_tag("blue")]})
    assert world.to_the_end()["status"] == "Succeeded"
    assert world.serving == world.blue
    assert world.group["ec2TagFilters"] == [_tag("blue")]


def test_a_copy_of_the_auto_scaling_group_takes_its_place(make: Make) -> None:
    """S7.12, S7.13."""
    world = make(copies=True, blue=3, after=terminate())
    deployment_id = world.begin()
    copy = f"CodeDeploy_prod_{deployment_id}"
    assert (world.phase, world.info["status"], world.overview) == (Phase.PROVISION, "InProgress", {})
    made = world.cloud.groups[copy]
    assert (made.desired, made.suspended) == (3, frozenset(SUSPENDED))
    assert made.tags == {"CodeDeployProvisioningDeploymentId": deployment_id}
    world.until_phase(Phase.BLOCK)
    assert world.cloud.groups["blue"].suspended == {"AddToLoadBalancer"}, "what it launches now is to get no traffic"
    green = world.cloud.of(copy)
    assert world.serving == sorted([*world.blue, *green])
    info = world.to_the_end()
    assert (info["status"], info["instanceTerminationWaitTimeStarted"]) == ("Succeeded", True)
    assert "additionalDeploymentStatusInfo" not in info
    assert (sorted(world.cloud.groups), sorted(world.cloud.running())) == ([copy], sorted(green))
    assert world.serving == sorted(green)
    assert world.cloud.groups[copy].suspended == frozenset()
    assert [one["name"] for one in world.group["autoScalingGroups"]] == [copy]


def test_nobody_gets_traffic_before_somebody_says_so(make: Make) -> None:
    """S7.14, S6.10, S10.1."""
    world = make(ready_minutes=30)
    events = ["DeploymentReady", "InstanceReady", "InstanceStart"]
    world.mean(triggerConfigurations=[{"triggerName": "t", "triggerTargetArn": TOPIC, "triggerEvents": events}])
    world.begin()
    world.until_phase(Phase.READY_WAIT)
    for _ in range(5):
        world.pass_by()
    assert (world.info["status"], world.overview, world.serving) == ("Ready", {"Ready": 2}, world.blue)
    due = world.store.write(lambda tx: notifications.claim(tx, now=world.now, until=world.now + 60, limit=50))
    told = [one.notification for one in due]
    assert sorted(one.subject.partition(":")[0] for one in told) == [
        "IN_PROGRESS", "IN_PROGRESS", "READY", "READY", "READY", "TEST",
    ]  # fmt: skip
    ready = next(json.loads(one.message) for one in told if "deploymentOverview" in one.message)
    counted = {status: number for status, number in json.loads(ready["deploymentOverview"]).items() if number}
    assert counted == world.overview, "the originals are counted by nobody yet"
    world.go()
    assert world.to_the_end()["status"] == "Succeeded"
    assert world.serving == world.green


def test_a_deployment_that_nobody_continues_stops_and_has_moved_nothing(make: Make) -> None:
    """S4.6."""
    world = make(ready_minutes=30)
    world.mean(autoRollbackConfiguration={"enabled": True, "events": ["DEPLOYMENT_STOP_ON_REQUEST"]})
    world.begin()
    world.until_phase(Phase.READY_WAIT)
    world.now += 1800
    info = world.to_the_end()
    assert (info["status"], info["errorInformation"]["code"]) == ("Stopped", "TIMEOUT")
    assert "no traffic was moved" in info["rollbackInfo"]["rollbackMessage"]
    assert world.serving == world.blue
    assert world.group["ec2TagFilters"] == [_tag("blue")]


def test_originals_wait_to_be_terminated_as_long_as_was_said(make: Make) -> None:
    """S6.13."""
    world = make(after=terminate(minutes=60))
    world.begin()
    world.until_phase(Phase.TERMINATION_WAIT)
    began = world.now
    assert (world.info["status"], world.info["instanceTerminationWaitTimeStarted"]) == ("InProgress", True)
    world.now += 3500
    world.pass_by()
    assert set(world.blue) <= set(world.cloud.running())
    assert world.to_the_end()["status"] == "Succeeded"
    assert world.now - began >= 3600
    assert sorted(world.cloud.running()) == world.green


def test_or_until_somebody_cannot_wait(make: Make) -> None:
    """S6.10."""
    world = make(after=terminate(minutes=60))
    world.begin()
    world.until_phase(Phase.TERMINATION_WAIT)
    began = world.now
    world.go("TERMINATION_WAIT")
    assert world.to_the_end()["status"] == "Succeeded"
    assert world.now - began < 60
    assert sorted(world.cloud.running()) == world.green


def test_originals_that_nobody_may_terminate_do_not_fail_it(make: Make) -> None:
    """S7.16."""
    world = make(after=terminate())
    world.cloud.protected[world.blue[0]] = PermanentError(f"{world.blue[0]} is protected from termination")
    world.begin()
    info = world.to_the_end()
    assert (info["status"], "errorInformation" in info) == ("Succeeded", False)
    assert "protected" in info["additionalDeploymentStatusInfo"]
    assert info["deploymentStatusMessages"] == [info["additionalDeploymentStatusInfo"]]
    assert world.group["ec2TagFilters"] == [_tag("green")]


def test_replacements_get_their_traffic_at_the_pace_of_the_config(make: Make) -> None:
    """S2.9."""
    world = make("CodeDeployDefault.OneAtATime", green=3)
    world.begin()
    most = 0

    def is_over() -> bool:
        nonlocal most
        if world.phase is Phase.REROUTE:
            most = max(most, world.overview.get("InProgress", 0))
        return world.is_final

    world.until(is_over)
    assert (most, world.serving) == (1, world.green)


def test_a_replacement_that_fails_to_be_installed_leaves_the_originals_alone(make: Make) -> None:
    world = make("CodeDeployDefault.OneAtATime")
    world.mean(autoRollbackConfiguration={"enabled": True, "events": ["DEPLOYMENT_FAILURE"]})
    world.begin()
    world.broken = {(world.green[0], "Install")}
    info = world.to_the_end()
    assert (info["status"], info["errorInformation"]["code"]) == ("Failed", "HEALTH_CONSTRAINTS")
    assert world.green[0] in info["errorInformation"]["message"]
    assert "rollbackDeploymentId" not in info["rollbackInfo"]
    assert world.overview == {"Failed": 1, "Skipped": 1}
    assert world.serving == world.blue


def succeed_once(world: BlueGreen) -> None:
    """So that the group has a revision to go back to; blue and green change places."""
    world.begin()
    assert world.to_the_end()["status"] == "Succeeded"
    world.blue, world.green = world.green, world.blue


def test_an_original_that_keeps_its_traffic_fails_it_and_traffic_goes_back(make: Make) -> None:
    """S2.10, S5.9, S3.12: nothing is installed; originals first."""
    world = make()
    succeed_once(world)
    world.mean(autoRollbackConfiguration={"enabled": True, "events": ["DEPLOYMENT_FAILURE"]})
    old = world.group["targetRevision"]
    first = world.begin(
        revision={"revisionType": "S3", "s3Location": {"bucket": "releases", "key": "2.zip", "bundleType": "zip"}},
        targetInstances={"tagFilters": [_tag("blue")]},
    )
    world.broken = {(world.blue[0], "AfterBlockTraffic")}
    info = world.to_the_end()
    assert (info["status"], info["errorInformation"]["code"]) == ("Failed", "HEALTH_CONSTRAINTS")
    world.deployment_id = info["rollbackInfo"]["rollbackDeploymentId"]
    assert (world.info["creator"], world.info["revision"]) == ("codeDeployRollback", old)
    assert world.told_to_agents == ("codeDeployRollback", "BLUE_GREEN"), "by which they know whose scripts to run"
    world.tick()
    assert {tuple(world.events(name)) for name in world.green} == {BLOCK_TRAFFIC}
    assert {tuple(world.events(name)) for name in world.blue} == {ALLOW_TRAFFIC}
    world.until_phase(Phase.WITHDRAW)
    assert world.serving == sorted([*world.blue, *world.green])
    assert world.to_the_end()["status"] == "Succeeded"
    assert world.serving == sorted(world.blue)
    assert world.info["rollbackInfo"]["rollbackTriggeringDeploymentId"] == first
    assert world.group["ec2TagFilters"] == [_tag("green")], "the group is as it was"
    assert world.group["targetRevision"] == old


@pytest.mark.parametrize("phase", [Phase.INSTALL, Phase.READY_WAIT, Phase.REROUTE, Phase.BLOCK, Phase.TERMINATION_WAIT])
def test_it_can_be_stopped_and_rolled_back_while_the_originals_live(make: Make, phase: Phase) -> None:
    """S6.9."""
    world = make("CodeDeployDefault.OneAtATime", ready_minutes=30)
    world.begin()
    world.until_phase(Phase.READY_WAIT)
    world.go()
    world.to_the_end()
    world.blue, world.green = world.green, world.blue
    configuration = world.group["blueGreenDeploymentConfiguration"]
    configuration["terminateBlueInstancesOnDeploymentSuccess"] = terminate(60)
    world.mean(
        blueGreenDeploymentConfiguration=configuration,
        autoRollbackConfiguration={"enabled": True, "events": ["DEPLOYMENT_STOP_ON_REQUEST"]},
    )
    world.begin(targetInstances={"tagFilters": [_tag("blue")]})
    if phase is not Phase.INSTALL:
        world.until_phase(Phase.READY_WAIT)
    if phase not in (Phase.INSTALL, Phase.READY_WAIT):
        world.go()
    world.until_phase(phase)
    for _ in range(2):
        world.pass_by()
    world.stop()
    info = world.to_the_end()
    assert (info["status"], info["errorInformation"]["code"]) == ("Stopped", "MANUAL_STOP")
    if rollback := info["rollbackInfo"].get("rollbackDeploymentId"):
        world.deployment_id = rollback
        assert world.to_the_end()["status"] == "Succeeded"
    assert bool(rollback) is (phase not in (Phase.INSTALL, Phase.READY_WAIT))
    assert world.serving == sorted(world.blue)
    assert set(world.blue) <= set(world.cloud.running())


def test_an_original_that_is_launched_meanwhile_loses_its_traffic_too(make: Make) -> None:
    """It runs what the others run."""
    world = make(copies=True, blue=1, after=KEEP)
    world.begin()
    world.until_phase(Phase.REROUTE)
    (late,) = world.cloud.launch(1)
    world.cloud.machines[late].group = "blue"
    world.balancers.hosts["web"][late] = TrafficState.HEALTHY
    assert world.to_the_end()["status"] == "Succeeded"
    assert tuple(world.events(late)) == BLOCK_TRAFFIC
    assert late not in world.serving
    assert world.serving == sorted(world.cloud.of(f"CodeDeploy_prod_{world.deployment_id}"))


def test_a_copied_group_may_give_traffic_again_when_it_comes_back(make: Make) -> None:
    """And the copy stays to be looked at: the deployment says where."""
    world = make(copies=True, after=KEEP)
    first = f"CodeDeploy_prod_{world.begin()}"
    world.to_the_end()
    assert world.cloud.groups["blue"].suspended == {"AddToLoadBalancer"}, "what is kept serves no more"
    world.have_terminated(minutes=60)
    second = f"CodeDeploy_prod_{world.begin()}"
    world.until_phase(Phase.TERMINATION_WAIT)
    assert world.cloud.groups[first].suspended == {"AddToLoadBalancer"}
    world.stop_and_roll_back()
    info = world.to_the_end()
    assert second in info["additionalDeploymentStatusInfo"]
    world.deployment_id = info["rollbackInfo"]["rollbackDeploymentId"]
    assert world.to_the_end()["status"] == "Succeeded"
    assert world.cloud.groups[first].suspended == frozenset()
    assert world.cloud.groups[second].suspended == frozenset(SUSPENDED)
    assert world.serving == sorted(world.cloud.of(first))


@pytest.mark.parametrize("phase", [Phase.REROUTE, Phase.TERMINATION_WAIT])
def test_an_alarm_brings_the_traffic_back_while_the_originals_live(make: Make, phase: Phase) -> None:
    """S7.22: what the wait before their termination is for."""
    world = make(after=terminate(60))
    world.begin()
    world.until_phase(Phase.TERMINATION_WAIT)
    world.go("TERMINATION_WAIT")
    world.to_the_end()
    world.blue = world.cloud.launch(2, colour="blue")
    world.mean(
        alarmConfiguration={"enabled": True, "alarms": [{"name": "errors"}]},
        autoRollbackConfiguration={"enabled": True, "events": ["DEPLOYMENT_STOP_ON_ALARM"]},
    )
    world.alarms.now = {"errors": AlarmState.OK}
    world.begin(targetInstances={"tagFilters": [_tag("blue")]})
    world.until_phase(phase)
    world.alarms.now = {"errors": AlarmState.ALARM}
    world.now += 10.0
    info = world.to_the_end()
    assert (info["status"], info["errorInformation"]["code"]) == ("Stopped", "ALARM_ACTIVE")
    if rollback := info["rollbackInfo"].get("rollbackDeploymentId"):
        world.deployment_id = rollback
        assert world.to_the_end()["status"] == "Succeeded"
    assert world.serving == world.green
    assert set(world.green) <= set(world.cloud.running())


def test_no_alarm_stops_it_once_originals_are_being_terminated(make: Make) -> None:
    """S6.9: there is no way back, and nothing is said of one."""
    world = make(after=terminate())
    world.mean(alarmConfiguration={"enabled": True, "alarms": [{"name": "errors"}]})
    world.alarms.now = {"errors": AlarmState.OK}
    world.begin()
    world.until_phase(Phase.RETIRE)
    world.alarms.now = {"errors": AlarmState.ALARM}
    world.cloud.fails = TransientError("nobody answers")
    for _ in range(10):
        world.pass_by()
    assert (world.info["status"], "errorInformation" in world.info) == ("InProgress", False)
    world.cloud.fails = None
    assert world.to_the_end()["status"] == "Succeeded"
    assert world.serving == sorted(world.cloud.running()) == world.green


def test_a_group_without_replacements_says_so(make: Make) -> None:
    """S7.18, S11."""
    world = make(green=0)
    world.begin()
    assert world.info["errorInformation"]["code"] == "NO_INSTANCES"
    world.begin(targetInstances={})
    assert world.info["errorInformation"]["code"] == "NO_INSTANCES"


def test_originals_are_no_replacements(make: Make) -> None:
    """They serve: to deploy to them would be in place, with their traffic on."""
    world = make()
    world.begin()
    world.to_the_end()
    world.begin(targetInstances={"tagFilters": [_tag("green")]})
    info = world.to_the_end()
    assert info["errorInformation"]["code"] == "NO_INSTANCES"
    assert "originals" in info["errorInformation"]["message"]
    assert world.serving == world.green


def test_an_auto_scaling_group_without_instances_is_not_copied(make: Make) -> None:
    world = make(copies=True, blue=0)
    world.begin()
    info = world.to_the_end()
    assert info["errorInformation"]["code"] == "NO_INSTANCES"
    assert sorted(world.cloud.groups) == ["blue"]


def test_nothing_is_made_that_could_not_be_deployed_to(make: Make) -> None:
    """S2.13 a."""
    world = make({"type": "HOST_COUNT", "value": 2}, copies=True)
    world.begin()
    assert world.info["errorInformation"]["code"] == "HEALTH_CONSTRAINTS_INVALID"
    assert sorted(world.cloud.groups) == ["blue"]


def test_nothing_is_made_where_there_is_no_load_balancer(make: Make) -> None:
    world = make(copies=True)
    world.balancers.fails = NoBalancerError("there is no target group web")
    world.begin()
    assert world.info["errorInformation"]["code"] == "ELASTIC_LOAD_BALANCING_INVALID"
    assert sorted(world.cloud.groups) == ["blue"]


@pytest.mark.parametrize("phase", [None, Phase.PROVISION, Phase.INSTALL, Phase.REROUTE, Phase.BLOCK, Phase.RETIRE])
def test_an_aws_that_is_away_for_two_minutes_costs_two_minutes(make: Make, phase: Phase | None) -> None:
    world = make(copies=True, after=terminate())
    if phase is not None:
        world.begin()
        world.until_phase(phase)
    away = TransientError("nobody answers")
    world.cloud.fails = world.balancers.fails = away
    if phase is None:
        world.begin()
    for _ in range(120):
        world.pass_by()
    assert not world.is_final
    world.cloud.fails = world.balancers.fails = None
    assert world.to_the_end()["status"] == "Succeeded"
    assert world.serving == sorted(world.cloud.running())


@pytest.mark.parametrize("phase", [Phase.INSTALL, Phase.READY_WAIT, Phase.REROUTE])
def test_a_replacement_that_dies_is_one_that_failed(make: Make, phase: Phase) -> None:
    world = make("CodeDeployDefault.HalfAtATime", green=4, ready_minutes=30)
    world.begin()
    if phase is Phase.REROUTE:
        world.until_phase(Phase.READY_WAIT)
        world.go()
    world.until_phase(phase)
    world.cloud.terminate(_access(world), [world.green[-1]])
    if phase is not Phase.REROUTE:
        world.until_phase(Phase.READY_WAIT)
        world.go()
    info = world.to_the_end()
    assert (info["status"], world.overview) == ("Succeeded", {"Succeeded": 5, "Failed": 1})
    assert world.serving == world.green[:-1]


def test_an_original_that_dies_fails_it_like_one_that_keeps_its_traffic(make: Make) -> None:
    world = make()
    world.begin()
    world.until_phase(Phase.BLOCK)
    world.cloud.terminate(_access(world), [world.blue[0]])
    info = world.to_the_end()
    assert (info["status"], info["errorInformation"]["code"]) == ("Failed", "HEALTH_CONSTRAINTS")
    assert world.blue[0] in info["errorInformation"]["message"]


def test_an_original_that_dies_when_it_has_lost_its_traffic_is_missed_by_nobody(make: Make) -> None:
    world = make(after=terminate(60))
    world.begin()
    world.until_phase(Phase.TERMINATION_WAIT)
    world.cloud.terminate(_access(world), [world.blue[0]])
    world.go("TERMINATION_WAIT")
    assert world.to_the_end()["status"] == "Succeeded"
    assert world.serving == sorted(world.cloud.running()) == world.green


def test_a_copy_that_dies_on_its_way_is_replaced_by_its_group(make: Make) -> None:
    world = make(copies=True, after=terminate())
    copy = f"CodeDeploy_prod_{world.begin()}"
    assert world.phase is Phase.PROVISION
    dead, other = world.cloud.of(copy)
    world.cloud.machines[dead].state = InstanceState.TERMINATED
    for _ in range(10):
        world.pass_by()
    assert world.phase is Phase.PROVISION, "one of two is in service"
    (new,) = world.cloud.launch(1)
    world.cloud.machines[new].group = copy
    assert world.to_the_end()["status"] == "Succeeded"
    assert world.serving == sorted(world.cloud.running()) == sorted([other, new])


def test_an_original_that_dies_while_it_is_terminated_is_gone(make: Make) -> None:
    world = make(after=terminate())
    world.begin()
    world.until_phase(Phase.RETIRE)
    world.cloud.machines[world.blue[0]].state = InstanceState.TERMINATED
    info = world.to_the_end()
    assert (info["status"], info["deploymentStatusMessages"]) == ("Succeeded", [])
    assert world.serving == sorted(world.cloud.running()) == world.green


def turned_back(make: Make, config: str) -> BlueGreen:
    """On the way back to the originals, of whom there are two; so are there replacements."""
    world = make(config, after=terminate())
    succeed_once(world)
    world.have_terminated(minutes=60)
    world.green = world.cloud.launch(2, colour="blue")
    world.begin(targetInstances={"tagFilters": [_tag("blue")]})
    world.until_phase(Phase.TERMINATION_WAIT)
    world.stop_and_roll_back()
    world.until(lambda: world.is_final)
    world.deployment_id = world.info["rollbackInfo"]["rollbackDeploymentId"]
    return world


def test_an_original_that_dies_on_the_way_back_is_one_that_failed(make: Make) -> None:
    """The other one serves again, and the replacements are withdrawn."""
    world = turned_back(make, "CodeDeployDefault.HalfAtATime")
    world.until_phase(Phase.RESTORE)
    world.cloud.terminate(_access(world), [world.blue[-1]])
    info = world.to_the_end()
    assert (info["status"], world.overview) == ("Succeeded", {"Succeeded": 3, "Failed": 1})
    assert world.serving == world.blue[:-1]


def test_a_replacement_that_dies_while_it_is_withdrawn_fails_the_rollback_and_the_originals_serve(make: Make) -> None:
    world = turned_back(make, "CodeDeployDefault.AllAtOnce")
    world.until_phase(Phase.WITHDRAW)
    world.cloud.terminate(_access(world), [world.green[0]])
    info = world.to_the_end()
    assert (info["status"], info["errorInformation"]["code"]) == ("Failed", "HEALTH_CONSTRAINTS")
    assert world.green[0] in info["errorInformation"]["message"]
    assert world.serving == world.blue


def _access(world: BlueGreen) -> Any:
    return None


def planned(world: BlueGreen, **options: Any) -> dict[str, Any]:
    """What PlanDeployment says."""

    async def by_rows(_call: Any, asked: dict[str, Any]) -> Any:
        return world.call(plans.plan_deployment, **asked)

    bundles = world.world.bundles
    whole = plans.examining(by_rows, bundles, world.cloud, world.balancers, world.alarms)
    caller = Caller(account=SCOPE.account, region=SCOPE.region, arn="-", access_key_id="-")
    call = WireCall(caller=caller, request_id="-", now=world.now, service="longshore", operation="-", headers={})
    asked: dict[str, Any] = {"applicationName": "shop", "deploymentGroupName": "prod", "revision": REVISION}
    made = asyncio.run(whole(call, {**asked, **options}))
    assert made is not None
    return dict(made)


@pytest.mark.parametrize("copies", [False, True])
def test_a_plan_shows_who_would_be_deployed_to(make: Make, copies: bool) -> None:
    """Replacements that are there; in the place of copies, whom they are copies of. And who loses traffic then."""
    world = make("CodeDeployDefault.OneAtATime", copies=copies, green=3, after=terminate(90), ready_minutes=10)
    named = {} if copies else {"targetInstances": {"tagFilters": [_tag("green")]}}
    made = planned(world, **named)
    assert [one["instanceName"] for one in made["instances"]] == (world.blue if copies else world.green)
    assert (made["instancesAtOnce"], made["problems"]) == (1, [])
    copied = {"copiedAutoScalingGroup": "blue"} if copies else {}
    assert made["blueGreen"] == {
        "originals": world.blue,
        **copied,
        "readyWaitSeconds": 600,
        "terminationWaitSeconds": 5400,
    }
    if not copies:
        made = planned(world)
        assert [one["code"] for one in made["problems"]] == ["NO_INSTANCES"]
        assert "targetInstances" in made["problems"][0]["message"]
        assert made["blueGreen"]["originals"] == world.blue


def test_a_plan_knows_from_the_last_success_how_long_the_work_takes(make: Make) -> None:
    """Not how long somebody thought it over; and not from a way back, on which nothing is installed."""
    world = make("CodeDeployDefault.OneAtATime", ready_minutes=30, after=KEEP)
    world.begin()
    world.until_phase(Phase.READY_WAIT)
    world.now += 1200.0
    world.go()
    world.to_the_end()
    to_blue = {"targetInstances": {"tagFilters": [_tag("blue")]}}
    made = planned(world, **to_blue)
    assert made["waves"] == 2
    assert 10 < made["estimatedSeconds"] < 100
    assert made["blueGreen"] == {"originals": world.green, "readyWaitSeconds": 1800}
    world.begin(**to_blue)
    world.until_phase(Phase.READY_WAIT)
    world.go()
    world.until_phase(Phase.BLOCK)
    world.stop_and_roll_back()
    world.until(lambda: world.is_final)
    world.deployment_id = world.info["rollbackInfo"]["rollbackDeploymentId"]
    assert world.to_the_end()["status"] == "Succeeded"
    assert "estimatedSeconds" not in planned(world, **to_blue)
