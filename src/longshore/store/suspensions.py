"""Processes of Auto Scaling groups that deployments suspend: written down first, so that they are resumed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, insert, select, update

from longshore.domain.ids import Scope
from longshore.store.database import Transaction
from longshore.store.tables import deployments, suspensions


@dataclass(frozen=True, kw_only=True, slots=True)
class Suspension:
    """What one deployment suspends of one Auto Scaling group."""

    scope: Scope
    auto_scaling_group: str
    deployment_id: str
    role_arn: str
    #: Those that ran before: what somebody else suspended stays so.
    processes: tuple[str, ...]
    #: Whether Auto Scaling was told.
    is_done: bool = False


def add(tx: Transaction, new: Sequence[Suspension]) -> None:
    """Write down what is about to be suspended."""
    for one in new:
        tx.execute(
            insert(suspensions).values(
                account=one.scope.account,
                region=one.scope.region,
                auto_scaling_group=one.auto_scaling_group,
                deployment_id=one.deployment_id,
                role_arn=one.role_arn,
                processes=list(one.processes),
            )
        )


def of_deployment(tx: Transaction, deployment_id: str) -> list[Suspension]:
    return _found(tx, suspensions.c.deployment_id == deployment_id)


def done(tx: Transaction, deployment_id: str) -> None:
    """Auto Scaling was told of all that this deployment suspends."""
    tx.execute(update(suspensions).where(suspensions.c.deployment_id == deployment_id).values(is_done=True))


def by_others(tx: Transaction, scope: Scope, auto_scaling_group: str, deployment_id: str) -> frozenset[str]:
    """The processes of an Auto Scaling group that other deployments have suspended."""
    rows = _found(
        tx,
        suspensions.c.account == scope.account,
        suspensions.c.region == scope.region,
        suspensions.c.auto_scaling_group == auto_scaling_group,
        suspensions.c.deployment_id != deployment_id,
    )
    return frozenset(process for row in rows for process in row.processes)


def over(tx: Transaction) -> list[Suspension]:
    """Everybody's whose deployment has ended, or is not there any more."""
    under_way = select(deployments.c.id).where(deployments.c.wake_at.is_not(None))
    return _found(tx, suspensions.c.deployment_id.not_in(under_way))


def forget(tx: Transaction, one: Suspension) -> None:
    """What it suspended runs again."""
    tx.execute(
        delete(suspensions).where(
            suspensions.c.deployment_id == one.deployment_id,
            suspensions.c.auto_scaling_group == one.auto_scaling_group,
        )
    )


def _found(tx: Transaction, *conditions: Any) -> list[Suspension]:
    return [
        Suspension(
            scope=Scope(row.account, row.region),
            auto_scaling_group=row.auto_scaling_group,
            deployment_id=row.deployment_id,
            role_arn=row.role_arn,
            processes=tuple(row.processes),
            is_done=row.is_done,
        )
        for row in tx.execute(select(suspensions).where(*conditions))
    ]
