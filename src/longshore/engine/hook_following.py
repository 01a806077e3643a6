"""Keeps the lifecycle hooks of deployment groups where these are: a blue/green deployment moves a group to another
Auto Scaling group, and its hooks with it (server.md S7.13). The API's operations see to their own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from longshore.domain.auto_scaling import Transition
from longshore.domain.ids import Scope, new_id
from longshore.domain.lifecycle_hook import hook_name, managed_hook, wanted_hooks
from longshore.providers.ports import Access, AutoScalingGroups, ProviderError
from longshore.store import deployment_groups, lifecycle_hooks
from longshore.store.database import Store, Transaction
from longshore.store.lifecycle_hooks import HookRow

#: A hook that was made by a server which then died is removed after so long, seconds.
_ORPHANED_AFTER = 600.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Amendment:
    """What has to be done for a deployment group to have the hooks that it wants."""

    group_id: str
    #: To be made; nobody's until they are.
    missing: Sequence[HookRow]
    #: Names of those that it wants no longer.
    surplus: Sequence[str]

    @property
    def names(self) -> list[str]:
        return [hook.name for hook in self.missing]


def amendments(tx: Transaction, hooks: Sequence[HookRow], bare: Sequence[tuple[Scope, str]]) -> list[Amendment]:
    """What has to be done for the deployment groups that have these hooks, and for `bare` ones, which have none."""
    by_group: defaultdict[tuple[Scope, str], list[HookRow]] = defaultdict(list)
    for hook in hooks:
        by_group[hook.scope, hook.group_id or ""].append(hook)
    for place in bare:
        by_group[place] = []
    found = [_amendment(tx, scope, group_id, has) for (scope, group_id), has in by_group.items()]
    return [one for one in found if one.missing or one.surplus]


def amend(store: Store, scaling: AutoScalingGroups, amendment: Amendment, now: float) -> None:
    """Make what is missing, then take away what is left over: a group is never without for want of the new ones.

    Raises:
        ProviderError: nothing has changed; what was made is removed at the next look.
    """
    if amendment.missing:
        store.write(lambda tx: lifecycle_hooks.add(tx, amendment.missing, remove_at=now + _ORPHANED_AFTER))
    try:
        for hook in amendment.missing:
            access = Access(scope=hook.scope, role_arn=hook.role_arn)
            scaling.put_hook(access, hook.auto_scaling_group, managed_hook(hook.name, hook.transition))
    except ProviderError:
        store.write(lambda tx: lifecycle_hooks.disown(tx, amendment.names))
        raise
    store.write(partial(_write, amendment=amendment))


def _amendment(tx: Transaction, scope: Scope, group_id: str, has: Sequence[HookRow]) -> Amendment:
    group = deployment_groups.by_id(tx, group_id)
    if group is None:
        return Amendment(group_id=group_id, missing=(), surplus=[hook.name for hook in has])
    wanted = wanted_hooks(group.document)

    def made(name: str, transition: Transition) -> HookRow:
        return HookRow(
            scope=scope,
            auto_scaling_group=name,
            name=hook_name(transition, group.name, new_id()),
            transition=transition,
            role_arn=group.service_role_arn,
            group_id=None,
        )

    return Amendment(
        group_id=group_id,
        missing=[made(*place) for place in sorted(wanted - {_place(hook) for hook in has})],
        surplus=[hook.name for hook in has if _place(hook) not in wanted],
    )


def _place(hook: HookRow) -> tuple[str, Transition]:
    return hook.auto_scaling_group, hook.transition


def _write(tx: Transaction, *, amendment: Amendment) -> None:
    """Everything that has come true, unless the group is gone, or has got such hooks by an operation meanwhile."""
    group = deployment_groups.by_id(tx, amendment.group_id)
    has = {_place(hook) for hook in lifecycle_hooks.of_groups(tx, [amendment.group_id])}
    wanted = frozenset[tuple[str, Transition]]() if group is None else wanted_hooks(group.document)
    of_use = [hook.name for hook in amendment.missing if _place(hook) in wanted - has]
    lifecycle_hooks.adopt(tx, of_use, amendment.group_id)
    lifecycle_hooks.disown(tx, [name for name in amendment.names if name not in of_use])
    lifecycle_hooks.disown(tx, amendment.surplus)
