"""Two servers on one PostgreSQL, each killed again and again whenever it pleases chance; the history says what held."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

from botocore.exceptions import BotoCoreError, ClientError

from tests.acceptance.world import FINAL, ControlPlane, Host, Revision, Shop, wait_until
from tests.chaos.notes import SCRIPTED, Notes, each_once
from tests.chaos.replicas import Replicas

Hosts = Callable[..., list[Host]]

#: The moments come from it; those of threads and disks do not, so a failing one may have to be tried more than once.
SEED = int(os.environ.get("LONGSHORE_CHAOS_SEED", time.time_ns() % 1_000_000))
#: How long they are struck, seconds.
STRUCK_FOR = float(os.environ.get("LONGSHORE_CHAOS_SECONDS", "25"))
#: However slow the machine: at least so often each, while at least so many are deployed.
KILLS, DEPLOYMENTS = 2, 2
#: Longest that a server is left alone once it answers, and that it stays away, seconds.
ALIVE, AWAY = 5.0, 1.0
#: A lease is left behind by a server that was killed in a tick. After this it is made to end, for not to wait a minute.
PATIENCE = 5.0


class Striker(threading.Thread):
    """Kills a server (-9) at random moments and starts it again, for some seconds; then it is up."""

    def __init__(self, replicas: Replicas, plane: ControlPlane, moments: Random, *, seconds: float) -> None:
        super().__init__(daemon=True)
        self.kills = 0
        self.problem: BaseException | None = None
        self._replicas = replicas
        self._plane = plane
        self._moments = moments
        self._until = time.monotonic() + seconds

    def run(self) -> None:
        try:
            while time.monotonic() < self._until or self.kills < KILLS:
                # Not to wait for anything: when to strike is what is random.
                time.sleep(self._moments.uniform(0, ALIVE))
                self._plane.kill()
                self.kills += 1
                time.sleep(self._moments.uniform(0, AWAY))
                self._replicas.start(self._plane)
        except BaseException as problem:
            self.problem = problem

    def end(self) -> None:
        """Wait until it has, and the server is up."""
        self.join(timeout=STRUCK_FOR + 60)
        assert not self.is_alive()
        assert self.problem is None, self.problem


def test_killed_at_random_moments_no_group_is_deployed_to_twice_at_once_and_no_hook_runs_twice(
    tmp_path: Path, replicas: Replicas, hosts_of: Hosts
) -> None:
    print(f"LONGSHORE_CHAOS_SEED={SEED}")  # noqa: T201 - shown where it fails
    random = Random(SEED)
    notes = Notes(tmp_path / "notes")
    replicas.start(replicas.one, replicas.two)
    hosts = hosts_of(replicas.one, 3)
    shop = replicas.shop(hosts)
    location = shop.push(Revision(hooks=dict.fromkeys(SCRIPTED, notes.line)))
    # From now on there is a revision whose ApplicationStop runs.
    assert shop.ended(shop.start(location))["status"] == "Succeeded"

    strikers = [Striker(replicas, plane, Random(random.random()), seconds=STRUCK_FOR) for plane in replicas.ports]
    for striker in strikers:
        striker.start()
    accepted, stopped = [], set()
    end = time.monotonic() + STRUCK_FOR
    while time.monotonic() < end or len(accepted) < DEPLOYMENTS:
        random.shuffle(replicas.front.ports)
        deployment_id = deploy(replicas, shop, location, random)
        accepted.append(deployment_id)
        if random.random() < 0.3:
            time.sleep(random.uniform(0, 1))  # not to wait for anything: the moment is what is random
            stopped.add(stop(shop, deployment_id))
        wait_for_end(replicas, deployment_id)
    for striker in strikers:
        striker.end()

    kept = dict(replicas.rows("SELECT id, status FROM deployments"))
    for deployment_id in accepted:
        ran = notes.of(deployment_id)
        assert kept[deployment_id] == "Succeeded" or deployment_id in stopped, deployment_id
        if kept[deployment_id] == "Succeeded":
            assert ran == each_once(hosts), deployment_id
        assert set(ran.values()) <= {1}, deployment_id
    # Also of those that were made by calls whose answers were lost.
    assert set(kept.values()) <= set(FINAL)
    replicas.check_history()
    replicas.one.run("longshore", "audit", "verify")


def deploy(replicas: Replicas, shop: Shop, location: dict[str, object], random: Random) -> str:
    """A deployment that was accepted; a call whose answer was lost may have made one, too."""
    config = random.choice(("AllAtOnce", "HalfAtATime", "OneAtATime"))

    def made() -> str | None:
        try:
            return shop.start(location, deploymentConfigName=f"CodeDeployDefault.{config}")
        except shop.deploy.exceptions.DeploymentLimitExceededException:
            active = replicas.rows("SELECT id FROM deployments WHERE complete_time IS NULL")
            assert len(active) <= 1
            return str(active[0][0]) if active else None
        except (BotoCoreError, ClientError):
            return None  # both are away

    found: str = wait_until("a deployment is accepted", made, seconds=90)
    return found


def stop(shop: Shop, deployment_id: str) -> str:
    def asked() -> bool:
        try:
            shop.deploy.stop_deployment(deploymentId=deployment_id)
        except shop.deploy.exceptions.DeploymentAlreadyCompletedException:
            return True
        except (BotoCoreError, ClientError):
            return False
        return True

    wait_until("the stop is heard", asked, seconds=90)
    return deployment_id


def wait_for_end(replicas: Replicas, deployment_id: str) -> None:
    patience = time.monotonic() + PATIENCE

    def has_ended() -> bool:
        nonlocal patience
        if time.monotonic() > patience:
            # As if a minute had passed: whoever holds it, dead or alive, has lost it.
            replicas.rows("UPDATE deployments SET lease_until = 1, wake_at = 1 WHERE lease_until IS NOT NULL")
            patience = time.monotonic() + PATIENCE
        (row,) = replicas.rows("SELECT complete_time FROM deployments WHERE id = %s", deployment_id)
        return row[0] is not None

    # An agent that found nobody for a while comes back within half a minute of its own accord.
    wait_until(f"{deployment_id} ends", has_ended, seconds=120)
