"""The control plane dies and comes back: the deployment ends as if nothing had happened, and no hook runs twice."""

from __future__ import annotations

import io
import os
import random
import sqlite3
import time
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.world import FINAL, ControlPlane, Host, Revision, Shop, wait_until
from tests.chaos.notes import SCRIPTED, Notes, each_once

Hosts = Callable[..., list[Host]]
Shops = Callable[..., Shop]

#: How long the server stays away, seconds: as long as a host may be without it and notice nothing but pauses.
AWAY = 60.0


@pytest.fixture
def notes(tmp_path: Path) -> Notes:
    return Notes(tmp_path / "notes")


def end_state(shop: Shop, deployment_id: str, hosts: list[Host]) -> dict[str, Any]:
    """All that tells one ended deployment of a revision from another, without ids and times."""
    info = shop.ended(deployment_id, seconds=120)
    group = shop.deploy.get_deployment_group(applicationName=shop.name, deploymentGroupName="prod")
    group = group["deploymentGroupInfo"]
    return {
        "status": info["status"],
        "overview": info["deploymentOverview"],
        "error": info.get("errorInformation"),
        "is the group's last": group["lastAttemptedDeployment"]["deploymentId"] == deployment_id,
        "is the group's last good": group["lastSuccessfulDeployment"]["deploymentId"] == deployment_id,
        "runs": group["targetRevision"],
        "hosts": [_host_state(shop, deployment_id, host) for host in hosts],
    }


def _host_state(shop: Shop, deployment_id: str, host: Host) -> tuple[str, list[tuple[str, str, Any]]]:
    target = shop.target(deployment_id, host.name)
    return target["status"], [
        (event["lifecycleEventName"], event["status"], event.get("diagnostics", {}).get("errorCode"))
        for event in target["lifecycleEvents"]
    ]


def restart(plane: ControlPlane) -> None:
    plane.kill()
    plane.start()


@pytest.mark.parametrize("event", ["ApplicationStop", "ValidateService"])
@pytest.mark.parametrize("hook_ends", ["while the server is away", "after it is back"])
def test_killed_while_a_hook_runs(
    tmp_path: Path, own_plane: ControlPlane, hosts_of: Hosts, shop_of: Shops, notes: Notes, event: str, hook_ends: str
) -> None:
    hosts = hosts_of(own_plane, 2)
    shop = shop_of(own_plane, hosts)
    at_work, go_on = tmp_path / "at-work", tmp_path / "go-on"
    hooks = dict.fromkeys(SCRIPTED, notes.line)
    hooks[event] += f"; echo >> {at_work}; while [ ! -e {go_on} ]; do sleep 0.05; done"
    revision = shop.push(Revision(hooks=hooks))
    go_on.touch()
    first = end_state(shop, shop.start(revision), hosts)
    go_on.unlink()
    at_work.unlink(missing_ok=True)

    deployment_id = shop.start(revision)
    wait_until("both hosts are in the hook", lambda: at_work.exists() and len(at_work.read_text()) == 2)
    own_plane.kill()
    if hook_ends == "while the server is away":
        go_on.touch()
        wait_until("an agent finds nobody to report to", lambda: "command.report_failed" in hosts[0].log)
    own_plane.start()
    go_on.touch()

    assert end_state(shop, deployment_id, hosts) == first
    assert notes.of(deployment_id) == each_once(hosts)


def test_killed_with_a_failure_nobody_had_heard_of(
    tmp_path: Path, own_plane: ControlPlane, hosts_of: Hosts, shop_of: Shops, notes: Notes
) -> None:
    """The exit code and the log tail of a script that failed meanwhile arrive all the same."""
    hosts = hosts_of(own_plane)
    shop = shop_of(own_plane, hosts)
    at_work, go_on = tmp_path / "at-work", tmp_path / "go-on"
    script = f"{notes.line}; touch {at_work}; while [ ! -e {go_on} ]; do sleep 0.05; done; echo it broke >&2; exit 3"
    deployment_id = shop.start(Revision(hooks={"AfterInstall": script, "ValidateService": notes.line}))
    wait_until("the hook runs", at_work.exists)
    own_plane.kill()
    go_on.touch()
    wait_until("the agent finds nobody to report to", lambda: "command.report_failed" in hosts[0].log)
    own_plane.start()

    assert shop.ended(deployment_id)["status"] == "Failed"
    failure = shop.failure(deployment_id, hosts[0].name)
    assert (failure["event"], failure["errorCode"]) == ("AfterInstall", "ScriptFailed")
    assert "exit code 3" in failure["message"]
    assert "[stderr]it broke" in failure["logTail"]
    assert notes.of(deployment_id) == each_once(hosts, ["AfterInstall"])


def test_what_create_deployment_answered_is_kept(
    own_plane: ControlPlane, hosts_of: Hosts, shop_of: Shops, notes: Notes
) -> None:
    """Killed as soon as the call returned, three times over."""
    hosts = hosts_of(own_plane)
    shop = shop_of(own_plane, hosts)
    revision = shop.push(Revision(hooks=dict.fromkeys(SCRIPTED, notes.line)))
    for number in range(3):
        deployment_id = shop.start(revision)
        restart(own_plane)
        assert shop.ended(deployment_id)["status"] == "Succeeded"
        # The first revision of all has no predecessor whose ApplicationStop could run.
        assert notes.of(deployment_id) == each_once(hosts, SCRIPTED if number else SCRIPTED[1:])


def test_killed_in_the_middle_of_a_tick(own_plane: ControlPlane, hosts_of: Hosts, shop_of: Shops, notes: Notes) -> None:
    """The engine has taken the deployment up and reads its large bundle; the next server takes it up at once."""
    hosts = hosts_of(own_plane)
    shop = shop_of(own_plane, hosts)
    large = io.BytesIO()
    with zipfile.ZipFile(large, "w") as bundle:
        for path, content, _ in Revision(hooks={"AfterInstall": notes.line}).entries():
            bundle.writestr(path, content)
        bundle.writestr("noise", os.urandom(64 * 1024 * 1024))
    deployment_id = shop.start(shop.push(large.getvalue()))
    with closing(sqlite3.connect(own_plane.data_dir / "longshore.db")) as rows:
        claimed = "SELECT 1 FROM deployments WHERE id = ? AND lease_until IS NOT NULL"
        wait_until("the engine is at it", lambda: rows.execute(claimed, (deployment_id,)).fetchone())
    restart(own_plane)
    # Far less than a lease lasts.
    assert shop.ended(deployment_id, seconds=30)["status"] == "Succeeded"
    assert notes.of(deployment_id) == each_once(hosts, ["AfterInstall"])


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_at_random_moments_of_a_rollout(
    own_plane: ControlPlane, hosts_of: Hosts, shop_of: Shops, notes: Notes, seed: int
) -> None:
    """Between any two lines of anything: five times over three hosts, one at a time."""
    moments = random.Random(seed)
    hosts = hosts_of(own_plane, 3)
    shop = shop_of(own_plane, hosts)
    revision = shop.push(Revision(hooks=dict.fromkeys(SCRIPTED, f"{notes.line}; sleep 0.1")))
    shop.run(revision)
    undisturbed = end_state(shop, shop.start(revision, deploymentConfigName="CodeDeployDefault.OneAtATime"), hosts)

    deployment_id = shop.start(revision, deploymentConfigName="CodeDeployDefault.OneAtATime")
    kills = 0
    while kills < 5 and shop.info(deployment_id)["status"] not in FINAL:
        # Not to wait for anything: when to strike is what is random.
        time.sleep(moments.uniform(0, 0.4))
        restart(own_plane)
        kills += 1

    assert end_state(shop, deployment_id, hosts) == undisturbed
    assert notes.of(deployment_id) == each_once(hosts)
    assert kills >= 3


def test_agents_back_off_from_a_server_that_is_away_and_come_back(
    tmp_path: Path, own_plane: ControlPlane, hosts_of: Hosts, shop_of: Shops, notes: Notes
) -> None:
    """One agent has a finished hook to report, the other only polls; nobody touches them."""
    hosts = hosts_of(own_plane, 2)
    shop = shop_of(own_plane, hosts)
    busy_shop = shop_of(own_plane, hosts[:1])
    at_work, go_on = tmp_path / "at-work", tmp_path / "go-on"
    script = f"{notes.line}; touch {at_work}; while [ ! -e {go_on} ]; do sleep 0.05; done"
    deployment_id = busy_shop.start(Revision(hooks={"BeforeInstall": script, "AfterInstall": notes.line}))
    wait_until("the hook runs", at_work.exists)
    agents = [host.agent for host in hosts]
    processor_time = sum(sum(agent.cpu_times()[:2]) for agent in agents)
    own_plane.stop()
    left = time.monotonic()
    go_on.touch()
    wait_until("the report is offered again and again", lambda: "report_failed BeforeInstall try=3" in hosts[0].log)
    time.sleep(max(0.0, left + AWAY - time.monotonic()))

    tries = [host.log.count("poll.failed") for host in hosts]
    assert all(2 <= number <= 12 for number in tries), tries
    assert sum(sum(agent.cpu_times()[:2]) for agent in agents) - processor_time < 1.0
    own_plane.start()
    assert busy_shop.ended(deployment_id)["status"] == "Succeeded"
    assert notes.of(deployment_id) == each_once(hosts[:1], ["BeforeInstall", "AfterInstall"])
    assert hosts[0].log.count("command.ended BeforeInstall") == 1
    _, both = shop.run(Revision())
    assert both["deploymentOverview"]["Succeeded"] == 2
    assert [host.agent for host in hosts] == agents


def test_sigterm_lets_go_of_held_polls_at_once(own_plane: ControlPlane, hosts_of: Hosts, shop_of: Shops) -> None:
    """A poll is held for 45 seconds; a server that is asked to stop does not wait for that, nor cuts anything off."""
    hosts = hosts_of(own_plane, 3)
    shop = shop_of(own_plane, hosts)
    shop.run(Revision())
    wait_until("every agent's poll is held", lambda: all(_is_connected(host, own_plane.port) for host in hosts))
    assert own_plane.stop() == 0
    assert "graceful shutdown exceeded" not in own_plane.log.read_text()
    own_plane.start()
    _, ended = shop.run(Revision())
    assert ended["deploymentOverview"]["Succeeded"] == 3


def _is_connected(host: Host, port: int) -> bool:
    return any(
        connection.status == "ESTABLISHED" and connection.raddr and connection.raddr.port == port
        for connection in host.agent.net_connections(kind="tcp")
    )
