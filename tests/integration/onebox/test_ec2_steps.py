"""Instances under any order of calls, deaths and servers that are killed: what runs is what the records say."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from longshore.onebox.machinery.records import Owner, Records
from longshore.onebox.services.ec2 import ec2, rows
from longshore.onebox.services.ec2.ports import HostFailedError
from longshore.onebox.services.ec2.steps import Steps
from longshore.onebox.services.ec2.values import Instance, State
from longshore.wire.service import AwsError

OWNER = Owner("000000000000", "us-east-1")


class Killed(BaseException):
    """The server, at this line."""


class SimulatedHosts:
    """Hosts that are entries of a dictionary, and a server that may be killed before or after whatever it does."""

    def __init__(self) -> None:
        #: Whether it runs, of each that has files.
        self.there: dict[str, bool] = {}
        self.attended: set[str] = set()
        self.boots: list[str] = []
        #: What is still done before the server is killed; None: all.
        self.until_killed: int | None = None
        self.boot_fails = False
        self.failed: set[str] = set()

    def why_not(self) -> str | None:
        return None

    def is_running(self, instance: Instance) -> bool:
        return self.there.get(instance.id, False)

    def is_attended(self, instance: Instance) -> bool:
        return instance.id in self.attended

    def boot(self, owner: Owner, instance: Instance) -> None:
        self.attend(owner, instance)
        if not self.is_running(instance):
            if self.boot_fails:
                self.boot_fails = False
                self.failed.add(instance.id)
                raise HostFailedError("it does not start")
            self._act(lambda: self.there.update({instance.id: True}))
            self.boots.append(instance.id)

    def attend(self, _owner: Owner, instance: Instance) -> None:
        self.attended.add(instance.id)

    def halt(self, instance: Instance) -> None:
        if instance.id in self.there:
            self._act(lambda: self.there.update({instance.id: False}))
        self.attended.discard(instance.id)

    def remove(self, _owner: Owner, instance: Instance) -> None:
        self.halt(instance)
        self._act(lambda: self.there.pop(instance.id, None))

    def sweep(self, known: Callable[[], set[str]]) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        raise NotImplementedError

    def _act(self, act: Callable[[], Any]) -> None:
        if self.until_killed is not None:
            if self.until_killed == 0:
                raise Killed
            self.until_killed -= 1
        act()
        if self.until_killed == 0:
            raise Killed


class Life(RuleBasedStateMachine):
    """What callers asked for last, and what becomes of it."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.records = Records(Path(self.folder.name) / "onebox.db")
        self.hosts = SimulatedHosts()
        self.told: list[tuple[str, State]] = []
        #: The states that are right once nothing is left to do.
        self.wanted: dict[str, set[State]] = {}
        self.launched = 0
        self.now = 1_800_000_000.0
        self.start_server()

    def start_server(self) -> None:
        self.hosts.until_killed = None
        self.hosts.attended.clear()
        self.steps = Steps(
            self.records,
            self.hosts,
            tell=lambda _owner, instance: self.told.append((instance.id, instance.state)),
            now=lambda: self.now,
        )

    def teardown(self) -> None:
        if hasattr(self, "records"):
            self.records.close()
            self.folder.cleanup()

    @rule(behavior=st.sampled_from(["stop", "terminate"]))
    def launch(self, behavior: str) -> None:
        # Not a random one: they are drawn from and looked at in the order of their ids.
        self.launched += 1
        instance = Instance(
            id=f"i-{self.launched:017x}",
            state=State.PENDING,
            reservation="r-1",
            index=0,
            launch_time=self.now,
            image="ami-longshore",
            type="m1.small",
            private_ip="127.64.0.4",
            private_dns_name="ip-127-64-0-4.ec2.internal",
            zone="us-east-1a",
            subnet="subnet-1",
            vpc="vpc-1",
            security_groups=(),
            shutdown_behavior=behavior,
        )
        with self.records.transaction() as tx:
            rows.put(tx, OWNER, [instance])
        self.wanted[instance.id] = {State.RUNNING}

    @precondition(lambda self: self.wanted)
    @rule(data=st.data(), call=st.sampled_from(["terminated", "stopped", "started", "rebooted"]))
    def ask(self, data: st.DataObject, call: str) -> None:
        one = data.draw(st.sampled_from(sorted(self.wanted)))
        with self.records.transaction() as tx:
            before = rows.instance(tx, OWNER, one)
            if before is None:
                return
            try:
                after = getattr(ec2, call)(before, self.now)
            except AwsError:
                return
            rows.put(tx, OWNER, [after])
        if call == "terminated":
            self.wanted[one] = {State.TERMINATED}
        elif not before.state.is_over and call == "stopped":
            self.wanted[one] = {State.STOPPED} | (self.wanted[one] & {State.TERMINATED})
        elif call == "started" and before.state is State.STOPPED:
            self.wanted[one] = {State.RUNNING}

    @precondition(lambda self: any(self.hosts.there.values()))
    @rule(data=st.data())
    def a_host_dies(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from(sorted(name for name, runs in self.hosts.there.items() if runs)))
        self.hosts.there[one] = False
        if State.TERMINATED not in self.wanted[one] or len(self.wanted[one]) > 1:
            # A death that comes before what was asked for is done may be made good by that.
            self.wanted[one] |= {State.STOPPED, State.TERMINATED}

    @rule()
    def the_next_boot_fails(self) -> None:
        self.hosts.boot_fails = True

    @rule()
    def look(self) -> None:
        for owner, instance in self.everyones():
            if self.steps.is_needed(instance):
                self.steps.take(owner, instance.id)

    @rule(acts=st.integers(0, 4))
    def look_and_be_killed(self, acts: int) -> None:
        self.hosts.until_killed = acts
        try:
            self.look()
        except Killed:
            self.start_server()
        self.hosts.until_killed = None

    @rule()
    def settle(self) -> None:
        for _ in range(20):
            needing = [(o, one) for o, one in self.everyones() if self.steps.is_needed(one)]
            if not needing:
                break
            for owner, one in needing:
                self.steps.take(owner, one.id)
        else:
            pytest.fail("it never comes to rest")
        states = {instance.id: instance.state for _, instance in self.everyones()}
        for one, wanted in self.wanted.items():
            if one in self.hosts.failed:
                wanted = {State.TERMINATED}
            assert states[one] in wanted, (one, states[one], wanted)
            assert self.hosts.there.get(one, False) == (states[one] is State.RUNNING)
            self.wanted[one] = {states[one]}

    @rule()
    def an_hour_passes(self) -> None:
        self.settle()
        self.now += 3601
        self.settle_forgetting()

    def settle_forgetting(self) -> None:
        gone = [one for one, wanted in self.wanted.items() if wanted == {State.TERMINATED}]
        self.look()
        known = {instance.id for _, instance in self.everyones()}
        for one in gone:
            assert one not in known
            del self.wanted[one]

    @invariant()
    def no_host_is_there_that_no_record_knows(self) -> None:
        if not hasattr(self, "records"):
            return
        states = {instance.id: instance.state for _, instance in self.everyones()}
        for one, runs in self.hosts.there.items():
            assert states[one] is not State.TERMINATED
            assert not (runs and states[one] is State.STOPPED)

    def everyones(self) -> list[tuple[Owner, Instance]]:
        with self.records.transaction() as tx:
            return rows.everyones(tx)


Life.TestCase.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
TestLife = Life.TestCase
