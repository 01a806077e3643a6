"""Topics: SNS as moto serves it, and Apprise to a real web hook."""

from __future__ import annotations

import json
from collections.abc import Iterator

import boto3
import pytest
from moto.server import ThreadedMotoServer

from longshore.domain.ids import Scope
from longshore.providers.clients import Clients
from longshore.providers.ports import PermanentError, TransientError
from longshore.providers.topics import AppriseTopics, SnsTopics
from tests.webhook import Webhook

SCOPE = Scope("123456789012", "eu-central-1")
AWAY = Clients(endpoint_url="http://127.0.0.1:9")
TOPIC = "arn:aws:sns:eu-central-1:123456789012:shop"


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "example")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


def test_a_topic_of_sns(aws: str) -> None:
    sns, sqs = (boto3.client(one, endpoint_url=aws, region_name=SCOPE.region) for one in ("sns", "sqs"))
    topic = sns.create_topic(Name="shop")["TopicArn"]
    queue = sqs.create_queue(QueueName="shop")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    # Wherever the deployment is, the topic's own region counts.
    topics = SnsTopics(Clients(endpoint_url=aws))
    topics.publish(Scope(SCOPE.account, "us-east-1"), topic, subject="SUCCEEDED: x", message='{"a": 1}')
    (received,) = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=5)["Messages"]
    body = json.loads(received["Body"])
    assert (body["Subject"], json.loads(body["Message"])) == ("SUCCEEDED: x", {"a": 1})
    with pytest.raises(PermanentError, match="NotFound"):
        topics.publish(SCOPE, f"{topic}-gone", subject="s", message="m")


def test_sns_that_is_away_may_come_back(aws: str) -> None:
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
