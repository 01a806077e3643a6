"""What a host may know of itself, so that its owner can be told what is wrong (`longshore agent doctor`)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from longshore.api.operations import Call, reads
from longshore.api.pages import page
from longshore.domain.group import is_member, on_premises_tag_set
from longshore.store import deployment_groups, instances, server_secrets

#: Groups that one call looks through: any host may ask, and as often as it likes.
_SEARCHED = 250


@reads("GetHost")
def get_host(call: Call, asked: dict[str, Any]) -> Any:
    """The on-premises instance that the caller is, and the groups that its tags put it in."""
    is_session = ":assumed-role/" in call.caller
    instance = instances.with_principal(
        call.tx,
        call.scope,
        iam_user_arn=None if is_session else call.caller,
        iam_session_arn=call.caller if is_session else None,
    )
    reply: dict[str, Any] = {
        "specificationSigner": server_secrets.find(call.tx, server_secrets.SPECIFICATION_SIGNER_PUBLIC) or "",
        "tags": [],
        "deploymentGroups": [],
    }
    if instance is None:
        return reply
    searched, following = page(
        replace(call, limits=replace(call.limits, page=_SEARCHED)),
        ["GetHost", instance.name],
        asked.get("nextToken"),
        lambda after, count: deployment_groups.documents(
            call.tx, call.scope, after=(str(after[0]), str(after[1])) if after else None, count=count
        ),
        lambda row: [row[0], row[1]],
    )
    groups = [
        {"applicationName": application, "deploymentGroupName": name}
        for application, name, document in searched
        if is_member(on_premises_tag_set(document), instance.tags)
    ]
    reply |= {
        "instanceName": instance.name,
        "tags": [{"key": key, "value": value} for key, value in instance.tags],
        "deploymentGroups": groups,
    }
    return reply | ({"nextToken": following} if following else {})
