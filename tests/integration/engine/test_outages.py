"""Time in which no server was at work does not count against hosts; time in which another was, does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy.engine import URL

from longshore.domain.deployment import START_TIMEOUT
from longshore.engine.outages import AWAY, note_presence
from longshore.engine.runner import Runner
from longshore.store import server_secrets
from longshore.store.database import Transaction
from tests.acceptance.world import wait_until
from tests.integration.engine.rollout import Rollout


@pytest.fixture
def rollout(database: URL) -> Iterator[Rollout]:
    """A deployment whose one host has been given its first command."""
    made = Rollout(database, hosts=1, minimum="CodeDeployDefault.AllAtOnce")
    made.deploy()
    made.tick()
    note(made)
    yield made
    made.close()


def note(rollout: Rollout) -> None:
    rollout.store.write(lambda tx: note_presence(tx, rollout.now))


def noted(tx: Transaction) -> float | None:
    found = server_secrets.find(tx, server_secrets.LAST_AT_WORK)
    return None if found is None else float(found)


def pass_time(rollout: Rollout, seconds: float, *, noted_every: float) -> None:
    """Some server is at work."""
    end = rollout.now + seconds
    while rollout.now < end:
        rollout.now = min(end, rollout.now + noted_every)
        note(rollout)


def test_an_outage_of_an_hour_is_no_fault_of_the_hosts(rollout: Rollout) -> None:
    rollout.now += 3600
    note(rollout)
    rollout.tick()
    assert rollout.info["status"] == "InProgress"
    pass_time(rollout, START_TIMEOUT - 1, noted_every=10)
    rollout.tick()
    assert rollout.info["status"] == "InProgress"
    pass_time(rollout, 1, noted_every=10)
    rollout.tick()
    assert rollout.info["status"] == "Failed"


def test_replicas_that_start_beside_another_give_nobody_more_time(rollout: Rollout) -> None:
    # However many, and however late they are with their signs.
    pass_time(rollout, START_TIMEOUT - 1, noted_every=AWAY)
    rollout.tick()
    assert rollout.info["status"] == "InProgress"
    pass_time(rollout, 1, noted_every=AWAY)
    rollout.tick()
    assert rollout.info["status"] == "Failed"


def test_an_engine_that_starts_after_an_outage_gives_time_before_it_judges(rollout: Rollout) -> None:
    rollout.now += 3600
    runner = Runner(rollout.world, clock=lambda: rollout.now)
    runner.start()
    try:
        wait_until("it is at work", lambda: rollout.store.read(noted) == rollout.now)
    finally:
        runner.stop()
    rollout.tick()
    assert rollout.info["status"] == "InProgress"


def test_while_nothing_is_deployed_nothing_is_written(database: URL) -> None:
    idle = Rollout(database, hosts=0, minimum="CodeDeployDefault.AllAtOnce")
    note(idle)
    assert idle.store.read(noted) is None
    idle.close()
