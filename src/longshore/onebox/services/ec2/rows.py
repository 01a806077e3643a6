"""Where EC2's things are among onebox's records."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Final

from longshore.onebox.machinery.records import Owner, Transaction
from longshore.onebox.services.ec2.values import Instance

INSTANCE: Final = "ec2.instance"
IMAGE: Final = "ec2.image"
LAUNCH_TEMPLATE: Final = "ec2.launch-template"
VPC: Final = "ec2.vpc"
SUBNET: Final = "ec2.subnet"
SECURITY_GROUP: Final = "ec2.security-group"
#: Which addresses are whose: one document, of nobody.
ADDRESSES: Final = "ec2.addresses"


def new_id(prefix: str) -> str:
    """A fresh id as EC2's are: a prefix and 17 hexadecimal digits."""
    return f"{prefix}-{secrets.token_hex(9)[:17]}"


def instance(tx: Transaction, owner: Owner, instance_id: str) -> Instance | None:
    document = tx.get(INSTANCE, owner, instance_id)
    return None if document is None else Instance.of(document)


def instances(tx: Transaction, owner: Owner) -> list[Instance]:
    """An owner's, those that are terminated but still shown too."""
    return [Instance.of(document) for document in tx.all(INSTANCE, owner).values()]


def everyones(tx: Transaction) -> list[tuple[Owner, Instance]]:
    return [(owner, Instance.of(document)) for owner, _, document in tx.everyones(INSTANCE)]


def put(tx: Transaction, owner: Owner, changed: Iterable[Instance]) -> None:
    for one in changed:
        tx.put(INSTANCE, owner, one.id, one.document)
