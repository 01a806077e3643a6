"""What an operator's tools look at: /healthz, /readyz and /metrics."""

from __future__ import annotations

import re
import sqlite3
import stat
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from prometheus_client.parser import text_string_to_metric_families

from tests.acceptance.world import ACCOUNT, REGION, ControlPlane, Host, Revision, Shop, wait_until

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"


def look(plane: ControlPlane, path: str, token: str = "") -> tuple[int, str]:
    asked = urllib.request.Request(plane.url + path, headers={"authorization": f"Bearer {token}"} if token else {})
    try:
        with urllib.request.urlopen(asked, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()


def metrics(plane: ControlPlane) -> dict[tuple[str, ...], float]:
    """The samples by name and label values, in the order of the labels' names."""
    status, text = look(plane, "/metrics", (plane.data_dir / "metrics-token").read_text())
    assert status == 200
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_server_that_works_is_alive_and_ready(shared_plane: ControlPlane) -> None:
    assert look(shared_plane, "/healthz") == (200, "ok\n")
    assert look(shared_plane, "/readyz") == (200, '{"ready": true, "obstacles": []}\n')


def test_a_schema_that_is_not_ours_makes_a_server_unready_and_keeps_it_alive(own_plane: ControlPlane) -> None:
    with sqlite3.connect(own_plane.data_dir / "longshore.db") as database:
        (ours,) = database.execute("SELECT version_num FROM alembic_version").fetchone()
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    status, text = look(own_plane, "/readyz")
    assert status == 503
    assert "schema" in text
    assert look(own_plane, "/healthz")[0] == 200
    with sqlite3.connect(own_plane.data_dir / "longshore.db") as database:
        database.execute("UPDATE alembic_version SET version_num = ?", (ours,))
    assert look(own_plane, "/readyz")[0] == 200


@pytest.mark.parametrize("token", ["", "guessed"])
def test_metrics_are_for_whoever_shows_the_token(shared_plane: ControlPlane, token: str) -> None:
    status, text = look(shared_plane, "/metrics", token)
    assert status == 401
    assert "metrics-token" in text
    assert "longshore_" not in text


def test_the_token_is_its_owners_only_and_outlives_a_restart(own_plane: ControlPlane) -> None:
    file = own_plane.data_dir / "metrics-token"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    before = file.read_text()
    own_plane.stop()
    own_plane.start()
    assert file.read_text() == before


def test_metrics_tell_of_calls_polls_dispatches_and_deployments(
    own_plane: ControlPlane, hosts_of: Callable[..., list[Host]], shop_of: Callable[..., Shop]
) -> None:
    hosts = hosts_of(own_plane, 2)
    shop = shop_of(own_plane, hosts)
    shop.run(Revision())
    wait_until("both polls are held", lambda: metrics(own_plane)["longshore_held_polls",] == 2)
    with pytest.raises(ClientError):
        shop.deploy.get_application(applicationName="nobodys")
    seen = metrics(own_plane)
    assert seen["longshore_requests_total", "OK", "CreateDeployment", "codedeploy"] == 1
    assert seen["longshore_request_seconds_count", "CreateDeployment", "codedeploy"] == 1
    assert seen["longshore_requests_total", "ApplicationDoesNotExistException", "GetApplication", "codedeploy"] == 1
    assert ("longshore_request_seconds_count", "PollHostCommand", "codedeploy-commands") not in seen
    assert seen["longshore_deployments", "Succeeded"] == 1
    assert seen["longshore_deployments", "InProgress"] == 0
    # Two hosts, and at least one event each that is not skipped.
    assert seen["longshore_dispatch_seconds_count",] >= 2
    assert 0 < seen["longshore_dispatch_seconds_sum",] < 60
    assert seen["longshore_queued_writes",] == seen["longshore_due_deployments",] == 0
    assert seen["longshore_queued_notifications",] == 0
    # Its role is not there, so the topic's test message waits for somebody to make it.
    trigger = {
        "triggerName": "tell",
        "triggerTargetArn": f"arn:aws:sns:{REGION}:{ACCOUNT}:releases",
        "triggerEvents": ["DeploymentFailure"],
    }
    shop.deploy.update_deployment_group(
        applicationName=shop.name, currentDeploymentGroupName="prod", triggerConfigurations=[trigger]
    )
    wait_until("it has been tried", lambda: "notification_put_off" in own_plane.log.read_text())
    assert metrics(own_plane)["longshore_queued_notifications",] == 1
    assert seen["process_open_fds",] > 0


def test_every_metric_is_explained_and_every_explained_metric_is_there(shared_plane: ControlPlane) -> None:
    status, text = look(shared_plane, "/metrics", (shared_plane.data_dir / "metrics-token").read_text())
    assert status == 200
    served = {family.name for family in text_string_to_metric_families(text)}
    explained = set(re.findall(r"^\| `(longshore_\w+?)(?:_total)?` \|", OPERATIONS.read_text(), re.MULTILINE))
    assert {name for name in served if name.startswith("longshore_")} == explained
