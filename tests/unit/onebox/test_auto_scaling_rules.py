"""Auto Scaling's rules, in a world that dies, refuses, forgets and is interrupted."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from longshore.onebox.machinery.records import Owner
from longshore.onebox.services.autoscaling.decide import (
    Seen,
    acts,
    complete,
    decide,
    heartbeat,
    launched,
    leave,
    refused,
    settled,
)
from longshore.onebox.services.autoscaling.ground import RefusedError
from longshore.onebox.services.autoscaling.group import (
    Group,
    Hook,
    Member,
    Process,
    Result,
    State,
    Transition,
    as_document,
    from_document,
)
from tests.unit.onebox.small_ground import ZONES, SmallBalancers, SmallMachines

OWNER = Owner("000000000000", "us-east-1")
BALANCED = "arn:aws:elasticloadbalancing:us-east-1:000000000000:targetgroup/web/0123456789abcdef"


def group_of(desired: int = 0, maximum: int = 6, **more: object) -> Group:
    made = Group(
        name="web",
        arn="arn:web",
        created=0.0,
        minimum=0,
        maximum=maximum,
        desired=desired,
        launch={"LaunchTemplate": {"LaunchTemplateName": "web", "Version": "1"}},
        zones=ZONES,
        subnets={},
        target_groups=(BALANCED,),
        tags={"Name": ("web", True)},
        suspended={},
    )
    return replace(made, **more)  # type: ignore[arg-type]


def launch_hook(name: str = "launch", default: Result = Result.ABANDON, timeout: int = 60) -> Hook:
    return Hook(name=name, transition=Transition.LAUNCHING, default=default, timeout=timeout)


class World:
    """A group, what it stands on, and a clock that moves when it is told to."""

    def __init__(self, group: Group, *, boots: bool = True, drains: bool = False) -> None:
        self.group = group
        self.machines = SmallMachines(boots=boots)
        self.balancers = SmallBalancers(BALANCED, drains=drains)
        self.now = 1000.0
        self._numbers = itertools.count()
        #: Called before every act; one that raises is the server dying there.
        self.before_act: Callable[[], None] = lambda: None

    def new_id(self) -> str:
        return f"id-{next(self._numbers)}"

    def look(self) -> bool:
        """One look, as the keeper has it; whether anything changed."""
        seen = Seen(
            looked_for=frozenset(one.instance_id for one in self.group.members if one.instance_id),
            machines=dict(self.machines.known),
            targets=dict(self.balancers.targets),
        )
        before = self.group
        self.store(decide(self.group, seen, self.now, self.new_id))
        todo = acts(self.group, seen)
        for member in todo.launch:
            self.before_act()
            self._launch(member)
        for arn, ids in todo.register.items():
            self.before_act()
            self.balancers.register(OWNER, arn, ids)
            self.store(settled(self.group, arn, ids, is_target=True))
        for arn, ids in todo.deregister.items():
            self.before_act()
            self.balancers.deregister(OWNER, arn, ids)
            self.store(settled(self.group, arn, ids, is_target=False))
        if todo.terminate:
            self.before_act()
            self.machines.terminate(OWNER, todo.terminate)
        return bool(todo.launch or todo.register or before != self.group)

    def _launch(self, member: Member) -> None:
        try:
            instance = self.machines.launch(
                OWNER, member.launched_from, zone=member.zone, subnet=None, client_token=member.token, tags={}
            )
        except RefusedError as why:
            self.store(refused(self.group, member.token, str(why), self.now))
            return
        self.before_act()
        self.store(launched(self.group, member.token, instance))

    def store(self, group: Group) -> None:
        """What is kept is a document."""
        self.group = from_document(as_document(group))

    def settle(self) -> None:
        for _ in range(50):
            if not self.look():
                return
        raise AssertionError("it keeps changing")

    def states(self) -> list[str]:
        return sorted(one.state.value for one in self.group.members)

    def only(self) -> Member:
        (member,) = self.group.members
        return member


class InterruptedByDeathError(Exception):
    pass


class AutoScaling(RuleBasedStateMachine):
    """Everything that may happen to a group, in any order: some things hold always, and in the end it converges."""

    @initialize(desired=st.integers(0, 4), boots=st.booleans(), drains=st.booleans())
    def begin(self, desired: int, boots: bool, drains: bool) -> None:
        self.world = World(group_of(desired), boots=boots, drains=drains)

    @rule(death=st.integers(0, 6))
    def look(self, death: int) -> None:
        """A look that the server may not survive: `death` acts are done, 6 being all of them."""
        world = self.world
        room = max(world.group.maximum, len(world.group.staying))
        left = itertools.count(death, -1)

        def before_act() -> None:
            if death < 6 and next(left) == 0:
                raise InterruptedByDeathError

        world.before_act = before_act
        try:
            world.look()
        except InterruptedByDeathError:
            pass
        finally:
            world.before_act = lambda: None
        assert len(world.group.staying) <= room, "grew above its largest size"

    @rule(desired=st.integers(0, 6))
    def set_desired(self, desired: int) -> None:
        self.world.group = replace(self.world.group, desired=min(desired, self.world.group.maximum))

    @rule(maximum=st.integers(0, 6))
    def set_maximum(self, maximum: int) -> None:
        desired = min(self.world.group.desired, maximum)
        self.world.group = replace(self.world.group, maximum=maximum, desired=desired)

    @rule(transition=st.sampled_from(Transition), default=st.sampled_from(Result), name=st.sampled_from(["a", "b"]))
    def put_hook(self, transition: Transition, default: Result, name: str) -> None:
        hook = Hook(name=name, transition=transition, default=default, timeout=60)
        others = tuple(one for one in self.world.group.hooks if one.name != name)
        self.world.group = replace(self.world.group, hooks=(*others, hook))

    @rule(data=st.data(), result=st.sampled_from(Result))
    def answer(self, data: st.DataObject, result: Result) -> None:
        if waiting := [one for one in self.world.group.members if one.actions]:
            member = data.draw(st.sampled_from(waiting))
            action = data.draw(st.sampled_from(member.actions))
            self.world.group = complete(self.world.group, member, action.hook, result)

    @rule(data=st.data())
    def beat(self, data: st.DataObject) -> None:
        if waiting := [one for one in self.world.group.members if one.actions]:
            member = data.draw(st.sampled_from(waiting))
            hook = data.draw(st.sampled_from(member.actions)).hook
            self.world.group = heartbeat(self.world.group, member, hook, self.world.now)

    @rule(seconds=st.sampled_from([1.0, 30.0, 61.0, 3600.0]))
    def wait(self, seconds: float) -> None:
        self.world.now += seconds

    @rule(data=st.data(), state=st.sampled_from(["running", "stopped", "terminated", "forgotten"]))
    def die(self, data: st.DataObject, state: str) -> None:
        """Or boot."""
        if known := sorted(self.world.machines.running):
            instance = data.draw(st.sampled_from(known))
            if state == "forgotten":
                self.world.machines.forget(instance)
            else:
                self.world.machines.become(instance, state)

    @rule(process=st.sampled_from(Process), is_suspended=st.booleans())
    def suspend(self, process: Process, is_suspended: bool) -> None:
        left = {name: why for name, why in self.world.group.suspended.items() if name != process}
        self.world.group = replace(
            self.world.group, suspended={**left, **({process.value: ""} if is_suspended else {})}
        )

    @rule(is_refusing=st.booleans())
    def refuse(self, is_refusing: bool) -> None:
        self.world.machines.is_refusing = is_refusing

    @rule(data=st.data(), state=st.sampled_from([State.TERMINATING, State.DETACHING]))
    def send_away(self, data: st.DataObject, state: State) -> None:
        serving = [one for one in self.world.group.members if one.state is State.IN_SERVICE]
        if serving:
            member = data.draw(st.sampled_from(serving))
            self.world.group = leave(self.world.group, member, "asked", self.world.now, self.world.new_id, state=state)

    @rule(data=st.data())
    def drain(self, data: st.DataObject) -> None:
        targets = self.world.balancers.targets[BALANCED]
        if draining := sorted(one for one, health in targets.items() if health == "draining"):
            self.world.balancers.let_go(BALANCED, data.draw(st.sampled_from(draining)))

    @invariant()
    def every_wait_ends(self) -> None:
        for member in self.world.group.members:
            assert member.state.is_waiting or not member.actions
            for action in member.actions:
                assert action.ends <= self.world.now + 100 * 60

    @invariant()
    def no_launch_is_made_twice(self) -> None:
        launches = self.world.machines.launches
        assert len(set(launches.values())) == len(launches)

    @invariant()
    def an_activity_is_under_way_with_whoever_is_on_the_move(self) -> None:
        open_ones = {one.id for one in self.world.group.activities if one.end is None}
        moving = {one.activity for one in self.world.group.members if one.state is not State.IN_SERVICE}
        assert open_ones == moving

    def teardown(self) -> None:
        """When the world is kind again and every hook lets go, the group becomes what was wanted; nothing is left."""
        if not hasattr(self, "world"):
            return
        world = self.world
        world.machines.is_refusing, world.machines.boots = False, True
        world.balancers.drains = False
        hooks = tuple(replace(one, default=Result.CONTINUE) for one in world.group.hooks)
        world.group = replace(world.group, suspended={}, hooks=hooks)
        for _ in range(40):
            world.now += 100 * 60
            for instance in world.machines.running:
                world.machines.become(instance, "running")
            for instance in list(world.balancers.targets[BALANCED]):
                if world.balancers.targets[BALANCED][instance] == "draining":
                    world.balancers.let_go(BALANCED, instance)
            world.look()
        assert world.states() == ["InService"] * world.group.desired
        assert {one.instance_id for one in world.group.members} <= set(world.machines.running)
        assert set(world.balancers.targets[BALANCED]) <= set(world.machines.running)


TestAutoScaling = AutoScaling.TestCase
TestAutoScaling.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)


def test_a_group_grows_over_its_zones_and_shrinks_from_the_fullest() -> None:
    world = World(group_of(5))
    world.settle()
    zones = [one.zone for one in world.group.members]
    assert sorted(zones.count(zone) for zone in ZONES) == [1, 2, 2]
    world.group = replace(world.group, desired=3)
    world.settle()
    assert sorted(one.zone for one in world.group.members) == list(ZONES)
    assert set(world.balancers.targets[BALANCED]) == {one.instance_id for one in world.group.members}


def test_an_instance_waits_for_all_hooks_and_goes_when_one_abandons_it() -> None:
    world = World(group_of(1, hooks=(launch_hook("one"), launch_hook("two"))))
    world.settle()
    first = world.only()
    assert first.state is State.PENDING_WAIT
    assert world.balancers.targets[BALANCED] == {}
    world.group = complete(world.group, first, "one", Result.CONTINUE)
    world.settle()
    assert world.only().state is State.PENDING_WAIT
    world.group = complete(world.group, world.only(), "two", Result.ABANDON)
    world.settle()
    assert world.machines.known[first.instance_id or ""].state == "terminated"
    world.now += 2
    world.settle()
    assert world.only().instance_id != first.instance_id
    assert world.group.activities[-1].status == "Cancelled"


def test_a_heartbeat_holds_the_default_up_and_a_termination_asks_its_own_hooks() -> None:
    terminating = Hook(name="bye", transition=Transition.TERMINATING, timeout=60)
    world = World(group_of(1, hooks=(launch_hook(default=Result.CONTINUE), terminating)))
    world.settle()
    world.now += 50
    world.group = heartbeat(world.group, world.only(), "launch", world.now)
    world.now += 50
    world.settle()
    assert world.only().state is State.PENDING_WAIT
    world.now += 10
    world.settle()
    assert world.only().state is State.IN_SERVICE
    world.group = replace(world.group, desired=0)
    world.settle()
    assert world.only().state is State.TERMINATING_WAIT
    assert world.balancers.targets[BALANCED] == {}
    assert world.machines.running == [world.only().instance_id]
    world.now += 60
    world.settle()
    assert world.group.members == ()
    assert world.machines.running == []


def test_who_drains_is_waited_for_before_anybody_is_asked() -> None:
    terminating = Hook(name="bye", transition=Transition.TERMINATING, timeout=60)
    world = World(group_of(1, hooks=(terminating,)), drains=True)
    world.settle()
    world.group = replace(world.group, desired=0)
    world.settle()
    assert world.only().state is State.TERMINATING
    world.balancers.let_go(BALANCED, world.only().instance_id or "")
    world.settle()
    assert world.only().state is State.TERMINATING_WAIT


def test_an_instance_that_dies_while_it_waits_is_replaced_each_time_a_little_later() -> None:
    world = World(group_of(1, hooks=(launch_hook(),)))
    world.settle()
    for pause in (2, 4, 8):
        first = world.only()
        world.machines.become(first.instance_id or "", "terminated")
        world.settle()
        world.now += pause - 1
        world.settle()
        assert world.group.members == ()
        world.now += 1
        world.settle()
        assert world.only().instance_id != first.instance_id
        assert world.only().state is State.PENDING_WAIT
    world.group = complete(world.group, world.only(), "launch", Result.CONTINUE)
    world.settle()
    assert world.group.failures == 0


def test_the_unhealthy_is_replaced_unless_that_is_suspended() -> None:
    world = World(group_of(1, health_check="ELB", grace=300))
    world.settle()
    first = world.only()
    world.balancers.become(BALANCED, first.instance_id or "", "unhealthy")
    world.settle()
    assert world.only() == first
    world.group = replace(world.group, suspended={"ReplaceUnhealthy": ""})
    world.now += 300
    world.settle()
    assert world.only() == replace(first, is_healthy=False)
    world.group = replace(world.group, suspended={})
    world.settle()
    assert world.only().instance_id != first.instance_id


def test_who_comes_while_balancing_is_suspended_is_left_to_others() -> None:
    world = World(group_of(1, suspended={"AddToLoadBalancer": ""}))
    world.settle()
    world.group = replace(world.group, suspended={})
    world.settle()
    assert world.states() == ["InService"]
    assert world.balancers.targets[BALANCED] == {}


def test_a_refused_launch_is_told_and_tried_again_later() -> None:
    world = World(group_of(1))
    world.machines.is_refusing = True
    world.settle()
    assert world.group.members == ()
    assert world.group.activities[0].status == "Failed"
    assert world.group.activities[0].message == "There are no addresses left. Launching EC2 instance failed."
    world.machines.is_refusing = False
    world.settle()
    assert world.group.members == ()
    world.now += 2
    world.settle()
    assert world.states() == ["InService"]
