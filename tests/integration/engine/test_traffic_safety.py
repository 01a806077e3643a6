"""What must hold whatever load balancers do: the floor, no request to a host in work, nobody left out untold."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from longshore.domain.balancing import TrafficState
from longshore.domain.lifecycle import IN_PLACE
from longshore.providers.ports import NoBalancerError, RoleRightsError, ThrottledError, TransientError
from longshore.store import deployments as deployment_rows
from longshore.store.database import sqlite_url
from tests.integration.engine.rollout import LEASE, Rollout
from tests.integration.engine.test_safety import codes, minimums

troubles = st.sampled_from(
    [None, None, TransientError("no answer"), ThrottledError("too often"), NoBalancerError("gone"), RoleRightsError("")]
)
steps = st.one_of(
    st.tuples(st.just("tick")),
    st.tuples(st.just("crash")),
    st.tuples(st.just("die")),
    st.tuples(st.just("time"), st.sampled_from([1.0, 2.0, 61.0, 301.0, 3601.0])),
    st.tuples(st.just("run"), st.integers(0, 7), codes),
    st.tuples(st.just("drain"), st.integers(0, 7)),
    st.tuples(st.just("judge"), st.integers(0, 7), st.sampled_from([TrafficState.HEALTHY, TrafficState.UNHEALTHY])),
    st.tuples(st.just("trouble"), troubles),
    st.tuples(st.just("refuse"), st.sets(st.integers(0, 7), max_size=2)),
    st.tuples(st.just("stop")),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    hosts=st.integers(1, 8), minimum=minimums, script=st.lists(steps, max_size=120), silent=st.sets(st.integers(0, 7))
)
def test_no_request_comes_to_a_host_in_work(hosts: int, minimum: object, script: list[tuple], silent: set[int]) -> None:
    """Random fleets, configs, failures, silences, crashes, stops, and balancers that drain, judge and fail at will."""
    with tempfile.TemporaryDirectory() as folder:
        rollout = Rollout(sqlite_url(Path(folder) / "longshore.db"), hosts=0, minimum=minimum)  # type: ignore[arg-type]
        try:
            rollout.balance(hosts)
            rollout.deploy()
            for step in script:
                act(rollout, step)
                check(rollout)
            end(rollout, silent)
        finally:
            rollout.close()


def end(rollout: Rollout, silent: set[int]) -> None:
    """From here on balancers answer, the hosts that live do too, and the clock moves: it must end."""
    rollout.balancers.fails = None
    rollout.balancers.refuses = {}
    for _ in range(200):
        if rollout.is_final:
            break
        for name in (*rollout.ready(), *rollout.running()):
            if rollout.instances.index(name) not in silent:
                rollout.run_event(name)
        rollout.balancers.follow()
        rollout.now += 61.0
        rollout.tick()
        check(rollout)
    assert rollout.is_final
    assert not rollout.ready()
    assert not rollout.running()
    for name in rollout.instances if rollout.overview else ():
        left_out(rollout, name)


def act(rollout: Rollout, step: tuple) -> None:
    here: dict[str, TrafficState] = rollout.balancers.hosts["web"]
    match step:
        case ("tick",):
            rollout.tick(times=3)
        case ("crash",):
            rollout.crash_while_ticking()
            rollout.now += LEASE
        case ("die",):
            # A server that dies when the balancer has done what it was told, and nobody has written that down.
            with rollout.dying_after_the_act(), suppress(RuntimeError):
                rollout.tick(times=1)
            rollout.now += LEASE
        case ("time", seconds):
            rollout.now += seconds
        case ("stop",):
            if not rollout.is_final:
                rollout.stop()
        case ("run", number, code):
            if number < len(rollout.instances):
                rollout.run_event(rollout.instances[number], code)
        case ("drain", number):
            for name, state in list(here.items())[number : number + 1]:
                if state is TrafficState.DRAINING:
                    del here[name]
        case ("judge", number, verdict):
            for name, state in list(here.items())[number : number + 1]:
                if state is not TrafficState.DRAINING:
                    here[name] = verdict
        case ("trouble", error):
            rollout.balancers.fails = error
        case ("refuse", numbers):
            names = [name for number, name in enumerate(rollout.instances) if number in numbers]
            rollout.balancers.refuses = dict.fromkeys(names, "it is not running")


def check(rollout: Rollout) -> None:
    rollout.check_floor()
    row = rollout.store.read(lambda tx: deployment_rows.get(tx, rollout.deployment_id))
    if row is None or not row.total_targets:
        return
    for name in rollout.instances:
        started = _started(rollout, name)
        if any(event in started for event in IN_PLACE) and "AllowTraffic" not in started:
            assert not rollout.balancers.serving(name), f"{name} gets requests while it is deployed to: {started}"


def left_out(rollout: Rollout, name: str) -> None:
    """Who gets no traffic at the end was deployed to, or the deployment says why it is so."""
    if rollout.balancers.serving(name):
        return
    started = _started(rollout, name)
    touched = "ApplicationStop" in started
    said = rollout.target(name)["lifecycleEvents"][1].get("diagnostics", {}).get("message", "")
    assert touched or "gets no traffic" in said, (started, said)


def _started(rollout: Rollout, name: str) -> dict[str, Any]:
    events = rollout.target(name)["lifecycleEvents"]
    return {one["lifecycleEventName"]: one["status"] for one in events if "startTime" in one}
