"""The five operations that agents call (agent.md §1). A report is one row read, one row written, one commit."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from longshore.commands import diagnostics, envelope, host_command
from longshore.commands.envelope import Signer
from longshore.commands.hook_logs import HookLogs, keep_end
from longshore.commands.host_command import HostCommand, host_of
from longshore.commands.waiting import Waiting
from longshore.domain.target import Report, Target, advance
from longshore.store import deployments, github_tokens, targets
from longshore.store.database import Store, Transaction
from longshore.wire.service import AwsError, Call, Handler

#: What agents sign their calls for, the second one with `enable_auth_policy` (agent.md 1.1.3).
SIGNING_NAMES = frozenset({"codedeploy-commands", "codedeploy-commands-secure"})
#: Sealed specifications kept at hand: one a running deployment.
_KEPT = 256


class Commands:
    """Answers agents."""

    def __init__(self, store: Store, waiting: Waiting, signer: Signer, logs: HookLogs) -> None:
        self._store = store
        self._logs = logs
        self._waiting = waiting
        self._signer = signer
        self._sealed: OrderedDict[str, asyncio.Future[dict[str, Any]]] = OrderedDict()

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "PollHostCommand": self.poll,
            "GetDeploymentSpecification": self.get_specification,
            "PutHostCommandAcknowledgement": self.acknowledge,
            "PutHostCommandComplete": self.complete,
            "PostHostCommandUpdate": self.update,
        }

    async def poll(self, call: Call, asked: dict[str, Any]) -> dict[str, Any]:
        """Hold the poll until a command for this host is ready; an empty answer means none was."""
        _require_own(call, asked["HostIdentifier"])
        found = await self._waiting.next_command(host_of(call))
        if found is None:
            return {}
        offered, command = found
        return {
            "HostCommand": {
                "HostCommandIdentifier": offered.identifier,
                "HostIdentifier": asked["HostIdentifier"],
                "DeploymentExecutionId": _execution_id(call, command.deployment_id),
                "CommandName": command.event,
            }
        }

    async def get_specification(self, call: Call, asked: dict[str, Any]) -> dict[str, Any]:
        """The deployment's specification, signed once and the same for each of its hosts."""
        _require_own(call, asked["HostIdentifier"])
        deployment_id = asked["DeploymentExecutionId"].rpartition("/")[2]
        mine = await self._store.peek(lambda tx: targets.of_host(tx, deployment_id, host_of(call)))
        if not mine:
            raise AwsError(
                "ClientException", f"{call.caller.host_identifier} is no target of deployment {deployment_id}."
            )
        self._waiting.seen(deployment_id, mine)
        sealed = await self._specification(deployment_id)
        return {"DeploymentSystem": "CodeDeploy", "DeploymentSpecification": sealed}

    async def _specification(self, deployment_id: str) -> dict[str, Any]:
        # A fleet asks all at once: the first to ask has it signed, the others wait for that.
        sealing = self._sealed.get(deployment_id)
        if sealing is None:
            sealing = self._sealed[deployment_id] = asyncio.ensure_future(self._seal(deployment_id))
            if len(self._sealed) > _KEPT:
                self._sealed.popitem(last=False)
        try:
            return await asyncio.shield(sealing)
        except Exception:
            self._sealed.pop(deployment_id, None)
            raise

    async def _seal(self, deployment_id: str) -> dict[str, Any]:
        told = await self._store.fetch(lambda tx: _told(tx, deployment_id))
        return envelope.seal(self._signer, told)

    async def acknowledge(self, call: Call, asked: dict[str, Any]) -> dict[str, Any]:
        """Let the agent run the command, or tell it that there is nothing (more) to do.

        `InProgress` means run it. `Succeeded` means leave it: it has no script and counts as done, or it was taken back
        (the deployment stops, another attempt runs). An agent then sends no completion.
        """
        command = _command(asked["HostCommandIdentifier"])
        noop = diagnostics.is_noop(asked.get("Diagnostics"))
        report = Report(
            position=command.position, attempt=command.attempt, outcome=diagnostics.NOTHING_TO_RUN if noop else None
        )
        target = await self._store.submit(lambda tx: _report(tx, call, command, report), quick=True)
        self._waiting.heard_of(command)
        return {"CommandStatus": "InProgress" if command.is_run_by(target) else "Succeeded"}

    async def complete(self, call: Call, asked: dict[str, Any]) -> None:
        """Record how the command ended. The first completion counts, and every one is welcome (agent.md 13.6)."""
        command = host_command.read(asked["HostCommandIdentifier"])
        if command is None:
            return
        outcome = diagnostics.read(asked["CommandStatus"], asked.get("Diagnostics"))
        report = Report(position=command.position, attempt=command.attempt, outcome=outcome)
        # Before the report: who sees that an event has ended finds its log whole.
        was_told = self._logs.finish(command)
        await self._store.submit(lambda tx: _report(tx, call, command, report, keeps_log=not was_told), quick=True)
        self._waiting.heard_of(command)

    async def update(self, call: Call, asked: dict[str, Any]) -> dict[str, Any]:
        """Tell a working agent whether its command is still wanted."""
        command = _command(asked["HostCommandIdentifier"])
        target = await self._store.peek(
            lambda tx: targets.progress(tx, command.deployment_id, command.target_id, host=host_of(call))
        )
        return {"CommandStatus": "InProgress" if command.is_run_by(target) else "Failed"}


def _told(tx: Transaction, deployment_id: str) -> dict[str, Any]:
    deployment = deployments.get(tx, deployment_id)
    if deployment is None:
        raise AwsError("ClientException", f"Deployment {deployment_id} does not exist any more.")
    return envelope.specification(deployment, github_tokens.for_application(tx, deployment.application_id))


def _report(
    tx: Transaction, call: Call, command: HostCommand, report: Report, *, keeps_log: bool = False
) -> Target | None:
    """Apply a report to its host's row; wakes the deployment only when the host goes no further alone."""
    target = targets.progress(tx, command.deployment_id, command.target_id, host=host_of(call))
    if target is None:
        return None
    moved = advance(target, report, call.now)
    if moved is not target:
        targets.save_progress(tx, command.deployment_id, command.target_id, moved, call.now)
        if keeps_log and report.outcome is not None and report.outcome.log_tail:
            keep_end(tx, command, target.event.name, report.outcome.log_tail, call.now)
        if moved.awaits_engine:
            deployments.wake(tx, command.deployment_id, call.now)
    return moved


def _require_own(call: Call, identifier: str) -> None:
    if identifier != call.caller.host_identifier:
        raise AwsError(
            "AccessDeniedException",
            f"{call.caller.host_identifier} may only speak for itself, not for {identifier}. "
            "The agent's keys and its iam_user_arn must belong together.",
        )


def _command(identifier: str) -> HostCommand:
    command = host_command.read(identifier)
    if command is None:
        raise AwsError("ClientException", "HostCommandIdentifier is not one that this server gave out.")
    return command


def _execution_id(call: Call, deployment_id: str) -> str:
    # Four parts separated by slashes, the deployment last, as agents expect (agent.md 1.2.7, 1.2.9).
    scope = f"{call.caller.region}:{call.caller.account}"
    return f"CodeDeploy/{call.caller.region}/Prod/arn:aws:sds:{scope}:deployment/{deployment_id}"
