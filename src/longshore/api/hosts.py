"""What a host may know of itself, so that its owner can be told what is wrong (`longshore agent doctor`)."""

from __future__ import annotations

from typing import Any

from longshore.api.operations import Call, reads
from longshore.domain.group import is_member, on_premises_tag_set
from longshore.store import deployment_groups, instances, server_secrets

#: Groups that are looked through, and told.
_SEARCHED = 10_000
_TOLD = 100


@reads("GetHost")
def get_host(call: Call, _asked: dict[str, Any]) -> Any:
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
    groups = [
        {"applicationName": application, "deploymentGroupName": name}
        for application, name, document in deployment_groups.documents(call.tx, call.scope, count=_SEARCHED)
        if is_member(on_premises_tag_set(document), instance.tags)
    ]
    return reply | {
        "instanceName": instance.name,
        "tags": [{"key": key, "value": value} for key, value in instance.tags],
        "deploymentGroups": groups[:_TOLD],
    }
