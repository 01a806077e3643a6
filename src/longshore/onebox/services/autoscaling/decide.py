"""What becomes of an Auto Scaling group next. Pure: a group, what was seen of the world, and the time.

`decide` is called at every look and must be right when called twice, late, or after a crash half-way: whatever it
begins is in the group it returns, and `acts` says what of that is still to be done.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from longshore.onebox.services.autoscaling.activities import ended, kept, moment
from longshore.onebox.services.autoscaling.capacity import emptiest, victims
from longshore.onebox.services.autoscaling.ground import Machine
from longshore.onebox.services.autoscaling.group import (
    Action,
    Activity,
    Group,
    Member,
    Process,
    Result,
    State,
    Transition,
)

#: How long nothing is launched after a launch that came to nothing, doubled with each up to the second, seconds.
_FIRST_PAUSE, _LONGEST_PAUSE = 2.0, 120.0
#: EC2's states of an instance that will not run again unless somebody starts it.
_DOWN = frozenset({"stopping", "stopped", "shutting-down", "terminated"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """The world, a moment ago."""

    #: The instances that were looked for, and those of them that EC2 knows.
    looked_for: frozenset[str] = frozenset()
    machines: Mapping[str, Machine] = field(default_factory=dict)
    #: Health by instance id, by target group; groups that are gone are absent.
    targets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def is_lost(self, instance_id: str | None) -> bool:
        """Whether an instance does not run, and did not just begin to."""
        machine = self.machines.get(instance_id or "")
        return instance_id in self.looked_for and (machine is None or machine.state in _DOWN)

    def is_gone(self, instance_id: str | None) -> bool:
        machine = self.machines.get(instance_id or "")
        return instance_id in self.looked_for and (machine is None or machine.is_gone)

    def serving(self, member: Member, group: Group) -> list[str]:
        """Target groups that a member is a target of, be it draining."""
        involved = dict.fromkeys((*group.target_groups, *member.settled))
        return [arn for arn in involved if member.instance_id in self.targets.get(arn, {})]


@dataclass(frozen=True, kw_only=True, slots=True)
class Acts:
    """What has to be done outside for a group to be as it was decided."""

    launch: tuple[Member, ...] = ()
    terminate: tuple[str, ...] = ()
    #: Instances by target group.
    register: Mapping[str, list[str]] = field(default_factory=dict)
    deregister: Mapping[str, list[str]] = field(default_factory=dict)


def decide(group: Group, seen: Seen, now: float, new_id: Callable[[], str]) -> Group:
    """The group after this look; equal to the one before when nothing is to be changed."""
    draft = _Draft(group, seen, now, new_id)
    for member in group.members:
        draft.step(member)
    draft.keep_capacity()
    return draft.group


def acts(group: Group, seen: Seen) -> Acts:
    """What a group waits for that somebody must do. Doing it twice does no harm."""
    register: dict[str, list[str]] = {}
    deregister: dict[str, list[str]] = {}
    terminate = []
    for member in group.members:
        if member.instance_id is None:
            continue
        if member.state is State.IN_SERVICE:
            for arn in group.target_groups:
                if arn not in member.settled:
                    register.setdefault(arn, []).append(member.instance_id)
            leaving = [arn for arn in member.settled if arn not in group.target_groups]
        else:
            leaving = seen.serving(member, group) if member.state.is_leaving else []
        for arn in leaving:
            if seen.targets.get(arn, {}).get(member.instance_id) != "draining":
                deregister.setdefault(arn, []).append(member.instance_id)
        if member.state is State.TERMINATING_PROCEED and not seen.is_gone(member.instance_id):
            terminate.append(member.instance_id)
    return Acts(
        launch=tuple(member for member in group.members if member.instance_id is None),
        terminate=tuple(terminate),
        register=register,
        deregister=deregister,
    )


def launched(group: Group, token: str, instance_id: str) -> Group:
    """A launch was recorded by EC2."""
    members = tuple(replace(one, instance_id=instance_id) if one.token == token else one for one in group.members)
    member = next((one for one in members if one.token == token), None)
    activities = tuple(
        replace(one, description=f"Launching a new EC2 instance: {instance_id}")
        if member is not None and one.id == member.activity
        else one
        for one in group.activities
    )
    return replace(group, members=members, activities=activities)


def refused(group: Group, token: str, why: str, now: float) -> Group:
    """EC2 would not launch: nothing came of the member, and the next is tried later."""
    member = next((one for one in group.members if one.token == token), None)
    if member is None:
        return group
    return replace(
        _failed_once_more(group, now),
        members=tuple(one for one in group.members if one.token != token),
        activities=ended(group.activities, member.activity, "Failed", now, f"{why} Launching EC2 instance failed."),
    )


def _failed_once_more(group: Group, now: float) -> Group:
    """A launch came to nothing: the next one is not tried at once, and each time later."""
    pause = min(_FIRST_PAUSE * 2**group.failures, _LONGEST_PAUSE)
    return replace(group, failures=min(group.failures + 1, 16), retry_at=now + pause)


def settled(group: Group, target_group: str, instance_ids: list[str], *, is_target: bool) -> Group:
    """These instances are targets of that group now, or are none any more."""

    def changed(member: Member) -> Member:
        if member.instance_id not in instance_ids or (target_group in member.settled) is is_target:
            return member
        others = tuple(arn for arn in member.settled if arn != target_group)
        return replace(member, settled=(*others, target_group) if is_target else others)

    return replace(group, members=tuple(changed(one) for one in group.members))


def leave(
    group: Group,
    member: Member,
    why: str,
    now: float,
    new_id: Callable[[], str],
    *,
    state: State = State.TERMINATING,
    without_hooks: bool = False,
) -> Group:
    """A member begins to go: to be terminated, or detached."""
    draft = _Draft(group, Seen(), now, new_id)
    draft.leave(member, why, state=state, without_hooks=without_hooks)
    return draft.group


def complete(group: Group, member: Member, hook: str, result: Result) -> Group:
    """Somebody says how a lifecycle action ends."""
    actions = tuple(replace(one, result=result) if one.hook == hook else one for one in member.actions)
    return group.with_member(replace(member, actions=actions))


def heartbeat(group: Group, member: Member, hook: str, now: float) -> Group:
    """Somebody says that a lifecycle action goes on."""
    seconds = next((one.timeout for one in group.hooks if one.name == hook), 0)
    actions = tuple(
        replace(one, deadline=max(one.deadline, now + seconds)) if one.hook == hook else one for one in member.actions
    )
    return group.with_member(replace(member, actions=actions))


def _of_version(launch: Mapping[str, Any], version: str | None) -> Mapping[str, Any]:
    """What made an instance, with the version that `$Latest` or `$Default` was then."""
    template = launch.get("LaunchTemplate")
    return launch if template is None or version is None else {"LaunchTemplate": {**template, "Version": version}}


class _Draft:
    """A group being changed; `group` is always a whole one."""

    def __init__(self, group: Group, seen: Seen, now: float, new_id: Callable[[], str]) -> None:
        self.group = group
        self._seen = seen
        self._now = now
        self._new_id = new_id

    # One member.

    def step(self, member: Member) -> None:
        """Move a member on as far as the world and its hooks allow."""
        if member.instance_id is None:
            return  # its launch is still to be recorded
        seen = self._seen
        match member.state:
            case State.PENDING | State.PENDING_WAIT | State.PENDING_PROCEED if seen.is_lost(member.instance_id):
                self._fail(member, f"instance {member.instance_id} stopped running before it came into service.")
            case State.PENDING:
                machine = seen.machines.get(member.instance_id)
                if machine is not None and machine.state == "running":
                    member = replace(
                        member,
                        instance_type=machine.type,
                        zone=machine.zone,
                        launched_from=_of_version(member.launched_from, machine.template_version),
                    )
                    self._ask_hooks(member, Transition.LAUNCHING, State.PENDING_WAIT, State.PENDING_PROCEED)
            case State.PENDING_WAIT:
                self._wait(member, State.PENDING_PROCEED)
            case State.PENDING_PROCEED:
                self._come_into_service(member)
            case State.IN_SERVICE:
                self._check_health(member)
            case State.DETACHING:
                if self._is_over(member) or self._is_drained(member):
                    self._remove(member)
            case _ if self._is_over(member):
                self._remove(member)
            case State.TERMINATING:
                if member.without_hooks:
                    self._move(member, State.TERMINATING_PROCEED)
                elif self._is_drained(member):
                    self._ask_hooks(member, Transition.TERMINATING, State.TERMINATING_WAIT, State.TERMINATING_PROCEED)
            case State.TERMINATING_WAIT:
                self._wait(member, State.TERMINATING_PROCEED)

    def _is_drained(self, member: Member) -> bool:
        """Whether no load balancer has it as a target: known only of what was looked at after it began to go."""
        return member.instance_id in self._seen.looked_for and not self._seen.serving(member, self.group)

    def _is_over(self, member: Member) -> bool:
        """Whether an instance is gone, and no load balancer would still send it requests."""
        healths = [self._seen.targets[arn][member.instance_id or ""] for arn in self._seen.serving(member, self.group)]
        return self._seen.is_gone(member.instance_id) and all(health == "draining" for health in healths)

    def _ask_hooks(self, member: Member, transition: Transition, waiting: State, going_on: State) -> None:
        actions = tuple(
            Action(
                hook=hook.name,
                token=self._new_id(),
                deadline=self._now + hook.timeout,
                ends=self._now + hook.longest,
            )
            for hook in self.group.hooks_for(transition)
        )
        self._move(replace(member, actions=actions), waiting if actions else going_on)

    def _wait(self, member: Member, going_on: State) -> None:
        """End what is overdue by its hook's default; go on when all have ended, or one was abandoned."""
        defaults = {hook.name: hook.default for hook in self.group.hooks}
        actions = tuple(
            replace(one, result=defaults.get(one.hook, Result.ABANDON))
            if one.result is None and self._now >= min(one.deadline, one.ends)
            else one
            for one in member.actions
        )
        results = [one.result for one in actions]
        if actions != member.actions:
            member = replace(member, actions=actions)
            self.group = self.group.with_member(member)
        if Result.ABANDON in results and going_on is State.PENDING_PROCEED:
            self._fail(member, f"a lifecycle action of instance {member.instance_id} abandoned its launch.")
        elif Result.ABANDON in results or None not in results:
            self._move(member, going_on)

    def _come_into_service(self, member: Member) -> None:
        # Who comes while that is suspended is not registered later either: somebody else has taken that on.
        passed_over = self.group.target_groups if self.group.is_suspended(Process.ADD_TO_LOAD_BALANCER) else ()
        self._move(replace(member, settled=passed_over), State.IN_SERVICE)
        self.group = replace(self.group, failures=0, retry_at=0.0)

    def _fail(self, member: Member, why: str) -> None:
        self.leave(member, why, without_hooks=True)
        self.group = _failed_once_more(self.group, self._now)

    def _check_health(self, member: Member) -> None:
        if member.is_healthy and not self.group.is_suspended(Process.HEALTH_CHECK) and self._is_failing(member):
            member = replace(member, is_healthy=False)
            self.group = self.group.with_member(member)
        may_go = not (self.group.is_suspended(Process.REPLACE_UNHEALTHY) or self.group.is_suspended(Process.TERMINATE))
        if not member.is_healthy and may_go:
            self.leave(member, "an instance was taken out of service in response to a health check failure.")

    def _is_failing(self, member: Member) -> bool:
        assert member.instance_id is not None
        if self._seen.is_lost(member.instance_id):
            return True  # what does not run gets no grace
        if self.group.health_check != "ELB" or self._now < member.since + self.group.grace:
            return False
        return any(self._seen.targets.get(arn, {}).get(member.instance_id) == "unhealthy" for arn in member.settled)

    def leave(self, member: Member, why: str, *, state: State = State.TERMINATING, without_hooks: bool = False) -> None:
        """Begin to terminate or detach a member; whatever was under way with it is over."""
        if member.state.is_coming:
            self._end(member.activity, "Cancelled", why)
        verb = "Detaching" if state is State.DETACHING else "Terminating"
        activity = self._begin(f"{verb} EC2 instance: {member.instance_id}", why)
        member = replace(member, activity=activity, actions=(), without_hooks=member.without_hooks or without_hooks)
        self._move(member, state)

    def _remove(self, member: Member) -> None:
        self._end(member.activity, "Successful")
        self.group = replace(self.group, members=tuple(one for one in self.group.members if one.token != member.token))

    def _move(self, member: Member, state: State) -> None:
        if not state.is_waiting:
            member = replace(member, actions=())
        self.group = self.group.with_member(replace(member, state=state, since=self._now))
        if state is State.IN_SERVICE:
            self._end(member.activity, "Successful")
        else:
            self._progress(member.activity, "MidLifecycleAction" if state.is_waiting else "InProgress")

    # The whole group.

    def keep_capacity(self) -> None:
        """Begin what brings the group to its desired size, never above its largest."""
        group = self.group
        wanted = min(group.desired, group.maximum)
        staying = group.staying
        if group.is_being_deleted:
            for member in staying:
                if member.instance_id is not None:
                    self.leave(member, "the group is being deleted.", without_hooks=True)
        elif len(staying) > wanted and not group.is_suspended(Process.TERMINATE):
            for member in victims(staying, len(staying) - wanted, group):
                self.leave(
                    member,
                    "an instance was taken out of service in response to a difference between desired and actual"
                    f" capacity, shrinking the capacity from {len(staying)} to {wanted}.",
                )
        elif len(staying) < wanted and not group.is_suspended(Process.LAUNCH) and self._now >= group.retry_at:
            why = (
                "an instance was started in response to a difference between desired and actual capacity, increasing"
                f" the capacity from {len(staying)} to {wanted}."
            )
            for _ in range(wanted - len(staying)):
                self._add(why)

    def _add(self, why: str) -> None:
        group = self.group
        member = Member(
            token=self._new_id(),
            zone=emptiest(group),
            launched_from=group.launch,
            since=self._now,
            is_protected=group.protects_new,
            activity=self._begin("Launching a new EC2 instance", why),
        )
        self.group = replace(self.group, members=(*self.group.members, member))

    # Its activities.

    def _begin(self, description: str, why: str) -> str:
        activity = Activity(
            id=self._new_id(),
            description=description,
            cause=f"At {moment(self._now)} {why}",
            start=self._now,
            status="InProgress",
            progress=0,
        )
        self.group = replace(self.group, activities=kept((activity, *self.group.activities), self.group))
        return activity.id

    def _progress(self, activity_id: str, status: str) -> None:
        self.group = replace(
            self.group,
            activities=tuple(
                replace(one, status=status, progress=50) if one.id == activity_id and one.end is None else one
                for one in self.group.activities
            ),
        )

    def _end(self, activity_id: str, status: str, message: str | None = None) -> None:
        self.group = replace(
            self.group, activities=ended(self.group.activities, activity_id, status, self._now, message)
        )
