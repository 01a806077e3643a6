"""Access keys and who holds them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, delete, func, insert, select, update

from longshore.store import wakeup
from longshore.store.database import Transaction
from longshore.store.tables import access_keys

#: Temporary keys are kept this long after their end, seconds, so that who still uses one learns that it has ended.
_KEPT_AFTER_END = 24 * 3600.0


@dataclass(frozen=True, kw_only=True, slots=True)
class AccessKey:
    access_key_id: str
    secret_access_key: str
    account: str
    #: Of the user, or of a role's session.
    principal_arn: str
    #: root, service, user, role or instance (auth.keys.PrincipalKind).
    kind: str
    #: Epoch seconds.
    create_time: float
    #: Active or Inactive.
    status: str = "Active"
    #: The user or role; None for the account's owner and the control plane itself.
    principal_id: str | None = None
    #: Epoch seconds, region and service of the last use known.
    last_used_time: float | None = None
    last_used_region: str | None = None
    last_used_service: str | None = None
    #: Of a temporary key.
    session_token: str | None = None
    #: Epoch seconds at which a temporary key ends.
    expiration: float | None = None
    #: What a session is limited to: texts of policies; None when it is not.
    session_policies: Sequence[str] | None = None

    def __repr__(self) -> str:
        return f"AccessKey({self.access_key_id}, {self.principal_arn})"


_COLUMNS = tuple(AccessKey.__dataclass_fields__)


def add(tx: Transaction, key: AccessKey) -> None:
    tx.execute(insert(access_keys).values(**{name: getattr(key, name) for name in _COLUMNS}))
    tx.tell(wakeup.key(key.access_key_id))


def find(tx: Transaction, access_key_id: str) -> AccessKey | None:
    """The key of this id. Asked for every host again and again, so it goes straight to the driver."""
    row = tx.hot(f"SELECT {', '.join(_COLUMNS)} FROM access_keys WHERE access_key_id = ?", (access_key_id,)).fetchone()  # noqa: S608  # names of columns
    if row is None:
        return None
    values = dict(zip(_COLUMNS, row, strict=True))
    # One driver gives JSON back as text, the other as what it says.
    if isinstance(values["session_policies"], str):
        values["session_policies"] = json.loads(values["session_policies"])
    return AccessKey(**values)


def held_in(tx: Transaction, account: str, *wanted: ColumnElement[bool]) -> list[AccessKey]:
    """The account's lasting keys, oldest first."""
    lasting = (access_keys.c.account == account) & access_keys.c.expiration.is_(None)
    order = (access_keys.c.create_time, access_keys.c.access_key_id)
    rows = tx.execute(select(access_keys).where(lasting, *wanted).order_by(*order))
    return [AccessKey(**row) for row in rows.mappings()]


def held_by(tx: Transaction, account: str, kind: str, principal_arn: str) -> list[AccessKey]:
    """One principal's lasting keys, oldest first. A user may have the ARN that the control plane goes by."""
    return held_in(tx, account, access_keys.c.principal_arn == principal_arn, access_keys.c.kind == kind)


def last_uses(tx: Transaction, account: str) -> dict[str, float | None]:
    """When whoever may be a host used a key last; None for those who never have.

    Users and sessions of roles are known by their ARNs, instances by their ids. Of temporary keys only what an agent
    did counts, and those that ended a day ago are forgotten.
    """
    table = access_keys.c
    rows = tx.execute(
        select(table.principal_arn, table.kind, func.max(table.last_used_time))
        .where(table.account == account, table.kind.in_(("user", "role", "instance")))
        .group_by(table.principal_arn, table.kind)
    )
    found: dict[str, float | None] = {}
    for arn, kind, moment in rows:
        # An instance may have had several roles, one after the other.
        name = arn.rpartition("/")[2] if kind == "instance" else arn
        found[name] = max(filter(None, (moment, found.get(name))), default=None)
    return found


def set_status(tx: Transaction, key: AccessKey, status: str) -> None:
    """Make a lasting key Active or Inactive; whoever lost it has lost the sessions begun with it too."""
    tx.execute(update(access_keys).where(access_keys.c.access_key_id == key.access_key_id).values(status=status))
    tx.tell(wakeup.key(key.access_key_id))
    if status != "Active":
        _end_sessions(tx, key)


def _end_sessions(tx: Transaction, key: AccessKey) -> None:
    """End the sessions of whoever holds this key. Which of several keys began one is not kept: all end."""
    end_sessions(tx, key.account, key.kind, key.principal_arn)


def used(tx: Transaction, access_key_id: str, *, now: float, region: str, service: str) -> None:
    """Note that a key was used."""
    tx.hot(
        "UPDATE access_keys SET last_used_time = ?, last_used_region = ?, last_used_service = ?"
        " WHERE access_key_id = ?",
        (now, region[:64], service[:64], access_key_id),
    )


def rename_holder(tx: Transaction, principal_id: str, arn: str) -> None:
    """The user who holds these keys goes by another ARN from now on."""
    tx.execute(update(access_keys).where(access_keys.c.principal_id == principal_id).values(principal_arn=arn))


def remove(tx: Transaction, key: AccessKey) -> None:
    """Take a lasting key away, and the sessions begun with it."""
    tx.execute(delete(access_keys).where(access_keys.c.access_key_id == key.access_key_id))
    tx.tell(wakeup.key(key.access_key_id))
    _end_sessions(tx, key)


def remove_all(tx: Transaction, principal_id: str) -> None:
    """Take away every key of a user, or every session of a role."""
    tx.execute(delete(access_keys).where(access_keys.c.principal_id == principal_id))
    tx.tell(wakeup.principal(principal_id))


def end_sessions(tx: Transaction, account: str, kind: str, principal_arn: str) -> None:
    """Take away the temporary keys of this principal."""
    table = access_keys.c
    theirs = (table.account == account) & (table.kind == kind) & (table.principal_arn == principal_arn)
    temporary = theirs & table.expiration.is_not(None)
    for access_key_id in tx.execute(select(table.access_key_id).where(temporary)).scalars().all():
        tx.tell(wakeup.key(access_key_id))
    tx.execute(delete(access_keys).where(temporary))


def end_sessions_named(tx: Transaction, account: str, kind: str, name: str) -> None:
    """Take away the temporary keys of the sessions of this name, whatever role they are of."""
    table = access_keys.c
    theirs = (table.account == account) & (table.kind == kind)
    named = table.principal_arn.endswith(f"/{name}", autoescape=True)
    for arn in tx.execute(select(table.principal_arn).distinct().where(theirs & named)).scalars().all():
        end_sessions(tx, account, kind, arn)


def count_sessions(tx: Transaction, account: str, principal_arn: str, now: float) -> int:
    """How many temporary keys of this principal have not ended."""
    table = access_keys.c
    live = (table.account == account) & (table.principal_arn == principal_arn) & (table.expiration > now)
    number: int = tx.execute(select(func.count()).select_from(access_keys).where(live)).scalar_one()
    return number


def forget_ended(tx: Transaction, now: float) -> None:
    """Drop temporary keys that ended long ago."""
    tx.execute(delete(access_keys).where(access_keys.c.expiration < now - _KEPT_AFTER_END))
