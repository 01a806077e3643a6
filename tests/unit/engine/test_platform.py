"""The rules of the Server platform together, in a world that loses, repeats, reorders, delays and kills.

Whatever happens: the floor is kept; traffic reaches no host that is not ready for it; originals are never terminated
before the replacements serve; one deployment of a group is active; no event runs twice; every deployment ends.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from random import Random
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from longshore.domain.blue_green import Phase
from tests.unit.engine.simulation import Simulation

#: The first seed and how many follow it. To see a run that failed again: LONGSHORE_SEED=<its seed>.
_SEEDS = 8000
_HAPPENINGS: tuple[tuple[str, float], ...] = (
    ("poll", 6), ("acknowledge", 6), ("complete", 6), ("hear", 6), ("tick", 6),
    ("deploy", 1), ("go_on", 0.5), ("stop", 0.1), ("kill_a_host", 0.06), ("balancer_changes", 0.3),
    ("health_changes", 0.4), ("delete_the_group", 0.02),
)  # fmt: skip
_NAMES = [name for name, _ in _HAPPENINGS]
_WEIGHTS = [weight for _, weight in _HAPPENINGS]
#: What may happen between a decision and its commit.
_MEANWHILE = ["hear", "acknowledge", "stop", "go_on", "poll"]
_SOME_PHASE: list[Phase | None] = [*Phase, *[None] * 10]
_SELDOM_SOME_PHASE: list[Phase | None] = [*Phase, *[None] * 60]


def run(seed: int) -> Simulation:
    chance = Random(seed)
    world = Simulation(chance)
    world.deploy()
    calm = chance.random()  # some runs get far before anything goes wrong
    length = chance.choice([50, 200, 800])
    for moment in range(length):
        happening = chance.choices(_NAMES, _WEIGHTS)[0]
        if happening == "tick":
            world.tick(meanwhile=chance.sample(_MEANWHILE, chance.randint(0, 2)))
        elif calm < moment / length or happening not in ("stop", "kill_a_host", "delete_the_group"):
            getattr(world, happening)()
        if chance.random() < 0.3:
            world.time_passes(chance.choices([0.1, 1.0, 5.0, 60.0, 301.0], [50, 30, 15, 4, 1])[0])
        world.check()
    world.finish(
        stop_in=chance.choice(_SOME_PHASE),
        kill_in=chance.choice(_SOME_PHASE),
        delete_in=chance.choice(_SELDOM_SOME_PHASE),
    )
    return world


def test_seeds() -> None:
    """Thousands of runs."""
    asked = os.environ.get("LONGSHORE_SEED")
    seeds = range(_SEEDS) if asked is None else [int(asked)]
    ends: set[tuple[Any, ...]] = set()
    for seed in seeds:
        try:
            world = run(seed)
        except Exception as error:
            raise AssertionError(f"seed {seed}: {error}; again: LONGSHORE_SEED={seed} pytest {__file__}") from error
        ends |= {(one.is_rollback, one.phase, one.status.value) for one in world.deployments}
    if asked is None:
        # The runs get everywhere: each way a deployment can end was gone.
        for expected in (
            (False, None, "Succeeded"), (False, None, "Failed"), (False, None, "Stopped"),
            (False, "retire", "Succeeded"), (False, "install", "Failed"), (False, "reroute", "Failed"),
            (False, "ready-wait", "Stopped"), (False, "block", "Failed"), (False, "termination-wait", "Stopped"),
            (True, "withdraw", "Succeeded"), (True, "restore", "Failed"),
        ):  # fmt: skip
            assert expected in ends, (expected, sorted(map(str, ends)))


class Platform(RuleBasedStateMachine):
    """The same world, in which Hypothesis says what happens: a run that fails is told in as few steps as it takes."""

    @initialize(seed=st.integers(0, 9999))
    def begin(self, seed: int) -> None:
        self.world = Simulation(Random(seed))
        self.world.deploy()

    @rule(happening=st.sampled_from([name for name in _NAMES if name != "tick"]))
    def something_happens(self, happening: str) -> None:
        step: Callable[[], None] = getattr(self.world, happening)
        step()

    @rule(meanwhile=st.lists(st.sampled_from(_MEANWHILE), max_size=2))
    def the_engine_looks(self, meanwhile: list[str]) -> None:
        self.world.tick(meanwhile=meanwhile)

    @rule(seconds=st.sampled_from([0.1, 2.0, 301.0, 3601.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.time_passes(seconds)

    @precondition(lambda self: self.world.group.active is not None)
    @rule()
    def work_goes_on(self) -> None:
        for _ in range(5):
            for step in (self.world.poll, self.world.acknowledge, self.world.complete, self.world.hear):
                step()
            self.world.tick(may_crash=False)
            self.world.check()

    @invariant()
    def holds(self) -> None:
        if hasattr(self, "world"):
            self.world.check()

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.finish()


TestPlatform = Platform.TestCase
TestPlatform.settings = settings(max_examples=500, stateful_step_count=40, deadline=None, print_blob=True)
