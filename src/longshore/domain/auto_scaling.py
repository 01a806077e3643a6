"""Auto Scaling groups, as far as deployments look at them (server.md S9)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Transition(StrEnum):
    """What a lifecycle hook holds up, spelled as Auto Scaling spells it."""

    LAUNCHING = "autoscaling:EC2_INSTANCE_LAUNCHING"
    TERMINATING = "autoscaling:EC2_INSTANCE_TERMINATING"


class HookResult(StrEnum):
    """How a held-up instance goes on."""

    CONTINUE = "CONTINUE"
    #: A launching instance is terminated; a terminating one skips what other hooks would do.
    ABANDON = "ABANDON"


@dataclass(frozen=True, kw_only=True, slots=True)
class LifecycleHook:
    """A lifecycle hook of a group."""

    name: str
    transition: Transition
    #: Seconds an instance waits without a heartbeat before `default_result` is applied.
    heartbeat_timeout: int
    default_result: HookResult


#: `lifecycle_state` of a member that serves: the only members a deployment to the whole group goes to (S9.7).
IN_SERVICE = "InService"
#: Of one that a launch hook, and of one that a termination hook holds up.
PENDING_WAIT = "Pending:Wait"
TERMINATING_WAIT = "Terminating:Wait"


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """An instance of a group."""

    instance_id: str
    #: As Auto Scaling spells it: `IN_SERVICE`, `PENDING_WAIT` and two dozen more.
    lifecycle_state: str
    is_healthy: bool
    #: Its availability zone.
    zone: str

    @property
    def is_in_service(self) -> bool:
        return self.lifecycle_state == IN_SERVICE


@dataclass(frozen=True, kw_only=True, slots=True)
class AutoScalingGroup:
    """A group and who is in it."""

    name: str
    #: Fewest, most and wanted instances.
    min_size: int
    max_size: int
    desired: int
    members: tuple[Member, ...] = ()
    #: Names of the processes that are suspended now.
    suspended: frozenset[str] = frozenset()
    target_group_arns: tuple[str, ...] = ()
    load_balancer_names: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    #: Deletion is under way.
    is_being_deleted: bool = False

    @property
    def in_service(self) -> tuple[Member, ...]:
        return tuple(member for member in self.members if member.is_in_service)
