"""Lifecycle hooks that deployment groups have on Auto Scaling groups: each is written down before it is made."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, insert, select, update

from longshore.domain.auto_scaling import Transition
from longshore.domain.ids import Scope
from longshore.store.database import Transaction
from longshore.store.tables import lifecycle_hooks


@dataclass(frozen=True, kw_only=True, slots=True)
class HookRow:
    """A hook that there is, or may be."""

    scope: Scope
    auto_scaling_group: str
    name: str
    transition: Transition
    #: By which role its Auto Scaling group is called.
    role_arn: str
    #: Whose it is; None: nobody's, to be removed.
    group_id: str | None


def add(tx: Transaction, hooks: Sequence[HookRow], *, remove_at: float = 0.0) -> None:
    """Write down hooks that are about to be made; those that become nobody's may be removed from `remove_at` on."""
    for hook in hooks:
        tx.execute(
            insert(lifecycle_hooks).values(
                name=hook.name,
                account=hook.scope.account,
                region=hook.scope.region,
                auto_scaling_group=hook.auto_scaling_group,
                transition=hook.transition.value,
                role_arn=hook.role_arn,
                group_id=hook.group_id,
                remove_at=remove_at,
            )
        )


def adopt(tx: Transaction, names: Collection[str], group_id: str) -> None:
    """These are that deployment group's from now on."""
    table = lifecycle_hooks
    tx.execute(update(table).where(table.c.name.in_(names)).values(group_id=group_id, remove_at=0.0))


def disown(tx: Transaction, names: Collection[str]) -> None:
    """These are nobody's any more; whoever comes first removes them."""
    table = lifecycle_hooks
    tx.execute(update(table).where(table.c.name.in_(names)).values(group_id=None, remove_at=0.0))


def disown_all(tx: Transaction, group_ids: Collection[str]) -> None:
    """So are all of deployment groups that are going."""
    table = lifecycle_hooks
    tx.execute(update(table).where(table.c.group_id.in_(group_ids)).values(group_id=None, remove_at=0.0))


def use_role(tx: Transaction, group_id: str, role_arn: str) -> None:
    """The deployment group has another service role."""
    tx.execute(update(lifecycle_hooks).where(lifecycle_hooks.c.group_id == group_id).values(role_arn=role_arn))


def forget(tx: Transaction, name: str) -> None:
    """A hook is gone."""
    tx.execute(delete(lifecycle_hooks).where(lifecycle_hooks.c.name == name))


def of_groups(tx: Transaction, group_ids: Collection[str]) -> list[HookRow]:
    """The hooks of these deployment groups, in the order of Auto Scaling groups."""
    return _found(tx, lifecycle_hooks.c.group_id.in_(group_ids))


def owned(tx: Transaction) -> list[HookRow]:
    """Everybody's hooks that somebody wants."""
    return _found(tx, lifecycle_hooks.c.group_id.is_not(None))


def spare(tx: Transaction, names: Collection[str]) -> list[HookRow]:
    """Those of these that are nobody's."""
    return _found(tx, lifecycle_hooks.c.name.in_(names), lifecycle_hooks.c.group_id.is_(None))


def bare_groups(tx: Transaction) -> list[tuple[Scope, str]]:
    """Everybody's deployment groups that a blue/green deployment has redefined last, and that have no hook."""
    rows = tx.hot(
        "SELECT g.account, g.region, g.id FROM deployment_groups g"
        " JOIN deployments d ON d.id = g.last_successful_deployment_id"
        " WHERE d.phase = 'retire' AND NOT EXISTS (SELECT 1 FROM lifecycle_hooks h WHERE h.group_id = g.id)"
    )
    return [(Scope(row[0], row[1]), row[2]) for row in rows.fetchall()]


def nobodys(tx: Transaction, now: float) -> list[HookRow]:
    """Everybody's hooks that are to be removed by now."""
    return _found(tx, lifecycle_hooks.c.group_id.is_(None), lifecycle_hooks.c.remove_at <= now)


def _found(tx: Transaction, *conditions: Any) -> list[HookRow]:
    rows = tx.execute(
        select(lifecycle_hooks)
        .where(*conditions)
        .order_by(lifecycle_hooks.c.auto_scaling_group, lifecycle_hooks.c.name)
    )
    return [
        HookRow(
            scope=Scope(row.account, row.region),
            auto_scaling_group=row.auto_scaling_group,
            name=row.name,
            transition=Transition(row.transition),
            role_arn=row.role_arn,
            group_id=row.group_id,
        )
        for row in rows
    ]
