"""EventBridge as moto serves it; onebox has none, and says so."""

from __future__ import annotations

import json
from pathlib import Path

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
from tests.contract.providers.places import AWS

SCOPE = Scope("123456789012", "eu-central-1")
ACCESS = Access(scope=SCOPE, role_arn="arn:aws:iam::123456789012:role/deploy")
AWAY = Clients(endpoint_url="http://127.0.0.1:9", keys=lambda _: ("AKIAEXAMPLE", "example"))
BUS = bus_trigger(SCOPE)["triggerTargetArn"]
TOLD = Told(scope=SCOPE, deployment_id="d-ABCDEFGHI", application="shop", group="prod", group_id="g-1", create_time=0.0)


def test_a_rule_of_eventbridge_matches(tmp_path: Path) -> None:
    with AWS["moto"](tmp_path) as (url, keys):
        owner = {"aws_access_key_id": keys[0], "aws_secret_access_key": keys[1], "region_name": SCOPE.region}
        events, sqs = (boto3.client(one, endpoint_url=url, **owner) for one in ("events", "sqs"))
        queue = sqs.create_queue(QueueName="failures")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        pattern = {"source": ["aws.codedeploy"], "detail": {"state": ["FAILURE"]}}
        events.put_rule(Name="failures", EventPattern=json.dumps(pattern))
        events.put_targets(Rule="failures", Targets=[{"Id": "1", "Arn": arn}])
        clients = Clients(endpoint_url=url, keys=lambda _: keys)
        buses = EventBuses(clients, source="aws.codedeploy", otherwise=SnsTopics(ServiceRoles(AWAY)))
        for event in ("InstanceStart", "InstanceFailure"):
            subject, message = told_of(event, TOLD, SCOPE.ec2_instance_arn("i-0123"))
            buses.publish(ACCESS, BUS, subject=subject, message=message)

        def received() -> list[dict[str, str]]:
            found: list[dict[str, str]] = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=1).get("Messages", [])
            return found

        (one,) = wait_until("it arrives", received)
        event = json.loads(one["Body"])
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


def test_where_there_is_none_it_is_not_tried_again(tmp_path: Path) -> None:
    with AWS["onebox"](tmp_path) as (url, keys):
        clients = Clients(endpoint_url=url, keys=lambda _: keys)
        buses = EventBuses(clients, source="aws.codedeploy", otherwise=SnsTopics(ServiceRoles(AWAY)))
        subject, message = told_of("DeploymentStart", TOLD, None)
        with pytest.raises(PermanentError):
            buses.publish(ACCESS, BUS, subject=subject, message=message)


def test_eventbridge_that_is_away_may_come_back() -> None:
    buses = EventBuses(AWAY, source="aws.codedeploy", otherwise=SnsTopics(ServiceRoles(AWAY)))
    with pytest.raises(TransientError):
        buses.publish(ACCESS, BUS, subject="x", message='{"resources": [], "detail": {}}')
    with pytest.raises(TransientError, match="sns"):
        buses.publish(ACCESS, "arn:aws:sns:eu-central-1:123456789012:shop", subject="x", message="{}")
