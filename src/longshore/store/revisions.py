"""Application revisions: what has been registered to be deployed, and when it last was."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Row, asc, desc, func, select, tuple_

from longshore.domain.revision import identity
from longshore.store.database import Transaction, as_json
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


_REGISTER = (
    "INSERT INTO revisions (application_id, identity, location, revision_type, s3_bucket, s3_key, description,"
    " register_time, first_used_time, last_used_time) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (application_id, identity) DO UPDATE SET "
)


def register(
    tx: Transaction, application_id: str, location: Mapping[str, Any], *, description: str | None, now: float
) -> None:
    """Make a revision known to its application; one that is known keeps its times, and takes a description if given."""
    tx.hot(
        f"{_REGISTER} description = coalesce(excluded.description, revisions.description)",
        (*_registered(application_id, location, description, now), None, None),
    )


def use(tx: Transaction, application_id: str, location: Mapping[str, Any], *, description: str, now: float) -> None:
    """Note that a deployment uses a revision now (S13.6); one that is not known is registered so (S6.22).

    Deployments that are created in one commit use it at one time.
    """
    if (used := ("revision in use", application_id, identity(location))) in tx.known:
        return
    tx.known[used] = True
    tx.hot(
        f"{_REGISTER} first_used_time = coalesce(revisions.first_used_time, excluded.first_used_time),"
        " last_used_time = excluded.last_used_time",
        (*_registered(application_id, location, description, now), now, now),
    )


def _registered(
    application_id: str, location: Mapping[str, Any], description: str | None, now: float
) -> tuple[Any, ...]:
    s3 = location.get("s3Location") or {}
    return (
        application_id,
        identity(location),
        as_json(location),
        location["revisionType"],
        s3.get("bucket"),
        s3.get("key"),
        description,
        now,
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
    if not found:
        return found
    rows = tx.execute(
        select(deployment_groups.c.name, deployment_groups.c.target_revision_identity).where(
            deployment_groups.c.application_id == application_id,
            deployment_groups.c.target_revision_identity.in_(identities),
        )
    )
    # Sorted here: asked for the order, SQLite would walk all the groups by name.
    for name, wanted in sorted((row.name, row.target_revision_identity) for row in rows):
        found[wanted].append(name)
    return found


#: A revision that was never used sorts as the oldest (S13.7).
_NEVER = -1.0


def listed(
    tx: Transaction, application_id: str, listing: Listing, *, after: Sequence[float | int] | None, count: int
) -> list[Revision]:
    """The first `count` revisions of a listing that follow the position `after` (see `position`)."""
    order = _order(listing)
    direction = desc if listing.descending else asc
    query = select(revisions).where(revisions.c.application_id == application_id, *_conditions(application_id, listing))
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


def _conditions(application_id: str, listing: Listing) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if listing.s3_bucket is not None:
        conditions.append(revisions.c.s3_bucket == listing.s3_bucket)
    if listing.s3_key_prefix is not None:
        # Not LIKE: SQLite's ignores case, and keys do not.
        prefix = listing.s3_key_prefix
        conditions.append(func.substr(revisions.c.s3_key, 1, len(prefix)) == prefix)
    if listing.deployed is not None:
        # A list made once, not a look at the groups for each revision.
        targets = select(deployment_groups.c.target_revision_identity).where(
            deployment_groups.c.application_id == application_id,
            deployment_groups.c.target_revision_identity.is_not(None),
        )
        is_target = revisions.c.identity.in_(targets)
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
