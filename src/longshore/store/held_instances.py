"""Instances that deployment groups' lifecycle hooks hold up."""

from __future__ import annotations

from dataclasses import dataclass

from longshore.domain.deployment import DeploymentStatus
from longshore.store.database import Transaction


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldRow:
    """An instance, and the deployment that it waits for."""

    group_id: str
    hook: str
    instance_id: str
    deployment_id: str | None
    #: Of the deployment; None: there is none.
    status: DeploymentStatus | None
    is_answered: bool
    #: Epoch seconds.
    beat_at: float


def everyones(tx: Transaction) -> list[HeldRow]:
    """All that is known of anybody's held-up instances."""
    rows = tx.hot(
        "SELECT h.group_id, h.hook, h.instance_id, h.deployment_id, d.status, h.is_answered, h.beat_at"
        " FROM held_instances h LEFT JOIN deployments d ON d.id = h.deployment_id"
    ).fetchall()
    return [
        HeldRow(
            group_id=row[0],
            hook=row[1],
            instance_id=row[2],
            deployment_id=row[3],
            status=None if row[4] is None else DeploymentStatus(row[4]),
            is_answered=bool(row[5]),
            beat_at=row[6],
        )
        for row in rows
    ]


def hold(
    tx: Transaction, group_id: str, hook: str, instance_id: str, *, deployment_id: str | None, beat_at: float
) -> None:
    """An instance waits, for this deployment; None: for nothing. The caller has seen that it is not known yet."""
    tx.hot(
        "INSERT INTO held_instances (group_id, hook, instance_id, deployment_id, is_answered, beat_at)"
        " VALUES (?, ?, ?, ?, false, ?)",
        (group_id, hook, instance_id, deployment_id, beat_at),
    )


def is_known(tx: Transaction, group_id: str, hook: str, instance_id: str) -> bool:
    row = tx.hot(
        "SELECT 1 FROM held_instances WHERE group_id = ? AND hook = ? AND instance_id = ?",
        (group_id, hook, instance_id),
    ).fetchone()
    return row is not None


def answered(tx: Transaction, held: HeldRow) -> None:
    """Auto Scaling was told how this one goes on."""
    _change(tx, held, "is_answered = true", ())


def beat(tx: Transaction, held: HeldRow, *, again_at: float) -> None:
    """Auto Scaling was asked for more time."""
    _change(tx, held, "beat_at = ?", (again_at,))


def _change(tx: Transaction, held: HeldRow, change: str, values: tuple[float, ...]) -> None:
    tx.hot(
        f"UPDATE held_instances SET {change} WHERE group_id = ? AND hook = ? AND instance_id = ?",  # noqa: S608  # fixed texts
        (*values, held.group_id, held.hook, held.instance_id),
    )


def let_go(tx: Transaction, held: HeldRow) -> None:
    """It waits no longer."""
    tx.hot(
        "DELETE FROM held_instances WHERE group_id = ? AND hook = ? AND instance_id = ?",
        (held.group_id, held.hook, held.instance_id),
    )
