"""An Auto Scaling group as one value: what was asked for, its members, and where each stands.

Times are epoch seconds. A group is stored as one document, so that every change of it is one commit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from typing import Any

#: Seconds that a hook waits for an answer if it says nothing else.
DEFAULT_TIMEOUT = 3600
#: Most that an instance may wait in all, however often somebody sends heartbeats: seconds, and heartbeat timeouts.
LONGEST_WAIT = 48 * 3600
MOST_TIMEOUTS = 100
#: Scaling activities that are kept of a group.
KEPT_ACTIVITIES = 100


class State(StrEnum):
    """Where an instance stands in its group."""

    PENDING = "Pending"
    PENDING_WAIT = "Pending:Wait"
    PENDING_PROCEED = "Pending:Proceed"
    IN_SERVICE = "InService"
    TERMINATING = "Terminating"
    TERMINATING_WAIT = "Terminating:Wait"
    TERMINATING_PROCEED = "Terminating:Proceed"
    DETACHING = "Detaching"

    @property
    def is_coming(self) -> bool:
        return self in (State.PENDING, State.PENDING_WAIT, State.PENDING_PROCEED)

    @property
    def is_leaving(self) -> bool:
        return not self.is_coming and self is not State.IN_SERVICE

    @property
    def is_waiting(self) -> bool:
        """Whether lifecycle hooks hold it."""
        return self in (State.PENDING_WAIT, State.TERMINATING_WAIT)


class Transition(StrEnum):
    """What a lifecycle hook is for."""

    LAUNCHING = "autoscaling:EC2_INSTANCE_LAUNCHING"
    TERMINATING = "autoscaling:EC2_INSTANCE_TERMINATING"


class Result(StrEnum):
    """How a lifecycle action ends."""

    CONTINUE = "CONTINUE"
    ABANDON = "ABANDON"


class Process(StrEnum):
    """What a group does by itself, unless it is suspended."""

    LAUNCH = "Launch"
    TERMINATE = "Terminate"
    ADD_TO_LOAD_BALANCER = "AddToLoadBalancer"
    ALARM_NOTIFICATION = "AlarmNotification"
    AZ_REBALANCE = "AZRebalance"
    HEALTH_CHECK = "HealthCheck"
    INSTANCE_REFRESH = "InstanceRefresh"
    REPLACE_UNHEALTHY = "ReplaceUnhealthy"
    SCHEDULED_ACTIONS = "ScheduledActions"


@dataclass(frozen=True, kw_only=True, slots=True)
class Hook:
    """A lifecycle hook."""

    name: str
    transition: Transition
    #: What happens when nobody answers in time.
    default: Result = Result.ABANDON
    #: Seconds.
    timeout: int = DEFAULT_TIMEOUT
    metadata: str | None = None

    @property
    def longest(self) -> int:
        return min(LONGEST_WAIT, MOST_TIMEOUTS * self.timeout)


@dataclass(frozen=True, kw_only=True, slots=True)
class Action:
    """One hook's hold on one instance."""

    hook: str
    token: str
    #: When it ends by the hook's default, unless there is a heartbeat.
    deadline: float
    #: When it ends whatever is sent.
    ends: float
    result: Result | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """An instance of a group, from the wish for one on."""

    #: The client token of its launch: a launch that was begun is found again by it.
    token: str
    #: None until the launch is recorded, and for instances that were attached.
    zone: str
    #: Which launch template or launch configuration made it, as DescribeAutoScalingGroups tells it.
    launched_from: Mapping[str, Any]
    state: State = State.PENDING
    #: When it came to this state.
    since: float = 0.0
    instance_id: str | None = None
    instance_type: str | None = None
    is_healthy: bool = True
    #: Who may not be chosen when the group shrinks.
    is_protected: bool = False
    #: What hooks hold it, in its present state.
    actions: tuple[Action, ...] = ()
    #: Target groups that it was registered in, or left out of because that was suspended.
    settled: tuple[str, ...] = ()
    #: The activity that is under way with it.
    activity: str = ""
    #: Nobody is asked before it goes.
    without_hooks: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Activity:
    """A scaling activity: an instance comes or goes."""

    id: str
    description: str
    cause: str
    start: float
    status: str
    progress: int
    message: str | None = None
    end: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """An Auto Scaling group."""

    name: str
    arn: str
    created: float
    minimum: int
    maximum: int
    desired: int
    #: LaunchTemplate or LaunchConfigurationName, as the API spells it.
    launch: Mapping[str, Any]
    zones: tuple[str, ...]
    #: By zone, where the group was given subnets.
    subnets: Mapping[str, str]
    target_groups: tuple[str, ...] = ()
    #: EC2 or ELB.
    health_check: str = "EC2"
    #: Seconds after an instance came into service in which its health is not looked at.
    grace: int = 0
    cooldown: int = 300
    termination_policies: tuple[str, ...] = ("Default",)
    protects_new: bool = False
    #: Tag key to value and whether new instances get it.
    tags: Mapping[str, tuple[str, bool]]
    #: Suspended processes and why.
    suspended: Mapping[str, str]
    hooks: tuple[Hook, ...] = ()
    members: tuple[Member, ...] = ()
    #: The newest first.
    activities: tuple[Activity, ...] = ()
    #: Launches one after another that came to nothing, and when the next is tried.
    failures: int = 0
    retry_at: float = 0.0
    is_being_deleted: bool = False

    def is_suspended(self, process: Process) -> bool:
        return process.value in self.suspended

    def hooks_for(self, transition: Transition) -> list[Hook]:
        return [hook for hook in self.hooks if hook.transition is transition]

    def member(self, instance_id: str) -> Member | None:
        return next((one for one in self.members if one.instance_id == instance_id), None)

    @property
    def staying(self) -> list[Member]:
        """Those who count as capacity: who serves, or is about to."""
        return [one for one in self.members if not one.state.is_leaving]

    def with_member(self, member: Member) -> Group:
        """With this member in the place of the one that has its token."""
        return replace(self, members=tuple(member if one.token == member.token else one for one in self.members))


def as_document(group: Group) -> dict[str, Any]:
    return asdict(group)


def from_document(document: Mapping[str, Any]) -> Group:
    values = dict(document)
    values["hooks"] = tuple(
        Hook(**{**one, "transition": Transition(one["transition"]), "default": Result(one["default"])})
        for one in document["hooks"]
    )
    values["members"] = tuple(_member(one) for one in document["members"])
    values["activities"] = tuple(Activity(**one) for one in document["activities"])
    values["tags"] = {key: (value, at_launch) for key, (value, at_launch) in document["tags"].items()}
    for name in ("zones", "target_groups", "termination_policies"):
        values[name] = tuple(document[name])
    return Group(**{field.name: values[field.name] for field in fields(Group)})


def _member(document: Mapping[str, Any]) -> Member:
    actions = tuple(
        Action(**{**one, "result": None if one["result"] is None else Result(one["result"])})
        for one in document["actions"]
    )
    return Member(
        **{**document, "state": State(document["state"]), "actions": actions, "settled": tuple(document["settled"])}
    )
