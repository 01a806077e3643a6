"""Values of the control plane itself, kept in its database so that every replica has the same."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import insert, select, update

from longshore.store.database import Transaction
from longshore.store.tables import server_secrets

#: What hosts pin: base64 of the raw public key that specifications are signed with.
SPECIFICATION_SIGNER_PUBLIC = "specification-signer-public"
#: SHA-256 of the certificate this server speaks TLS with, in hexadecimal; "" when something in front does, or nothing.
CERTIFICATE_SHA256 = "certificate-sha256"
#: When the engine of some server was last seen at work on deployments, epoch seconds.
LAST_AT_WORK = "last-at-work"


def find(tx: Transaction, name: str) -> str | None:
    """The value of this name, if it has been made."""
    kept = tx.execute(select(server_secrets.c.value).where(server_secrets.c.name == name)).scalar_one_or_none()
    return None if kept is None else str(kept)


def get_or_make(tx: Transaction, name: str, make: Callable[[], str]) -> str:
    """The value of this name; made and kept the first time it is asked for."""
    kept = find(tx, name)
    if kept is not None:
        return kept
    made = make()
    tx.execute(insert(server_secrets).values(name=name, value=made))
    return made


def put(tx: Transaction, name: str, value: str) -> None:
    """Have the name mean this value from now on."""
    if get_or_make(tx, name, lambda: value) != value:
        tx.execute(update(server_secrets).where(server_secrets.c.name == name).values(value=value))
