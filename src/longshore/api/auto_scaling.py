"""The lifecycle hooks of deployment groups, installed and removed around the operations that need it (server.md S9.1).

Auto Scaling is never called inside a transaction. An operation that finds hooks missing undoes itself and says which
(`HooksMissingError`); they are written down, made, and given to its second try. One that leaves hooks over says so in
its answer (`answer`); they are removed after its commit, now or by the engine's sweep later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from longshore.api.operations import Call
from longshore.domain.auto_scaling import Transition
from longshore.domain.ids import Scope, new_id
from longshore.domain.lifecycle_hook import hook_name, managed_hook, wanted_hooks
from longshore.providers.ports import (
    Access,
    AutoScalingGroups,
    LimitReachedError,
    PermanentError,
    ProviderError,
    RoleMissingError,
    RoleRightsError,
)
from longshore.store import lifecycle_hooks
from longshore.store.database import Store
from longshore.store.lifecycle_hooks import HookRow
from longshore.wire.service import AwsError, Handler
from longshore.wire.service import Call as WireCall

log = structlog.get_logger()

#: By which an operation is given the hooks that were made for it, and tells those it leaves over. The model does not
#: have them, so nobody can send them.
_MADE, _LEFT = "_hooks", "_left"
#: A hook that was made for an operation which then died is removed after so long, seconds.
_ORPHANED_AFTER = 600.0
#: Tries of one call while others change the same group.
_TRIES = 3
#: The operations that may need hooks, or leave some over.
OPERATIONS = ("CreateDeploymentGroup", "UpdateDeploymentGroup", "DeleteDeploymentGroup", "DeleteApplication")
#: A hook's Auto Scaling group, and what it is for: there is one of each.
_Place = tuple[str, Transition]
_KINDS = {Transition.LAUNCHING: "hook", Transition.TERMINATING: "terminationHook"}


@dataclass
class HooksMissingError(Exception):
    """The operation needs hooks that are not there yet; nothing of it was done."""

    scope: Scope
    #: The deployment group's name, and the role by which Auto Scaling is called.
    group: str
    role: str
    missing: Sequence[_Place]


def keep_hooks(
    call: Call, asked: Mapping[str, Any], group_id: str, *, name: str, document: Mapping[str, Any], role: str
) -> list[HookRow]:
    """Give a group its hooks and take away those that it wants no longer; returns the latter.

    Raises:
        HooksMissingError: some have to be made first.
    """
    has = lifecycle_hooks.of_groups(call.tx, [group_id])
    wanted = wanted_hooks(document)
    made: Mapping[_Place, HookRow] = {_place(one): one for one in asked.get(_MADE, ())}
    missing = sorted(wanted - {_place(one) for one in has})
    if any(one not in made for one in missing):
        raise HooksMissingError(call.scope, name, role, missing)
    lifecycle_hooks.use_role(call.tx, group_id, role)
    lifecycle_hooks.adopt(call.tx, [made[one].name for one in missing], group_id)
    left = [one for one in has if _place(one) not in wanted]
    lifecycle_hooks.disown(call.tx, [one.name for one in left])
    return left


def answer(left: Sequence[HookRow]) -> dict[str, Any]:
    """What an operation that leaves these hooks over answers, before they are removed."""
    return {"hooksNotCleanedUp": [], **leaving(left)}


def leaving(left: Sequence[HookRow]) -> dict[str, Any]:
    """The same of an operation that has no output."""
    return {_LEFT: list(left)} if left else {}


def shown(call: Call, group_id: str, names: Sequence[str]) -> list[dict[str, str]]:
    """A group's Auto Scaling groups with their hooks, as GetDeploymentGroup tells them."""
    if not names:
        return []
    told = {name: {"name": name} for name in names}
    for hook in lifecycle_hooks.of_groups(call.tx, [group_id]):
        if hook.auto_scaling_group in told:
            told[hook.auto_scaling_group][_KINDS[hook.transition]] = hook.name
    return list(told.values())


def hooking(handlers: Mapping[str, Handler], store: Store, groups: AutoScalingGroups) -> dict[str, Handler]:
    """These operations, with the hooks that they need made before, and those that they leave over removed after."""
    hooks = _Hooks(store, groups)
    return {
        name: _hooking(handler, hooks, tells_leftovers=name != "DeleteApplication")
        for name, handler in handlers.items()
        if name in OPERATIONS
    }


def _hooking(handler: Handler, hooks: _Hooks, *, tells_leftovers: bool) -> Handler:
    async def handle(call: WireCall, asked: dict[str, Any]) -> Mapping[str, Any] | None:
        reply = dict(await _done(handler, hooks, call, asked) or {})
        left = reply.pop(_LEFT, ())
        stuck = await asyncio.to_thread(hooks.remove, left) if left else []
        if not tells_leftovers:
            return None
        return {**reply, "hooksNotCleanedUp": _as_groups(stuck)} if "hooksNotCleanedUp" in reply else reply

    return handle


async def _done(handler: Handler, hooks: _Hooks, call: WireCall, asked: dict[str, Any]) -> Mapping[str, Any] | None:
    made: list[HookRow] = []
    try:
        for _ in range(_TRIES):
            try:
                return await handler(call, {**asked, _MADE: made} if made else asked)
            except HooksMissingError as needs:
                made += await asyncio.to_thread(hooks.make, needs, call.now)
    finally:
        if made:
            await asyncio.to_thread(hooks.remove_spare, made)
    raise AwsError("ThrottlingException", "Others change this deployment group at the same time. Try again.")


def _place(hook: HookRow) -> _Place:
    return hook.auto_scaling_group, hook.transition


def _as_groups(hooks: Sequence[HookRow]) -> list[dict[str, str]]:
    told: dict[str, dict[str, str]] = {}
    for hook in hooks:
        told.setdefault(hook.auto_scaling_group, {"name": hook.auto_scaling_group})[_KINDS[hook.transition]] = hook.name
    return list(told.values())


class _Hooks:
    """Makes hooks and removes them, in threads; what it is about to make is written down first."""

    def __init__(self, store: Store, groups: AutoScalingGroups) -> None:
        self._store = store
        self._groups = groups

    def make(self, needs: HooksMissingError, now: float) -> list[HookRow]:
        """The hooks that are missing. Raises AwsError, and then there is none of them."""
        access = Access(scope=needs.scope, role_arn=needs.role)
        rows = [
            HookRow(
                scope=needs.scope,
                auto_scaling_group=group,
                name=hook_name(transition, needs.group, new_id()),
                transition=transition,
                role_arn=needs.role,
                group_id=None,
            )
            for group, transition in needs.missing
        ]
        try:
            self._check_are_there(access, {row.auto_scaling_group for row in rows})
            self._store.write(lambda tx: lifecycle_hooks.add(tx, rows, remove_at=now + _ORPHANED_AFTER))
            for row in rows:
                self._groups.put_hook(access, row.auto_scaling_group, managed_hook(row.name, row.transition))
        except ProviderError as error:
            self.remove_spare(rows)
            raise _as_aws(error, needs.role) from error
        return rows

    def _check_are_there(self, access: Access, names: set[str]) -> None:
        there = self._groups.describe(access, names)
        for name in sorted(names):
            if name not in there or there[name].is_being_deleted:
                raise PermanentError(f"there is no Auto Scaling group {name} in {access.scope.region}")

    def remove_spare(self, rows: Collection[HookRow]) -> None:
        """Remove those of these that nobody has adopted: the call failed, or another one was faster."""
        spare = self._store.read(lambda tx: lifecycle_hooks.spare(tx, [row.name for row in rows]))
        self.remove(spare)

    def remove(self, rows: Collection[HookRow]) -> list[HookRow]:
        """Remove these, which are nobody's; returns those that cannot be removed now: the sweep tries again."""
        stuck = []
        for row in rows:
            try:
                access = Access(scope=row.scope, role_arn=row.role_arn)
                self._groups.delete_hook(access, row.auto_scaling_group, row.name)
            except ProviderError as error:
                log.warning("hook_not_removed", hook=row.name, group=row.auto_scaling_group, reason=str(error))
                stuck.append(row)
            else:
                self._store.write(lambda tx, name=row.name: lifecycle_hooks.forget(tx, name))  # type: ignore[misc]  # mypy cannot infer it
        return stuck


def _as_aws(error: ProviderError, role: str) -> AwsError:
    """Why hooks could not be made, in the words of the operation (S9.10)."""
    match error:
        case RoleMissingError() | RoleRightsError():
            return AwsError("InvalidRoleException", f"Auto Scaling cannot be called by {role}: {error}")
        case LimitReachedError():
            return AwsError("LifecycleHookLimitExceededException", f"No lifecycle hook can be added: {error}")
        case PermanentError():
            return AwsError("InvalidAutoScalingGroupException", f"No lifecycle hook can be installed: {error}")
        case _:
            return AwsError("ThrottlingException", f"Auto Scaling does not answer now; try again. {error}")
