"""Topics: SNS as moto and onebox serve it, and Apprise to a real web hook."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from botocore.exceptions import ClientError

from longshore.domain.ids import Scope
from longshore.providers.clients import Clients
from longshore.providers.ports import Access, PermanentError, RoleRightsError, TransientError
from longshore.providers.service_roles import ServiceRoles
from longshore.providers.topics import AppriseTopics, SnsTopics
from tests.acceptance.world import wait_until
from tests.contract.providers.places import Place, service_role
from tests.webhook import Webhook

ACCESS = Access(scope=Scope("123456789012", "eu-central-1"), role_arn="arn:aws:iam::123456789012:role/deploy")
AWAY = ServiceRoles(Clients(endpoint_url="http://127.0.0.1:9", keys=lambda _: ("AKIAEXAMPLE", "example")))
TOPIC = "arn:aws:sns:eu-central-1:123456789012:shop"


@pytest.mark.parametrize("place", ["moto", "onebox"], indirect=True)
def test_a_topic_of_sns(place: Place) -> None:
    sns = place.owner("sns")
    with Webhook() as hook:
        topic = sns.create_topic(Name="shop")["TopicArn"]
        sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=f"http://127.0.0.1:{hook.port}/")
        if place.name == "onebox":
            asked = wait_until("it is asked", lambda: hook.received).pop()
            sns.confirm_subscription(TopicArn=topic, Token=asked["Token"])
        # Wherever the deployment is, the topic's own region counts.
        topics = SnsTopics(place.roles)
        elsewhere = replace(place.access, scope=Scope(place.access.scope.account, "us-east-1"))
        topics.publish(elsewhere, topic, subject="SUCCEEDED: x", message='{"a": 1}')
        (body,) = wait_until("it is told", lambda: hook.received)
        assert (body["Subject"], json.loads(body["Message"])) == ("SUCCEEDED: x", {"a": 1})
        with pytest.raises(PermanentError, match="NotFound"):
            topics.publish(place.access, f"{topic}-gone", subject="s", message="m")


@pytest.mark.parametrize("place", ["onebox"], indirect=True)
def test_a_topic_is_the_service_roles_to_publish_to(place: Place) -> None:
    """Not the server's own key's; and of those that its policies name."""
    sns, iam, topics = place.owner("sns"), place.owner("iam"), SnsTopics(place.roles)
    mine, other = (sns.create_topic(Name=name)["TopicArn"] for name in ("mine", "other"))
    role = service_role(iam, "tells")
    may = {"Effect": "Allow", "Action": "sns:Publish", "Resource": mine}
    document = json.dumps({"Version": "2012-10-17", "Statement": [may]})
    iam.put_role_policy(RoleName="tells", PolicyName="mine", PolicyDocument=document)
    access = replace(place.access, role_arn=role)
    topics.publish(access, mine, subject="s", message="m")
    with pytest.raises(RoleRightsError, match=r"assumed-role/tells/codedeploy is not authorized.*sns:Publish.*other"):
        topics.publish(access, other, subject="s", message="m")
    own = place.own("sns")
    with pytest.raises(ClientError, match="not authorized"):
        own.publish(TopicArn=mine, Subject="s", Message="m")


def test_sns_that_is_away_may_come_back() -> None:
    with pytest.raises(TransientError):
        SnsTopics(AWAY).publish(ACCESS, TOPIC, subject="s", message="m")


# Apprise's mail looks for a module of old Pythons.
@pytest.mark.filterwarnings("ignore:'imghdr':DeprecationWarning")
def test_a_web_hook_by_apprise() -> None:
    with Webhook() as hook:
        topics = AppriseTopics({TOPIC: [f"json://127.0.0.1:{hook.port}/"]}, otherwise=SnsTopics(AWAY))
        topics.publish(ACCESS, TOPIC, subject="FAILED: x", message='{"a": 1}')
        (received,) = hook.received
        assert (received["title"], json.loads(received["message"])) == ("FAILED: x", {"a": 1})
        hook.refuses = 1
        with pytest.raises(TransientError):
            topics.publish(ACCESS, TOPIC, subject="s", message="m")


@pytest.mark.filterwarnings("ignore:'imghdr':DeprecationWarning")
def test_a_url_that_apprise_does_not_know() -> None:
    with pytest.raises(PermanentError, match="none that Apprise knows"):
        AppriseTopics({TOPIC: ["nonsense"]}, otherwise=SnsTopics(AWAY)).publish(ACCESS, TOPIC, subject="s", message="m")
