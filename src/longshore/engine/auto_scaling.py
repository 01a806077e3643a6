"""Looks at the Auto Scaling groups of deployment groups: who comes, who goes, who came late (server.md S9).

One server of a database does it, all that it knows is in rows, and every act may be done twice.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import structlog

from longshore.domain.auto_scaling import PENDING_WAIT, TERMINATING_WAIT, AutoScalingGroup, HookResult, Transition
from longshore.domain.ids import Scope
from longshore.domain.lifecycle_hook import BEAT_EVERY, Held, Step, next_step
from longshore.engine import instance_deployments
from longshore.engine.hook_following import amend, amendments
from longshore.providers.ports import Access, AutoScalingGroups, ProviderError
from longshore.store import deployments, held_instances, leases, lifecycle_hooks, suspensions
from longshore.store.database import Store, Transaction
from longshore.store.errors import DatabaseError, NewerSchemaError, StoreClosedError, StoreUnavailableError
from longshore.store.held_instances import HeldRow
from longshore.store.lifecycle_hooks import HookRow
from longshore.store.suspensions import Suspension

log = structlog.get_logger()

#: How often is looked, seconds: a launched instance waits this long before anything happens.
_LOOK_EVERY = 3.0
#: How long the one that looks may be silent before another takes over, seconds.
_LEASE = 30.0
_PAUSE_AFTER_ERROR = 5.0
_NAME = "auto-scaling"
#: What a member is doing that a hook holds up.
_HELD = {Transition.LAUNCHING: PENDING_WAIT, Transition.TERMINATING: TERMINATING_WAIT}
#: Who asked for the stop of a deployment whose instance is gone.
_NOBODY_WAITS = "Auto Scaling: the instance waits no longer"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Seen:
    """What the rows say."""

    hooks: Sequence[HookRow]
    #: Deployment groups without any that a blue/green deployment may have given an Auto Scaling group.
    bare: Sequence[tuple[Scope, str]]
    #: To be removed.
    nobodys: Sequence[HookRow]
    held: Mapping[tuple[str, str], Mapping[str, HeldRow]]
    #: Of deployments that have ended.
    suspensions: Sequence[Suspension]


class AutoScaling:
    """Looks until stopped."""

    def __init__(
        self,
        store: Store,
        groups: AutoScalingGroups,
        *,
        max_active: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`max_active` is how many deployments an account may have under way."""
        self._store = store
        self._groups = groups
        self._max_active = max_active
        self._clock = clock
        self._owner = secrets.token_hex(8)
        self._stopping = threading.Event()
        #: What went wrong with which group at the last look: told once.
        self._troubles: dict[tuple[Access, str], str] = {}
        self._thread = threading.Thread(target=self._run, name="auto-scaling-sweep", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End after the call that is under way; somebody else may look at once."""
        self._stopping.set()
        self._thread.join(timeout=20)

    def _run(self) -> None:
        pause = _LOOK_EVERY
        while not self._stopping.wait(pause):
            pause = _LOOK_EVERY
            try:
                self.sweep()
            except (StoreClosedError, NewerSchemaError):
                return
            except StoreUnavailableError as error:
                log.warning("auto_scaling_waits", reason=str(error))
                pause = _PAUSE_AFTER_ERROR
            except Exception:
                log.exception("auto_scaling_failed")
                pause = _PAUSE_AFTER_ERROR
        self._give_up()

    def _give_up(self) -> None:
        with contextlib.suppress(DatabaseError):  # it runs out by itself
            self._store.write(lambda tx: leases.give_up(tx, _NAME, self._owner))

    def sweep(self) -> None:
        """One look at everything, unless another server looks."""
        seen = self._store.read(partial(_see, now=self._clock()))
        if not (seen.hooks or seen.bare or seen.nobodys or seen.suspensions or seen.held):
            return
        if not self._take():
            return
        for suspension in seen.suspensions:
            self._try(_access(suspension), suspension.auto_scaling_group, partial(self._resume, suspension))
        for hook in seen.nobodys:
            self._try(_access(hook), hook.auto_scaling_group, partial(self._remove, hook))
        for amendment in self._store.read(lambda tx: amendments(tx, seen.hooks, seen.bare)):
            hook = next(
                hook for hook in (*amendment.missing, *seen.hooks) if hook.group_id in (None, amendment.group_id)
            )
            follow = partial(amend, self._store, self._groups, amendment, self._clock())
            self._try(_access(hook), hook.auto_scaling_group, follow)
        wanted = {(hook.group_id, hook.name) for hook in seen.hooks}
        for key, rows in seen.held.items():
            for row in rows.values() if key not in wanted else ():
                # Its hook was taken away, and Auto Scaling has let it go (S9.9).
                self._store.write(partial(_forget, row=row, now=self._clock()))
        for access, hooks in _by_access(seen.hooks).items():
            names = {hook.auto_scaling_group for hook in hooks}
            self._try(access, ", ".join(sorted(names)), partial(self._look, access, hooks, seen))

    def _take(self) -> bool:
        now = self._clock()
        return self._store.write(lambda tx: leases.take(tx, _NAME, self._owner, now=now, seconds=_LEASE))

    def _try(self, access: Access, name: str, act: Callable[[], None]) -> None:
        """One group's trouble is not the others'. It is told when it begins and when it is over."""
        if self._stopping.is_set() or not self._take():
            return
        try:
            act()
        except ProviderError as error:
            if self._troubles.get((access, name)) != str(error):
                log.warning("auto_scaling_group_trouble", group=name, reason=str(error))
            self._troubles[access, name] = str(error)
        else:
            if self._troubles.pop((access, name), None) is not None:
                log.info("auto_scaling_group_recovered", group=name)

    # What is left over.

    def _resume(self, one: Suspension) -> None:
        """Let run again what a deployment suspended, unless another one still wants it suspended."""

        def still(tx: Transaction) -> frozenset[str]:
            return suspensions.by_others(tx, one.scope, one.auto_scaling_group, one.deployment_id)

        others = self._store.read(still)
        processes = [process for process in one.processes if process not in others]
        if self._groups.describe(_access(one), [one.auto_scaling_group]):
            self._groups.resume(_access(one), one.auto_scaling_group, processes)
        log.info("processes_resumed", group=one.auto_scaling_group, deployment=one.deployment_id)
        self._store.write(lambda tx: suspensions.forget(tx, one))

    def _remove(self, hook: HookRow) -> None:
        self._groups.delete_hook(_access(hook), hook.auto_scaling_group, hook.name)
        self._store.write(lambda tx: lifecycle_hooks.forget(tx, hook.name))

    # Instances.

    def _look(self, access: Access, hooks: Sequence[HookRow], seen: _Seen) -> None:
        described = self._groups.describe(access, {hook.auto_scaling_group for hook in hooks})
        for hook in hooks:
            group = described.get(hook.auto_scaling_group)
            self._look_at(access, hook, group, seen.held.get((hook.group_id or "", hook.name), {}))
        serving: defaultdict[str, set[str]] = defaultdict(set)
        for hook in hooks:
            group = described.get(hook.auto_scaling_group)
            if group is not None and hook.transition is Transition.LAUNCHING:
                serving[hook.group_id or ""] |= {member.instance_id for member in group.in_service}
        for group_id, instances in serving.items():
            is_behind = partial(instance_deployments.is_behind, group_id=group_id, serving=instances)
            catch_up = partial(instance_deployments.catch_up, group_id=group_id, serving=instances, now=self._clock())
            if self._store.read(is_behind):
                self._store.write(catch_up)

    def _look_at(
        self, access: Access, hook: HookRow, group: AutoScalingGroup | None, held: Mapping[str, HeldRow]
    ) -> None:
        waiting = {
            member.instance_id
            for member in (() if group is None else group.members)
            if member.lifecycle_state == _HELD[hook.transition]
        }
        now = self._clock()
        for instance_id in sorted(waiting | held.keys()):
            row = held.get(instance_id)
            step = next_step(_held(hook, row), is_waiting=instance_id in waiting, now=now)
            if step is not Step.NOTHING:
                log.info("instance_held", instance=instance_id, group=hook.auto_scaling_group, step=step.value)
                self._step(access, hook, instance_id, row, step, now)

    def _step(
        self, access: Access, hook: HookRow, instance_id: str, row: HeldRow | None, step: Step, now: float
    ) -> None:
        if row is None:
            self._store.write(
                partial(
                    instance_deployments.begin,
                    hook=hook,
                    instance_id=instance_id,
                    now=now,
                    max_active=self._max_active,
                )
            )
            return
        if step is Step.FORGET:
            self._store.write(partial(_forget, row=row, now=now))
        elif step is Step.BEAT:
            self._groups.heartbeat(access, hook.auto_scaling_group, hook.name, instance_id)
            self._store.write(lambda tx: held_instances.beat(tx, row, again_at=now + BEAT_EVERY))
        else:
            result = HookResult.CONTINUE if step is Step.CONTINUE else HookResult.ABANDON
            self._groups.complete(access, hook.auto_scaling_group, hook.name, instance_id, result)
            self._store.write(lambda tx: held_instances.answered(tx, row))


def _held(hook: HookRow, row: HeldRow | None) -> Held | None:
    if row is None:
        return None
    return Held(transition=hook.transition, status=row.status, is_answered=row.is_answered, beat_at=row.beat_at)


def _access(of: HookRow | Suspension) -> Access:
    return Access(scope=of.scope, role_arn=of.role_arn)


def _by_access(hooks: Sequence[HookRow]) -> Mapping[Access, list[HookRow]]:
    found: defaultdict[Access, list[HookRow]] = defaultdict(list)
    for hook in hooks:
        found[_access(hook)].append(hook)
    return found


def _see(tx: Transaction, *, now: float) -> _Seen:
    held: defaultdict[tuple[str, str], dict[str, HeldRow]] = defaultdict(dict)
    for row in held_instances.everyones(tx):
        held[row.group_id, row.hook][row.instance_id] = row
    return _Seen(
        hooks=lifecycle_hooks.owned(tx),
        bare=lifecycle_hooks.bare_groups(tx),
        nobodys=lifecycle_hooks.nobodys(tx, now),
        held=held,
        suspensions=suspensions.over(tx),
    )


def _forget(tx: Transaction, *, row: HeldRow, now: float) -> None:
    if row.deployment_id is not None and row.status is not None and not row.status.is_final:
        deployments.ask_to_stop(tx, row.deployment_id, by=_NOBODY_WAITS, now=now)
    held_instances.let_go(tx, row)
