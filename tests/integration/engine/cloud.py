"""EC2 and Auto Scaling as the engine asks for them, whose instances come and go when a test says so."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from longshore.domain.auto_scaling import IN_SERVICE, AutoScalingGroup, HookResult, LifecycleHook, Member
from longshore.domain.group import TagSet, is_member
from longshore.domain.instance import Instance, InstanceState
from longshore.domain.lineup import Host
from longshore.providers.ports import Access, NoAutoScalingGroupError, ProviderError

ZONE = "eu-central-1a"


@dataclass
class Machine:
    """An instance."""

    tags: dict[str, str]
    state: InstanceState = InstanceState.RUNNING
    group: str | None = None
    lifecycle: str = IN_SERVICE


@dataclass
class Cloud:
    """One account's, in memory."""

    machines: dict[str, Machine] = field(default_factory=dict)
    groups: dict[str, AutoScalingGroup] = field(default_factory=dict)
    #: Instead of an answer.
    fails: ProviderError | None = None
    #: Instances that nobody may terminate, and what is said then.
    protected: dict[str, ProviderError] = field(default_factory=dict)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    # What a test does.

    def launch(self, number: int, **tags: str) -> list[str]:
        """Running instances with these tags."""
        names = [f"i-{next(self._numbers):08x}" for _ in range(number)]
        self.machines |= {name: Machine(tags=dict(tags)) for name in names}
        return names

    def make_group(self, name: str, size: int) -> list[str]:
        """An Auto Scaling group with that many instances in service."""
        self.groups[name] = AutoScalingGroup(name=name, min_size=1, max_size=10, desired=size)
        names = self.launch(size)
        for one in names:
            self.machines[one].group = name
        return names

    def follow(self) -> None:
        """Time for what was asked: launched instances come into service, deleted groups and their instances go."""
        for machine in self.machines.values():
            if machine.lifecycle == "Pending":
                machine.lifecycle = IN_SERVICE
        for name in [name for name, group in self.groups.items() if group.is_being_deleted]:
            del self.groups[name]
            for machine in self.machines.values():
                if machine.group == name:
                    machine.group, machine.state = None, InstanceState.TERMINATED

    def running(self) -> list[str]:
        return [name for name, one in self.machines.items() if not one.state.is_over]

    def of(self, group: str) -> list[str]:
        return [name for name, one in self.machines.items() if one.group == group and not one.state.is_over]

    # Members.

    def hosts(self, access: Access, tag_set: TagSet, groups: Sequence[str]) -> list[Host]:
        self._called()
        found = {name for name, one in self.machines.items() if is_member(tag_set, [*one.tags.items()])}
        for group in groups:
            if group not in self.groups:
                raise NoAutoScalingGroupError(f"there is no Auto Scaling group {group}")
            found |= {name for name in self.of(group) if self.machines[name].lifecycle == IN_SERVICE}
        arns = {name: access.scope.ec2_instance_arn(name) for name in found if not self.machines[name].state.is_over}
        return [
            Host(name=name, arn=arn, poller=access.scope.host(arn), zone=ZONE) for name, arn in sorted(arns.items())
        ]

    # Instances.

    def matching(self, access: Access, tag_set: TagSet) -> list[Instance]:
        return [self._instance(host.name) for host in self.hosts(access, tag_set, ())]

    def find(self, access: Access, instance_ids: Collection[str]) -> list[Instance]:
        self._called()
        return [self._instance(name) for name in sorted(instance_ids) if name in self.machines]

    def terminate(self, access: Access, instance_ids: Collection[str]) -> None:
        self._called()
        for name in instance_ids:
            if name in self.protected:
                raise self.protected[name]
            self.machines[name].state = InstanceState.SHUTTING_DOWN

    # Auto Scaling groups.

    def describe(self, access: Access, names: Collection[str]) -> Mapping[str, AutoScalingGroup]:
        self._called()

        def member(name: str) -> Member:
            lifecycle = self.machines[name].lifecycle
            return Member(instance_id=name, lifecycle_state=lifecycle, is_healthy=True, zone=ZONE)

        return {
            name: replace(self.groups[name], members=tuple(map(member, self.of(name))))
            for name in names
            if name in self.groups
        }

    def copy(
        self, access: Access, original: str, name: str, *, tags: Mapping[str, str], suspended: Sequence[str]
    ) -> None:
        self._called()
        like = self.groups[original]
        if name not in self.groups:
            self.groups[name] = replace(like, name=name, min_size=0, max_size=0, desired=0, tags=dict(tags))
        self.suspend(access, name, suspended)

    def resize(self, access: Access, group: str, *, min_size: int, max_size: int, desired: int) -> None:
        self._called()
        self.groups[group] = replace(self.groups[group], min_size=min_size, max_size=max_size, desired=desired)
        for name in self.launch(desired - len(self.of(group))):
            self.machines[name].group, self.machines[name].lifecycle = group, "Pending"

    def suspend(self, access: Access, group: str, processes: Sequence[str]) -> None:
        self._called()
        was = self.groups[group]
        self.groups[group] = replace(was, suspended=was.suspended | set(processes))

    def resume(self, access: Access, group: str, processes: Sequence[str]) -> None:
        self._called()
        was = self.groups[group]
        self.groups[group] = replace(was, suspended=was.suspended - set(processes))

    def delete(self, access: Access, group: str) -> None:
        self._called()
        if group in self.groups:
            self.groups[group] = replace(self.groups[group], is_being_deleted=True)

    def hooks(self, access: Access, group: str) -> list[LifecycleHook]:
        return []

    def put_hook(self, access: Access, group: str, hook: LifecycleHook) -> None:
        raise AssertionError("nobody asks for hooks here")

    def delete_hook(self, access: Access, group: str, name: str) -> None:
        raise AssertionError("nobody asks for hooks here")

    def heartbeat(self, access: Access, group: str, hook: str, instance_id: str) -> bool:
        raise AssertionError("nobody asks for hooks here")

    def complete(self, access: Access, group: str, hook: str, instance_id: str, result: HookResult) -> bool:
        raise AssertionError("nobody asks for hooks here")

    def _instance(self, name: str) -> Instance:
        return Instance(id=name, state=self.machines[name].state, zone=ZONE)

    def _called(self) -> None:
        if self.fails is not None:
            raise self.fails
