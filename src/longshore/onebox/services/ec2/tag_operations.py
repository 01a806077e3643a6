"""Operations on tags."""

from __future__ import annotations

from typing import Any

from longshore.onebox.services.ec2 import tags
from longshore.onebox.services.ec2.filters import chosen
from longshore.onebox.services.ec2.operations import Asked, page, reads, writes


@writes("CreateTags")
def create_tags(asked: Asked) -> None:
    add = tags.of_list(asked["Tags"])
    with asked.world.records.transaction() as tx:
        tags.change(tx, asked.owner, asked["Resources"], add=add)


@writes("DeleteTags")
def delete_tags(asked: Asked) -> None:
    with asked.world.records.transaction() as tx:
        tags.remove(tx, asked.owner, asked["Resources"], asked.get("Tags", ()))


@reads("DescribeTags")
def describe_tags(asked: Asked) -> Any:
    with asked.world.records.transaction() as tx:
        known = tags.everything(tx, asked.owner)
    fields = {
        "key": lambda tag: [tag["Key"]],
        "value": lambda tag: [tag["Value"]],
        "resource-id": lambda tag: [tag["ResourceId"]],
        "resource-type": lambda tag: [tag["ResourceType"]],
    }
    found = chosen(known, asked.get("Filters", ()), fields, lambda tag: {tag["Key"]: tag["Value"]})
    found.sort(key=_place)
    rest, more = page(asked, found, _place)
    return {"Tags": rest, **more}


def _place(tag: dict[str, str]) -> str:
    return f"{tag['ResourceId']}/{tag['Key']}"
