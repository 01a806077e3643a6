"""Topics: SNS as moto and onebox serve it, and Apprise to a real web hook."""

from __future__ import annotations

import json
from pathlib import Path

import boto3
import pytest

from longshore.domain.ids import Scope
from longshore.providers.clients import Clients
from longshore.providers.ports import PermanentError, TransientError
from longshore.providers.topics import AppriseTopics, SnsTopics
from tests.acceptance.world import wait_until
from tests.contract.providers.places import AWS
from tests.webhook import Webhook

SCOPE = Scope("123456789012", "eu-central-1")
AWAY = Clients(endpoint_url="http://127.0.0.1:9", keys=lambda _: ("AKIAEXAMPLE", "example"))
TOPIC = "arn:aws:sns:eu-central-1:123456789012:shop"


@pytest.mark.parametrize("place", ["moto", "onebox"])
def test_a_topic_of_sns(tmp_path: Path, place: str) -> None:
    with AWS[place](tmp_path) as (url, keys), Webhook() as hook:
        owner = {"aws_access_key_id": keys[0], "aws_secret_access_key": keys[1], "region_name": SCOPE.region}
        sns = boto3.client("sns", endpoint_url=url, **owner)
        topic = sns.create_topic(Name="shop")["TopicArn"]
        sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=f"http://127.0.0.1:{hook.port}/")
        if place == "onebox":
            asked = wait_until("it is asked", lambda: hook.received).pop()
            sns.confirm_subscription(TopicArn=topic, Token=asked["Token"])
        # Wherever the deployment is, the topic's own region counts.
        topics = SnsTopics(Clients(endpoint_url=url, keys=lambda _: keys))
        topics.publish(Scope(SCOPE.account, "us-east-1"), topic, subject="SUCCEEDED: x", message='{"a": 1}')
        (body,) = wait_until("it is told", lambda: hook.received)
        assert (body["Subject"], json.loads(body["Message"])) == ("SUCCEEDED: x", {"a": 1})
        with pytest.raises(PermanentError, match="NotFound"):
            topics.publish(SCOPE, f"{topic}-gone", subject="s", message="m")


def test_sns_that_is_away_may_come_back() -> None:
    with pytest.raises(TransientError):
        SnsTopics(AWAY).publish(SCOPE, TOPIC, subject="s", message="m")


# Apprise's mail looks for a module of old Pythons.
@pytest.mark.filterwarnings("ignore:'imghdr':DeprecationWarning")
def test_a_web_hook_by_apprise() -> None:
    with Webhook() as hook:
        topics = AppriseTopics({TOPIC: [f"json://127.0.0.1:{hook.port}/"]}, otherwise=SnsTopics(AWAY))
        topics.publish(SCOPE, TOPIC, subject="FAILED: x", message='{"a": 1}')
        (received,) = hook.received
        assert (received["title"], json.loads(received["message"])) == ("FAILED: x", {"a": 1})
        hook.refuses = 1
        with pytest.raises(TransientError):
            topics.publish(SCOPE, TOPIC, subject="s", message="m")


@pytest.mark.filterwarnings("ignore:'imghdr':DeprecationWarning")
def test_a_url_that_apprise_does_not_know() -> None:
    with pytest.raises(PermanentError, match="none that Apprise knows"):
        AppriseTopics({TOPIC: ["nonsense"]}, otherwise=SnsTopics(AWAY)).publish(SCOPE, TOPIC, subject="s", message="m")
