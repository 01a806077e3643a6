"""What has to be told to topics: written with the change it tells of, gone when it is delivered (server.md S10)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import insert

from longshore.domain.ids import Scope
from longshore.domain.notification import Notification
from longshore.store import wakeup
from longshore.store.database import Transaction
from longshore.store.tables import notifications


@dataclass(frozen=True, kw_only=True, slots=True)
class Due:
    """A notification to be delivered now."""

    id: int
    scope: Scope
    #: Whose rights are used; "" for what no group tells.
    role_arn: str
    notification: Notification
    #: Epoch seconds.
    create_time: float
    #: Counts this one.
    tries: int


def add(tx: Transaction, scope: Scope, found: Iterable[Notification], now: float, *, role_arn: str) -> None:
    """Have these delivered by this role, soon after the commit and in this order."""
    rows = [
        {
            "account": scope.account,
            "region": scope.region,
            "role_arn": role_arn,
            "topic_arn": one.topic_arn,
            "subject": one.subject,
            "message": one.message,
            "create_time": now,
            "tries": 0,
            "next_try": now,
        }
        for one in found
    ]
    if rows:
        tx.execute(insert(notifications), rows)
        tx.tell(wakeup.notification())


def claim(tx: Transaction, *, now: float, until: float, limit: int) -> list[Due]:
    """Take what is due, the oldest first; whoever takes it has it until `until`, and then it is due again."""
    rows = tx.hot(
        "SELECT id, account, region, role_arn, topic_arn, subject, message, create_time, tries FROM notifications"
        " WHERE next_try <= ? ORDER BY id LIMIT ?",
        (now, limit),
    ).fetchall()
    for row in rows:
        tx.hot("UPDATE notifications SET next_try = ?, tries = tries + 1 WHERE id = ?", (until, row[0]))
    return [
        Due(
            id=row[0],
            scope=Scope(row[1], row[2]),
            role_arn=row[3],
            notification=Notification(topic_arn=row[4], subject=row[5], message=row[6]),
            create_time=row[7],
            tries=row[8] + 1,
        )
        for row in rows
    ]


def remove(tx: Transaction, notification_id: int) -> None:
    """It is delivered, or never will be."""
    tx.hot("DELETE FROM notifications WHERE id = ?", (notification_id,))


def put_off(tx: Transaction, notification_id: int, until: float) -> None:
    """Try it again then."""
    tx.hot("UPDATE notifications SET next_try = ? WHERE id = ?", (until, notification_id))


def count(tx: Transaction) -> int:
    """How many are not delivered yet."""
    row = tx.hot("SELECT count(*) FROM notifications").fetchone()
    return int(row[0])


def next_try(tx: Transaction) -> float | None:
    """When the next one is due; None when there is none."""
    row = tx.hot("SELECT min(next_try) FROM notifications").fetchone()
    due: float | None = row[0]
    return due
