"""A server that is killed at any point of a blue/green deployment: the same end, nothing leaked, nobody lost.

Every call to AWS and every commit of the engine is such a point, before it and after it: what a dead server has done is
done, and what it has only decided is not.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import URL

from longshore.domain.blue_green import Phase
from longshore.engine.traffic import Traffic
from longshore.store.database import Store, sqlite_url
from longshore.store.wakeup import Wakeup
from tests.integration.engine.test_blue_green import KEEP, BlueGreen, terminate

_CLOUD = ("hosts", "find", "terminate", "describe", "copy", "resize", "suspend", "resume", "delete")
_BALANCERS = ("register", "deregister", "backends")


class Killed(BaseException):
    """The server is no more."""


@dataclass
class Reaper:
    """Counts the points at which the engine could die, and lets it die at one of them."""

    kill_at: int = -1
    points: int = 0
    names: list[str] = field(default_factory=list)
    is_ticking: bool = False

    def watch(self, thing: Any, name: str) -> None:
        """Make a method two points: before it does what it does, and after."""
        act: Callable[..., Any] = getattr(thing, name)

        def watched(*args: Any, **kwargs: Any) -> Any:
            self._pass(f"before {name}")
            done = act(*args, **kwargs)
            self._pass(f"after {name}")
            return done

        setattr(thing, name, watched)

    def _pass(self, name: str) -> None:
        if not self.is_ticking:
            return
        self.names.append(name)
        self.points += 1
        if self.points - 1 == self.kill_at:
            raise Killed(name)


class Mortal(BlueGreen):
    """The same world, whose engine a reaper may take; it is started again at once."""

    reaper: Reaper

    def expose(self, reaper: Reaper) -> None:
        self.reaper = reaper
        for name in _CLOUD:
            reaper.watch(self.cloud, name)
        for name in _BALANCERS:
            reaper.watch(self.balancers, name)
        reaper.watch(self.store, "write")

    def tick(self, times: int = 20) -> int:
        with self._mortal():
            return super().tick(times)
        # What a dead process had claimed is due again when its lease is over; nothing else is left of it.
        self.world = replace(self.world, traffic=Traffic(self.balancers))
        self.now += 61.0
        return times

    @contextmanager
    def _mortal(self) -> Iterator[None]:
        if not hasattr(self, "reaper"):
            yield
            return
        self.reaper.is_ticking = True
        try:
            yield
        except Killed:
            pass
        finally:
            self.reaper.is_ticking = False


Fresh = Callable[[], URL]


@pytest.fixture
def fresh(tmp_path: Path) -> Fresh:
    """Databases with nothing in them, quickly made: there are some hundred worlds here."""
    empty = tmp_path / "empty.db"
    Store(sqlite_url(empty), Wakeup()).close()
    numbers = itertools.count(1)
    return lambda: sqlite_url(Path(shutil.copy(empty, tmp_path / f"{next(numbers)}.db")))


def _run(database: URL, reaper: Reaper, scenario: Callable[[Mortal], None]) -> Mortal:
    world = Mortal(database, "CodeDeployDefault.AllAtOnce")
    scenario(world)
    world.expose(reaper)
    world.begin()
    return world


def _copies(world: Mortal) -> None:
    world.arrange(copies=True, blue=1, after=terminate())


def _discovers(world: Mortal) -> None:
    world.arrange(blue=1, green=1, after=KEEP)


@pytest.mark.parametrize("scenario", [_copies, _discovers])
def test_it_goes_on_from_wherever_it_was(fresh: Fresh, scenario: Callable[[Mortal], None]) -> None:
    whole = Reaper()
    world = _run(fresh(), whole, scenario)
    assert world.to_the_end()["status"] == "Succeeded"
    expected = _outcome(world)
    world.close()
    assert whole.points > 20
    for point in range(whole.points):
        reaper = Reaper(kill_at=point)
        world = _run(fresh(), reaper, scenario)
        assert world.to_the_end()["status"] == "Succeeded", (point, whole.names[point], world.info)
        assert _outcome(world) == expected, (point, whole.names[point])
        world.close()


def _outcome(world: Mortal) -> Any:
    """Who lives, who serves, which groups there are, and what the deployment group is."""
    return (
        sorted(world.cloud.running()),
        world.serving,
        len(world.cloud.groups),
        world.overview,
        len(world.group["autoScalingGroups"]),
        world.group.get("ec2TagFilters"),
    )


def test_a_rollback_goes_on_from_wherever_it_was(fresh: Fresh) -> None:
    """Killed anywhere from the stop on, the originals serve and nobody else does."""

    def stopped(reaper: Reaper) -> Mortal:
        world = Mortal(fresh(), "CodeDeployDefault.AllAtOnce")
        world.arrange(blue=1, green=1)
        world.begin()
        world.to_the_end()
        configuration = world.group["blueGreenDeploymentConfiguration"]
        configuration["terminateBlueInstancesOnDeploymentSuccess"] = terminate(60)
        world.mean(blueGreenDeploymentConfiguration=configuration)
        world.begin(targetInstances={"tagFilters": [{"Key": "colour", "Value": "blue", "Type": "KEY_AND_VALUE"}]})
        world.until_phase(Phase.TERMINATION_WAIT)
        world.expose(reaper)
        world.stop_and_roll_back()
        world.until(lambda: world.is_final)
        world.deployment_id = world.info["rollbackInfo"]["rollbackDeploymentId"]
        assert world.to_the_end()["status"] == "Succeeded"
        assert world.serving == world.green, "the originals of this deployment"
        assert len(world.cloud.running()) == 2
        return world

    whole = Reaper()
    stopped(whole).close()
    for point in range(whole.points):
        stopped(Reaper(kill_at=point)).close()
