"""How many hosts were down at once, from what a customer of each saw."""

from __future__ import annotations

import threading

import pytest

from longshore.cli.demo.prober import Down, Prober, most_at_once


@pytest.mark.parametrize(
    ("downs", "worst"),
    [
        ({}, 0),
        ({"a": [Down(1, 2)]}, 1),
        ({"a": [Down(1, 2)], "b": [Down(3, 4)]}, 1),
        ({"a": [Down(1, 3)], "b": [Down(2, 4)]}, 2),
        ({"a": [Down(1, 3), Down(5, 6)], "b": [Down(2, 4)], "c": [Down(5.5, 7)]}, 2),
        ({"a": [Down(1, 2)], "b": [Down(2, 3)]}, 2),
        ({"a": [Down(1, 1)]}, 1),
    ],
    ids=["none", "one", "one after the other", "overlapping", "pairs", "touching", "a single failed try"],
)
def test_worst_moment(downs: dict[str, list[Down]], worst: int) -> None:
    assert most_at_once(downs) == worst


def test_hosts_that_take_turns_are_never_down_together() -> None:
    asked = {name: threading.Semaphore(0) for name in ("a", "b")}
    first_is_up = threading.Event()

    def first() -> bool:
        asked["a"].release()
        return first_is_up.is_set()

    def second() -> bool:
        asked["b"].release()
        return not first_is_up.is_set()

    with Prober({"a": first, "b": second}, pause=0.001) as prober:
        for name in ("a", "b"):
            assert asked[name].acquire(timeout=10)
        first_is_up.set()
        for _ in range(200):
            assert asked["a"].acquire(timeout=10)
    assert prober.fewest in (0, 1)
    assert prober.tries >= 200


def test_a_host_that_never_answers_is_counted() -> None:
    tried = threading.Semaphore(0)

    def never() -> bool:
        tried.release()
        return False

    with Prober({"a": never, "b": lambda: True}, pause=0.001) as prober:
        for _ in range(5):
            assert tried.acquire(timeout=10)
    assert prober.fewest == 1
