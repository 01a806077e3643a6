"""Operations on launch templates."""

from __future__ import annotations

from typing import Any

from longshore.onebox.machinery.records import Document, Transaction
from longshore.onebox.services.ec2 import launch_templates, rows, tags
from longshore.onebox.services.ec2.errors import invalid
from longshore.onebox.services.ec2.filters import chosen
from longshore.onebox.services.ec2.operations import Asked, page, reads, writes


@writes("CreateLaunchTemplate")
def create_launch_template(asked: Asked) -> Any:
    with asked.world.records.transaction() as tx:
        template = launch_templates.create(
            tx,
            asked.owner,
            name=asked["LaunchTemplateName"],
            data=asked["LaunchTemplateData"],
            description=asked.get("VersionDescription"),
            tags=tags.of_specifications(asked.get("TagSpecifications"), "launch-template"),
            caller=asked.call.caller.arn,
            now=asked.call.now,
        )
    return {"LaunchTemplate": launch_templates.shown(template)}


@writes("CreateLaunchTemplateVersion")
def create_launch_template_version(asked: Asked) -> Any:
    with asked.world.records.transaction() as tx:
        template = _existing(tx, asked)
        source = asked.get("SourceVersion")
        number = launch_templates.add_version(
            tx,
            asked.owner,
            template,
            data=asked["LaunchTemplateData"],
            source=None if source is None else launch_templates.number_of(template, source),
            description=asked.get("VersionDescription"),
            caller=asked.call.caller.arn,
            now=asked.call.now,
        )
    return {"LaunchTemplateVersion": launch_templates.shown_version(template, number)}


@writes("ModifyLaunchTemplate")
def modify_launch_template(asked: Asked) -> Any:
    with asked.world.records.transaction() as tx:
        template = _existing(tx, asked)
        if (default := asked.get("DefaultVersion")) is not None:
            number = launch_templates.number_of(template, default)
            launch_templates.version(template, str(number))
            template["default"] = number
            tx.put(rows.LAUNCH_TEMPLATE, asked.owner, template["id"], template)
    return {"LaunchTemplate": launch_templates.shown(template)}


@writes("DeleteLaunchTemplate")
def delete_launch_template(asked: Asked) -> Any:
    with asked.world.records.transaction() as tx:
        template = _existing(tx, asked)
        tx.delete(rows.LAUNCH_TEMPLATE, asked.owner, template["id"])
    return {"LaunchTemplate": launch_templates.shown(template)}


@writes("DeleteLaunchTemplateVersions")
def delete_launch_template_versions(asked: Asked) -> Any:
    done, failed = [], []
    with asked.world.records.transaction() as tx:
        template = _existing(tx, asked)
        named = {"LaunchTemplateId": template["id"], "LaunchTemplateName": template["name"]}
        for said in asked["Versions"]:
            number = launch_templates.number_of(template, said)
            item = {**named, "VersionNumber": number}
            if str(number) not in template["versions"]:
                reason = {"Code": "launchTemplateVersionDoesNotExist", "Message": "There is no such version."}
                failed.append({**item, "ResponseError": reason})
            elif number == template["default"]:
                raise invalid("The default version of a launch template cannot be deleted; delete the template.")
            else:
                del template["versions"][str(number)]
                done.append(item)
        tx.put(rows.LAUNCH_TEMPLATE, asked.owner, template["id"], template)
    return {
        "SuccessfullyDeletedLaunchTemplateVersions": done,
        "UnsuccessfullyDeletedLaunchTemplateVersions": failed,
    }


@reads("DescribeLaunchTemplates")
def describe_launch_templates(asked: Asked) -> Any:
    with asked.world.records.transaction() as tx:
        ids, names = asked.get("LaunchTemplateIds", ()), asked.get("LaunchTemplateNames", ())
        named = [
            *(launch_templates.existing(tx, asked.owner, one, None) for one in ids),
            *(launch_templates.existing(tx, asked.owner, None, one) for one in names),
        ]
        known = named if ids or names else list(tx.all(rows.LAUNCH_TEMPLATE, asked.owner).values())
    fields = {
        "launch-template-name": lambda one: [one["name"]],
        "launch-template-id": lambda one: [one["id"]],
    }
    found = chosen(known, asked.get("Filters", ()), fields, lambda one: one["tags"])
    found.sort(key=lambda one: one["id"])
    rest, more = page(asked, found, lambda one: str(one["id"]))
    return {"LaunchTemplates": [launch_templates.shown(one) for one in rest], **more}


@reads("DescribeLaunchTemplateVersions")
def describe_launch_template_versions(asked: Asked) -> Any:
    """Newest first, as AWS; of the versions named, or of all between MinVersion and MaxVersion."""
    with asked.world.records.transaction() as tx:
        template = _existing(tx, asked)
    if said := asked.get("Versions"):
        numbers = {launch_templates.number_of(template, one) for one in said}
    else:
        least = launch_templates.number_of(template, asked.get("MinVersion") or "1")
        most = launch_templates.number_of(template, asked.get("MaxVersion") or "$Latest")
        numbers = {number for number in map(int, template["versions"]) if least <= number <= most}
    newest_first = sorted(numbers, reverse=True)
    rest, more = page(asked, newest_first, lambda number: f"{10**9 - number:010}")
    return {"LaunchTemplateVersions": [launch_templates.shown_version(template, number) for number in rest], **more}


def _existing(tx: Transaction, asked: Asked) -> Document:
    return launch_templates.existing(tx, asked.owner, asked.get("LaunchTemplateId"), asked.get("LaunchTemplateName"))
