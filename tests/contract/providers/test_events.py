"""EventBridge as moto and onebox serve it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest

from longshore.domain.event_bus import bus_trigger, told_of
from longshore.domain.ids import Scope
from longshore.domain.notification import Told
from longshore.providers.clients import Clients
from longshore.providers.events import EventBuses
from longshore.providers.ports import Access, PermanentError, TransientError
from longshore.providers.service_roles import ServiceRoles
from longshore.providers.topics import SnsTopics
from tests.acceptance.world import wait_until
from tests.contract.providers.places import AWS, service_key
from tests.webhook import Webhook

SCOPE = Scope("123456789012", "eu-central-1")
ACCESS = Access(scope=SCOPE, role_arn="arn:aws:iam::123456789012:role/deploy")
AWAY = Clients(endpoint_url="http://127.0.0.1:9", keys=lambda _: ("AKIAEXAMPLE", "example"))
BUS = bus_trigger(SCOPE)["triggerTargetArn"]
TOLD = Told(scope=SCOPE, deployment_id="d-ABCDEFGHI", application="shop", group="prod", group_id="g-1", create_time=0.0)


def queue_of(sqs: Any, _sns: Any, _hook: Webhook) -> tuple[str, Callable[[], list[Any]]]:
    """A target of moto's, and what it was told."""
    queue = sqs.create_queue(QueueName="failures")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]

    def received() -> list[Any]:
        found = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=1).get("Messages", [])
        return [json.loads(one["Body"]) for one in found]

    return arn, received


def topic_of(_sqs: Any, sns: Any, hook: Webhook) -> tuple[str, Callable[[], list[Any]]]:
    """A target of onebox's: a topic and its web hook."""
    topic = sns.create_topic(Name="failures")["TopicArn"]
    asked = {"Protocol": "http", "Endpoint": f"http://127.0.0.1:{hook.port}/"}
    sns.subscribe(TopicArn=topic, **asked, Attributes={"RawMessageDelivery": "true"})
    token = wait_until("it is asked", lambda: hook.received).pop()["Token"]
    sns.confirm_subscription(TopicArn=topic, Token=token)
    return topic, lambda: hook.received


@pytest.mark.parametrize(("place", "target_of"), [("moto", queue_of), ("onebox", topic_of)])
def test_a_rule_of_eventbridge_matches(tmp_path: Path, place: str, target_of: Any) -> None:
    with AWS[place](tmp_path) as (url, keys), Webhook() as hook:
        owner = {"aws_access_key_id": keys[0], "aws_secret_access_key": keys[1], "region_name": SCOPE.region}
        events, sqs, sns = (boto3.client(one, endpoint_url=url, **owner) for one in ("events", "sqs", "sns"))
        arn, received = target_of(sqs, sns, hook)
        pattern = {"source": ["aws.codedeploy"], "detail": {"state": ["FAILURE"]}}
        events.put_rule(Name="failures", EventPattern=json.dumps(pattern))
        events.put_targets(Rule="failures", Targets=[{"Id": "1", "Arn": arn}])
        # As the control plane does it, where there is a control plane.
        its_own = service_key(tmp_path / "data", SCOPE.account) if place == "onebox" else keys
        clients = Clients(endpoint_url=url, keys=lambda _: its_own)
        buses = EventBuses(clients, source="aws.codedeploy", otherwise=SnsTopics(ServiceRoles(AWAY)))
        for event in ("InstanceStart", "InstanceFailure"):
            subject, message = told_of(event, TOLD, SCOPE.ec2_instance_arn("i-0123"))
            buses.publish(ACCESS, BUS, subject=subject, message=message)
        (event,) = wait_until("it arrives", received)
        assert (event["source"], event["region"]) == ("aws.codedeploy", SCOPE.region)
        assert event["detail-type"] == "CodeDeploy Instance State-change Notification"
        assert event["detail"] == {
            "region": "eu-central-1",
            "deploymentId": "d-ABCDEFGHI",
            "application": "shop",
            "deploymentGroup": "prod",
            "instanceGroupId": "g-1",
            "state": "FAILURE",
            "instanceId": "i-0123",
        }
        assert event["resources"] == [
            "arn:aws:codedeploy:eu-central-1:123456789012:application:shop",
            "arn:aws:codedeploy:eu-central-1:123456789012:deploymentgroup:shop/prod",
            "arn:aws:ec2:eu-central-1:123456789012:instance/i-0123",
        ]


@pytest.mark.parametrize("place", ["moto", "onebox"])
def test_what_is_refused_is_not_tried_again(tmp_path: Path, place: str) -> None:
    with AWS[place](tmp_path) as (url, keys):
        buses = EventBuses(
            Clients(endpoint_url=url, keys=lambda _: keys), source="", otherwise=SnsTopics(ServiceRoles(AWAY))
        )
        subject, message = told_of("DeploymentStart", TOLD, None)
        with pytest.raises(PermanentError):
            buses.publish(ACCESS, BUS, subject=subject, message=message)


def test_eventbridge_that_is_away_may_come_back() -> None:
    buses = EventBuses(AWAY, source="aws.codedeploy", otherwise=SnsTopics(ServiceRoles(AWAY)))
    with pytest.raises(TransientError):
        buses.publish(ACCESS, BUS, subject="x", message='{"resources": [], "detail": {}}')
    with pytest.raises(TransientError, match="sns"):
        buses.publish(ACCESS, "arn:aws:sns:eu-central-1:123456789012:shop", subject="x", message="{}")
