"""Triggers reach a web hook, however often it refuses and whatever becomes of the server."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.acceptance.world import ControlPlane, Host, Revision, Shop, service_role, wait_until
from tests.webhook import Webhook

TOPIC = "arn:aws:sns:us-east-1:000000000000:releases"


def test_a_web_hook_is_told_of_a_deployment(
    tmp_path: Path, hosts_of: Callable[..., list[Host]], shop_of: Callable[..., Shop]
) -> None:
    """S10: at least once, in spite of refusals and a `kill -9`; the deployment takes no notice."""
    with Webhook() as hook:
        topics = tmp_path / "topics.yml"
        topics.write_text(f"{TOPIC}: json://:hush@127.0.0.1:{hook.port}/\n")
        plane = ControlPlane(tmp_path, options=("--topics", str(topics)))
        plane.start()
        shop = shop_of(plane, hosts_of(plane, 1))
        hook.refuses = 10**6
        events = "DeploymentStart,DeploymentSuccess,InstanceSuccess"
        plane.aws(
            *("deploy", "update-deployment-group", "--application-name", shop.name),
            *("--current-deployment-group-name", "prod", "--trigger-configurations"),
            f"triggerName=all,triggerTargetArn={TOPIC},triggerEvents={events}",
        )
        deployment_id, ended = shop.run(Revision())
        assert ended["status"] == "Succeeded"
        wait_until("it was tried", lambda: hook.refuses < 10**6)
        assert hook.received == []
        plane.kill()
        plane.start()
        hook.refuses = 0

        def statuses() -> set[str]:
            messages = [json.loads(one["message"]) for one in hook.received]
            return {_what(message) for message in messages if message.get("deploymentId") == deployment_id}

        wait_until("all was told", lambda: statuses() == {"CREATED", "SUCCEEDED", "instance SUCCEEDED"}, seconds=120)
        assert any("TEST" in one["title"] for one in hook.received)
        plane.stop()
        assert "hush" not in plane.log.read_text()


def test_a_subscriber_of_a_topic_is_told_of_a_deployment(
    own_plane: ControlPlane, hosts_of: Callable[..., list[Host]], shop_of: Callable[..., Shop]
) -> None:
    """The server's own SNS, with nothing set up but by the aws CLI."""
    with Webhook() as hook:
        topic = own_plane.aws("sns", "create-topic", "--name", "releases")["TopicArn"]
        own_plane.aws(
            *("sns", "subscribe", "--topic-arn", topic, "--protocol", "http"),
            *("--notification-endpoint", f"http://127.0.0.1:{hook.port}/"),
        )
        asked = wait_until("it is asked", lambda: hook.received)[0]
        own_plane.aws("sns", "confirm-subscription", "--topic-arn", topic, "--token", asked["Token"])
        # The role of the group publishes, and may by this topic alone.
        service_role(own_plane, rights=False)
        may = {"Effect": "Allow", "Action": "sns:Publish", "Resource": topic}
        own_plane.client("iam").put_role_policy(
            RoleName="deploy",
            PolicyName="tell",
            PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [may]}),
        )
        shop = shop_of(own_plane, hosts_of(own_plane, 1))
        own_plane.aws(
            *("deploy", "update-deployment-group", "--application-name", shop.name),
            *("--current-deployment-group-name", "prod", "--trigger-configurations"),
            f"triggerName=all,triggerTargetArn={topic},triggerEvents=DeploymentSuccess",
        )
        deployment_id, _ = shop.run(Revision())
        test, told = wait_until("it is told", lambda: hook.received[2:] and hook.received[1:])
        assert "TEST" in test["Subject"]
        assert told["Subject"].startswith(f"SUCCEEDED: AWS CodeDeploy {deployment_id}")
        assert json.loads(told["Message"])["status"] == "SUCCEEDED"


def test_a_topic_is_told_when_the_role_may(
    own_plane: ControlPlane, hosts_of: Callable[..., list[Host]], shop_of: Callable[..., Shop]
) -> None:
    """The server's own key publishes to nobody; a deployment takes no notice, and what was to be told waits."""
    with Webhook() as hook:
        topic = own_plane.aws("sns", "create-topic", "--name", "releases")["TopicArn"]
        sns = own_plane.client("sns")
        sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=f"http://127.0.0.1:{hook.port}/")
        asked = wait_until("it is asked", lambda: hook.received)[0]
        sns.confirm_subscription(TopicArn=topic, Token=asked["Token"])
        service_role(own_plane, rights=False)
        shop = shop_of(own_plane, hosts_of(own_plane, 1))
        shop.deploy.update_deployment_group(
            applicationName=shop.name,
            currentDeploymentGroupName="prod",
            triggerConfigurations=[
                {"triggerName": "all", "triggerTargetArn": topic, "triggerEvents": ["DeploymentSuccess"]}
            ],
        )
        deployment_id, ended = shop.run(Revision())
        assert ended["status"] == "Succeeded"
        wait_until("it was refused", lambda: "not authorized to perform: sns:Publish" in own_plane.log.read_text())
        assert not hook.received[1:]
        own_plane.client("iam").attach_role_policy(
            RoleName="deploy", PolicyArn="arn:aws:iam::aws:policy/service-role/AWSCodeDeployRole"
        )

        def subjects() -> list[str]:
            return [one["Subject"] for one in hook.received[1:]]

        wait_until("both are told", lambda: len(subjects()) == 2, seconds=120)
        assert any(one.startswith(f"SUCCEEDED: AWS CodeDeploy {deployment_id}") for one in subjects())


def test_a_rule_of_eventbridge_is_told_of_a_deployment(
    own_plane: ControlPlane, hosts_of: Callable[..., list[Host]], shop_of: Callable[..., Shop]
) -> None:
    """S10.7 to S10.9, by the server's own EventBridge: nothing is set up at the deployment group."""
    with Webhook() as hook:
        topic = own_plane.aws("sns", "create-topic", "--name", "events")["TopicArn"]
        own_plane.aws(
            *("sns", "subscribe", "--topic-arn", topic, "--protocol", "http"),
            *("--notification-endpoint", f"http://127.0.0.1:{hook.port}/"),
            *("--attributes", "RawMessageDelivery=true"),
        )
        asked = wait_until("it is asked", lambda: hook.received).pop()
        own_plane.aws("sns", "confirm-subscription", "--topic-arn", topic, "--token", asked["Token"])
        pattern = json.dumps({"source": ["aws.codedeploy"], "detail": {"state": ["SUCCESS"]}})
        own_plane.aws("events", "put-rule", "--name", "successes", "--event-pattern", pattern)
        own_plane.aws("events", "put-targets", "--rule", "successes", "--targets", f"Id=1,Arn={topic}")
        (host,) = hosts_of(own_plane, 1)
        deployment_id, _ = shop_of(own_plane, [host]).run(Revision())
        wait_until("it is told", lambda: len(hook.received) == 2)
        told = {one["detail-type"].split()[1]: one["detail"] for one in hook.received}
        assert told["Deployment"]["deploymentId"] == told["Instance"]["deploymentId"] == deployment_id
        assert told["Instance"]["instanceId"] == host.name


def _what(message: dict[str, Any]) -> str:
    return str(message.get("status") or f"instance {message['instanceStatus']}")
