"""The identifier of one offer of one command: opaque to agents, everything to us."""

from __future__ import annotations

import base64
import json
import secrets
from dataclasses import dataclass

from longshore.domain.ids import Scope
from longshore.domain.target import CommandState, Target
from longshore.store.targets import OpenCommand
from longshore.wire.service import Call


@dataclass(frozen=True, kw_only=True, slots=True)
class HostCommand:
    """One attempt at one lifecycle event of one host.

    The attempt is new with every offer. The acknowledgement that comes first decides which one counts, so a command
    offered twice (a lost answer, a server that died) still runs once.
    """

    deployment_id: str
    target_id: str
    position: int
    attempt: str

    @property
    def identifier(self) -> str:
        fields = [self.deployment_id, self.target_id, self.position, self.attempt]
        return base64.urlsafe_b64encode(json.dumps(fields, separators=(",", ":")).encode()).decode()

    def is_run_by(self, target: Target | None) -> bool:
        """Whether this very attempt is the one that its host runs."""
        return (
            target is not None
            and target.command is CommandState.RUNNING
            and target.position == self.position
            and target.attempt == self.attempt
        )


def offer(command: OpenCommand) -> HostCommand:
    """A fresh attempt at an open command."""
    return HostCommand(
        deployment_id=command.deployment_id,
        target_id=command.target_id,
        position=command.position,
        attempt=secrets.token_hex(6),
    )


def read(identifier: str) -> HostCommand | None:
    """The command an identifier stands for; None when it is not one of ours."""
    try:
        fields = json.loads(base64.urlsafe_b64decode(identifier.encode()))
    except (ValueError, RecursionError):
        return None
    match fields:
        case [str(deployment_id), str(target_id), int(position), str(attempt)] if attempt:
            if not (deployment_id + target_id + attempt).isprintable():
                # Half a surrogate pair is legal JSON and no legal text: the database would refuse to look for it.
                return None
            return HostCommand(
                deployment_id=deployment_id, target_id=target_id, position=position, attempt=attempt[:32]
            )
    return None


def host_of(call: Call) -> str:
    """Who a caller is as a host: what the rows of its targets carry."""
    return Scope(call.caller.account, call.caller.region).host(call.caller.host_identifier)
