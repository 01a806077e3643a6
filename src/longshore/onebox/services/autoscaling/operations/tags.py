"""Tags of groups; those that propagate are put on the instances launched from then on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from longshore.onebox.services.autoscaling.desk import Asked, Desk, owner_of
from longshore.onebox.services.autoscaling.errors import limit_exceeded, validation_error
from longshore.onebox.services.autoscaling.group import Group
from longshore.wire.service import Call

MOST_TAGS = 50
_TYPE = "auto-scaling-group"


def create_or_update_tags(desk: Desk, call: Call, asked: Asked) -> None:
    with desk.groups.changing(owner_of(call)) as rows:
        for tag in checked_tags(asked["Tags"], of=None):
            rows.put(with_tags(rows.group(tag["ResourceId"]), [tag]))


def delete_tags(desk: Desk, call: Call, asked: Asked) -> None:
    with desk.groups.changing(owner_of(call)) as rows:
        for tag in checked_tags(asked["Tags"], of=None):
            group = rows.group(tag["ResourceId"])
            has = group.tags.get(tag["Key"])
            if has is not None and tag.get("Value", has[0]) == has[0]:
                rows.put(replace(group, tags={key: one for key, one in group.tags.items() if key != tag["Key"]}))


def describe_tags(desk: Desk, call: Call, asked: Asked) -> Mapping[str, Any]:
    filters = asked.get("Filters", ())
    with desk.groups.reading(owner_of(call)) as rows:
        tags = [tag for group in rows.all() for tag in shown_tags(group)]
    found = [tag for tag in tags if all(_matches(tag, one) for one in filters)]
    page, token = desk.page(call, asked, found, of=repr(filters), key=lambda tag: f"{tag['ResourceId']}\n{tag['Key']}")
    return {"Tags": page, "NextToken": token}


def checked_tags(tags: Sequence[Mapping[str, Any]], *, of: str | None) -> list[Mapping[str, Any]]:
    """These tags, each with whose it is: `of`, where a group is just being made."""
    checked: list[Mapping[str, Any]] = []
    for tag in tags:
        resource = tag.get("ResourceId", of)
        if resource is None or (of is not None and resource != of):
            raise validation_error(f"The tag {tag['Key']} must name its group as ResourceId.")
        if tag.get("ResourceType", _TYPE) != _TYPE:
            raise validation_error(f"ResourceType is {tag['ResourceType']}; it must be {_TYPE}.")
        if tag["Key"].lower().startswith("aws:"):
            raise validation_error(f"The tag {tag['Key']} begins with aws:, which is AWS's own.")
        checked.append({**tag, "ResourceId": resource})
    return checked


def with_tags(group: Group, tags: Sequence[Mapping[str, Any]]) -> Group:
    made = {tag["Key"]: (tag.get("Value", ""), tag.get("PropagateAtLaunch", False)) for tag in tags}
    all_of_them = {**group.tags, **made}
    if len(all_of_them) > MOST_TAGS:
        raise limit_exceeded(f"A group has {MOST_TAGS} tags at most.")
    return replace(group, tags=all_of_them)


def shown_tags(group: Group) -> list[dict[str, Any]]:
    """A group's tags as the API tells them, by key."""
    return [
        {
            "ResourceId": group.name,
            "ResourceType": _TYPE,
            "Key": key,
            "Value": value,
            "PropagateAtLaunch": at_launch,
        }
        for key, (value, at_launch) in sorted(group.tags.items())
    ]


def _matches(tag: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    values = wanted.get("Values", ())
    match wanted.get("Name"):
        case "auto-scaling-group":
            return tag["ResourceId"] in values
        case "key":
            return tag["Key"] in values
        case "value":
            return tag["Value"] in values
        case "propagate-at-launch":
            return str(tag["PropagateAtLaunch"]).lower() in [value.lower() for value in values]
        case name:
            raise validation_error(
                f"Filter type {name} is not correct. Allowed Filter types are: auto-scaling-group key value"
                " propagate-at-launch"
            )
