"""In-place deployments, through the operations, the rows and the engine (server.md S2, S3, S4, S6)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from longshore.api import deployment_groups, deployments
from longshore.domain.deployment import DEPLOYMENT_TIMEOUT, RUN_TIMEOUT, START_TIMEOUT, ScriptCode
from longshore.domain.revision import identity
from longshore.engine import apply as engine_apply
from longshore.engine import starting
from longshore.store import deployments as deployment_rows
from longshore.store.database import Transaction
from longshore.wire.service import AwsError
from tests.conftest import Databases
from tests.integration.engine.rollout import REVISION, SCOPE, Rollout

HALF, ALL, ONE = (f"CodeDeployDefault.{name}" for name in ("HalfAtATime", "AllAtOnce", "OneAtATime"))
OTHER = {"revisionType": "S3", "s3Location": {"bucket": "releases", "key": "shop-2.zip", "bundleType": "zip"}}


@pytest.fixture
def rollout_of(databases: Databases) -> Iterator[Any]:
    made: list[Rollout] = []

    def make(hosts: int, minimum: Any) -> Rollout:
        made.append(Rollout(databases(), hosts=hosts, minimum=minimum))
        return made[-1]

    yield make
    for rollout in made:
        rollout.close()


def roll_to_the_end(rollout: Rollout) -> None:
    for _ in range(200):
        rollout.tick()
        for name in rollout.ready():
            rollout.run_all(name)
        if rollout.is_final:
            return
    raise AssertionError(f"{rollout.deployment_id} did not end: {rollout.info}")


def test_half_of_nine_hosts_go_at_a_time(rollout_of: Any) -> None:
    """S2.6: 4 at once, and the next starts when one is done."""
    rollout = rollout_of(9, HALF)
    rollout.deploy()
    rollout.tick()
    assert len(rollout.ready()) == 4
    rollout.run_all("web-00")
    rollout.tick()
    assert rollout.overview == {"Pending": 4, "InProgress": 4, "Succeeded": 1}
    roll_to_the_end(rollout)
    assert rollout.info["status"] == "Succeeded"
    assert rollout.overview == {"Succeeded": 9}
    assert "errorInformation" not in rollout.info


def test_a_deployment_with_failures_within_its_means_succeeds_without_an_error(rollout_of: Any) -> None:
    """S11.1, S2.5: AllAtOnce needs one success."""
    rollout = rollout_of(3, ALL)
    rollout.deploy()
    rollout.tick()
    rollout.run_event("web-00", ScriptCode.SCRIPT_FAILED)
    rollout.run_event("web-01", ScriptCode.SCRIPT_FAILED)
    rollout.run_all("web-02")
    rollout.tick()
    assert rollout.info["status"] == "Succeeded"
    assert "errorInformation" not in rollout.info


def test_too_many_failures_end_it_and_leave_the_rest_alone(rollout_of: Any) -> None:
    """S2.13 c, S3.5: those at work finish; those not reached are Skipped."""
    rollout = rollout_of(9, HALF)
    rollout.deploy()
    rollout.tick()
    failing, going_on = rollout.ready()[:3], rollout.ready()[3]
    for name in failing:
        rollout.run_event(name, ScriptCode.SCRIPT_FAILED)
        rollout.tick()
    rollout.run_all(going_on)
    rollout.tick()
    assert rollout.overview == {"Pending": 4, "InProgress": 1, "Failed": 3, "Succeeded": 1}
    last = rollout.ready()[0]
    rollout.run_event(last, ScriptCode.SCRIPT_FAILED)
    rollout.tick()
    assert rollout.info["status"] == "Failed"
    assert rollout.overview == {"Failed": 4, "Skipped": 4, "Succeeded": 1}
    error = rollout.info["errorInformation"]
    assert error["code"] == "HEALTH_CONSTRAINTS"
    assert "web-00, ApplicationStop" in error["message"]


def test_of_many_failures_the_first_is_told(rollout_of: Any) -> None:
    rollout = rollout_of(30, ALL)
    rollout.deploy()
    rollout.tick()
    for name in reversed(rollout.names):
        rollout.now += 1
        rollout.run_event(name, ScriptCode.SCRIPT_FAILED)
    rollout.tick()
    assert "First failure: web-29, ApplicationStop: ScriptFailed" in rollout.info["errorInformation"]["message"]


def test_a_floor_that_cannot_be_kept_touches_nobody(rollout_of: Any) -> None:
    """S2.13 a."""
    rollout = rollout_of(3, {"type": "HOST_COUNT", "value": 3})
    rollout.deploy()
    rollout.tick()
    assert rollout.info["errorInformation"]["code"] == "HEALTH_CONSTRAINTS_INVALID"
    assert rollout.overview == {"Skipped": 3}


@pytest.mark.parametrize("config", [HALF, ALL, ONE])
def test_one_host_is_deployed_to_with_every_predefined_config(rollout_of: Any, config: str) -> None:
    rollout = rollout_of(1, config)
    rollout.deploy()
    roll_to_the_end(rollout)
    assert rollout.info["status"] == "Succeeded"


def test_no_hosts_is_an_error_of_the_deployment(rollout_of: Any) -> None:
    """S7.6, S6.1."""
    rollout = rollout_of(0, HALF)
    rollout.deploy()
    rollout.tick()
    assert rollout.info["errorInformation"]["code"] == "NO_INSTANCES"


def test_a_silent_agent_fails_its_host_after_five_minutes(rollout_of: Any) -> None:
    """S4.1, S3.6."""
    rollout = rollout_of(1, HALF)
    rollout.deploy()
    rollout.tick()
    rollout.now += START_TIMEOUT - 1
    rollout.tick()
    assert rollout.info["status"] == "InProgress"
    rollout.now += 1
    rollout.tick()
    assert rollout.info["status"] == "Failed"
    assert {event["status"] for event in rollout.target("web-00")["lifecycleEvents"]} == {"Skipped"}
    assert "agent did not take up" in rollout.info["errorInformation"]["message"]


def test_a_host_that_goes_silent_between_events_fails_five_minutes_later(rollout_of: Any) -> None:
    """S14.1: however long before the engine looked last."""
    rollout = rollout_of(1, HALF)
    rollout.deploy()
    rollout.tick()
    rollout.now += 200
    rollout.run_event("web-00")
    rollout.now += START_TIMEOUT
    rollout.tick()
    assert rollout.info["status"] == "Failed"


def test_a_host_that_dies_in_an_event_is_given_an_hour(rollout_of: Any) -> None:
    """S4.2."""
    rollout = rollout_of(1, HALF)
    rollout.deploy()
    rollout.tick()
    rollout.take_up("web-00")
    for _ in range(int(RUN_TIMEOUT / 100) - 1):
        rollout.now += 100
        rollout.tick()
    assert rollout.info["status"] == "InProgress"
    rollout.now += 100
    rollout.tick()
    assert rollout.info["status"] == "Failed"
    events = rollout.target("web-00")["lifecycleEvents"]
    assert [event["status"] for event in events] == ["Failed"] + ["Skipped"] * 6


def test_a_deployment_may_not_last_for_ever(rollout_of: Any) -> None:
    """S4.4."""
    rollout = rollout_of(4, ONE)
    rollout.deploy()
    rollout.tick()
    rollout.now += DEPLOYMENT_TIMEOUT - 1
    for name in rollout.ready():
        rollout.take_up(name)
    rollout.now += 2
    rollout.tick()
    rollout.complete(rollout.running()[0])
    rollout.tick()
    assert rollout.info["errorInformation"]["code"] == "TIMEOUT"
    assert "Pending" not in rollout.overview


def test_stopping_lets_running_events_finish_and_starts_no_others(rollout_of: Any) -> None:
    """S6.5, S6.6, S6.8."""
    rollout = rollout_of(6, HALF)
    rollout.deploy()
    rollout.tick()
    running, failing, waiting = rollout.ready()
    rollout.take_up(running)
    rollout.take_up(failing)
    assert rollout.stop()["status"] == "Pending"
    rollout.tick()
    assert rollout.info["status"] == "InProgress"
    assert rollout.ready() == []
    rollout.complete(running)
    rollout.complete(failing, ScriptCode.SCRIPT_FAILED)
    rollout.tick()
    assert rollout.info["status"] == "Stopped"
    assert rollout.info["errorInformation"]["code"] == "MANUAL_STOP"
    assert "111122223333:root" in rollout.info["errorInformation"]["message"]
    assert rollout.overview == {"Failed": 1, "Skipped": 5}
    assert [event["status"] for event in rollout.target(running)["lifecycleEvents"]] == ["Succeeded"] + ["Skipped"] * 6
    assert {event["status"] for event in rollout.target(waiting)["lifecycleEvents"]} == {"Skipped"}
    assert rollout.stop()["status"] == "Succeeded"


def test_a_finished_deployment_cannot_be_stopped(rollout_of: Any) -> None:
    rollout = rollout_of(1, HALF)
    rollout.deploy()
    roll_to_the_end(rollout)
    with pytest.raises(AwsError) as refused:
        rollout.stop()
    assert refused.value.code == "DeploymentAlreadyCompletedException"


def test_a_group_takes_one_deployment_at_a_time(rollout_of: Any) -> None:
    """S6.2: tools take the id out of the message."""
    rollout = rollout_of(1, HALF)
    first = rollout.deploy()
    with pytest.raises(AwsError) as refused:
        rollout.deploy()
    assert refused.value.code == "DeploymentLimitExceededException"
    assert f"already has an active Deployment '{first}'" in refused.value.message
    assert "prod" in refused.value.message
    roll_to_the_end(rollout)
    rollout.deploy()


def test_only_outdated_hosts_are_updated_when_asked(rollout_of: Any) -> None:
    """S6.17, S6.21: who does not run the revision that is deployed; where that is nobody, it is a success."""
    rollout = rollout_of(3, ALL)
    rollout.deploy()
    rollout.tick()
    rollout.run_event("web-00", ScriptCode.SCRIPT_FAILED)
    roll_to_the_end(rollout)
    rollout.deploy(updateOutdatedInstancesOnly=True)
    roll_to_the_end(rollout)
    assert rollout.overview == {"Succeeded": 1}
    assert rollout.target("web-00")["status"] == "Succeeded"
    rollout.deploy(updateOutdatedInstancesOnly=True)
    roll_to_the_end(rollout)
    assert rollout.info["status"] == "Succeeded"
    assert rollout.overview == {}
    assert "has the revision already" in rollout.info["additionalDeploymentStatusInfo"]
    assert "errorInformation" not in rollout.info
    # The first of them gets another revision before that deployment fails; the others are behind it then.
    rollout.deploy(revision=OTHER, deploymentConfigName=ONE)
    rollout.tick()
    rollout.run_all("web-00")
    rollout.tick()
    rollout.run_event("web-01", ScriptCode.SCRIPT_FAILED)
    roll_to_the_end(rollout)
    rollout.deploy(revision=OTHER, updateOutdatedInstancesOnly=True)
    roll_to_the_end(rollout)
    assert rollout.overview == {"Succeeded": 2}
    assert {rollout.target(name)["status"] for name in ("web-01", "web-02")} == {"Succeeded"}


def test_unhealthy_hosts_go_first(rollout_of: Any) -> None:
    """S2.12."""
    rollout = rollout_of(4, ALL)
    rollout.deploy()
    rollout.tick()
    rollout.run_event("web-02", ScriptCode.SCRIPT_FAILED)
    roll_to_the_end(rollout)
    rollout.deploy(revision=OTHER, deploymentConfigName=ONE)
    rollout.tick()
    assert rollout.ready() == ["web-02"]


def test_what_a_group_knows_of_its_hosts_comes_of_what_happened_to_each(rollout_of: Any) -> None:
    """S2.11, S2.18, S2.19: their own result, where there was one; who was Current and did not succeed is Unknown."""
    rollout = rollout_of(4, ALL)
    first, second, third = ({**REVISION, "s3Location": {**REVISION["s3Location"], "key": key}} for key in "123")  # type: ignore[dict-item]

    def known() -> dict[str, tuple[bool, str | None]]:
        def look(tx: Transaction) -> dict[str, tuple[bool, str | None]]:
            deployment = deployment_rows.get(tx, rollout.deployment_id)
            assert deployment is not None
            return deployment_rows.group_health(tx, deployment.group_id)

        return {name[-1]: standing for name, standing in rollout.store.read(look).items()}

    rollout.deploy(revision=first)
    roll_to_the_end(rollout)
    assert known() == dict.fromkeys("0123", (True, identity(first)))

    # Stopped by the failure of the second, which nobody knows now what it runs; the others were not touched.
    rollout.deploy(revision=second, deploymentConfigName=ONE)
    rollout.tick()
    rollout.run_all("web-00")
    rollout.tick()
    rollout.run_event("web-01", ScriptCode.SCRIPT_FAILED)
    roll_to_the_end(rollout)
    assert rollout.info["status"] == "Failed"
    assert known() == {
        "0": (True, identity(second)),
        "1": (False, None),
        "2": (True, identity(first)),
        "3": (True, identity(first)),
    }

    rollout.deploy(revision=third)
    rollout.tick()
    rollout.run_event("web-00", ScriptCode.SCRIPT_FAILED)
    rollout.run_event("web-02", ScriptCode.SCRIPT_FAILED)
    roll_to_the_end(rollout)
    assert rollout.info["status"] == "Succeeded"
    assert known() == {
        "0": (False, identity(second)),
        "1": (True, identity(third)),
        "2": (False, None),
        "3": (True, identity(third)),
    }


def test_a_failed_stop_script_is_passed_over_when_asked(rollout_of: Any) -> None:
    """S6.15."""
    rollout = rollout_of(1, HALF)
    rollout.deploy(ignoreApplicationStopFailures=True)
    rollout.tick()
    rollout.run_event("web-00", ScriptCode.SCRIPT_FAILED)
    roll_to_the_end(rollout)
    assert rollout.info["status"] == "Succeeded"
    assert rollout.target("web-00")["lifecycleEvents"][0]["status"] == "Failed"


def test_a_failed_deployment_leaves_the_groups_revision_as_it_was(rollout_of: Any) -> None:
    """S7.24, S7.26, S2.19."""
    rollout = rollout_of(1, HALF)
    rollout.deploy()
    roll_to_the_end(rollout)
    rollout.deploy(revision=OTHER)
    rollout.tick()
    rollout.run_event("web-00", ScriptCode.SCRIPT_FAILED)
    rollout.tick()
    assert rollout.info["status"] == "Failed"
    rollout.deploy(revision=OTHER)
    assert rollout.info["previousRevision"] == REVISION


def test_more_hosts_than_a_deployment_or_the_account_may_have(rollout_of: Any) -> None:
    """S1.12, S1.16: found out at the start, before any host is touched; those of deployments under way count."""
    rollout = rollout_of(3, ALL)
    rollout.world = replace(rollout.world, max_targets=2)
    rollout.deploy()
    rollout.tick()
    assert rollout.info["errorInformation"]["code"] == "OVER_MAX_INSTANCES"
    rollout.world = replace(rollout.world, max_targets=3, max_active_targets=5)
    rollout.deploy()
    rollout.tick()
    assert rollout.info["status"] == "InProgress"
    rollout.call(
        deployment_groups.create_deployment_group,
        applicationName="shop",
        deploymentGroupName="other",
        serviceRoleArn="arn:aws:iam::111122223333:role/deploy",
        onPremisesInstanceTagFilters=[{"Key": "role", "Type": "KEY_ONLY"}],
    )
    refused = rollout.call(
        deployments.create_deployment, applicationName="shop", deploymentGroupName="other", revision=REVISION
    )["deploymentId"]
    rollout.tick()
    told = rollout.call(deployments.get_deployment, deploymentId=refused)["deploymentInfo"]
    assert told["errorInformation"]["code"] == "OVER_MAX_INSTANCES"
    assert "at once" in told["errorInformation"]["message"]
    assert told["deploymentOverview"]["Skipped"] == 0


def test_two_deployments_that_begin_at_once_never_have_more_hosts_than_the_account_may(rollout_of: Any) -> None:
    """Both plans are made before either is carried out: each has room for itself, and not for the other."""
    rollout = rollout_of(3, ALL)
    rollout.world = replace(rollout.world, max_active_targets=5)
    rollout.deploy()
    rollout.call(
        deployment_groups.create_deployment_group,
        applicationName="shop",
        deploymentGroupName="other",
        serviceRoleArn="arn:aws:iam::111122223333:role/deploy",
        onPremisesInstanceTagFilters=[{"Key": "role", "Type": "KEY_ONLY"}],
    )
    rollout.call(deployments.create_deployment, applicationName="shop", deploymentGroupName="other", revision=REVISION)
    claims = [rollout.claim(), rollout.claim()]
    rows = [rollout.store.read(lambda tx, one=one: deployment_rows.get(tx, one.deployment_id)) for one in claims]
    plans = [starting.plan(rollout.world, row, rollout.now) for row in rows]
    assert all(plan.begin is not None and plan.finish is None for plan in plans)
    for claim, row, plan in zip(claims, rows, plans, strict=True):
        rollout.store.write(
            lambda tx, claim=claim, row=row, plan=plan: engine_apply.apply(tx, claim, row, plan, rollout.now)
        )
    assert rollout.store.read(lambda tx: deployment_rows.count_active_targets(tx, SCOPE)) == 3
    # The one that came second is looked at again at once, and told what stands in its way.
    rollout.tick()
    told = [
        rollout.call(deployments.get_deployment, deploymentId=one.deployment_id)["deploymentInfo"] for one in claims
    ]
    assert sorted(one["status"] for one in told) == ["Failed", "InProgress"]
    (failed,) = [one for one in told if one["status"] == "Failed"]
    assert failed["errorInformation"]["code"] == "OVER_MAX_INSTANCES"
    assert failed["deploymentOverview"]["Pending"] == failed["deploymentOverview"]["InProgress"] == 0
