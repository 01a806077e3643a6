"""Alarms, through the operations, the rows and the engine (server.md S6.19, S7.22, S7.23)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy.engine import URL

from longshore.api import deployment_groups
from longshore.domain.alarms import AlarmState
from longshore.engine.alarms import LOOK_EVERY, PATIENCE
from longshore.providers.ports import RoleRightsError
from tests.integration.engine.rollout import REVISION, Rollout

CALM = {"errors": AlarmState.OK, "latency": AlarmState.OK}
ALARMED = {**CALM, "latency": AlarmState.ALARM}
BROKEN = {"revisionType": "S3", "s3Location": {"bucket": "releases", "key": "shop-2.zip", "bundleType": "zip"}}


def watching(*, ignore: bool = False) -> dict[str, Any]:
    return {
        "enabled": True,
        "ignorePollAlarmFailure": ignore,
        "alarms": [{"name": "errors"}, {"name": "latency"}],
    }


@pytest.fixture
def rollout(database: URL) -> Iterator[Rollout]:
    made = Rollout(database, hosts=3, minimum="CodeDeployDefault.OneAtATime")
    made.alarms.now = dict(CALM)
    configure(made, alarmConfiguration=watching())
    yield made
    made.close()


def configure(rollout: Rollout, **members: Any) -> None:
    rollout.call(
        deployment_groups.update_deployment_group,
        applicationName="shop",
        currentDeploymentGroupName="prod",
        **members,
    )


def pass_time(rollout: Rollout, seconds: float = LOOK_EVERY) -> None:
    end = rollout.now + seconds
    while rollout.now < end:
        rollout.now = min(rollout.now + LOOK_EVERY, end)
        rollout.tick()


def test_an_alarm_in_mid_roll_stops_it(rollout: Rollout) -> None:
    """S7.22: Stopped, ALARM_ACTIVE with the alarm's name; what runs may finish, nothing else starts."""
    rollout.deploy()
    rollout.tick()
    rollout.run_all("web-00")
    rollout.tick()
    (second,) = rollout.ready()
    rollout.take_up(second)
    rollout.alarms.now = ALARMED
    pass_time(rollout)
    assert rollout.info["status"] == "InProgress"
    assert rollout.info["errorInformation"]["code"] == "ALARM_ACTIVE"
    # It is over even if the alarm is.
    rollout.alarms.now = CALM
    pass_time(rollout)
    rollout.complete(second)
    rollout.tick()
    assert rollout.info["status"] == "Stopped"
    assert rollout.info["errorInformation"]["code"] == "ALARM_ACTIVE"
    assert "latency" in rollout.info["errorInformation"]["message"]
    assert "errors" not in rollout.info["errorInformation"]["message"]
    assert rollout.overview == {"Succeeded": 1, "Skipped": 2}
    events = [event["status"] for event in rollout.target(second)["lifecycleEvents"]]
    assert events == ["Succeeded"] + ["Skipped"] * 6


def test_calm_alarms_stop_nobody(rollout: Rollout) -> None:
    rollout.alarms.now = {**CALM, "latency": AlarmState.INSUFFICIENT_DATA}
    rollout.deploy()
    rollout.tick()
    for name in rollout.names:
        pass_time(rollout)
        rollout.run_all(name)
        rollout.tick()
    assert rollout.info["status"] == "Succeeded"


def test_an_alarm_that_fires_already_stops_it_before_any_host(rollout: Rollout) -> None:
    """S7.23."""
    rollout.alarms.now = ALARMED
    rollout.deploy()
    rollout.tick()
    assert (rollout.info["status"], rollout.overview) == ("Stopped", {})
    assert rollout.info["errorInformation"]["code"] == "ALARM_ACTIVE"


@pytest.mark.parametrize(
    ("groups_own", "deployments_own", "stops"),
    [
        (watching(), {"enabled": False}, False),
        ({"enabled": False, "alarms": [{"name": "latency"}]}, None, False),
        ({"enabled": False}, watching(), True),
        (watching(), {"enabled": True, "alarms": [{"name": "errors"}]}, False),
    ],
)
def test_a_deployments_own_configuration_counts_alone(
    rollout: Rollout, groups_own: Any, deployments_own: Any, stops: bool
) -> None:
    """S6.19."""
    configure(rollout, alarmConfiguration=groups_own)
    rollout.alarms.now = ALARMED
    rollout.deploy(REVISION, **({"overrideAlarmConfiguration": deployments_own} if deployments_own else {}))
    rollout.tick()
    assert rollout.info["status"] == ("Stopped" if stops else "InProgress")


@pytest.mark.parametrize("states", [None, {"errors": AlarmState.OK}], ids=["no answer", "an alarm nobody knows"])
def test_alarms_that_stay_unreadable_stop_it(rollout: Rollout, states: Any) -> None:
    """S7.23: not one lost answer, and not before the start either."""
    rollout.deploy()
    rollout.tick()
    rollout.alarms.now = states
    pass_time(rollout, PATIENCE - LOOK_EVERY)
    assert rollout.info["status"] == "InProgress"
    rollout.alarms.now = CALM
    pass_time(rollout)
    rollout.alarms.now = states
    pass_time(rollout, PATIENCE)
    assert rollout.info["status"] == "InProgress", "an answer in between begins the time anew"
    pass_time(rollout, 2 * LOOK_EVERY)
    assert rollout.info["status"] == "Stopped"
    assert "cannot be read" in rollout.info["errorInformation"]["message"]

    rollout.deploy()
    pass_time(rollout)
    assert rollout.info["status"] == "Stopped", "that they are unreadable is known by now"


def test_no_host_starts_before_the_alarms_were_read_once(rollout: Rollout) -> None:
    rollout.alarms.now = None
    rollout.deploy()
    rollout.tick()
    assert rollout.info["status"] == "Created"
    rollout.alarms.now = CALM
    pass_time(rollout)
    assert rollout.info["status"] == "InProgress"


def test_unreadable_alarms_may_be_ignored(rollout: Rollout) -> None:
    """S7.23."""
    configure(rollout, alarmConfiguration=watching(ignore=True))
    rollout.alarms.now = None
    rollout.deploy()
    rollout.tick()
    pass_time(rollout, 2 * PATIENCE)
    assert rollout.info["status"] == "InProgress"
    rollout.alarms.now = ALARMED
    pass_time(rollout)
    assert rollout.info["status"] == "Stopped"


def test_they_are_read_by_the_groups_service_role(rollout: Rollout) -> None:
    """S7.23: one that may not read them leaves them unread, and that for good."""
    rollout.deploy()
    rollout.tick()
    assert {access.role_arn for access in rollout.alarms.asked} == {"arn:aws:iam::111122223333:role/deploy"}
    configure(rollout, serviceRoleArn="arn:aws:iam::111122223333:role/other")
    rollout.alarms.asked.clear()
    pass_time(rollout)
    assert [access.role_arn for access in rollout.alarms.asked] == ["arn:aws:iam::111122223333:role/other"]
    rollout.alarms.fails = RoleRightsError("not authorized to perform: cloudwatch:DescribeAlarms")
    pass_time(rollout)
    assert rollout.info["errorInformation"]["code"] == "ALARM_ACTIVE"
    assert "cloudwatch:DescribeAlarms" in rollout.info["errorInformation"]["message"]


def test_however_often_the_deployment_is_looked_at_an_alarm_stops_it_by_the_next_look(rollout: Rollout) -> None:
    """A host that reports in between puts nothing off."""
    rollout.deploy()
    rollout.tick()
    rollout.now += LOOK_EVERY - 0.5
    rollout.run_all("web-00")
    rollout.tick()
    rollout.alarms.now = ALARMED
    rollout.now += 0.5
    rollout.tick()
    assert rollout.info["errorInformation"]["code"] == "ALARM_ACTIVE"


@pytest.mark.parametrize(
    ("events", "is_rolled_back"),
    [
        (["DEPLOYMENT_STOP_ON_ALARM"], True),
        (["DEPLOYMENT_STOP_ON_REQUEST", "DEPLOYMENT_FAILURE"], False),
    ],
)
def test_an_alarms_stop_is_rolled_back_while_it_still_fires(
    rollout: Rollout, events: list[str], is_rolled_back: bool
) -> None:
    """S7.22, S5.8: a rollback looks at no alarm."""
    configure(rollout, autoRollbackConfiguration={"enabled": True, "events": events})
    rollout.deploy()
    finish(rollout)
    rollout.now += 10
    rollout.deploy(BROKEN)
    rollout.tick()
    rollout.run_event(rollout.ready()[0])
    rollout.alarms.now = ALARMED
    pass_time(rollout)
    assert rollout.info["status"] == "Stopped"
    assert ("rollbackDeploymentId" in rollout.info["rollbackInfo"]) == is_rolled_back
    if is_rolled_back:
        rollout.deployment_id = rollout.info["rollbackInfo"]["rollbackDeploymentId"]
        finish(rollout)
        assert rollout.info["status"] == "Succeeded"


def finish(rollout: Rollout) -> None:
    for _ in rollout.names:
        rollout.tick()
        for name in rollout.ready():
            rollout.run_all(name)
    rollout.tick()
