"""Operations on images."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

from longshore.onebox.machinery.records import Document
from longshore.onebox.services.ec2 import ec2, images, rows, tags
from longshore.onebox.services.ec2.errors import invalid, missing, require_form
from longshore.onebox.services.ec2.filters import chosen
from longshore.onebox.services.ec2.operations import Asked, page, reads, writes
from longshore.onebox.services.ec2.ports import HostFailedError
from longshore.onebox.services.ec2.values import State
from longshore.wire.service import AwsError

_NAME = re.compile(r"[A-Za-z0-9()\[\] ./'@_-]{3,128}")


@writes("CreateImage")
def create_image(asked: Asked) -> Any:
    """An image of what an instance has written. It should be stopped: a file that is being written is copied half."""
    require_form([asked["InstanceId"]], "i", "InvalidInstanceID")
    with asked.world.records.transaction() as tx:
        (instance,) = ec2.existing(tx, asked.owner, [asked["InstanceId"]])
        _require_new(images.every(tx, asked.owner), asked["Name"])
    if instance.state not in (State.RUNNING, State.STOPPED):
        raise AwsError(
            "IncorrectState",
            f"An image is made of an instance that is running or stopped; {instance.id} is {instance.state}.",
        )
    image = rows.new_id("ami")
    folder = asked.world.hosts.folder_of_image(image)
    try:
        asked.world.hosts.keep_files(instance, folder)
    except HostFailedError as error:
        raise AwsError("InternalError", str(error), 500) from None
    _keep(asked, image, folder)
    return {"ImageId": image}


@writes("RegisterImage")
def register_image(asked: Asked) -> Any:
    """An image of a folder below ``ec2/images`` of onebox's data, which ImageLocation names."""
    if not asked.get("Name"):
        raise missing("Name")
    location = asked.get("ImageLocation")
    if not location:
        raise missing("ImageLocation")
    try:
        folder = asked.world.hosts.folder_named(location)
    except ValueError:
        raise invalid(
            f"Value ({location[:200]}) for parameter imageLocation is invalid: no path of a folder."
        ) from None
    if reason := images.strange_in(folder):
        raise invalid(f"Value ({location[:200]}) for parameter imageLocation is invalid: {reason}.")
    with asked.world.records.transaction() as tx:
        _require_new(images.every(tx, asked.owner), asked["Name"])
    image = rows.new_id("ami")
    _keep(asked, image, folder)
    return {"ImageId": image}


@writes("DeregisterImage")
def deregister_image(asked: Asked) -> Any:
    """Instances that were launched from it stay as they are; a folder that was registered stays too."""
    with asked.world.records.transaction() as tx:
        image = images.existing(tx, asked.owner, asked["ImageId"])
        if image["id"] == images.THIS_MACHINE:
            raise AwsError("UnauthorizedOperation", f"{images.THIS_MACHINE} is always there.", 403)
        tx.delete(rows.IMAGE, asked.owner, image["id"])
    if Path(image["folder"]) == asked.world.hosts.folder_of_image(image["id"]):
        shutil.rmtree(image["folder"], ignore_errors=True)
    return {"Return": True}


@reads("DescribeImages")
def describe_images(asked: Asked) -> Any:
    with asked.world.records.transaction() as tx:
        ids = asked.get("ImageIds", ())
        named = [images.existing(tx, asked.owner, one) for one in ids]
        known = named if ids else list(images.every(tx, asked.owner).values())
    if owners := asked.get("Owners"):
        whose = {"self": asked.owner.account, "amazon": "longshore"}
        wanted = {whose.get(one, one) for one in owners}
        known = [one for one in known if images.shown(one, asked.owner)["OwnerId"] in wanted]
    fields = {
        "architecture": lambda _: [images.architecture()],
        "description": lambda one: [one["description"]],
        "image-id": lambda one: [one["id"]],
        "is-public": lambda one: ["true" if one["id"] == images.THIS_MACHINE else "false"],
        "name": lambda one: [one["name"]],
        "owner-id": lambda one: [images.shown(one, asked.owner)["OwnerId"]],
        "state": lambda _: ["available"],
        "virtualization-type": lambda _: ["hvm"],
    }
    found = chosen(known, asked.get("Filters", ()), fields, lambda one: one["tags"])
    found.sort(key=lambda one: one["id"])
    rest, more = page(asked, found, lambda one: str(one["id"]))
    return {"Images": [images.shown(one, asked.owner) for one in rest], **more}


def _require_new(known: dict[str, Document], name: str) -> None:
    if not _NAME.fullmatch(name):
        raise AwsError(
            "InvalidAMIName.Malformed",
            "AMI names must be between 3 and 128 characters long, and may contain letters, numbers and ()[] ./-'@_.",
        )
    if any(one["name"] == name for one in known.values()):
        raise AwsError("InvalidAMIName.Duplicate", f"AMI name {name} is already in use.")


def _keep(asked: Asked, image: str, folder: Path) -> None:
    document = {
        "id": image,
        "name": asked["Name"],
        "description": asked.get("Description") or "",
        "folder": str(folder),
        "create_time": asked.call.now,
        "tags": tags.of_specifications(asked.get("TagSpecifications"), "image"),
    }
    with asked.world.records.transaction() as tx:
        tx.put(rows.IMAGE, asked.owner, image, document)
