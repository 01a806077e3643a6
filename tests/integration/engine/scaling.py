"""Auto Scaling groups in memory, behind the engine's own port; what they do is up to the test."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from longshore.domain.auto_scaling import (
    IN_SERVICE,
    PENDING_WAIT,
    AutoScalingGroup,
    HookResult,
    LifecycleHook,
    Member,
    Transition,
)
from longshore.providers.ports import Access, NotThereError, ProviderError


class KilledError(Exception):
    """The server was killed."""


class ScalingGroups:
    """`ports.AutoScalingGroups`, as far as hooks and processes go."""

    def __init__(self) -> None:
        self.groups: dict[str, AutoScalingGroup] = {}
        self.made: dict[str, dict[str, LifecycleHook]] = {}
        #: Hook, instance and what was said, in order.
        self.answers: list[tuple[str, str, HookResult]] = []
        #: Another's hook holds everybody up whatever is said.
        self.keeps_waiting = False
        self.beats: list[tuple[str, str]] = []
        #: Instead of an answer to anything.
        self.fails: ProviderError | None = None
        self.fails_to_delete: ProviderError | None = None
        self.fails_to_put: ProviderError | None = None
        #: Whoever makes the call after so many more dies in it, before or after it has done its work.
        self._deadly: tuple[int, bool] | None = None

    def make(self, name: str) -> None:
        self.groups[name] = AutoScalingGroup(name=name, min_size=0, max_size=9, desired=0)
        self.made[name] = {}

    def become(self, name: str, instance_id: str, state: str | None) -> None:
        """An instance of a group stands there now; None: it is gone."""
        others = tuple(one for one in self.groups[name].members if one.instance_id != instance_id)
        here = () if state is None else (_member(instance_id, state),)
        self.groups[name] = replace(self.groups[name], members=(*others, *here))

    def hook(self, name: str, transition: Transition = Transition.LAUNCHING) -> str:
        """The name of the only hook of that kind."""
        (found,) = [hook.name for hook in self.made[name].values() if hook.transition is transition]
        return found

    def describe(self, access: Access, names: Collection[str]) -> Mapping[str, AutoScalingGroup]:
        self._answer()
        return {name: self.groups[name] for name in names if name in self.groups}

    def hooks(self, access: Access, group: str) -> list[LifecycleHook]:
        self._answer()
        return [self._of(group)[name] for name in sorted(self._of(group))]

    def put_hook(self, access: Access, group: str, hook: LifecycleHook) -> None:
        self._answer(self.fails_to_put)
        self._of(group)[hook.name] = hook
        self._is_done()

    def delete_hook(self, access: Access, group: str, name: str) -> None:
        self._answer(self.fails_to_delete)
        self.made.get(group, {}).pop(name, None)
        self._is_done()

    def heartbeat(self, access: Access, group: str, hook: str, instance_id: str) -> bool:
        self._answer()
        self.beats.append((hook, instance_id))
        self._is_done()
        return True

    def complete(self, access: Access, group: str, hook: str, instance_id: str, result: HookResult) -> bool:
        self._answer()
        waits = any(
            one.instance_id == instance_id and one.lifecycle_state == PENDING_WAIT for one in self.groups[group].members
        )
        self.answers.append((hook, instance_id, result))
        if waits and not self.keeps_waiting and hook in self.made[group]:
            self.become(group, instance_id, IN_SERVICE if result is HookResult.CONTINUE else None)
        self._is_done()
        return waits

    def suspend(self, access: Access, group: str, processes: Sequence[str]) -> None:
        self._answer()
        now = self.groups[group].suspended
        self.groups[group] = replace(self.groups[group], suspended=now | set(processes))
        self._is_done()

    def resume(self, access: Access, group: str, processes: Sequence[str]) -> None:
        self._answer()
        now = self.groups[group].suspended
        self.groups[group] = replace(self.groups[group], suspended=now - set(processes))
        self._is_done()

    def copy(
        self, access: Access, original: str, name: str, *, tags: Mapping[str, str], suspended: Sequence[str]
    ) -> None:
        raise NotImplementedError

    def resize(self, access: Access, group: str, *, min_size: int, max_size: int, desired: int) -> None:
        raise NotImplementedError

    def delete(self, access: Access, group: str) -> None:
        raise NotImplementedError

    def die_in(self, calls: int, *, is_done: bool) -> None:
        """Kill the server in the call after so many more: before it has done its work, or just after."""
        self._deadly = calls, is_done

    def live_on(self) -> None:
        """Whoever has not died yet does not."""
        self._deadly = None

    def _of(self, group: str) -> dict[str, LifecycleHook]:
        if group not in self.made:
            raise NotThereError(f"AutoScalingGroup name not found - {group}")
        return self.made[group]

    def _answer(self, fails: ProviderError | None = None) -> None:
        if fails or self.fails:
            raise fails or self.fails  # type: ignore[misc]  # one of them is an error
        if self._deadly is not None:
            calls, is_done = self._deadly
            self._deadly = calls - 1, is_done
            if calls == 0 and not is_done:
                self._die()

    def _is_done(self) -> None:
        if self._deadly == (-1, True):
            self._die()

    def _die(self) -> None:
        self._deadly = None
        raise KilledError


def _member(instance_id: str, state: str) -> Member:
    return Member(instance_id=instance_id, lifecycle_state=state, is_healthy=True, zone="eu-central-1a")
