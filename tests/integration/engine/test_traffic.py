"""In place with a load balancer: hosts leave it before they are touched, and come back healthy or fail (S7.10)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy.engine import URL

from longshore.api import applications, deployment_groups, deployments, plans
from longshore.domain.balancing import TrafficState
from longshore.domain.deployment import ScriptCode
from longshore.domain.lifecycle import IN_PLACE_WITH_TRAFFIC
from longshore.engine import runner as engine_runner
from longshore.engine import tick as engine_tick
from longshore.engine.tick import abandon
from longshore.engine.traffic import Traffic
from longshore.providers.ports import NoBalancerError, RoleRightsError, TransientError
from tests.integration.engine.rollout import REVISION, Rollout

Make = Callable[..., Rollout]
ONE_AT_A_TIME = "CodeDeployDefault.OneAtATime"
ALL_AT_ONCE = "CodeDeployDefault.AllAtOnce"


@pytest.fixture
def make(database: URL) -> Iterator[Make]:
    made: list[Rollout] = []

    def one(*, hosts: int, minimum: Any = ALL_AT_ONCE, registered: int = 0) -> Rollout:
        rollout = Rollout(database, hosts=registered, minimum=minimum)
        made.append(rollout)
        rollout.balance(hosts)
        return rollout

    yield one
    for each in made:
        each.close()


def test_a_host_leaves_is_deployed_to_and_comes_back(make: Make) -> None:
    rollout = make(hosts=1)
    (host,) = rollout.instances
    rollout.deploy()
    rollout.tick()
    assert tuple(rollout.events(host)) == IN_PLACE_WITH_TRAFFIC
    rollout.run_event(host)
    rollout.tick()
    assert rollout.events(host)["BlockTraffic"] == "InProgress"
    assert rollout.balancers.hosts["web"][host] is TrafficState.DRAINING
    rollout.pass_time()
    assert rollout.events(host)["BlockTraffic"] == "InProgress", "requests are still under way"
    rollout.balancers.follow()
    rollout.pass_time()
    assert rollout.events(host)["BlockTraffic"] == "Succeeded"
    rollout.run_until(host, "AllowTraffic")
    rollout.pass_time()
    assert rollout.balancers.hosts["web"][host] is TrafficState.INITIAL
    rollout.balancers.follow(healthy=False)
    rollout.pass_time()
    assert rollout.events(host)["AllowTraffic"] == "InProgress", "it is not healthy yet"
    rollout.balancers.hosts["web"][host] = TrafficState.HEALTHY
    rollout.pass_time()
    rollout.run_event(host)
    rollout.tick()
    assert rollout.info["status"] == "Succeeded"
    assert set(rollout.events(host).values()) == {"Succeeded"}


def test_a_wave_goes_with_one_call(make: Make) -> None:
    rollout = make(hosts=300)
    rollout.deploy()
    rollout.tick()
    for host in rollout.instances:
        rollout.run_event(host)
        # Agents answer one after the other; each answer wakes the engine.
        rollout.tick()
    rollout.pass_time()
    rollout.balancers.follow()
    rollout.pass_time()
    assert rollout.balancers.calls["deregister"] <= 2
    assert rollout.balancers.calls["backends"] <= 5
    assert {rollout.events(host)["BlockTraffic"] for host in rollout.instances} == {"Succeeded"}


def test_one_that_is_never_healthy_fails_after_an_hour_and_says_why(make: Make) -> None:
    rollout = make(hosts=3, minimum=ONE_AT_A_TIME)
    rollout.deploy()
    first = rollout.go_on(until=lambda: rollout.at("AllowTraffic"))[0]
    rollout.pass_time()
    rollout.balancers.follow(healthy=False)
    for _ in range(6):
        rollout.pass_time(599.0)
        assert rollout.events(first)["AllowTraffic"] == "InProgress"
    rollout.pass_time(10.0)
    assert rollout.target(first)["status"] == "Failed"
    said = rollout.diagnostics(first, "AllowTraffic")
    assert said["errorCode"] == "UnknownError"
    assert "unhealthy" in said["message"]
    assert rollout.info["status"] == "Failed"
    assert "unhealthy" in rollout.info["errorInformation"]["message"]
    assert rollout.overview == {"Failed": 1, "Skipped": 2}


@pytest.mark.parametrize("event", IN_PLACE_WITH_TRAFFIC)
def test_a_host_that_dies_in_any_event_is_one_that_failed(make: Make, event: str) -> None:
    """The others are deployed to, and nobody waits for it longer than an event may take."""
    rollout = make(hosts=4, minimum={"type": "HOST_COUNT", "value": 2})
    rollout.deploy()
    victim, *_ = rollout.go_on(until=lambda: rollout.at(event))
    for _ in range(400):
        rollout.tick()
        for name in rollout.ready():
            if name != victim:
                rollout.run_event(name)
        rollout.balancers.follow()
        if victim in rollout.balancers.hosts["web"]:
            rollout.balancers.hosts["web"][victim] = TrafficState.UNHEALTHY
        rollout.now += 20.0
        if rollout.is_final:
            break
    assert (rollout.info["status"], rollout.overview) == ("Succeeded", {"Succeeded": 3, "Failed": 1})
    assert rollout.target(victim)["status"] == "Failed"
    healthy = [name for name, state in rollout.balancers.hosts["web"].items() if state is TrafficState.HEALTHY]
    assert sorted(healthy) == [name for name in rollout.instances if name != victim]


def test_balancers_that_do_not_answer_for_two_minutes_are_waited_for(make: Make) -> None:
    rollout = make(hosts=2)
    rollout.deploy()
    rollout.tick()
    for host in rollout.instances:
        rollout.run_event(host)
    rollout.balancers.fails = TransientError("gives no answer")
    for _ in range(40):
        rollout.pass_time(3.0)
        assert rollout.overview == {"InProgress": 2}
    rollout.balancers.fails = None
    rollout.go_on()
    assert rollout.info["status"] == "Succeeded"


@pytest.mark.parametrize(
    ("error", "code"),
    [(NoBalancerError, "ELASTIC_LOAD_BALANCING_INVALID"), (RoleRightsError, "IAM_ROLE_PERMISSIONS")],
)
def test_a_balancer_that_is_not_there(make: Make, error: type[NoBalancerError | RoleRightsError], code: str) -> None:
    rollout = make(hosts=2, minimum=ONE_AT_A_TIME)
    rollout.balancers.fails = error("there is none")
    rollout.deploy()
    rollout.tick()
    assert (rollout.info["status"], rollout.info["errorInformation"]["code"]) == ("Failed", code)
    assert rollout.overview == {}, "no host was touched"


def test_a_balancer_that_goes_away_meanwhile(make: Make) -> None:
    rollout = make(hosts=2, minimum=ONE_AT_A_TIME)
    rollout.deploy()
    rollout.go_on(until=lambda: rollout.at("AllowTraffic"))
    rollout.balancers.fails = NoBalancerError("there is none any more")
    rollout.pass_time()
    rollout.pass_time()
    assert rollout.info["status"] == "Failed"
    assert rollout.info["errorInformation"]["code"] == "ELASTIC_LOAD_BALANCING_INVALID"
    assert rollout.overview == {"Failed": 1, "Skipped": 1}


def test_an_instance_that_cannot_be_registered(make: Make) -> None:
    rollout = make(hosts=1)
    (host,) = rollout.instances
    rollout.balancers.refuses = {host: "it is in another VPC"}
    rollout.deploy()
    rollout.go_on()
    assert rollout.info["errorInformation"]["code"] == "ELB_INVALID_INSTANCE"
    assert "another VPC" in rollout.diagnostics(host, "AllowTraffic")["message"]


def test_a_group_that_names_no_balancer_any_more(make: Make) -> None:
    rollout = make(hosts=1)
    rollout.deploy()
    rollout.change_document(loadBalancerInfo={})
    rollout.tick()
    assert rollout.info["errorInformation"]["code"] == "MISSING_ELB_INFORMATION"


def test_registered_instances_pass_the_traffic_events(make: Make) -> None:
    rollout = make(hosts=1, registered=1)
    rollout.deploy()
    rollout.go_on()
    assert rollout.info["status"] == "Succeeded"
    assert tuple(rollout.events(rollout.names[0])) == IN_PLACE_WITH_TRAFFIC
    assert rollout.names[0] not in rollout.balancers.hosts["web"]


def test_stopping_puts_back_who_was_not_touched_and_nobody_else(make: Make) -> None:
    rollout = make(hosts=4)
    leaving, left, working, fresh = rollout.instances
    rollout.deploy()
    rollout.tick()
    for host in (left, working):
        rollout.run_event(host)
    rollout.pass_time()
    rollout.balancers.follow()
    rollout.pass_time()
    rollout.run_until(working, "Install")
    rollout.take_up(working)
    rollout.run_event(leaving)
    rollout.pass_time()
    assert rollout.events(leaving)["BlockTraffic"] == "InProgress"
    said = rollout.stop()
    assert said["status"] == "Pending"
    assert f"{working} gets no traffic: it is out of target group web, and half deployed to" in said["statusMessage"]
    rollout.pass_time()
    rollout.complete(working)
    rollout.pass_time()
    rollout.pass_time()
    rollout.pass_time()
    assert rollout.info["status"] == "Stopped"
    assert rollout.overview == {"Skipped": 4}
    there = rollout.balancers.hosts["web"]
    assert there[leaving] is TrafficState.INITIAL
    assert there[left] is TrafficState.INITIAL
    assert there[fresh] is TrafficState.HEALTHY
    assert working not in there, "it is half deployed to"
    message = rollout.info["errorInformation"]["message"]
    assert f"{working} gets no traffic: it is out of target group web" in message
    assert "A deployment puts back whom it succeeds on" in message
    assert rollout.stop()["statusMessage"] == message


def test_a_stop_does_not_end_before_hosts_are_back_nor_wait_for_ever(make: Make) -> None:
    rollout = make(hosts=1)
    (host,) = rollout.instances
    rollout.deploy()
    rollout.go_on(until=lambda: rollout.at("BlockTraffic"))
    rollout.pass_time()
    rollout.balancers.fails = TransientError("gives no answer")
    rollout.stop()
    for _ in range(5):
        rollout.pass_time(60.0)
        assert rollout.info["status"] == "InProgress"
    rollout.pass_time(400.0)
    rollout.pass_time(1.0)
    assert rollout.info["status"] == "Stopped"
    assert "gets no traffic" in rollout.diagnostics(host, "BlockTraffic")["message"]


def test_a_script_that_fails_before_anything_was_touched_brings_its_host_back(make: Make) -> None:
    rollout = make(hosts=2, minimum=ONE_AT_A_TIME)
    rollout.deploy()
    (host,) = rollout.go_on(until=lambda: rollout.at("AfterBlockTraffic"))
    rollout.run_event(host, ScriptCode.SCRIPT_FAILED)
    rollout.pass_time()
    rollout.pass_time()
    assert rollout.target(host)["status"] == "Failed"
    assert rollout.balancers.serving(host)
    rollout.pass_time()
    assert rollout.info["status"] == "Failed"


def test_stop_failures_are_forgiven_at_the_traffic_events_too(make: Make) -> None:
    rollout = make(hosts=1)
    (host,) = rollout.instances
    rollout.deploy(ignoreApplicationStopFailures=True)
    rollout.tick()
    rollout.run_event(host, ScriptCode.SCRIPT_FAILED)
    rollout.go_on(until=lambda: rollout.at("AfterBlockTraffic"))
    rollout.run_event(host, ScriptCode.SCRIPT_FAILED)
    rollout.run_event(host, ScriptCode.SCRIPT_FAILED)
    rollout.go_on()
    assert rollout.info["status"] == "Succeeded"
    failed = [name for name, status in rollout.events(host).items() if status == "Failed"]
    assert failed == ["BeforeBlockTraffic", "AfterBlockTraffic", "ApplicationStop"]


def test_a_crash_between_the_act_and_the_commit_is_made_good_by_the_next_look(make: Make) -> None:
    rollout = make(hosts=2)
    rollout.deploy()
    rollout.tick()
    for host in rollout.instances:
        rollout.run_event(host)
    claim = rollout.claim()
    assert claim is not None
    with rollout.dying_after_the_act(), pytest.raises(RuntimeError, match="killed"):
        rollout.tick_with(claim)
    assert rollout.balancers.calls["deregister"] == 1
    rollout.now += 100.0
    rollout.go_on()
    assert rollout.info["status"] == "Succeeded"


def test_a_registered_instance_behind_a_load_balancer_by_its_address(make: Make) -> None:
    rollout = make(hosts=1, registered=2)
    rollout.mean(loadBalancerInfo={"targetGroupInfoList": [{"name": "web"}, {"name": "addresses"}]})
    with_one, without = rollout.names
    rollout.tag(with_one, "longshore:address", "10.0.3.17:8081")
    place = "10.0.3.17:8081"
    rollout.balancers.hosts["addresses"] = {place: TrafficState.HEALTHY}
    rollout.deploy()
    rollout.go_on(until=lambda: rollout.at("Install"))
    assert place not in rollout.balancers.hosts["addresses"]
    rollout.go_on()
    assert rollout.info["status"] == "Succeeded"
    assert rollout.balancers.hosts["addresses"] == {place: TrafficState.HEALTHY}
    assert set(rollout.balancers.hosts["web"]) == set(rollout.instances)
    assert rollout.target(without)["status"] == "Succeeded"


def test_an_address_that_is_none_fails_its_host_and_says_so(make: Make) -> None:
    rollout = make(hosts=0, registered=1)
    (host,) = rollout.names
    rollout.tag(host, "longshore:address", "web-1.example.com")
    rollout.deploy()
    rollout.go_on()
    assert rollout.info["errorInformation"]["code"] == "ELB_INVALID_INSTANCE"
    assert "web-1.example.com" in rollout.diagnostics(host, "BlockTraffic")["message"]


def test_hosts_that_share_an_address_go_out_together(make: Make) -> None:
    rollout = make(hosts=0, registered=2, minimum=ONE_AT_A_TIME)
    rollout.mean(loadBalancerInfo={"targetGroupInfoList": [{"name": "addresses"}]})
    for host in rollout.names:
        rollout.tag(host, "longshore:address", "10.0.3.17")
    rollout.balancers.hosts["addresses"] = {"10.0.3.17": TrafficState.HEALTHY}
    rollout.deploy()
    rollout.go_on()
    assert rollout.info["status"] == "Succeeded"
    assert rollout.balancers.hosts["addresses"] == {"10.0.3.17": TrafficState.HEALTHY}


def test_a_plan_tells_of_addresses_that_are_none_or_shared(make: Make) -> None:
    rollout = make(hosts=0, registered=3)
    for host, address in zip(rollout.names, ("10.0.3.17", "10.0.3.17", "nowhere"), strict=True):
        rollout.tag(host, "longshore:address", address)
    rollout.mean(ec2TagFilters=[])
    plan = rollout.call(plans.plan_deployment, applicationName="shop", deploymentGroupName="prod", revision=REVISION)
    problems = {one["code"]: one["message"] for one in plan["problems"]}
    assert plan["loadBalancers"] == ["target group web"]
    assert tuple(plan["lifecycleEvents"]) == IN_PLACE_WITH_TRAFFIC
    assert "web-00, web-01 are all at 10.0.3.17" in problems["ADDRESS_SHARED"]
    assert "web-02" in problems["ADDRESS_INVALID"]


def test_who_is_left_out_by_a_success_is_told_too(make: Make) -> None:
    rollout = make(hosts=2)
    bad, good = rollout.instances
    rollout.deploy()
    rollout.go_on(until=lambda: [one for one in rollout.at("Install") if len(rollout.at("Install")) == 2])
    rollout.run_event(bad, ScriptCode.SCRIPT_FAILED)
    rollout.go_on()
    assert rollout.info["status"] == "Succeeded"
    (message,) = rollout.info["deploymentStatusMessages"]
    assert message.startswith(f"{bad} gets no traffic: it is out of target group web")
    assert good not in message


def test_who_is_left_out_comes_back_by_the_rollback(make: Make) -> None:
    rollout = make(hosts=2, minimum=ONE_AT_A_TIME)
    rollout.mean(autoRollbackConfiguration={"enabled": True, "events": ["DEPLOYMENT_FAILURE"]})
    rollout.deploy()
    rollout.go_on()
    rollout.now += 10.0
    rollout.deploy({**REVISION, "s3Location": {**REVISION["s3Location"], "key": "shop-2.zip"}})
    (bad,) = rollout.go_on(until=lambda: rollout.at("Install"))
    rollout.run_event(bad, ScriptCode.SCRIPT_FAILED)
    rollout.go_on()
    again = rollout.info["rollbackInfo"]["rollbackDeploymentId"]
    message = rollout.info["errorInformation"]["message"]
    assert f"{bad} gets no traffic: it is out of target group web" in message
    assert f"Deployment {again}, which rolls this one back, puts back whom it succeeds on." in message
    rollout.deployment_id = again
    rollout.go_on()
    assert rollout.info["status"] == "Succeeded"
    assert rollout.balancers.hosts["web"][bad] is TrafficState.HEALTHY
    assert not rollout.info["deploymentStatusMessages"]


def test_a_deleted_group_leaves_out_nobody_who_is_as_he_was(make: Make) -> None:
    """Its role is remembered as long as there is something to do by it."""
    rollout = make(hosts=2)
    untouched, touched = rollout.instances
    rollout.deploy()
    rollout.go_on(until=lambda: [one for one in rollout.at("AfterBlockTraffic") if rollout.at("AfterBlockTraffic")[1:]])
    rollout.run_until(touched, "Install")
    rollout.balancers.roles.clear()
    delete = {"applicationName": "shop", "deploymentGroupName": "prod"}
    rollout.call(deployment_groups.delete_deployment_group, **delete)
    for _ in range(4):
        rollout.pass_time()
    assert rollout.info["errorInformation"]["code"] == "DEPLOYMENT_GROUP_MISSING"
    assert rollout.balancers.serving(untouched)
    assert not rollout.balancers.serving(touched)
    assert rollout.balancers.roles == {"arn:aws:iam::111122223333:role/deploy"}
    message = rollout.info["errorInformation"]["message"]
    assert f"{touched} gets no traffic: it is out of target group web" in message
    assert "register them there yourself" in message


def test_an_application_that_is_deleted_does_the_same(make: Make) -> None:
    rollout = make(hosts=1)
    (host,) = rollout.instances
    rollout.deploy()
    rollout.go_on(until=lambda: rollout.at("AfterBlockTraffic"))
    rollout.call(applications.delete_application, applicationName="shop")
    for _ in range(4):
        rollout.pass_time()
    assert rollout.info["errorInformation"]["code"] == "APPLICATION_MISSING"
    assert rollout.balancers.serving(host)


def given_up(rollout: Rollout) -> None:
    """As the runner does it when the ticks of a deployment fail again and again."""
    rollout.call(deployments.stop_deployment, deploymentId=rollout.deployment_id)  # has it looked at now
    claim = rollout.claim()
    assert claim is not None
    abandon(rollout.world, claim, rollout.now)


def test_a_deployment_that_is_given_up_puts_back_whom_it_can(make: Make) -> None:
    """Also where another server goes on after a crash."""
    rollout = make(hosts=3)
    untouched, touched, arriving = rollout.instances
    rollout.deploy()
    rollout.go_on(until=lambda: [one for one in rollout.at("AfterBlockTraffic") if rollout.at("AfterBlockTraffic")[2:]])
    rollout.run_until(touched, "Install")
    rollout.take_up(touched)
    rollout.run_until(arriving, "AllowTraffic")
    given_up(rollout)
    assert rollout.info["errorInformation"]["code"] == "INTERNAL_ERROR"
    rollout.world = replace(rollout.world, traffic=Traffic(rollout.balancers))
    rollout.pass_time()
    assert rollout.balancers.serving(untouched)
    assert rollout.info["status"] == "InProgress", "a host is at work, and another one comes back"
    rollout.balancers.follow()
    rollout.pass_time()
    rollout.complete(touched)
    rollout.pass_time()
    rollout.pass_time()
    assert (rollout.info["status"], rollout.overview) == ("Failed", {"Skipped": 3})
    message = rollout.info["errorInformation"]["message"]
    assert "its log says why" in message
    assert f"{touched} gets no traffic: it is out of target group web" in message
    assert rollout.balancers.serving(arriving)


def test_given_up_because_of_the_balancers_it_says_whom_it_leaves_out(make: Make, monkeypatch: Any) -> None:
    rollout = make(hosts=2)
    rollout.deploy()
    rollout.go_on(until=lambda: [one for one in rollout.at("AfterBlockTraffic") if rollout.at("AfterBlockTraffic")[1:]])
    busy, idle = rollout.instances
    rollout.take_up(busy)
    monkeypatch.setattr(rollout.balancers, "backends", {}.__getitem__)
    given_up(rollout)
    rollout.pass_time()
    assert rollout.info["status"] == "InProgress"
    rollout.complete(busy)
    rollout.pass_time()
    rollout.pass_time()
    assert rollout.info["status"] == "Failed"
    assert (
        f"{busy}, {idle} get no traffic: they are out of target group web"
        in rollout.info["errorInformation"]["message"]
    )
    assert rollout.info["completeTime"] < rollout.now + 1.0


def test_a_deployment_whose_ticks_fail_is_given_up_by_the_runner(make: Make, monkeypatch: Any) -> None:
    """The real threads and leases; what fails is the decision, each time."""
    rollout = make(hosts=1)
    (host,) = rollout.instances
    rollout.deploy()
    rollout.go_on(until=lambda: rollout.at("AfterBlockTraffic"))
    monkeypatch.setattr(engine_runner, "_PAUSE_AFTER_ERROR", 0.001)
    monkeypatch.setattr(engine_tick, "decide", {}.__getitem__)
    runner = engine_runner.Runner(rollout.world, clock=lambda: rollout.now)
    runner.start()
    try:
        end = time.monotonic() + 30.0
        while not rollout.is_final:
            assert time.monotonic() < end, "it is never given up"
            rollout.now += 0.5
            time.sleep(0.02)
    finally:
        assert runner.stop()
    assert rollout.info["errorInformation"]["code"] == "INTERNAL_ERROR"
    assert rollout.balancers.serving(host)
