"""The users and roles that operations are about, or the error that they are not there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from longshore.api.iam.errors import invalid_input, limit_exceeded, no_such_entity
from longshore.api.operations import Call
from longshore.store import principals
from longshore.store.principals import Kind, Principal


def existing(call: Call, kind: Kind, name: str) -> Principal:
    found = principals.find(call.tx, call.scope.account, kind, name)
    if found is None:
        raise no_such_entity(f"The {kind} with name {name} cannot be found.")
    return found


def tags_of(asked: Sequence[Mapping[str, str]], most: int) -> dict[str, str]:
    """Tags by key, each key once in whatever case."""
    tags = {tag["Key"]: tag.get("Value", "") for tag in asked}
    if len({key.lower() for key in tags}) != len(asked):
        raise invalid_input("Duplicate tag keys found. Please note that Tag keys are case insensitive.")
    if len(tags) > most:
        raise limit_exceeded(f"The number of tags has reached the maximum limit of {most}.")
    return tags


def shown_tags(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": tags[key]} for key in sorted(tags)]


def refuse_boundary(asked: Mapping[str, Any]) -> None:
    """A boundary would limit what policies give; kept and not heeded, it would give too much."""
    if "PermissionsBoundary" in asked:
        raise invalid_input("Permissions boundaries are not supported by this server; leave PermissionsBoundary out.")
