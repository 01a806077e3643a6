"""The arithmetic of minimum healthy hosts (server.md S2)."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.domain.config import PREDEFINED
from longshore.domain.health import (
    Fleet,
    MinimumHealthyHosts,
    MinimumType,
    Turn,
    Verdict,
    judge,
    required_healthy,
    room,
)
from longshore.domain.health import turn as turn_of

COUNT, PERCENT = MinimumType.HOST_COUNT, MinimumType.FLEET_PERCENT


def run(total: int, required: int, outcomes: list[bool], shuffle: random.Random) -> tuple[Verdict, int, Fleet]:
    """Roll over hosts that end as `outcomes` say, in a random order: the verdict, most in flight, the counts."""
    pending, in_flight, ended = list(range(total)), list[int](), list[bool]()
    most = 0
    doomed = False
    while True:
        fleet = Fleet(
            total=total,
            required=required,
            pending=0 if doomed else len(pending),
            in_flight=len(in_flight),
            succeeded=sum(ended),
            failed=len(ended) - sum(ended),
            skipped=len(pending) if doomed else 0,
        )
        verdict = judge(fleet)
        if verdict is Verdict.DOOMED:
            doomed = True
        elif verdict is not Verdict.OPEN:
            return verdict, most, fleet
        else:
            for _ in range(room(fleet)):
                in_flight.append(pending.pop(0))
        most = max(most, len(in_flight))
        ended.append(outcomes[in_flight.pop(shuffle.randrange(len(in_flight)))])


# Rows of S2.14: hosts, config, how many must stay healthy, most in flight at once.
WORKED_EXAMPLES = [
    (10, MinimumHealthyHosts(type=COUNT, value=9), 9, 1),
    (10, MinimumHealthyHosts(type=COUNT, value=8), 8, 2),
    (10, MinimumHealthyHosts(type=PERCENT, value=85), 9, 1),
    (10, MinimumHealthyHosts(type=COUNT, value=0), 0, 10),
    (9, MinimumHealthyHosts(type=COUNT, value=6), 6, 3),
    (9, MinimumHealthyHosts(type=PERCENT, value=40), 4, 5),
    (9, PREDEFINED["CodeDeployDefault.HalfAtATime"].minimum, 5, 4),
    (9, PREDEFINED["CodeDeployDefault.OneAtATime"].minimum, 8, 1),
    (9, PREDEFINED["CodeDeployDefault.AllAtOnce"].minimum, 0, 9),
    (2, PREDEFINED["CodeDeployDefault.HalfAtATime"].minimum, 1, 1),
]


@pytest.mark.parametrize(("total", "minimum", "required", "at_once"), WORKED_EXAMPLES)
def test_worked_examples_keep_their_floor_and_pace(
    total: int, minimum: MinimumHealthyHosts, required: int, at_once: int
) -> None:
    """S2.14: the floor, and how many are down at once when all goes well."""
    assert required_healthy(minimum, total, predefined=False) == required
    verdict, most, _ = run(total, required, [True] * total, random.Random(1))
    assert (verdict, most) == (Verdict.SUCCEEDED, at_once)


@pytest.mark.parametrize(("total", "minimum", "required", "at_once"), WORKED_EXAMPLES)
@given(data=st.data())
def test_success_means_enough_healthy_hosts(
    total: int, minimum: MinimumHealthyHosts, required: int, at_once: int, data: st.DataObject
) -> None:
    """S2.13 e: whatever fails in whatever order, Succeeded exactly when the floor held and one host succeeded."""
    outcomes = data.draw(st.lists(st.booleans(), min_size=total, max_size=total))
    verdict, most, fleet = run(total, required, outcomes, data.draw(st.randoms(use_true_random=False)))
    assert most <= at_once
    if verdict is Verdict.SUCCEEDED:
        assert fleet.succeeded >= max(required, 1)
        assert fleet.succeeded + fleet.failed == total
    else:
        # It failed for a reason: the floor is broken, or would be by trying one host more.
        assert fleet.failed >= total - required or fleet.succeeded == 0


def test_too_high_a_floor_is_refused_before_any_host_is_touched() -> None:
    """S2.14 row 1: 95 percent of 10 hosts leaves none to deploy to."""
    minimum = MinimumHealthyHosts(type=PERCENT, value=95)
    required = required_healthy(minimum, 10, predefined=False)
    fleet = Fleet(total=10, required=required, pending=10, in_flight=0, succeeded=0, failed=0)
    assert required == 10
    assert judge(fleet) is Verdict.UNATTAINABLE
    assert room(fleet) == 0


@pytest.mark.parametrize(
    ("total", "required", "failing", "verdict", "skipped"),
    [
        (10, 9, {0}, Verdict.FAILED, 9),  # any failure with hosts left ends it
        (10, 9, {9}, Verdict.SUCCEEDED, 0),  # the last host may fail
        (10, 8, {0, 1}, Verdict.FAILED, 8),  # the second failure ends it
        (10, 8, {0, 9}, Verdict.SUCCEEDED, 0),  # unless it is the last
        (2, 1, {0}, Verdict.FAILED, 1),
        (1, 0, {0}, Verdict.FAILED, 0),  # one success is always wanted
    ],
)
def test_the_last_hosts_may_fail_and_no_others(
    total: int, required: int, failing: set[int], verdict: Verdict, skipped: int
) -> None:
    """S2.14: the exception for the last instance falls out of the rules and is not special to OneAtATime."""
    outcomes = [host not in failing for host in range(total)]
    ended, _, fleet = run(total, required, outcomes, _first_in_first_out())
    assert (ended, fleet.pending + fleet.skipped) == (verdict, skipped)


def _first_in_first_out() -> random.Random:
    class First(random.Random):
        def randrange(self, *_: object) -> int:  # type: ignore[override]
            return 0

    return First()


def test_after_one_failure_only_one_host_is_down_at_a_time() -> None:
    """S2.14: 10 hosts, floor 8: a failed host uses up one of the two places."""
    assert room(Fleet(total=10, required=8, pending=7, in_flight=1, succeeded=1, failed=1)) == 0
    assert room(Fleet(total=10, required=8, pending=7, in_flight=0, succeeded=2, failed=1)) == 1


@pytest.mark.parametrize("config", ["OneAtATime", "HalfAtATime", "AllAtOnce"])
def test_predefined_configs_never_refuse_a_group_of_one(config: str) -> None:
    minimum = PREDEFINED[f"CodeDeployDefault.{config}"].minimum
    assert minimum is not None
    assert required_healthy(minimum, 1, predefined=True) == 0


def test_a_custom_config_is_taken_literally() -> None:
    assert required_healthy(MinimumHealthyHosts(type=PERCENT, value=50), 1, predefined=False) == 1


@given(
    total=st.integers(1, 40),
    required=st.integers(0, 40),
    outcomes=st.lists(st.booleans(), min_size=40, max_size=40),
    shuffle=st.randoms(use_true_random=False),
)
def test_every_rollout_ends(total: int, required: int, outcomes: list[bool], shuffle: random.Random) -> None:
    verdict, most, fleet = run(total, required, outcomes, shuffle)
    assert verdict is not Verdict.OPEN
    if required < total:
        assert most <= total - required
    else:
        assert fleet.pending == total


@pytest.mark.parametrize(
    ("healthy", "installed", "its_turn"),
    [
        (False, "r2", Turn.UNHEALTHY),
        (False, None, Turn.UNHEALTHY),
        (True, None, Turn.UNKNOWN_REVISION),
        (True, "r1", Turn.OLD_REVISION),
        (True, "r2", Turn.CURRENT_REVISION),
    ],
)
def test_hosts_with_least_to_lose_go_first(healthy: bool, installed: str | None, its_turn: Turn) -> None:
    """S2.12."""
    assert turn_of(healthy=healthy, installed=installed, current="r2") is its_turn
