"""Access keys and who holds them."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import delete, insert, select

from longshore.store import wakeup
from longshore.store.database import Transaction
from longshore.store.tables import access_keys


@dataclass(frozen=True, kw_only=True, slots=True)
class AccessKey:
    access_key_id: str
    secret_access_key: str
    account: str
    principal_arn: str
    #: root, service or user (auth.keys.PrincipalKind).
    kind: str
    #: Epoch seconds.
    create_time: float

    def __repr__(self) -> str:
        return f"AccessKey({self.access_key_id}, {self.principal_arn})"


def add(tx: Transaction, key: AccessKey) -> None:
    tx.execute(
        insert(access_keys).values(
            access_key_id=key.access_key_id,
            secret_access_key=key.secret_access_key,
            account=key.account,
            principal_arn=key.principal_arn,
            kind=key.kind,
            create_time=key.create_time,
        )
    )
    tx.tell(wakeup.key(key.access_key_id))


def find(tx: Transaction, access_key_id: str) -> AccessKey | None:
    """The key of this id. Asked for every host again and again, so it goes straight to the driver."""
    row = tx.hot(
        "SELECT access_key_id, secret_access_key, account, principal_arn, kind, create_time"
        " FROM access_keys WHERE access_key_id = ?",
        (access_key_id,),
    ).fetchone()
    if row is None:
        return None
    return AccessKey(
        access_key_id=row[0],
        secret_access_key=row[1],
        account=row[2],
        principal_arn=row[3],
        kind=row[4],
        create_time=row[5],
    )


def held_in(tx: Transaction, account: str, *, principal_arn: str | None = None) -> list[AccessKey]:
    """The account's keys, oldest first; with `principal_arn`, one principal's."""
    query = select(access_keys).where(access_keys.c.account == account).order_by(access_keys.c.create_time)
    if principal_arn is not None:
        query = query.where(access_keys.c.principal_arn == principal_arn)
    return [AccessKey(**row) for row in tx.execute(query).mappings()]


def remove(tx: Transaction, account: str, access_key_id: str) -> bool:
    """Take a key away; False when the account has no such key."""
    done = tx.execute(
        delete(access_keys).where(access_keys.c.account == account, access_keys.c.access_key_id == access_key_id)
    )
    tx.tell(wakeup.key(access_key_id))
    return done.rowcount > 0
