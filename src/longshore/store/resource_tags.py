"""Tags of applications, deployment groups and custom deployment configs, by the resource's id."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlalchemy import delete, insert, select

from longshore.store.database import Transaction
from longshore.store.tables import resource_tags


def tags_of(tx: Transaction, resource_id: str) -> dict[str, str]:
    """A resource's tags, in the order of their keys."""
    rows = tx.execute(
        select(resource_tags.c.key, resource_tags.c.value)
        .where(resource_tags.c.resource_id == resource_id)
        .order_by(resource_tags.c.key)
    )
    return {row.key: row.value for row in rows}


def put(tx: Transaction, resource_id: str, tags: Mapping[str, str]) -> None:
    """Set these tags; a key that is there already gets the new value."""
    if not tags:
        return
    remove(tx, resource_id, tags)
    tx.execute(
        insert(resource_tags), [{"resource_id": resource_id, "key": key, "value": value} for key, value in tags.items()]
    )


def remove(tx: Transaction, resource_id: str, keys: Iterable[str]) -> None:
    """Take these keys off a resource; those it does not have are no matter."""
    tx.execute(
        delete(resource_tags).where(resource_tags.c.resource_id == resource_id, resource_tags.c.key.in_(list(keys)))
    )


def clear(tx: Transaction, resource_ids: Iterable[str]) -> None:
    """Forget all tags of resources that are being deleted."""
    tx.execute(delete(resource_tags).where(resource_tags.c.resource_id.in_(list(resource_ids))))
