"""What must hold whatever happens: the floor is kept, and every deployment ends."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.engine import URL

from longshore.domain.deployment import ScriptCode
from longshore.store.database import sqlite_url
from tests.integration.engine.rollout import LEASE, Rollout
from tests.postgresql import Cluster

minimums = st.one_of(
    st.sampled_from([f"CodeDeployDefault.{name}" for name in ("OneAtATime", "HalfAtATime", "AllAtOnce")]),
    st.builds(lambda value: {"type": "HOST_COUNT", "value": value}, st.integers(0, 8)),
    st.builds(lambda value: {"type": "FLEET_PERCENT", "value": value}, st.integers(0, 99)),
)
codes = st.sampled_from([ScriptCode.SUCCESS] * 6 + [ScriptCode.SCRIPT_FAILED, ScriptCode.UNKNOWN_ERROR])
steps = st.one_of(
    st.tuples(st.just("tick")),
    st.tuples(st.just("crash")),
    st.tuples(st.just("time"), st.sampled_from([1.0, 61.0, 301.0, 3601.0])),
    st.tuples(st.just("take_up"), st.integers(0, 7)),
    st.tuples(st.just("complete"), st.integers(0, 7), codes),
    st.tuples(st.just("run"), st.integers(0, 7), codes),
    st.tuples(st.just("stop")),
)


run = {
    "hosts": st.integers(1, 8),
    "minimum": minimums,
    "script": st.lists(steps, max_size=60),
    "silent": st.sets(st.integers(0, 7)),
    "data": st.data(),
}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(**run)
def test_the_floor_is_kept_and_every_deployment_ends(
    hosts: int, minimum: object, script: list[tuple], silent: set[int], data: st.DataObject
) -> None:
    """Random fleets, configs, failures, silences, crashes, stops and orders of report."""
    with tempfile.TemporaryDirectory() as folder:
        play(sqlite_url(Path(folder) / "longshore.db"), hosts, minimum, script, silent, data)


@settings(
    max_examples=10,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(**run)
def test_the_floor_is_kept_on_postgresql(
    cluster: Cluster,
    migrated: URL,
    hosts: int,
    minimum: object,
    script: list[tuple],
    silent: set[int],
    data: st.DataObject,
) -> None:
    database = cluster.database(like=migrated)
    try:
        play(database, hosts, minimum, script, silent, data)
    finally:
        cluster.drop(database)


def play(
    database: URL, hosts: int, minimum: object, script: list[tuple], silent: set[int], data: st.DataObject
) -> None:
    rollout = Rollout(database, hosts=hosts, minimum=minimum)  # type: ignore[arg-type]
    try:
        rollout.deploy()
        for step in script:
            act(rollout, step)
            rollout.check_floor()
            if rollout.is_final:
                break
        # From here on only the clock moves and the hosts that live answer: it must end.
        for _ in range(100):
            if rollout.is_final:
                break
            for name in rollout.ready() + rollout.running():
                if rollout.names.index(name) not in silent:
                    act(rollout, ("run", rollout.names.index(name), data.draw(codes)))
                    rollout.check_floor()
            rollout.now += 301
            rollout.tick()
            rollout.check_floor()
        assert rollout.is_final
        assert not rollout.ready()
        assert not rollout.running()
    finally:
        rollout.close()


def act(rollout: Rollout, step: tuple) -> None:
    match step:
        case ("tick",):
            rollout.tick(times=3)
        case ("crash",):
            rollout.crash_while_ticking()
            rollout.now += LEASE
        case ("time", seconds):
            rollout.now += seconds
        case ("stop",):
            if not rollout.is_final:
                rollout.stop()
        case ("take_up", number):
            rollout.take_up(f"web-{number:02}")
        case ("complete", number, code):
            rollout.complete(f"web-{number:02}", code)
        case ("run", number, code):
            rollout.run_event(f"web-{number:02}", code)
