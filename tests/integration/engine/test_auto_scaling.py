"""Auto Scaling and deployments: hooks, launches, terminations, late joiners, suspended processes (server.md S9)."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from sqlalchemy.engine import URL

from longshore.api import applications, deployment_groups, deployments
from longshore.api.auto_scaling import hooking
from longshore.domain.auto_scaling import HookResult, Transition
from longshore.domain.blue_green import Phase
from longshore.domain.deployment import START_TIMEOUT, ScriptCode
from longshore.domain.lifecycle import IN_PLACE
from longshore.domain.lifecycle_hook import BEAT_EVERY, BOOT_TIMEOUT
from longshore.engine.auto_scaling import AutoScaling
from longshore.providers.ports import LimitReachedError, RoleRightsError, TransientError
from longshore.store import deployment_groups as group_rows
from longshore.store import deployments as deployment_rows
from longshore.store import leases, lifecycle_hooks
from longshore.store.database import Transaction
from longshore.wire.service import AwsError
from tests.integration.engine.rollout import REVISION, Rollout
from tests.integration.engine.scaling import KilledError

WAITING, LEAVING, SERVING = "Pending:Wait", "Terminating:Wait", "InService"
NEWER = {"revisionType": "GitHub", "gitHubLocation": {"repository": "o/r", "commitId": "b" * 40}}
NAMED = {"applicationName": "shop", "deploymentGroupName": "prod"}
_OPERATIONS = {
    "CreateDeploymentGroup": deployment_groups.create_deployment_group,
    "UpdateDeploymentGroup": deployment_groups.update_deployment_group,
    "DeleteDeploymentGroup": deployment_groups.delete_deployment_group,
    "DeleteApplication": applications.delete_application,
}


class Fleet(Rollout):
    """A group on an Auto Scaling group ``web``, and who looks after it."""

    scaling: Any

    def __init__(self, database: URL, *, hosts: int = 0) -> None:
        super().__init__(database, hosts=hosts, minimum="CodeDeployDefault.AllAtOnce")
        self.scaling.make("web")
        self.sweeper = self.another()

    def another(self) -> AutoScaling:
        """The same on another server of this database."""
        return AutoScaling(self.store, self.scaling, max_active=100, clock=lambda: self.now)

    def hooked(self, operation: str, **asked: Any) -> Any:
        """Call an operation as the wire would, with Auto Scaling around it."""

        async def plain(_call: Any, given: dict[str, Any]) -> Any:
            return self.call(_OPERATIONS[operation], **given)

        handlers = hooking({operation: plain}, self.store, self.scaling)
        return asyncio.run(cast("Any", handlers[operation](cast("Any", SimpleNamespace(now=self.now)), asked)))

    def update(self, **members: Any) -> Any:
        return self.hooked(
            "UpdateDeploymentGroup", applicationName="shop", currentDeploymentGroupName="prod", **members
        )

    @property
    def group(self) -> dict[str, Any]:
        found: dict[str, Any] = self.call(deployment_groups.get_deployment_group, **NAMED)["deploymentGroupInfo"]
        return found

    def move_to(self, name: str) -> None:
        """Make the group one of that Auto Scaling group, as a blue/green deployment does when it ends."""
        group_id = self.group["deploymentGroupId"]

        def work(tx: Transaction) -> None:
            group = group_rows.by_id(tx, group_id)
            assert group is not None
            group_rows.redefine(tx, group_id, {**group.document, "autoScalingGroups": [name]})

        self.store.write(work)

    def look(self) -> None:
        """A look at Auto Scaling, and the ticks that come of it."""
        self.sweeper.sweep()
        self.tick()

    def of(self, creator: str) -> list[dict[str, Any]]:
        """The deployments that were made so, the newest first."""
        ids = self.call(deployments.list_deployments, **NAMED)["deployments"]
        infos = [self.call(deployments.get_deployment, deploymentId=one)["deploymentInfo"] for one in ids]
        return [info for info in infos if info["creator"] == creator]

    def run_all(self, name: str) -> None:
        """Every event of this host, to the end, those included that are the engine's."""
        for _ in range(14):
            if self._progress(name).status.is_final:
                return
            self.run_event(name)
            self.tick()

    def follow(self, creator: str) -> dict[str, Any]:
        """Look at the newest deployment that was made so from now on."""
        info = self.of(creator)[0]
        self.deployment_id = info["deploymentId"]
        return info

    def succeed(self, revision: Any = REVISION) -> str:
        """Deploy to who is in service."""
        members = self.scaling.groups["web"].members
        self.members.zones = {one.instance_id: one.zone for one in members if one.is_in_service}
        deployment_id = self.deploy(revision)
        self.tick()
        for instance in self.members.zones:
            self.run_all(instance)
        self.tick()
        assert self.info["status"] == "Succeeded"
        return deployment_id

    def launch(self, instance_id: str) -> None:
        """An instance comes, is deployed to, and serves."""
        self.scaling.become("web", instance_id, WAITING)
        self.look()
        self.follow("autoscaling")
        self.run_all(instance_id)
        self.tick()
        self.look()


@pytest.fixture
def fleet(database: URL) -> Iterator[Fleet]:
    made = Fleet(database)
    yield made
    made.close()


@pytest.fixture
def ready(fleet: Fleet) -> Fleet:
    """It has its hook, one instance in service, and a revision that was deployed with success."""
    fleet.update(autoScalingGroups=["web"])
    fleet.scaling.become("web", "i-0001", SERVING)
    fleet.succeed()
    fleet.now += 10
    return fleet


# Hooks.


def test_a_group_has_a_hook_on_its_auto_scaling_group_and_says_which(fleet: Fleet) -> None:
    assert fleet.update(autoScalingGroups=["web"]) == {"hooksNotCleanedUp": []}
    hook = fleet.scaling.hook("web")
    assert fleet.group["autoScalingGroups"] == [{"name": "web", "hook": hook}]
    assert re.fullmatch("CodeDeploy-managed-automatic-launch-deployment-hook-prod-[0-9a-f-]{36}", hook)
    made = fleet.scaling.made["web"][hook]
    assert (made.heartbeat_timeout, made.default_result) == (600, HookResult.ABANDON)
    fleet.update(autoScalingGroups=["web"], terminationHookEnabled=True)
    assert fleet.scaling.hook("web") == hook
    leaving = fleet.scaling.hook("web", Transition.TERMINATING)
    assert fleet.group["autoScalingGroups"] == [{"name": "web", "hook": hook, "terminationHook": leaving}]
    fleet.update(terminationHookEnabled=False)
    assert list(fleet.scaling.made["web"]) == [hook]
    fleet.update(autoScalingGroups=[])
    assert fleet.scaling.made["web"] == {}
    fleet.update(autoScalingGroups=["web"])
    assert fleet.scaling.hook("web") != hook


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RoleRightsError("no"), "InvalidRoleException"),
        (LimitReachedError("50"), "LifecycleHookLimitExceededException"),
        (TransientError("away"), "ThrottlingException"),
    ],
)
def test_a_group_whose_hook_cannot_be_made_is_not_changed(fleet: Fleet, error: Any, code: str) -> None:
    fleet.scaling.fails_to_put = error
    with pytest.raises(AwsError) as caught:
        fleet.update(autoScalingGroups=["web"])
    assert caught.value.code == code
    assert fleet.group["autoScalingGroups"] == []
    assert fleet.store.read(lambda tx: lifecycle_hooks.nobodys(tx, fleet.now + 1e6)) == []


def test_what_is_wrong_besides_is_told_first_and_no_hook_is_made(fleet: Fleet) -> None:
    with pytest.raises(AwsError) as caught:
        fleet.update(autoScalingGroups=["web", "nowhere"])
    assert caught.value.code == "InvalidAutoScalingGroupException"
    for role, code in (
        ("arn:aws:iam::1:role/x", "InvalidRoleException"),
        ("arn:aws:iam::111122223333:role/deploy", "DeploymentGroupAlreadyExistsException"),
    ):
        with pytest.raises(AwsError) as caught:
            fleet.hooked("CreateDeploymentGroup", **NAMED, serviceRoleArn=role, autoScalingGroups=["web"])
        assert caught.value.code == code
    assert fleet.scaling.made["web"] == {}


@pytest.mark.parametrize("operation", ["DeleteDeploymentGroup", "DeleteApplication"])
def test_who_goes_takes_its_hooks_along(fleet: Fleet, operation: str) -> None:
    fleet.update(autoScalingGroups=["web"])
    fleet.hooked(operation, **(NAMED if operation == "DeleteDeploymentGroup" else {"applicationName": "shop"}))
    assert fleet.scaling.made["web"] == {}


def test_a_hook_that_cannot_be_removed_is_told_and_tried_again(fleet: Fleet) -> None:
    fleet.update(autoScalingGroups=["web"], terminationHookEnabled=True)
    hooks = {"hook": fleet.scaling.hook("web"), "terminationHook": fleet.scaling.hook("web", Transition.TERMINATING)}
    fleet.scaling.fails_to_delete = TransientError("away")
    assert fleet.hooked("DeleteDeploymentGroup", **NAMED) == {"hooksNotCleanedUp": [{"name": "web", **hooks}]}
    fleet.look()
    assert len(fleet.scaling.made["web"]) == 2
    fleet.scaling.fails_to_delete = None
    fleet.look()
    assert fleet.scaling.made["web"] == {}


def test_hooks_of_an_operation_that_died_half_way_are_removed(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    class PowerCutError(Exception):
        pass

    def cut(*_: Any, **__: Any) -> None:
        raise PowerCutError

    monkeypatch.setattr("longshore.api.auto_scaling._Hooks.remove_spare", lambda *_: None)
    monkeypatch.setattr(lifecycle_hooks, "adopt", cut)
    with pytest.raises(PowerCutError):
        fleet.update(autoScalingGroups=["web"])
    fleet.look()
    assert len(fleet.scaling.made["web"]) == 1
    fleet.now += 601
    fleet.look()
    assert fleet.scaling.made["web"] == {}


def test_a_hook_that_two_calls_made_at_once_is_there_once(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    put = fleet.scaling.put_hook

    def while_another_call_is_faster(*asked: Any) -> None:
        monkeypatch.setattr(fleet.scaling, "put_hook", put)
        fleet.update(autoScalingGroups=["web"])
        put(*asked)

    monkeypatch.setattr(fleet.scaling, "put_hook", while_another_call_is_faster)
    thread = threading.Thread(target=fleet.update, kwargs={"autoScalingGroups": ["web"]})
    thread.start()
    thread.join(30)
    assert fleet.group["autoScalingGroups"] == [{"name": "web", "hook": fleet.scaling.hook("web")}]
    assert fleet.store.read(lambda tx: lifecycle_hooks.nobodys(tx, fleet.now + 1e6)) == []


@pytest.mark.parametrize("is_done", [False, True])
def test_hooks_follow_a_group_that_a_blue_green_deployment_moves(ready: Fleet, is_done: bool) -> None:
    """Whatever call the server is killed in."""
    ready.update(terminationHookEnabled=True)
    for call in range(9):
        before, after = ("web", "green") if call % 2 == 0 else ("green", "web")
        ready.scaling.make(after)
        ready.move_to(after)
        ready.scaling.die_in(call, is_done=is_done)
        for _ in range(3):
            surviving(ready, ready.look)
        ready.scaling.live_on()
        # What a server that died had made, nobody wants.
        ready.now += 601
        ready.look()
        ready.look()
        assert ready.scaling.made[before] == {}
        hooks = {
            "hook": ready.scaling.hook(after),
            "terminationHook": ready.scaling.hook(after, Transition.TERMINATING),
        }
        assert ready.group["autoScalingGroups"] == [{"name": after, **hooks}]


def test_a_group_of_tags_that_a_blue_green_deployment_moves_to_an_auto_scaling_group_gets_its_hook(
    ready: Fleet,
) -> None:
    ready.update(autoScalingGroups=[])
    ready.look()
    assert ready.scaling.made["web"] == {}
    ready.store.write(lambda tx: deployment_rows.enter(tx, ready.deployment_id, Phase.RETIRE, ready.now))
    ready.look()
    assert ready.scaling.made["web"] == {}, "it has none, and wants none"
    ready.move_to("web")
    ready.look()
    assert ready.group["autoScalingGroups"] == [{"name": "web", "hook": ready.scaling.hook("web")}]


def test_hooks_stay_until_those_that_take_their_place_can_be_made(ready: Fleet) -> None:
    ready.scaling.make("green")
    ready.move_to("green")
    ready.scaling.fails_to_put = TransientError("away")
    for _ in range(3):
        ready.look()
    assert len(ready.scaling.made["web"]) == 1
    ready.scaling.fails_to_put = None
    ready.look()
    ready.look()
    assert (len(ready.scaling.made["web"]), len(ready.scaling.made["green"])) == (0, 1)


# Launches.


def test_an_instance_that_is_launched_is_deployed_to_before_it_serves(ready: Fleet) -> None:
    first = ready.deployment_id
    ready.scaling.become("web", "i-0002", WAITING)
    ready.look()
    ready.look()
    (info,) = ready.of("autoscaling")
    assert (info["status"], info["revision"]) == ("InProgress", REVISION)
    group = ready.group
    assert group["lastAttemptedDeployment"]["deploymentId"] == first
    ready.follow("autoscaling")
    assert ready.target("i-0002")["targetArn"].endswith(":instance/i-0002")
    # It boots: nobody expects it within five minutes.
    ready.now += START_TIMEOUT + 10
    ready.look()
    assert ready.info["status"] == "InProgress"
    ready.run_all("i-0002")
    assert ready.info["status"] == "Succeeded"
    events = [event["lifecycleEventName"] for event in ready.target("i-0002")["lifecycleEvents"]]
    assert events == [*IN_PLACE, "BeforeAllowTraffic", "AllowTraffic", "AfterAllowTraffic"]
    ready.look()
    ready.look()
    assert ready.scaling.answers == [(ready.scaling.hook("web"), "i-0002", HookResult.CONTINUE)]
    group = ready.group
    assert group["lastAttemptedDeployment"]["deploymentId"] == first
    assert group["lastSuccessfulDeployment"]["deploymentId"] == first
    assert len(ready.of("autoscaling")) == 1
    assert ready.of("CodeDeployAutoUpdate") == []


def test_a_launch_that_fails_is_abandoned(ready: Fleet) -> None:
    ready.scaling.become("web", "i-0002", WAITING)
    ready.look()
    ready.follow("autoscaling")
    ready.run_event("i-0002", ScriptCode.SCRIPT_FAILED)
    ready.tick()
    assert ready.info["status"] == "Failed"
    ready.look()
    assert ready.scaling.answers == [(ready.scaling.hook("web"), "i-0002", HookResult.ABANDON)]
    assert "i-0002" not in {one.instance_id for one in ready.scaling.groups["web"].members}
    assert ready.group["targetRevision"] == REVISION


def test_an_agent_that_never_comes_fails_the_launch_after_an_hour_of_heartbeats(ready: Fleet) -> None:
    ready.scaling.become("web", "i-0002", WAITING)
    ready.look()
    ready.follow("autoscaling")
    for _ in range(11):
        ready.now += BEAT_EVERY
        ready.look()
    assert (len(ready.scaling.beats), ready.info["status"]) == (11, "InProgress")
    ready.now += BOOT_TIMEOUT - 11 * BEAT_EVERY
    ready.look()
    assert ready.info["status"] == "Failed"
    ready.look()
    assert ready.scaling.answers[0][2] is HookResult.ABANDON


def test_a_group_that_never_had_a_success_lets_instances_go_on(fleet: Fleet) -> None:
    fleet.update(autoScalingGroups=["web"])
    fleet.scaling.become("web", "i-0001", WAITING)
    fleet.look()
    fleet.look()
    assert fleet.scaling.answers == [(fleet.scaling.hook("web"), "i-0001", HookResult.CONTINUE)]
    assert fleet.call(deployments.list_deployments, **NAMED)["deployments"] == []


def test_an_instance_that_dies_while_it_waits_ends_its_deployment(ready: Fleet) -> None:
    ready.scaling.become("web", "i-0002", WAITING)
    ready.look()
    ready.follow("autoscaling")
    ready.scaling.become("web", "i-0002", None)
    ready.look()
    assert ready.info["status"] == "Stopped"
    assert ready.scaling.answers == []
    # An instance of the same name would be another one.
    ready.scaling.become("web", "i-0002", WAITING)
    ready.look()
    assert len(ready.of("autoscaling")) == 2


def test_two_servers_make_one_deployment_and_either_goes_on(ready: Fleet) -> None:
    ready.scaling.become("web", "i-0002", WAITING)
    other = ready.another()
    other.sweep()
    ready.sweeper.sweep()
    other.sweep()
    assert len(ready.of("autoscaling")) == 1
    ready.follow("autoscaling")
    ready.tick()
    ready.run_all("i-0002")
    ready.tick()
    # The one that looked is gone without a word.
    ready.sweeper.sweep()
    assert ready.scaling.answers == []
    ready.now += 31
    ready.sweeper.sweep()
    assert [one[2] for one in ready.scaling.answers] == [HookResult.CONTINUE]


def test_auto_scaling_away_for_a_while_costs_nothing_but_time(ready: Fleet) -> None:
    ready.scaling.become("web", "i-0002", WAITING)
    ready.scaling.fails = TransientError("away")
    ready.look()
    assert ready.of("autoscaling") == []
    ready.scaling.fails = None
    ready.look()
    ready.follow("autoscaling")
    ready.scaling.fails = TransientError("away")
    ready.look()
    assert ready.info["status"] == "InProgress"
    ready.run_all("i-0002")
    ready.tick()
    ready.look()
    ready.scaling.fails = None
    ready.look()
    assert [one[2] for one in ready.scaling.answers] == [HookResult.CONTINUE]


def test_an_auto_scaling_group_that_is_taken_away_ends_what_it_launched(ready: Fleet) -> None:
    """S9.9."""
    ready.scaling.become("web", "i-0002", WAITING)
    ready.look()
    ready.follow("autoscaling")
    ready.update(autoScalingGroups=[])
    ready.look()
    ready.tick()
    assert ready.info["status"] == "Stopped"


def surviving(fleet: Fleet, work: Callable[[], object]) -> None:
    """Do this; who is killed in it is followed by another server."""
    try:
        work()
    except KilledError:
        fleet.store.write(leases.drop_all)
        fleet.sweeper = fleet.another()
        # What was claimed is due again when its lease is over.
        fleet.now += 61


@pytest.mark.parametrize("is_done", [False, True])
def test_a_server_that_is_killed_in_any_call_for_a_launch_is_followed_by_one_that_goes_on(
    ready: Fleet, is_done: bool
) -> None:
    # A look, another look, the answer, looks again.
    for call in range(6):
        ready.now += 1
        instance = f"i-1{call:03}"
        ready.scaling.become("web", instance, WAITING)
        ready.scaling.die_in(call, is_done=is_done)
        for _ in range(8):
            surviving(ready, ready.look)
            ready.now += 1
            if ready.of("autoscaling") and ready.of("autoscaling")[0]["status"] == "InProgress":
                ready.follow("autoscaling")
                ready.run_all(instance)
        member = next(one for one in ready.scaling.groups["web"].members if one.instance_id == instance)
        assert member.is_in_service
        assert len(ready.of("autoscaling")) == call + 1
        assert {one["status"] for one in ready.of("autoscaling")} == {"Succeeded"}


@pytest.mark.parametrize("is_done", [False, True])
def test_a_server_that_is_killed_in_any_call_for_processes_leaves_none_suspended(ready: Fleet, is_done: bool) -> None:
    ready.update(**options("Launch", "Terminate"))
    for call in range(8):
        ready.members.zones = {"i-0001": "eu-central-1a"}
        ready.deploy(NEWER)
        ready.scaling.die_in(call, is_done=is_done)
        for _ in range(6):
            surviving(ready, ready.look)
            if ready.info["status"] == "InProgress":
                ready.run_all("i-0001")
        assert ready.info["status"] == "Succeeded"
        for _ in range(3):
            surviving(ready, ready.look)
        assert ready.scaling.groups["web"].suspended == frozenset()


def test_two_deployment_groups_on_one_auto_scaling_group_both_deploy(ready: Fleet) -> None:
    """S9.4: the instance waits for both, and each answers for itself."""
    other = {**NAMED, "deploymentGroupName": "side"}
    role = "arn:aws:iam::111122223333:role/deploy"
    ready.hooked("CreateDeploymentGroup", **other, serviceRoleArn=role, autoScalingGroups=["web"])
    ready.scaling.keeps_waiting = True
    ready.scaling.become("web", "i-0002", WAITING)
    ready.look()
    # The other one has no revision yet: it lets the instance go on, and is not asked again while that waits.
    ready.look()
    ready.look()
    assert [(one[1], one[2]) for one in ready.scaling.answers] == [("i-0002", HookResult.CONTINUE)]
    ready.follow("autoscaling")
    ready.run_all("i-0002")
    ready.look()
    ready.look()
    assert len(ready.scaling.answers) == 2
    assert len({hook for hook, _, _ in ready.scaling.answers}) == 2
    assert len(ready.of("autoscaling")) == 1


# Fleets, meanwhile.


def test_who_comes_while_a_fleet_is_deployed_to_gets_the_good_revision_and_then_the_new_one(ready: Fleet) -> None:
    """S9.5, S9.6: and the group is deployed to by one fleet deployment at a time all along."""
    ready.members.zones = {"i-0001": "eu-central-1a"}
    root = ready.deploy(NEWER)
    ready.tick()
    ready.launch("i-0002")
    assert ready.of("autoscaling")[0]["revision"] == REVISION
    ready.look()
    assert ready.of("CodeDeployAutoUpdate") == []
    ready.deployment_id = root
    ready.run_all("i-0001")
    ready.tick()
    assert ready.info["status"] == "Succeeded"
    ready.members.zones["i-0002"] = "eu-central-1a"
    ready.look()
    ready.look()
    (update,) = ready.of("CodeDeployAutoUpdate")
    assert (update["revision"], update["updateOutdatedInstancesOnly"]) == (NEWER, True)
    assert update["relatedDeployments"] == {"autoUpdateOutdatedInstancesRootDeploymentId": root}
    assert ready.info["relatedDeployments"] == {"autoUpdateOutdatedInstancesDeploymentIds": [update["deploymentId"]]}
    ready.follow("CodeDeployAutoUpdate")
    assert ready.overview == {"InProgress": 1}
    ready.run_all("i-0002")
    ready.tick()
    ready.look()
    assert len(ready.of("CodeDeployAutoUpdate")) == 1


def test_a_late_joiner_that_cannot_be_updated_is_not_tried_for_ever_and_another_one_is(ready: Fleet) -> None:
    ready.members.zones = {"i-0001": "eu-central-1a"}
    root = ready.deploy(NEWER)
    ready.tick()
    ready.launch("i-0002")
    ready.deployment_id = root
    ready.run_all("i-0001")
    ready.tick()
    ready.members.zones["i-0002"] = "eu-central-1a"
    ready.look()
    ready.follow("CodeDeployAutoUpdate")
    ready.stop()
    ready.tick()
    for _ in range(3):
        ready.now += 10
        ready.look()
    assert len(ready.of("CodeDeployAutoUpdate")) == 1


def test_late_joiners_stay_as_they_are_where_that_is_wanted(ready: Fleet) -> None:
    ready.update(outdatedInstancesStrategy="IGNORE")
    ready.members.zones = {"i-0001": "eu-central-1a"}
    root = ready.deploy(NEWER)
    ready.tick()
    ready.launch("i-0002")
    ready.deployment_id = root
    ready.run_all("i-0001")
    ready.tick()
    ready.look()
    assert ready.of("CodeDeployAutoUpdate") == []


def test_hosts_that_a_failed_fleet_deployment_left_newer_are_not_updated_back(ready: Fleet) -> None:
    ready.scaling.become("web", "i-0003", SERVING)
    ready.members.zones = {"i-0001": "eu-central-1a", "i-0003": "eu-central-1b"}
    ready.deploy(NEWER)
    ready.tick()
    ready.run_all("i-0001")
    ready.stop()
    ready.tick()
    ready.now += START_TIMEOUT + 1
    ready.look()
    assert ready.info["status"] == "Stopped"
    ready.look()
    assert ready.of("CodeDeployAutoUpdate") == []


def test_an_instance_that_leaves_is_asked_to_stop_its_application_and_goes_whatever_comes_of_it(ready: Fleet) -> None:
    """S9.8."""
    ready.update(terminationHookEnabled=True)
    ready.scaling.become("web", "i-0001", LEAVING)
    ready.look()
    info = ready.follow("autoscalingTermination")
    assert info["revision"] == REVISION
    events = [event["lifecycleEventName"] for event in ready.target("i-0001")["lifecycleEvents"]]
    assert events == ["BeforeBlockTraffic", "BlockTraffic", "AfterBlockTraffic", "ApplicationStop"]
    ready.run_event("i-0001")
    ready.tick()
    ready.run_event("i-0001")
    ready.run_event("i-0001", ScriptCode.SCRIPT_FAILED)
    ready.tick()
    assert ready.info["status"] == "Failed"
    ready.look()
    hook = ready.scaling.hook("web", Transition.TERMINATING)
    assert ready.scaling.answers == [(hook, "i-0001", HookResult.CONTINUE)]


# Processes.


def options(*processes: str) -> dict[str, Any]:
    return {"ec2DeploymentOptions": {"autoScalingGroupProcessesToSuspend": list(processes)}}


def test_processes_are_suspended_while_a_fleet_is_deployed_to_and_run_again_after(ready: Fleet) -> None:
    ready.scaling.suspend(cast("Any", None), "web", ["AZRebalance"])
    ready.update(**options("Launch", "AZRebalance"))
    ready.deploy(NEWER)
    ready.tick()
    assert ready.scaling.groups["web"].suspended == {"Launch", "AZRebalance"}
    ready.look()
    assert ready.scaling.groups["web"].suspended == {"Launch", "AZRebalance"}
    ready.stop()
    ready.tick()
    ready.now += START_TIMEOUT + 1
    ready.tick()
    assert ready.is_final
    ready.look()
    assert ready.scaling.groups["web"].suspended == {"AZRebalance"}


def test_processes_run_again_even_when_the_group_is_deleted_under_the_deployment(ready: Fleet) -> None:
    ready.update(**options("Launch"))
    ready.deploy(NEWER)
    ready.tick()
    assert ready.scaling.groups["web"].suspended == {"Launch"}
    ready.hooked("DeleteDeploymentGroup", **NAMED)
    ready.tick()
    ready.now += START_TIMEOUT + 1
    ready.tick()
    ready.look()
    assert ready.scaling.groups["web"].suspended == frozenset()


def test_a_fleet_is_not_touched_before_its_processes_are_suspended(ready: Fleet) -> None:
    ready.update(**options("Launch"))
    ready.deploy(NEWER)
    ready.scaling.fails = TransientError("away")
    ready.tick()
    assert ready.info["status"] == "Created"
    ready.scaling.fails = None
    ready.now += 5
    ready.tick()
    assert ready.info["status"] == "InProgress"
    assert ready.scaling.groups["web"].suspended == {"Launch"}
