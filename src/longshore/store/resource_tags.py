"""Tags of applications, deployment groups and custom deployment configs, by the resource's id."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlalchemy import ColumnElement, Select, Table, and_, delete, insert, select

from longshore.domain.ids import Scope
from longshore.store.database import Transaction
from longshore.store.tables import applications, deployment_configs, deployment_groups, resource_tags


def tags_of(tx: Transaction, resource_id: str) -> dict[str, str]:
    """A resource's tags, in the order of their keys."""
    rows = tx.execute(
        select(resource_tags.c.key, resource_tags.c.value)
        .where(resource_tags.c.resource_id == resource_id)
        .order_by(resource_tags.c.key)
    )
    return {row.key: row.value for row in rows}


def tags_at(tx: Transaction, scope: Scope, arn: str) -> dict[str, str]:
    """The tags of the application, deployment group or config with this ARN; none where there is no such thing."""
    kind, _, name = arn.removeprefix(f"arn:aws:codedeploy:{scope.region}:{scope.account}:").partition(":")
    application, _, group = name.partition("/")
    query: Select[tuple[str]]
    if kind == "deploymentgroup":
        query = (
            select(deployment_groups.c.id)
            .join_from(deployment_groups, applications)
            .where(_here(applications, scope, application), deployment_groups.c.name == group)
        )
    elif kind == "application":
        query = select(applications.c.id).where(_here(applications, scope, name))
    elif kind == "deploymentconfig":
        query = select(deployment_configs.c.id).where(_here(deployment_configs, scope, name))
    else:
        return {}
    resource_id = tx.execute(query).scalar()
    return {} if resource_id is None else tags_of(tx, resource_id)


def _here(table: Table, scope: Scope, name: str) -> ColumnElement[bool]:
    return and_(table.c.account == scope.account, table.c.region == scope.region, table.c.name == name)


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
