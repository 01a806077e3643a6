"""Who may tick a deployment: claims, leases and the fence."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy.engine import URL

from longshore.domain.bundle import BundleFacts
from longshore.domain.ids import Scope
from longshore.engine.runner import Runner
from longshore.engine.tick import tick
from longshore.store import deployments
from longshore.store.deployments import LeaseLostError
from tests.integration.engine.rollout import LEASE, Bundles, Rollout


@pytest.fixture
def rollout(database: URL) -> Iterator[Rollout]:
    made = Rollout(database, hosts=2, minimum="CodeDeployDefault.HalfAtATime")
    made.deploy()
    yield made
    made.close()


def test_a_claimed_deployment_is_nobody_elses_until_the_lease_ends(rollout: Rollout) -> None:
    assert rollout.claim() is not None
    assert rollout.claim() is None
    rollout.now += LEASE
    assert rollout.claim() is not None


def test_a_tick_that_slept_through_its_lease_writes_nothing(rollout: Rollout) -> None:
    """The fence: a process paused longer than its lease wakes up to find that another took over."""
    asleep = rollout.claim()
    assert asleep is not None
    rollout.now += LEASE
    other = rollout.claim()
    assert other is not None
    with pytest.raises(LeaseLostError):
        tick(rollout.world, asleep, rollout.now)
    assert rollout.info["status"] == "Created"
    tick(rollout.world, other, rollout.now)
    assert rollout.info["status"] == "InProgress"


def test_a_host_that_ends_during_a_tick_has_the_deployment_looked_at_again(rollout: Rollout) -> None:
    """A wake-up that falls into a tick is not lost when the tick gives the deployment back."""
    rollout.tick()
    rollout.now += 100
    rollout.store.write(lambda tx: deployments.wake(tx, rollout.deployment_id, rollout.now))
    claim = rollout.claim()
    assert claim is not None
    rollout.run_all(rollout.ready()[0])
    tick(rollout.world, claim, rollout.now)
    assert rollout.tick() > 0 or rollout.overview.get("Succeeded") == 1
    assert rollout.overview == {"InProgress": 1, "Succeeded": 1}


def test_an_idle_deployment_is_not_looked_at(rollout: Rollout) -> None:
    rollout.tick()
    assert rollout.tick() == 0
    due = rollout.store.read(lambda tx: deployments.finding_first_wake_at(tx, rollout.now)())
    assert due is not None
    assert due > rollout.now + 200


class _StalledBundles(Bundles):
    """Object storage that gives no answer until it is let."""

    def __init__(self) -> None:
        self.asked, self.go_on = threading.Event(), threading.Event()

    def examine(self, scope: Scope, location: Mapping[str, Any], *, expires_in: int) -> BundleFacts:
        self.asked.set()
        self.go_on.wait(timeout=30)
        return super().examine(scope, location, expires_in=expires_in)


def test_a_tick_that_does_not_end_is_given_to_somebody_else_and_writes_nothing_later(rollout: Rollout) -> None:
    stalled = _StalledBundles()
    runner = Runner(replace(rollout.world, bundles=stalled), clock=lambda: rollout.now)
    runner.start()
    assert stalled.asked.wait(timeout=10)
    assert runner.stop(patience=0.1) is False
    # No lease to wait for: whoever looks next takes it up.
    claim = rollout.claim()
    assert claim is not None
    stalled.go_on.set()
    runner._pool.shutdown(wait=True)
    assert rollout.info["status"] == "Created"
    tick(rollout.world, claim, rollout.now)
    assert rollout.info["status"] == "InProgress"


def test_a_runner_that_is_stopped_lets_its_tick_end_and_leaves_no_lease(rollout: Rollout) -> None:
    stalled = _StalledBundles()
    runner = Runner(replace(rollout.world, bundles=stalled), clock=lambda: rollout.now)
    runner.start()
    assert stalled.asked.wait(timeout=10)
    runner.let_go()
    assert not runner.is_running
    stalled.go_on.set()
    assert runner.stop() is True
    assert rollout.info["status"] == "InProgress"
    leases = "SELECT count(*) FROM deployments WHERE lease_owner IS NOT NULL OR lease_until IS NOT NULL"
    assert rollout.store.read(lambda tx: tx.hot(leases).fetchone())[0] == 0
