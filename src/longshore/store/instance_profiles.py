"""IAM instance profiles: each may hold one role, which the instances that have the profile get."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, delete, insert, select, update

from longshore.store.database import Transaction
from longshore.store.tables import iam_instance_profiles


@dataclass(frozen=True, kw_only=True, slots=True)
class InstanceProfile:
    id: str
    account: str
    name: str
    #: Begins and ends with a slash.
    path: str
    #: Epoch seconds.
    create_time: float
    tags: Mapping[str, str]
    #: The role in it.
    role_id: str | None = None

    @property
    def arn(self) -> str:
        return f"arn:aws:iam::{self.account}:instance-profile{self.path}{self.name}"


def add(tx: Transaction, profile: InstanceProfile) -> None:
    """Make a profile; the caller has seen that the name is free (`is_taken`)."""
    tx.execute(
        insert(iam_instance_profiles).values(
            id=profile.id,
            account=profile.account,
            name=profile.name,
            folded_name=profile.name.lower(),
            path=profile.path,
            create_time=profile.create_time,
            tags=dict(profile.tags),
            role_id=profile.role_id,
        )
    )


def find(tx: Transaction, account: str, name: str) -> InstanceProfile | None:
    """The profile of exactly this name."""
    found = _where(tx, (_columns.account == account) & (_columns.name == name))
    return found[0] if found else None


def is_taken(tx: Transaction, account: str, name: str) -> bool:
    """Whether there is one of this name already, in whatever case."""
    return bool(_where(tx, (_columns.account == account) & (_columns.folded_name == name.lower())))


def under(tx: Transaction, account: str, path_prefix: str) -> list[InstanceProfile]:
    """The account's under a path, by name."""
    return _where(tx, (_columns.account == account) & _columns.path.startswith(path_prefix, autoescape=True))


def with_role(tx: Transaction, role_id: str) -> list[InstanceProfile]:
    """Those that hold a role, by name."""
    return _where(tx, _columns.role_id == role_id)


def put_role(tx: Transaction, profile: InstanceProfile, role_id: str | None) -> None:
    """Put a role in a profile, or take the one in it out."""
    tx.execute(update(iam_instance_profiles).where(_columns.id == profile.id).values(role_id=role_id))


def remove(tx: Transaction, profile: InstanceProfile) -> None:
    tx.execute(delete(iam_instance_profiles).where(_columns.id == profile.id))


_columns = iam_instance_profiles.c


def _where(tx: Transaction, wanted: ColumnElement[bool]) -> list[InstanceProfile]:
    rows: list[Any] = list(tx.execute(select(iam_instance_profiles).where(wanted).order_by(_columns.name)))
    return [
        InstanceProfile(
            id=row.id,
            account=row.account,
            name=row.name,
            path=row.path,
            create_time=row.create_time,
            tags=row.tags,
            role_id=row.role_id,
        )
        for row in rows
    ]
