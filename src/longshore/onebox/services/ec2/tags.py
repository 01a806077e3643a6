"""Tags of EC2's things: whatever has an id may have them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from longshore.onebox.machinery.records import Document, Owner, Transaction
from longshore.onebox.services.ec2 import rows
from longshore.onebox.services.ec2.errors import invalid, unknown
from longshore.wire.service import AwsError

_MOST = 50
_LONGEST_KEY, _LONGEST_VALUE = 128, 256

#: What an id begins with: the kind of its record, EC2's name of such a thing, and its errors' code.
KINDS: Final[Mapping[str, tuple[str, str, str]]] = {
    "i": (rows.INSTANCE, "instance", "InvalidInstanceID"),
    "ami": (rows.IMAGE, "image", "InvalidAMIID"),
    "lt": (rows.LAUNCH_TEMPLATE, "launch-template", "InvalidLaunchTemplateId"),
    "vpc": (rows.VPC, "vpc", "InvalidVpcID"),
    "subnet": (rows.SUBNET, "subnet", "InvalidSubnetID"),
    "sg": (rows.SECURITY_GROUP, "security-group", "InvalidGroup"),
}


def of_specifications(specifications: Sequence[Mapping[str, Any]] | None, resource: str) -> dict[str, str]:
    """The tags that are asked for things of this kind."""
    found: dict[str, str] = {}
    for one in specifications or ():
        if one.get("ResourceType") == resource:
            found |= of_list(one.get("Tags", []))
    return found


def of_list(given: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Tags as a mapping, checked."""
    found = {}
    for tag in given:
        key, value = tag.get("Key", ""), tag.get("Value") or ""
        if not 1 <= len(key) <= _LONGEST_KEY or len(value) > _LONGEST_VALUE:
            raise invalid(
                f"A tag's key has from 1 to {_LONGEST_KEY} characters and its value {_LONGEST_VALUE} at most; "
                f"'{key[:100]}' does not fit."
            )
        if key.lower().startswith("aws:"):
            raise invalid("Tag keys starting with 'aws:' are reserved for internal use")
        if key in found:
            raise invalid(f"Duplicate tag key '{key}' specified.")
        found[key] = value
    _require_few(found)
    return found


def merged(first: Sequence[Mapping[str, Any]] | None, then: Sequence[Mapping[str, Any]] | None) -> list[dict[str, Any]]:
    """Specifications of tags, in which those of the second win."""
    kinds = {one.get("ResourceType") for one in (*(first or ()), *(then or ()))}
    return [
        {
            "ResourceType": kind,
            "Tags": shown({**of_specifications(first, str(kind)), **of_specifications(then, str(kind))}),
        }
        for kind in sorted(kinds, key=str)
    ]


def shown(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def change(tx: Transaction, owner: Owner, ids: Sequence[str], *, add: Mapping[str, str]) -> None:
    """Give things tags, in the place of those of the same keys."""
    for kind, document in _existing(tx, owner, ids):
        after = {**document["tags"], **add}
        _require_few(after)
        tx.put(kind, owner, document["id"], {**document, "tags": after})


def remove(tx: Transaction, owner: Owner, ids: Sequence[str], unwanted: Sequence[Mapping[str, Any]]) -> None:
    """Take tags off things: where a value is said only if they have that; all of one's own, when none is named."""
    for kind, document in _existing(tx, owner, ids):
        after = {key: value for key, value in document["tags"].items() if not _is_meant(key, value, unwanted)}
        tx.put(kind, owner, document["id"], {**document, "tags": after})


def everything(tx: Transaction, owner: Owner) -> list[dict[str, str]]:
    """Every tag of every thing."""
    return [
        {"ResourceId": name, "ResourceType": shown_as, "Key": key, "Value": value}
        for kind, shown_as, _ in KINDS.values()
        for name, document in tx.all(kind, owner).items()
        for key, value in document["tags"].items()
    ]


def _is_meant(key: str, value: str, unwanted: Sequence[Mapping[str, Any]]) -> bool:
    if key.startswith("aws:"):
        return False
    return not unwanted or any(
        one.get("Key") == key and (one.get("Value") is None or one["Value"] == value) for one in unwanted
    )


def _existing(tx: Transaction, owner: Owner, ids: Sequence[str]) -> list[tuple[str, Document]]:
    found = []
    for one in dict.fromkeys(ids):
        prefix = one.partition("-")[0]
        if prefix not in KINDS:
            raise AwsError("InvalidID", f"The ID '{one[:100]}' is not valid")
        kind, name, code = KINDS[prefix]
        document = tx.get(kind, owner, one)
        if document is None:
            raise unknown(code, f"{name} ID", [one])
        found.append((kind, document))
    return found


def _require_few(tags: Mapping[str, str]) -> None:
    if sum(not key.startswith("aws:") for key in tags) > _MOST:
        raise AwsError("TagLimitExceeded", f"A resource has {_MOST} tags at most.")
