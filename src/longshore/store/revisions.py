"""Application revisions: what has been registered to be deployed, and when it last was."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Row, asc, desc, exists, func, insert, select, tuple_, update

from longshore.domain.revision import identity
from longshore.store.database import Transaction
from longshore.store.tables import deployment_groups, revisions


@dataclass(frozen=True, kw_only=True, slots=True)
class Revision:
    """A registered revision; times are epoch seconds."""

    #: Grows with each registration.
    id: int
    #: domain.revision.identity of the location.
    identity: str
    #: As it was registered.
    location: dict[str, Any]
    description: str | None
    register_time: float
    #: None until a deployment uses it (S13.6).
    first_used_time: float | None
    last_used_time: float | None


class SortBy(StrEnum):
    """What ListApplicationRevisions can sort by."""

    REGISTER_TIME = "registerTime"
    FIRST_USED_TIME = "firstUsedTime"
    LAST_USED_TIME = "lastUsedTime"


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """Which of an application's revisions to list, and in which order."""

    #: None: in the order of registration.
    sort_by: SortBy | None = None
    descending: bool = False
    s3_bucket: str | None = None
    s3_key_prefix: str | None = None
    #: Only revisions that are some group's target revision (True), only others (False), or all (None).
    deployed: bool | None = None


def register(
    tx: Transaction,
    application_id: str,
    location: Mapping[str, Any],
    *,
    description: str | None,
    now: float,
    refresh_description: bool,
) -> None:
    """Make a revision known to its application.

    A revision that is known keeps its times; its description becomes this one, if there is one and
    `refresh_description` says so.
    """
    known = find(tx, application_id, location)
    if known is not None:
        if refresh_description and description is not None:
            tx.execute(update(revisions).where(revisions.c.id == known.id).values(description=description))
        return
    s3 = location.get("s3Location") or {}
    tx.execute(
        insert(revisions).values(
            application_id=application_id,
            identity=identity(location),
            location=dict(location),
            revision_type=location["revisionType"],
            s3_bucket=s3.get("bucket"),
            s3_key=s3.get("key"),
            description=description,
            register_time=now,
        )
    )


def touch(tx: Transaction, application_id: str, location: Mapping[str, Any], now: float) -> None:
    """Note that a deployment uses a revision now (S13.6)."""
    tx.execute(
        update(revisions)
        .where(revisions.c.application_id == application_id, revisions.c.identity == identity(location))
        .values(first_used_time=func.coalesce(revisions.c.first_used_time, now), last_used_time=now)
    )


def find(tx: Transaction, application_id: str, location: Mapping[str, Any]) -> Revision | None:
    """The registered revision that this location names (S13.2)."""
    return several(tx, application_id, [identity(location)]).get(identity(location))


def several(tx: Transaction, application_id: str, identities: Collection[str]) -> dict[str, Revision]:
    """Those of these revisions that are registered, by identity."""
    rows = tx.execute(
        select(revisions).where(revisions.c.application_id == application_id, revisions.c.identity.in_(identities))
    )
    return {row.identity: _revision(row) for row in rows}


def groups_targeting(tx: Transaction, application_id: str, identities: Collection[str]) -> dict[str, list[str]]:
    """Names of the deployment groups that have each of these as their target revision, by identity (S13.6)."""
    found: dict[str, list[str]] = {wanted: [] for wanted in identities}
    rows = tx.execute(
        select(deployment_groups.c.name, deployment_groups.c.target_revision_identity)
        .where(
            deployment_groups.c.application_id == application_id,
            deployment_groups.c.target_revision_identity.in_(identities),
        )
        .order_by(deployment_groups.c.name)
    )
    for row in rows:
        found[row.target_revision_identity].append(row.name)
    return found


#: A revision that was never used sorts as the oldest (S13.7).
_NEVER = -1.0


def listed(
    tx: Transaction, application_id: str, listing: Listing, *, after: Sequence[float | int] | None, count: int
) -> list[Revision]:
    """The first `count` revisions of a listing that follow the position `after` (see `position`)."""
    order = _order(listing)
    direction = desc if listing.descending else asc
    query = select(revisions).where(revisions.c.application_id == application_id, *_conditions(listing))
    if after is not None:
        passed = tuple_(*order) < tuple_(*after) if listing.descending else tuple_(*order) > tuple_(*after)
        query = query.where(passed)
    return [_revision(row) for row in tx.execute(query.order_by(*map(direction, order)).limit(count))]


def position(revision: Revision, listing: Listing) -> list[float | int]:
    """Where a revision stands in a listing; rows that are added later do not move it."""
    match listing.sort_by:
        case None:
            return [revision.id]
        case SortBy.REGISTER_TIME:
            moment: float | None = revision.register_time
        case SortBy.FIRST_USED_TIME:
            moment = revision.first_used_time
        case SortBy.LAST_USED_TIME:
            moment = revision.last_used_time
    return [_NEVER if moment is None else moment, revision.id]


def _order(listing: Listing) -> list[ColumnElement[Any]]:
    match listing.sort_by:
        case None:
            return [revisions.c.id]
        case SortBy.REGISTER_TIME:
            moment: ColumnElement[Any] = revisions.c.register_time
        case SortBy.FIRST_USED_TIME:
            moment = func.coalesce(revisions.c.first_used_time, _NEVER)
        case SortBy.LAST_USED_TIME:
            moment = func.coalesce(revisions.c.last_used_time, _NEVER)
    return [moment, revisions.c.id]


def _conditions(listing: Listing) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if listing.s3_bucket is not None:
        conditions.append(revisions.c.s3_bucket == listing.s3_bucket)
    if listing.s3_key_prefix is not None:
        # Not LIKE: SQLite's ignores case, and keys do not.
        prefix = listing.s3_key_prefix
        conditions.append(func.substr(revisions.c.s3_key, 1, len(prefix)) == prefix)
    if listing.deployed is not None:
        is_target = exists().where(
            deployment_groups.c.application_id == revisions.c.application_id,
            deployment_groups.c.target_revision_identity == revisions.c.identity,
        )
        conditions.append(is_target if listing.deployed else ~is_target)
    return conditions


def _revision(row: Row[Any]) -> Revision:
    return Revision(
        id=row.id,
        identity=row.identity,
        location=row.location,
        description=row.description,
        register_time=row.register_time,
        first_used_time=row.first_used_time,
        last_used_time=row.last_used_time,
    )
