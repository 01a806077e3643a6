"""Enrollment tokens, and the hosts that enrolled with them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, insert, or_, select, update

from longshore.domain.enrollment import Grant, Tag
from longshore.domain.ids import Scope
from longshore.store import wakeup
from longshore.store.database import Transaction
from longshore.store.tables import enrollment_tokens, enrollments

#: Tokens are kept this long after their end, seconds, so that who still uses one learns that it has ended.
_KEPT_AFTER_END = 30 * 24 * 3600.0


@dataclass(frozen=True, kw_only=True, slots=True)
class EnrollmentToken:
    """A token, without its secret."""

    id: str
    scope: Scope
    signing_key: str
    grant: Grant
    #: Hosts it is good for, and those that enrolled with it, by name.
    uses: int
    used_by: tuple[str, ...] = ()
    #: The ARN of who made it.
    created_by: str
    #: Epoch seconds.
    create_time: float
    expire_time: float
    revoke_time: float | None = None

    @property
    def arn(self) -> str:
        """Whom the audit names when a host enrolls with it."""
        return f"arn:aws:longshore:{self.scope.region}:{self.scope.account}:enrollment-token/{self.id}"

    def __repr__(self) -> str:
        return f"EnrollmentToken({self.id})"


def add(tx: Transaction, token: EnrollmentToken) -> None:
    """Keep a new token, and drop those that ended long ago."""
    tx.execute(delete(enrollment_tokens).where(enrollment_tokens.c.expire_time < token.create_time - _KEPT_AFTER_END))
    tx.execute(
        insert(enrollment_tokens).values(
            id=token.id,
            account=token.scope.account,
            region=token.scope.region,
            signing_key=token.signing_key,
            name_pattern=token.grant.name_pattern,
            tags=None if token.grant.tags is None else [list(tag) for tag in token.grant.tags],
            uses=token.uses,
            created_by=token.created_by,
            create_time=token.create_time,
            expire_time=token.expire_time,
        )
    )
    # Whoever tried its id before was told that there is none.
    tx.tell(wakeup.key(token.id))


def find(tx: Transaction, token_id: str) -> EnrollmentToken | None:
    found = _where(tx, enrollment_tokens.c.id == token_id, count=1)
    return found[0] if found else None


def page(tx: Transaction, scope: Scope, *, after: tuple[float, str] | None, count: int) -> list[EnrollmentToken]:
    """The first `count` of the scope that follow the one made at `after`, newest first."""
    columns = enrollment_tokens.c
    wanted: ColumnElement[bool] = (columns.account == scope.account) & (columns.region == scope.region)
    if after is not None:
        made, token_id = after
        earlier = columns.create_time < made
        wanted = and_(wanted, or_(earlier, and_(columns.create_time == made, columns.id < token_id)))
    return _where(tx, wanted, count=count)


def revoke(tx: Transaction, token_id: str, now: float) -> None:
    """No host enrolls with it any more; one revoked before stays so."""
    columns = enrollment_tokens.c
    tx.execute(
        update(enrollment_tokens).where(columns.id == token_id, columns.revoke_time.is_(None)).values(revoke_time=now)
    )


def use(tx: Transaction, token_id: str) -> bool:
    """Take one of the token's uses, for one of all who try at the same time; False: none is left."""
    columns = enrollment_tokens.c
    done = tx.execute(
        update(enrollment_tokens)
        .where(columns.id == token_id, columns.used < columns.uses)
        .values(used=columns.used + 1)
    )
    return done.rowcount > 0


def note(tx: Transaction, token_id: str, instance_name: str, client_token_hash: str, now: float) -> None:
    """A host of this name enrolled with the token; of one that did so before, only this time is kept."""
    tx.execute(delete(enrollments).where(_enrollment(token_id, instance_name)))
    tx.execute(
        insert(enrollments).values(
            token_id=token_id, instance_name=instance_name, client_token_hash=client_token_hash, time=now
        )
    )


def client_token_hash(tx: Transaction, token_id: str, instance_name: str) -> str | None:
    """That of the host of this name which enrolled with the token; None: none did."""
    kept = tx.execute(select(enrollments.c.client_token_hash).where(_enrollment(token_id, instance_name))).scalar()
    return None if kept is None else str(kept)


def _enrollment(token_id: str, instance_name: str) -> ColumnElement[bool]:
    return and_(enrollments.c.token_id == token_id, enrollments.c.instance_name == instance_name)


def _where(tx: Transaction, wanted: ColumnElement[bool], *, count: int) -> list[EnrollmentToken]:
    columns = enrollment_tokens.c
    newest_first = select(enrollment_tokens).where(wanted).order_by(columns.create_time.desc(), columns.id.desc())
    rows = tx.execute(newest_first.limit(count)).all()
    used_by = _used_by(tx, [row.id for row in rows])
    return [
        EnrollmentToken(
            id=row.id,
            scope=Scope(row.account, row.region),
            signing_key=row.signing_key,
            grant=Grant(name_pattern=row.name_pattern, tags=_tags(row.tags)),
            uses=row.uses,
            used_by=used_by.get(row.id, ()),
            created_by=row.created_by,
            create_time=row.create_time,
            expire_time=row.expire_time,
            revoke_time=row.revoke_time,
        )
        for row in rows
    ]


def _used_by(tx: Transaction, token_ids: Collection[str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = defaultdict(list)
    query = select(enrollments.c.token_id, enrollments.c.instance_name).where(enrollments.c.token_id.in_(token_ids))
    for token_id, name in tx.execute(query.order_by(enrollments.c.time, enrollments.c.instance_name)):
        found[token_id].append(name)
    return {token_id: tuple(names) for token_id, names in found.items()}


def _tags(kept: Any) -> tuple[Tag, ...] | None:
    return None if kept is None else tuple((key, value) for key, value in kept)
