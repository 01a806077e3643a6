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


def _what(message: dict[str, Any]) -> str:
    return str(message.get("status") or f"instance {message['instanceStatus']}")
