"""Permissions of the service that agents poll: what a host does, it does as itself.

The names are those of AWS's `codedeploy-commands-secure`. None needs an Allow, each can be taken away by a Deny, and no
policy lets anybody speak for another host.
"""

from __future__ import annotations

from typing import Final

OPERATIONS: Final = (
    "PollHostCommand",
    "GetDeploymentSpecification",
    "PutHostCommandAcknowledgement",
    "PutHostCommandComplete",
    "PostHostCommandUpdate",
)

PREFIX: Final = "codedeploy-commands-secure"

#: What a host does in our own service.
OURS: Final = ("PutHookLog", "GetHost")


def action_of(service: str, operation: str) -> str | None:
    """The action of what a host does; None for what others do."""
    if service == "codedeploy-commands":
        return f"{PREFIX}:{operation}"
    return f"{service}:{operation}" if service == "longshore" and operation in OURS else None
