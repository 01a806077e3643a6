"""IAM users and roles, and the policies they have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import ColumnElement, Row, delete, func, insert, select, update

from longshore.store import access_keys, wakeup
from longshore.store.database import Transaction
from longshore.store.tables import iam_attached_policies, iam_inline_policies, iam_principals

Kind = Literal["user", "role"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Principal:
    """A user or a role."""

    id: str
    account: str
    kind: Kind
    name: str
    #: Begins and ends with a slash.
    path: str
    #: Epoch seconds.
    create_time: float
    tags: Mapping[str, str]
    #: Of a role: who may assume it, as it was written.
    trust_policy: str | None = None
    description: str | None = None
    #: Of a role, seconds.
    max_session_duration: int | None = None

    @property
    def arn(self) -> str:
        return f"arn:aws:iam::{self.account}:{self.kind}{self.path}{self.name}"


def add(tx: Transaction, principal: Principal) -> None:
    """Make a user or role; the caller has seen that the name is free (`is_taken`)."""
    tx.execute(
        insert(iam_principals).values(
            id=principal.id,
            account=principal.account,
            kind=principal.kind,
            name=principal.name,
            folded_name=principal.name.lower(),
            path=principal.path,
            create_time=principal.create_time,
            tags=dict(principal.tags),
            trust_policy=principal.trust_policy,
            description=principal.description,
            max_session_duration=principal.max_session_duration,
        )
    )


def find(tx: Transaction, account: str, kind: Kind, name: str) -> Principal | None:
    """The user or role of exactly this name."""
    return _one(tx, (iam_principals.c.name == name) & _of(account, kind))


def get(tx: Transaction, principal_id: str) -> Principal | None:
    return _one(tx, iam_principals.c.id == principal_id)


def is_taken(tx: Transaction, account: str, kind: Kind, name: str) -> bool:
    """Whether there is one of this name already, in whatever case."""
    folded = iam_principals.c.folded_name == name.lower()
    return tx.execute(select(iam_principals.c.id).where(folded & _of(account, kind))).first() is not None


def path_of(tx: Transaction, account: str, kind: Kind, name: str) -> str | None:
    """The path of the user or role of this name. Asked for many calls, so it goes straight to the driver."""
    row = tx.hot(
        # Of names that differ by case alone, from before there was IAM, but one could be folded.
        "SELECT path FROM iam_principals WHERE account = ? AND kind = ? AND folded_name IN (?, ?) AND name = ?",
        (account, kind, name.lower(), name, name),
    ).fetchone()
    return None if row is None else str(row[0])


def names(
    tx: Transaction, account: str, kind: Kind, *, path_prefix: str, after: str | None, count: int
) -> list[Principal]:
    """The first `count` of the account under a path, after the name `after`, by name."""
    wanted = _of(account, kind) & iam_principals.c.path.startswith(path_prefix, autoescape=True)
    if after is not None:
        wanted &= iam_principals.c.name > after
    rows = tx.execute(select(iam_principals).where(wanted).order_by(iam_principals.c.name).limit(count))
    return [_principal(row) for row in rows]


def count(tx: Transaction, account: str, kind: Kind) -> int:
    number: int = tx.execute(select(func.count()).select_from(iam_principals).where(_of(account, kind))).scalar_one()
    return number


def rename(tx: Transaction, user: Principal, *, name: str, path: str) -> None:
    """Give a user another name or path; its keys and their sessions go with it."""
    tx.execute(
        update(iam_principals)
        .where(iam_principals.c.id == user.id)
        .values(name=name, folded_name=name.lower(), path=path)
    )
    access_keys.rename_holder(tx, user.id, f"arn:aws:iam::{user.account}:user{path}{name}")
    tx.tell(wakeup.principal(user.id))


def change(tx: Transaction, principal: Principal, **values: Any) -> None:
    """Set columns of a user or role: tags, trust_policy, description, max_session_duration."""
    tx.execute(update(iam_principals).where(iam_principals.c.id == principal.id).values(**values))
    tx.tell(wakeup.principal(principal.id))


def remove(tx: Transaction, principal: Principal) -> None:
    """Take a user or role away with its policies and whatever keys it still has: they are locked out at once."""
    access_keys.remove_all(tx, principal.id)
    for table in (iam_inline_policies, iam_attached_policies):
        tx.execute(delete(table).where(table.c.principal_id == principal.id))
    tx.execute(delete(iam_principals).where(iam_principals.c.id == principal.id))
    tx.tell(wakeup.principal(principal.id))


def documents(tx: Transaction, principal_id: str) -> tuple[list[str], list[str]]:
    """The texts of the inline policies, and the ARNs of the attached ones."""
    inline = tx.hot("SELECT document FROM iam_inline_policies WHERE principal_id = ?", (principal_id,)).fetchall()
    attached = tx.hot("SELECT policy_arn FROM iam_attached_policies WHERE principal_id = ?", (principal_id,)).fetchall()
    return [row[0] for row in inline], [row[0] for row in attached]


def put_inline(tx: Transaction, principal: Principal, name: str, document: str) -> None:
    remove_inline(tx, principal, name)
    tx.execute(insert(iam_inline_policies).values(principal_id=principal.id, name=name, document=document))
    tx.tell(wakeup.principal(principal.id))


def inline(tx: Transaction, principal: Principal, name: str) -> str | None:
    policies = iam_inline_policies.c
    query = select(policies.document).where(policies.principal_id == principal.id, policies.name == name)
    return tx.execute(query).scalar()


def inline_names(tx: Transaction, principal: Principal, *, after: str | None, count: int) -> list[str]:
    policies = iam_inline_policies.c
    query = select(policies.name).where(policies.principal_id == principal.id).order_by(policies.name).limit(count)
    if after is not None:
        query = query.where(policies.name > after)
    return list(tx.execute(query).scalars())


def inline_size(tx: Transaction, principal: Principal, *, without: str) -> int:
    """Characters of all inline policies but one, white space left out, as IAM counts them."""
    policies = iam_inline_policies.c
    query = select(policies.document).where(policies.principal_id == principal.id, policies.name != without)
    return sum(len("".join(text.split())) for text in tx.execute(query).scalars())


def remove_inline(tx: Transaction, principal: Principal, name: str) -> bool:
    """Take an inline policy away; False when there is none of this name."""
    policies = iam_inline_policies.c
    done = tx.execute(delete(iam_inline_policies).where(policies.principal_id == principal.id, policies.name == name))
    tx.tell(wakeup.principal(principal.id))
    return done.rowcount > 0


def attach(tx: Transaction, principal: Principal, policy_arn: str) -> None:
    """Attach a managed policy; one that is attached already is no matter."""
    if policy_arn not in attached(tx, principal):
        tx.execute(insert(iam_attached_policies).values(principal_id=principal.id, policy_arn=policy_arn))
        tx.tell(wakeup.principal(principal.id))


def attached(tx: Transaction, principal: Principal) -> list[str]:
    policies = iam_attached_policies.c
    query = select(policies.policy_arn).where(policies.principal_id == principal.id).order_by(policies.policy_arn)
    return list(tx.execute(query).scalars())


def detach(tx: Transaction, principal: Principal, policy_arn: str) -> bool:
    """Detach a managed policy; False when it is not attached."""
    policies = iam_attached_policies.c
    done = tx.execute(
        delete(iam_attached_policies).where(policies.principal_id == principal.id, policies.policy_arn == policy_arn)
    )
    tx.tell(wakeup.principal(principal.id))
    return done.rowcount > 0


def attachments(tx: Transaction, account: str) -> dict[str, int]:
    """To how many users and roles of the account each managed policy is attached."""
    query = (
        select(iam_attached_policies.c.policy_arn, func.count())
        .join_from(iam_attached_policies, iam_principals)
        .where(iam_principals.c.account == account)
        .group_by(iam_attached_policies.c.policy_arn)
    )
    return {row[0]: row[1] for row in tx.execute(query)}


def _of(account: str, kind: Kind) -> ColumnElement[bool]:
    return (iam_principals.c.account == account) & (iam_principals.c.kind == kind)


def _one(tx: Transaction, wanted: ColumnElement[bool]) -> Principal | None:
    row = tx.execute(select(iam_principals).where(wanted)).first()
    return None if row is None else _principal(row)


def _principal(row: Row[Any]) -> Principal:
    return Principal(
        id=row.id,
        account=row.account,
        kind=row.kind,
        name=row.name,
        path=row.path,
        create_time=row.create_time,
        tags=row.tags,
        trust_policy=row.trust_policy,
        description=row.description,
        max_session_duration=row.max_session_duration,
    )
