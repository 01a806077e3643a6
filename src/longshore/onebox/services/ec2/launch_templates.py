"""Launch templates: requests to launch, kept under a name in numbered versions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from longshore.onebox.machinery.records import Document, Owner, Transaction
from longshore.onebox.services.ec2 import rows
from longshore.onebox.services.ec2.errors import invalid, missing
from longshore.onebox.services.ec2.tags import shown as shown_tags
from longshore.wire.service import AwsError

_MOST_VERSIONS = 10_000


def create(
    tx: Transaction,
    owner: Owner,
    *,
    name: str,
    data: Mapping[str, Any],
    description: str | None,
    tags: Mapping[str, str],
    caller: str,
    now: float,
) -> Document:
    """Make a template with its first version."""
    if any(one["name"] == name for one in tx.all(rows.LAUNCH_TEMPLATE, owner).values()):
        raise AwsError("InvalidLaunchTemplateName.AlreadyExistsException", "Launch template name already in use.")
    template = rows.new_id("lt")
    document = {
        "id": template,
        "name": name,
        "create_time": now,
        "created_by": caller,
        "default": 1,
        "latest": 1,
        "versions": {"1": _version(data, description, caller, now)},
        "tags": dict(tags),
    }
    tx.put(rows.LAUNCH_TEMPLATE, owner, template, document)
    return document


def add_version(
    tx: Transaction,
    owner: Owner,
    template: Document,
    *,
    data: Mapping[str, Any],
    source: int | None,
    description: str | None,
    caller: str,
    now: float,
) -> int:
    """Add a version, made of another with these changes; its number."""
    number: int = template["latest"] + 1
    if number > _MOST_VERSIONS:
        raise AwsError("VersionLimitExceeded", f"A launch template has {_MOST_VERSIONS} versions at most.")
    base = {} if source is None else version(template, str(source))["data"]
    template["versions"][str(number)] = _version({**base, **data}, description, caller, now)
    template["latest"] = number
    tx.put(rows.LAUNCH_TEMPLATE, owner, template["id"], template)
    return number


def _version(data: Mapping[str, Any], description: str | None, caller: str, now: float) -> Document:
    return {"data": dict(data), "description": description, "created_by": caller, "create_time": now}


def chosen(tx: Transaction, owner: Owner, asked: Mapping[str, Any]) -> tuple[str, int, Mapping[str, Any]]:
    """The id, version and data of the template that a request to launch names; `$Default` when it says no version."""
    template = existing(tx, owner, asked.get("LaunchTemplateId"), asked.get("LaunchTemplateName"))
    number = number_of(template, asked.get("Version") or "$Default")
    return template["id"], number, version(template, str(number))["data"]


def existing(tx: Transaction, owner: Owner, template_id: str | None, name: str | None) -> Document:
    """The template of this id or this name; raises AwsError."""
    if bool(template_id) == bool(name):
        raise (
            invalid("Name a launch template either by LaunchTemplateId or by LaunchTemplateName.")
            if template_id
            else missing("LaunchTemplateId or LaunchTemplateName")
        )
    if template_id:
        found = tx.get(rows.LAUNCH_TEMPLATE, owner, template_id)
        if found is None:
            raise AwsError(
                "InvalidLaunchTemplateId.NotFound",
                f"The specified launch template, with template ID {template_id[:100]}, does not exist.",
            )
        return found
    for template in tx.all(rows.LAUNCH_TEMPLATE, owner).values():
        if template["name"] == name:
            return template
    raise AwsError(
        "InvalidLaunchTemplateName.NotFoundException",
        f"The specified launch template, with template name {str(name)[:128]}, does not exist.",
    )


def number_of(template: Document, said: str) -> int:
    """The number that `$Latest`, `$Default` or a number means."""
    if said == "$Latest":
        return int(template["latest"])
    if said == "$Default":
        return int(template["default"])
    if not said.isdecimal() or not said.isascii():
        raise invalid(f"The launch template version '{said[:40]}' is no number, $Latest or $Default.")
    return int(said)


def version(template: Document, number: str) -> Document:
    """A version of a template; raises AwsError."""
    found: Document | None = template["versions"].get(number)
    if found is None:
        raise AwsError(
            "InvalidLaunchTemplateId.VersionNotFound",
            f"Could not find the specified version {number[:20]} for the launch template with ID {template['id']}.",
        )
    return found


def shown(template: Document) -> dict[str, Any]:
    return {
        "LaunchTemplateId": template["id"],
        "LaunchTemplateName": template["name"],
        "CreateTime": template["create_time"],
        "CreatedBy": template["created_by"],
        "DefaultVersionNumber": template["default"],
        "LatestVersionNumber": template["latest"],
        "Tags": shown_tags(template["tags"]),
    }


def shown_version(template: Document, number: int) -> dict[str, Any]:
    kept = version(template, str(number))
    return {
        "LaunchTemplateId": template["id"],
        "LaunchTemplateName": template["name"],
        "VersionNumber": number,
        "VersionDescription": kept["description"],
        "CreateTime": kept["create_time"],
        "CreatedBy": kept["created_by"],
        "DefaultVersion": number == template["default"],
        "LaunchTemplateData": kept["data"],
    }
