"""Images: what the files of a new instance are.

`ami-longshore` is this machine as it is: an instance sees its files and keeps its own changes to itself. Others add
files to that: those that an instance had written when CreateImage was called, or a folder below ``ec2/images`` of
onebox's data, laid out as they shall stand under ``/``, that RegisterImage was told of.
"""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from longshore.onebox.machinery.records import Document, Owner, Transaction
from longshore.onebox.services.ec2 import rows
from longshore.onebox.services.ec2.errors import missing, unknown
from longshore.onebox.services.ec2.tags import shown as shown_tags

THIS_MACHINE: Final = "ami-longshore"
_OF_THIS_MACHINE: Final[Document] = {
    "id": THIS_MACHINE,
    "name": "longshore",
    "description": "This machine, and the Longshore agent",
    "folder": None,
    "create_time": 0.0,
    "tags": {},
}


def existing(tx: Transaction, owner: Owner, image_id: str | None) -> Document:
    """The image of this id; raises AwsError."""
    if not image_id:
        raise missing("ImageId")
    found = every(tx, owner).get(image_id)
    if found is None:
        raise unknown("InvalidAMIID", "image id", [image_id[:100]])
    return found


def every(tx: Transaction, owner: Owner) -> dict[str, Document]:
    return {THIS_MACHINE: _OF_THIS_MACHINE, **tx.all(rows.IMAGE, owner)}


def strange_in(folder: Path) -> str | None:
    """Why a folder cannot be an image; None when it can."""
    if not folder.is_dir():
        return f"there is no folder {folder}"
    for entry in folder.iterdir():
        if not Path("/", entry.name).is_dir() or Path("/", entry.name).is_symlink():
            return f"{entry} is none of the folders at the root of this machine"
    return None


def architecture() -> str:
    machine = platform.machine()
    return {"aarch64": "arm64"}.get(machine, machine)


def shown(image: Document, owner: Owner) -> dict[str, Any]:
    is_ours = image["id"] == THIS_MACHINE
    whose = "longshore" if is_ours else owner.account
    return {
        "ImageId": image["id"],
        "Name": image["name"],
        "Description": image["description"],
        "ImageLocation": f"{whose}/{image['name']}",
        "OwnerId": whose,
        "ImageOwnerAlias": "longshore" if is_ours else None,
        "State": "available",
        "Public": is_ours,
        "ImageType": "machine",
        "Architecture": architecture(),
        "CreationDate": datetime.fromtimestamp(image["create_time"], UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "PlatformDetails": "Linux/UNIX",
        "RootDeviceType": "instance-store",
        "VirtualizationType": "hvm",
        "BlockDeviceMappings": [],
        "Tags": shown_tags(image["tags"]),
    }
