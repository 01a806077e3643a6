"""Deployment groups: where an application's revisions are deployed to, and how."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, delete, func, insert, select, update

from longshore.domain.deployment import FINAL_STATUSES, DeploymentStatus
from longshore.domain.ids import Scope, new_id
from longshore.store import deployments as deployment_rows
from longshore.store import lifecycle_hooks, resource_tags
from longshore.store.database import Transaction, from_json
from longshore.store.deployments import Claim, Deployment, LeaseLostError, ask_to_stop
from longshore.store.tables import deployment_groups, deployments


@dataclass(frozen=True, kw_only=True, slots=True)
class DeploymentGroup:
    """A deployment group. Its id survives a rename; agents keep their files on a host under it (S1.7)."""

    id: str
    application_id: str
    name: str
    deployment_config_name: str
    service_role_arn: str
    #: The other members of DeploymentGroupInfo that a user sets, as the API spells them.
    document: dict[str, Any]
    #: Location and identity of the revision deployed last with success (S7.24).
    target_revision: dict[str, Any] | None = None
    target_revision_identity: str | None = None
    last_successful_deployment_id: str | None = None
    last_attempted_deployment_id: str | None = None
    #: The deployment that holds the group until it ends (S6.2).
    active_deployment_id: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class LastDeployment:
    """What a group tells of a past deployment (S7.25)."""

    id: str
    status: DeploymentStatus
    #: Epoch seconds.
    create_time: float
    end_time: float | None


_FIELDS = tuple(DeploymentGroup.__dataclass_fields__)


def columns(table: str) -> str:
    """What `of_row` is made of, of a table that a statement calls so."""
    return ", ".join(f"{table}.{name}" for name in _FIELDS)


# Asked for many calls and every tick, so it goes straight to the driver.
_SELECT = f"SELECT {', '.join(_FIELDS)} FROM deployment_groups"  # noqa: S608  # fixed names

_OF_CLAIMED = (
    f"SELECT d.fence, {columns('g')} FROM deployments d LEFT JOIN deployment_groups g"  # noqa: S608  # fixed names
    " ON g.id = d.group_id WHERE d.id = ?"
)
_WITH_GROUP = (
    f"SELECT {deployment_rows.columns('d')}, {columns('g')} FROM deployments d LEFT JOIN deployment_groups g"  # noqa: S608  # fixed names
    " ON g.id = d.group_id WHERE d.id = ?"
)


def find(tx: Transaction, application_id: str, name: str) -> DeploymentGroup | None:
    return of_row(tx.hot(f"{_SELECT} WHERE application_id = ? AND name = ?", (application_id, name)).fetchone())


def by_id(tx: Transaction, group_id: str) -> DeploymentGroup | None:
    return of_row(tx.hot(f"{_SELECT} WHERE id = ?", (group_id,)).fetchone())


def with_deployments(
    tx: Transaction, deployment_ids: Iterable[str]
) -> dict[str, tuple[Deployment, DeploymentGroup | None]]:
    """Those of these deployments that are there, by id, and their groups; None for one that is gone."""
    ends = deployment_rows.COLUMNS
    asked = [tx.hot(_WITH_GROUP, (deployment_id,)) for deployment_id in deployment_ids]
    rows = [row for one in asked if (row := one.fetchone()) is not None]
    return {row[0]: (deployment_rows.of_row(row[:ends]), of_row(row[ends:])) for row in rows}


def foresee_claimed(tx: Transaction, claims: Iterable[Claim]) -> None:
    """Have all that `of_claimed` will be asked for asked at once. Nobody else moves a fence in this transaction."""
    for claim in claims:
        tx.known[claim] = tx.hot(_OF_CLAIMED, (claim.deployment_id,))


def of_claimed(tx: Transaction, claim: Claim) -> DeploymentGroup | None:
    """`deployments.check_claim`, and the group of that deployment; None when that is gone."""
    asked = tx.known.pop(claim, None) or tx.hot(_OF_CLAIMED, (claim.deployment_id,))
    row = asked.fetchone()
    if row is None or row[0] != claim.fence:
        raise LeaseLostError(claim.deployment_id)
    return of_row(row[1:])


def is_there(tx: Transaction, group_id: str) -> bool:
    return tx.hot("SELECT 1 FROM deployment_groups WHERE id = ?", (group_id,)).fetchone() is not None


def of_row(row: Sequence[Any] | None) -> DeploymentGroup | None:
    """The group in a row of `columns`; None for no row, and for one that a join found nothing for."""
    if row is None or row[0] is None:
        return None
    values = dict(zip(_FIELDS, row, strict=True))
    for column in ("document", "target_revision"):
        values[column] = from_json(values[column])
    return DeploymentGroup(**values)


def config_of(tx: Transaction, scope: Scope, application: str, group: str) -> str | None:
    """The name of a group's deployment config. Asked for many calls, so it goes straight to the driver."""
    row = tx.hot(
        "SELECT g.deployment_config_name FROM deployment_groups g JOIN applications a ON a.id = g.application_id"
        " WHERE a.account = ? AND a.region = ? AND a.name = ? AND g.name = ?",
        (scope.account, scope.region, application, group),
    ).fetchone()
    return None if row is None else str(row[0])


def several(tx: Transaction, application_id: str, names: Sequence[str]) -> dict[str, DeploymentGroup]:
    """Those of these names that exist in the application, by name."""
    rows = tx.execute(
        select(deployment_groups).where(
            deployment_groups.c.application_id == application_id, deployment_groups.c.name.in_(names)
        )
    )
    return {row.name: _group(row) for row in rows}


def names(tx: Transaction, application_id: str, *, after: str | None, count: int) -> list[str]:
    """The first `count` names that follow `after`, in order."""
    column = deployment_groups.c.name
    query = select(column).where(deployment_groups.c.application_id == application_id).order_by(column).limit(count)
    if after is not None:
        query = query.where(column > after)
    return list(tx.execute(query).scalars())


_DOCUMENTS = (
    "SELECT a.name, g.name, g.document FROM applications a JOIN deployment_groups g ON g.application_id = a.id"
    " WHERE a.account = ? AND a.region = ?"
)


def documents(
    tx: Transaction, scope: Scope, *, after: tuple[str, str] | None, count: int
) -> list[tuple[str, str, dict[str, Any]]]:
    """Application, name and document of the scope's groups, by these names, `count` at most, after a position."""
    application, name = after or ("", "")
    found: list[Any] = []
    # The rest of the application that the position is in, then those that follow: an index can be entered at each.
    for where, values in (("a.name = ? AND g.name > ?", (application, name)), ("a.name > ?", (application,))):
        query = f"{_DOCUMENTS} AND {where} ORDER BY a.name, g.name LIMIT ?"
        found += tx.hot(query, (scope.account, scope.region, *values, count - len(found))).fetchall()
    return [(row[0], row[1], from_json(row[2])) for row in found]


def ids(tx: Transaction, application_id: str) -> list[str]:
    query = select(deployment_groups.c.id).where(deployment_groups.c.application_id == application_id)
    return list(tx.execute(query).scalars())


def number(tx: Transaction, application_id: str) -> int:
    """How many groups the application has."""
    query = select(func.count()).select_from(deployment_groups)
    return int(tx.execute(query.where(deployment_groups.c.application_id == application_id)).scalar_one())


def of_ecs_service(tx: Transaction, scope: Scope, *, cluster: str, service: str) -> DeploymentGroup | None:
    """The group that deploys to this ECS service; there is at most one (E3)."""
    named = deployment_groups.c.document["ecsServices"][0]
    row = tx.execute(
        select(deployment_groups).where(
            deployment_groups.c.account == scope.account,
            deployment_groups.c.region == scope.region,
            named["serviceName"].as_string() == service,
            named["clusterName"].as_string() == cluster,
        )
    ).first()
    return None if row is None else _group(row)


def create(
    tx: Transaction,
    scope: Scope,
    *,
    application_id: str,
    name: str,
    deployment_config_name: str,
    service_role_arn: str,
    document: dict[str, Any],
    now: float,
) -> DeploymentGroup:
    """Make a group; the caller has seen that its name is free in the application."""
    made = DeploymentGroup(
        id=new_id(),
        application_id=application_id,
        name=name,
        deployment_config_name=deployment_config_name,
        service_role_arn=service_role_arn,
        document=document,
    )
    tx.execute(
        insert(deployment_groups).values(
            id=made.id,
            account=scope.account,
            region=scope.region,
            application_id=application_id,
            name=name,
            deployment_config_name=deployment_config_name,
            service_role_arn=service_role_arn,
            create_time=now,
            document=document,
        )
    )
    return made


def change(
    tx: Transaction,
    group: DeploymentGroup,
    *,
    name: str,
    deployment_config_name: str,
    service_role_arn: str,
    document: dict[str, Any],
) -> None:
    """Replace what a user sets of a group; a new name is also that of its past deployments."""
    tx.execute(
        update(deployment_groups)
        .where(deployment_groups.c.id == group.id)
        .values(
            name=name,
            deployment_config_name=deployment_config_name,
            service_role_arn=service_role_arn,
            document=document,
        )
    )
    if name != group.name:
        tx.execute(update(deployments).where(deployments.c.group_id == group.id).values(group_name=name))


def redefine(tx: Transaction, group_id: str, document: dict[str, Any]) -> None:
    """Replace the document of a group."""
    tx.execute(update(deployment_groups).where(deployment_groups.c.id == group_id).values(document=document))


def remove(tx: Transaction, group: DeploymentGroup, *, by: str, now: float) -> None:
    """Delete a group with its tags and ended deployments (S1.19); its lifecycle hooks are nobody's then.

    Deployments still under way are asked to stop, in the name of `by`; the engine ends them and finds the group gone.
    """
    end_deployments(tx, deployments.c.group_id == group.id, by=by, now=now)
    resource_tags.clear(tx, [group.id])
    lifecycle_hooks.disown_all(tx, [group.id])
    tx.execute(delete(deployment_groups).where(deployment_groups.c.id == group.id))


def end_deployments(tx: Transaction, among: ColumnElement[bool], *, by: str, now: float) -> None:
    """Forget the ended deployments among these, and ask for a stop of the others; the engine acts next."""
    ended = deployments.c.status.in_([status.value for status in FINAL_STATUSES])
    tx.execute(delete(deployments).where(among, ended))
    # They may have hosts to put back where they were taken out, when their groups are gone.
    of_group = select(deployment_groups.c.service_role_arn).where(deployment_groups.c.id == deployments.c.group_id)
    role = func.coalesce(of_group.scalar_subquery(), deployments.c.service_role_arn)
    tx.execute(update(deployments).where(among).values(service_role_arn=role))
    for deployment_id in tx.execute(select(deployments.c.id).where(among)).scalars().all():
        ask_to_stop(tx, deployment_id, by=by, now=now)


def last_deployments(tx: Transaction, groups: Collection[DeploymentGroup]) -> dict[str, LastDeployment]:
    """What is still known of these groups' last attempted and last successful deployments, by id."""
    wanted = {
        deployment_id
        for group in groups
        for deployment_id in (group.last_attempted_deployment_id, group.last_successful_deployment_id)
        if deployment_id is not None
    }
    if not wanted:
        return {}
    rows = tx.execute(
        select(deployments.c.id, deployments.c.status, deployments.c.create_time, deployments.c.complete_time).where(
            deployments.c.id.in_(wanted)
        )
    )
    return {
        row.id: LastDeployment(
            id=row.id,
            status=DeploymentStatus(row.status),
            create_time=row.create_time,
            end_time=row.complete_time,
        )
        for row in rows
    }


def _group(row: Row[Any]) -> DeploymentGroup:
    return DeploymentGroup(
        id=row.id,
        application_id=row.application_id,
        name=row.name,
        deployment_config_name=row.deployment_config_name,
        service_role_arn=row.service_role_arn,
        document=row.document,
        target_revision=row.target_revision,
        target_revision_identity=row.target_revision_identity,
        last_successful_deployment_id=row.last_successful_deployment_id,
        last_attempted_deployment_id=row.last_attempted_deployment_id,
        active_deployment_id=row.active_deployment_id,
    )
