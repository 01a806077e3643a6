"""What triggers tell, through the operations, the rows and the engine (server.md S10, S7.27)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy.engine import URL

from longshore.api import deployment_groups
from longshore.domain.deployment import ScriptCode
from longshore.store import notifications
from tests.integration.engine.rollout import REVISION, Rollout

TOPIC = "arn:aws:sns:eu-central-1:111122223333:shop"
OTHER_TOPIC = "arn:aws:sns:eu-central-1:111122223333:pager"
BROKEN = {"revisionType": "S3", "s3Location": {"bucket": "releases", "key": "shop-2.zip", "bundleType": "zip"}}
DEPLOYMENT = ["DeploymentStart", "DeploymentSuccess", "DeploymentFailure", "DeploymentStop", "DeploymentRollback"]
INSTANCE = ["InstanceStart", "InstanceSuccess", "InstanceFailure"]


@pytest.fixture
def rollout(database: URL) -> Iterator[Rollout]:
    made = Rollout(database, hosts=2, minimum="CodeDeployDefault.OneAtATime")
    yield made
    made.close()


def subscribe(rollout: Rollout, *triggers: dict[str, Any], **members: Any) -> None:
    rollout.call(
        deployment_groups.update_deployment_group,
        applicationName="shop",
        currentDeploymentGroupName="prod",
        triggerConfigurations=list(triggers),
        **members,
    )


def trigger(name: str, events: list[str], topic: str = TOPIC) -> dict[str, Any]:
    return {"triggerName": name, "triggerTargetArn": topic, "triggerEvents": events}


def told(rollout: Rollout) -> list[tuple[str, str, dict[str, Any]]]:
    """Topic, subject and message of what waits to be delivered, in order; takes it away."""

    def take(tx: Any) -> list[tuple[str, str, dict[str, Any]]]:
        due = notifications.claim(tx, now=rollout.now, until=rollout.now + 60, limit=1000)
        for one in due:
            notifications.remove(tx, one.id)
        said = [one.notification for one in due]
        return [(one.topic_arn, one.subject, json.loads(one.message)) for one in said]

    return rollout.store.write(take)


def roll(rollout: Rollout, code: ScriptCode = ScriptCode.SUCCESS) -> None:
    for _ in rollout.names:
        rollout.tick(times=1)
        rollout.tick(times=1)
        for name in rollout.ready():
            for _ in range(7):
                rollout.run_event(name, code)
        rollout.tick(times=1)


def test_a_new_or_changed_trigger_sends_a_test(rollout: Rollout) -> None:
    """S7.27."""
    subscribe(rollout, trigger("all", DEPLOYMENT), trigger("pager", ["DeploymentFailure"], OTHER_TOPIC))
    found = told(rollout)
    assert [(topic, message["eventTriggerName"]) for topic, _, message in found] == [
        (TOPIC, "all"),
        (OTHER_TOPIC, "pager"),
    ]
    assert all(subject.startswith("TEST: AWS CodeDeploy") for _, subject, _ in found)
    subscribe(rollout, trigger("all", DEPLOYMENT), trigger("pager", ["DeploymentStop"], OTHER_TOPIC))
    assert [message["eventTriggerName"] for _, _, message in told(rollout)] == ["pager"]


def test_a_deployments_start_and_end_are_told(rollout: Rollout) -> None:
    """S10.2, S10.4, S10.5: in the shape that consumers of CodeDeploy's messages parse."""
    subscribe(rollout, trigger("all", DEPLOYMENT))
    told(rollout)
    deployment_id = rollout.deploy()
    assert told(rollout) == [], "nothing before the engine has looked at it"
    roll(rollout)
    (_, first_subject, start), (topic, subject, end) = told(rollout)
    assert first_subject == f"CREATED: AWS CodeDeploy {deployment_id} in eu-central-1 to shop"
    assert (start["status"], start["completeTime"]) == ("CREATED", None)
    assert "deploymentOverview" not in start
    assert topic == TOPIC
    assert subject == f"SUCCEEDED: AWS CodeDeploy {deployment_id} in eu-central-1 to shop"
    assert json.loads(end.pop("deploymentOverview"))["Succeeded"] == 2
    assert end == {
        "region": "eu-central-1",
        "accountId": "111122223333",
        "eventTriggerName": "all",
        "applicationName": "shop",
        "deploymentId": deployment_id,
        "deploymentGroupName": "prod",
        "createTime": "Mon Jan 12 13:46:40 UTC 1970",
        "completeTime": "Mon Jan 12 13:46:40 UTC 1970",
        "status": "SUCCEEDED",
    }


def test_a_failure_and_its_rollback_are_told(rollout: Rollout) -> None:
    rollback = {"enabled": True, "events": ["DEPLOYMENT_FAILURE"]}
    rollout.deploy(REVISION)
    roll(rollout)
    rollout.now += 10
    subscribe(rollout, trigger("all", DEPLOYMENT), autoRollbackConfiguration=rollback)
    told(rollout)
    failed = rollout.deploy(BROKEN)
    roll(rollout, ScriptCode.SCRIPT_FAILED)
    again = rollout.info["rollbackInfo"]["rollbackDeploymentId"]
    rollout.deployment_id = again
    roll(rollout)
    found = {(message["deploymentId"], message["status"]): message for _, _, message in told(rollout)}
    assert set(found) == {
        *((failed, "CREATED"), (failed, "FAILED")),
        *((again, "CREATED"), (again, "IN_PROGRESS"), (again, "SUCCEEDED")),
    }
    error = json.loads(found[failed, "FAILED"]["errorInformation"])
    assert error["ErrorCode"] == "HEALTH_CONSTRAINTS"
    assert json.loads(found[failed, "FAILED"]["rollbackInformation"])["RollbackDeploymentId"] == again
    began = json.loads(found[again, "IN_PROGRESS"]["rollbackInformation"])
    assert began["RollbackTriggeringDeploymentId"] == failed


def test_a_stop_is_told_as_aborted(rollout: Rollout) -> None:
    subscribe(rollout, trigger("all", DEPLOYMENT))
    told(rollout)
    rollout.deploy()
    rollout.tick()
    rollout.stop()
    rollout.tick()
    assert [message["status"] for _, _, message in told(rollout)] == ["CREATED", "ABORTED"]


def test_each_instances_start_and_end_are_told_once(rollout: Rollout) -> None:
    """S10.3, S10.6: in order, and to each trigger that wants it."""
    subscribe(rollout, trigger("hosts", INSTANCE), trigger("bad", ["InstanceFailure"], OTHER_TOPIC))
    told(rollout)
    deployment_id = rollout.deploy(BROKEN)
    rollout.tick()
    (bad,) = rollout.ready()
    rollout.run_event(bad, ScriptCode.SCRIPT_FAILED)
    rollout.tick()
    found = told(rollout)
    arn = f"arn:aws:codedeploy:eu-central-1:111122223333:instance/{bad}"
    assert [(topic, message["eventTriggerName"], message["instanceStatus"]) for topic, _, message in found] == [
        (TOPIC, "hosts", "IN_PROGRESS"),
        (TOPIC, "hosts", "FAILED"),
        (OTHER_TOPIC, "bad", "FAILED"),
    ]
    assert all(message["deploymentId"] == deployment_id for _, _, message in found)
    assert all(message["instanceId"].startswith(arn) for _, _, message in found)
    events = json.loads(found[-1][2]["lifecycleEvents"])
    assert (events[0]["LifecycleEvent"], events[0]["LifecycleEventStatus"]) == ("ApplicationStop", "Failed")
    rollout.tick()
    assert told(rollout) == []


def test_nobody_is_told_without_a_trigger(rollout: Rollout) -> None:
    rollout.deploy()
    roll(rollout)
    assert rollout.info["status"] == "Succeeded"
    assert told(rollout) == []


def test_an_event_bus_is_told_of_everything_in_its_own_form(rollout: Rollout) -> None:
    """S10.7 to S10.9: without any trigger, and beside one."""
    rollout.world = replace(rollout.world, has_event_bus=lambda _scope: True)
    subscribe(rollout, trigger("all", ["DeploymentSuccess"]))
    told(rollout)
    deployment_id = rollout.deploy()
    roll(rollout)
    found = told(rollout)
    assert [subject for topic, subject, _ in found if topic == TOPIC] == [
        f"SUCCEEDED: AWS CodeDeploy {deployment_id} in eu-central-1 to shop"
    ]
    events = [(subject, message) for topic, subject, message in found if topic != TOPIC]
    assert {topic for topic, _, _ in found} == {TOPIC, "arn:aws:events:eu-central-1:111122223333:event-bus/default"}
    deployment, instance = (f"CodeDeploy {kind} State-change Notification" for kind in ("Deployment", "Instance"))
    assert [(kind, message["detail"]["state"]) for kind, message in events] == [
        (deployment, "START"),
        *((instance, "START"), (instance, "SUCCESS")),
        *((instance, "START"), (instance, "SUCCESS")),
        (deployment, "SUCCESS"),
    ]
    group = rollout.call(deployment_groups.get_deployment_group, applicationName="shop", deploymentGroupName="prod")
    for _, message in events:
        assert message["detail"]["instanceGroupId"] == group["deploymentGroupInfo"]["deploymentGroupId"]
        assert message["resources"][1] == "arn:aws:codedeploy:eu-central-1:111122223333:deploymentgroup:shop/prod"
    assert {message["detail"].get("instanceId") for _, message in events} == {None, *rollout.names}
