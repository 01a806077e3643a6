"""Triggers reach a web hook, however often it refuses and whatever becomes of the server."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.acceptance.world import ControlPlane, Host, Revision, Shop, wait_until
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


def _what(message: dict[str, Any]) -> str:
    return str(message.get("status") or f"instance {message['instanceStatus']}")
