"""Auto Scaling groups."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from longshore.domain.auto_scaling import AutoScalingGroup, HookResult, LifecycleHook
from longshore.providers.ports.access import Access


class AutoScalingGroups(Protocol):
    """Auto Scaling, of one region. A group that is not there is a NotThereError, if nothing else is said."""

    def describe(self, access: Access, names: Collection[str]) -> Mapping[str, AutoScalingGroup]:
        """These groups, all of their members with them; unknown ones are absent."""

    def hooks(self, access: Access, group: str) -> list[LifecycleHook]:
        """The lifecycle hooks of a group, by name."""

    def put_hook(self, access: Access, group: str, hook: LifecycleHook) -> None:
        """Make a hook, or make the one of that name like this.

        Raises:
            LimitReachedError: the group has as many hooks as it may.
        """

    def delete_hook(self, access: Access, group: str, name: str) -> None:
        """Remove a hook; instances that it held up go on. Neither a missing hook nor a missing group is an error."""

    def heartbeat(self, access: Access, group: str, hook: str, instance_id: str) -> bool:
        """Let an instance wait for a further heartbeat timeout; False when the hook does not hold it up (any more)."""

    def complete(self, access: Access, group: str, hook: str, instance_id: str, result: HookResult) -> bool:
        """Let a held-up instance go on, or not; False when the hook does not hold it up (any more)."""

    def suspend(self, access: Access, group: str, processes: Sequence[str]) -> None:
        """Stop these processes; other suspended ones stay so."""

    def resume(self, access: Access, group: str, processes: Sequence[str]) -> None:
        """Let these processes run again; other suspended ones stay so."""

    def copy(
        self, access: Access, original: str, name: str, *, tags: Mapping[str, str], suspended: Sequence[str]
    ) -> None:
        """Make a group like `original`, without instances (its sizes are 0) and with these tags besides.

        How it launches, where, its balancers, health checks, tags, policies, schedules, metrics and lifecycle hooks are
        the original's, but for the hooks that CodeDeploy made. `suspended` processes do not run before they are
        resumed. What an interrupted call left undone is done by the next.

        Raises:
            LimitReachedError: the account has as many groups as it may.
            PermanentError: Auto Scaling refuses a group like that.
        """

    def resize(self, access: Access, group: str, *, min_size: int, max_size: int, desired: int) -> None:
        """Have it launch or terminate instances till it has `desired` of them."""

    def delete(self, access: Access, group: str) -> None:
        """Delete a group and terminate its instances; a missing one is no error. It takes a while."""
