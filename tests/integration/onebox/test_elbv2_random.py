"""Targets come and go, shares change, servers are restarted, in any order and under load: nobody notices."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from longshore.onebox.machinery.records import Records
from longshore.onebox.services.elbv2 import Elbv2
from tests.integration.onebox.test_elbv2_instances import OWNER, Machines, call
from tests.load import Backend, Load, ending_proxy, load, until

STEPS = 40
SEED = int(os.environ.get("LONGSHORE_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 30)


class World:
    """Two target groups behind one listener, and servers that may be in them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.backends = {
            f"i-{number:017x}": Backend(f"b{number}", f"127.64.254.{number}", 18099) for number in range(1, 7)
        }
        self.machines = Machines()
        self.machines.addresses = {one: backend.address for one, backend in self.backends.items()}
        self.start()
        made = call(self.elb, "CreateLoadBalancer", Name="shop")["LoadBalancers"][0]
        self.address = made["DNSName"]
        check = {"HealthCheckPath": "/health", "HealthyThresholdCount": 2}
        self.groups = [
            call(self.elb, "CreateTargetGroup", Name=name, Protocol="HTTP", Port=18099, **check)["TargetGroups"][0][
                "TargetGroupArn"
            ]
            for name in ("blue", "green")
        ]
        self.members: dict[str, set[str]] = {arn: set() for arn in self.groups}
        #: Those that are in no group any more, and may still be handed a request that was under way.
        self.leaving: set[str] = set()
        #: How often those were asked that are out.
        self.out: dict[str, int] = {}
        self.listener = call(
            self.elb,
            "CreateListener",
            LoadBalancerArn=made["LoadBalancerArn"],
            Protocol="HTTP",
            Port=18098,
            DefaultActions=self.action(1, 1),
        )["Listeners"][0]["ListenerArn"]

    def start(self) -> None:
        self.records = Records(self.folder / "onebox" / "onebox.db")
        self.elb = Elbv2(self.records, self.folder / "onebox" / "proxy", self.machines, now=time.time)
        self.elb.start()

    def stop(self) -> None:
        self.elb.stop()
        self.records.close()

    def action(self, *weights: int) -> list[dict[str, object]]:
        shares = [{"TargetGroupArn": arn, "Weight": one} for arn, one in zip(self.groups, weights, strict=True)]
        return [{"Type": "forward", "ForwardConfig": {"TargetGroups": shares}}]

    # Steps. Each keeps a healthy target in every group.

    def register(self, dice: random.Random) -> None:
        arn = dice.choice(self.groups)
        new = dice.choice(list(self.backends))
        self.leaving.discard(new)
        self.out.pop(new, None)
        self.elb.register(OWNER, arn, [new])
        self.members[arn].add(new)
        until(lambda: (self.elb.health(OWNER, arn) or {})[new] == "healthy")

    def deregister(self, dice: random.Random) -> None:
        arn = dice.choice(self.groups)
        if len(self.members[arn]) > 1:
            old = dice.choice(sorted(self.members[arn]))
            self.elb.deregister(OWNER, arn, [old])
            self.members[arn].discard(old)
            if not any(old in some for some in self.members.values()):
                self.leaving.add(old)

    def shift(self, dice: random.Random) -> None:
        weights = dice.choice([(1, 0), (0, 1), (1, 1), (9, 1), (50, 999)])
        call(self.elb, "ModifyListener", ListenerArn=self.listener, DefaultActions=self.action(*weights))

    def add_rule(self, dice: random.Random) -> None:
        condition = {"Field": "path-pattern", "Values": [f"/nowhere{dice.randrange(1000)}*"]}
        call(
            self.elb,
            "CreateRule",
            ListenerArn=self.listener,
            Priority=dice.randrange(1, 50_000),
            Conditions=[condition],
            Actions=self.action(1, 1),
        )

    def check_otherwise(self, dice: random.Random) -> None:
        asked = {"TargetGroupArn": dice.choice(self.groups), "HealthCheckPath": f"/health?{dice.randrange(1000)}"}
        call(self.elb, "ModifyTargetGroup", **asked)

    def restart(self, _: random.Random) -> None:
        self.stop()
        self.start()

    def require(self, seen: Load) -> None:
        """What must be so at any moment."""
        assert seen.failed == []
        for name, asked in self.out.items():
            assert self.backends[name].asked == asked, f"{name} is asked, and is out"
        registered = {name for arn in self.groups for name in self.elb.health(OWNER, arn) or {}}
        for name in self.leaving - registered:
            self.leaving.discard(name)
            self.out[name] = self.backends[name].asked


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with ending_proxy(tmp_path):
        made = World(tmp_path)
        yield made
        made.stop()
        for one in made.backends.values():
            one.close()


def test_whatever_changes_no_request_is_lost_and_none_goes_astray(world: World) -> None:
    dice = random.Random(SEED)
    for arn, first in zip(world.groups, list(world.backends), strict=False):
        world.elb.register(OWNER, arn, [first])
        world.members[arn].add(first)
        until(lambda arn=arn, first=first: (world.elb.health(OWNER, arn) or {})[first] == "healthy")
    steps = [
        world.register,
        world.register,
        world.deregister,
        world.deregister,
        world.shift,
        world.add_rule,
        world.check_otherwise,
        world.restart,
    ]
    taken = []
    with load(world.address, 18098, connections=6, pause=0.005) as seen:
        for _ in range(STEPS):
            step = dice.choice(steps)
            taken.append(step.__name__)
            step(dice)
            seen.more(30)
            try:
                world.require(seen)
            except AssertionError as wrong:
                raise AssertionError(f"LONGSHORE_SEED={SEED}: {wrong} after {taken}") from wrong
    assert seen.answered.total() > 30 * STEPS
