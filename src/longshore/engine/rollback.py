"""Rolls back: the group's last good revision is deployed again, as a deployment of its own (server.md S5)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from longshore.domain.blue_green import is_to_be_switched
from longshore.domain.deployment import DeploymentStatus, Finish
from longshore.domain.ids import new_deployment_id
from longshore.domain.rollback import CREATOR, is_wanted
from longshore.store import deployment_groups, deployments, revisions, targets
from longshore.store.database import Transaction
from longshore.store.deployment_groups import DeploymentGroup
from longshore.store.deployments import Deployment

#: What a rollback has in common with the deployment that it rolls back (S5.8).
_KEPT = (
    "ignoreApplicationStopFailures",
    "deploymentStyle",
    "loadBalancerInfo",
    "ec2DeploymentOptions",
    "blueGreenDeploymentConfiguration",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Aftermath:
    """What comes of a deployment's end."""

    #: RollbackInfo of the deployment that ended; None: nobody asked for a rollback.
    info: dict[str, Any] | None = None
    #: The deployment that rolls it back.
    rollback: Deployment | None = None


def aftermath(tx: Transaction, deployment: Deployment, finish: Finish, now: float) -> Aftermath:
    """Whether this end is rolled back, and how."""
    asked = deployment.document.get("autoRollbackConfiguration", {})
    if deployment.creator == CREATOR or not is_wanted(asked, finish.status, finish.code):
        return Aftermath()
    group = deployment_groups.by_id(tx, deployment.group_id)
    if group is None:
        return _none(deployment, "its deployment group was deleted")
    if deployment.is_blue_green:
        if not any(is_to_be_switched(row.target) for row in targets.every(tx, deployment.id)):
            return _none(deployment, "no traffic was moved, so there is nothing to undo")
    elif not targets.any_attempted(tx, deployment.id):
        return _none(deployment, "no instance was deployed to, so there is nothing to undo")
    if group.target_revision is None:
        return _none(deployment, f"no deployment to {group.name} has ever succeeded, so there is no revision to go to")
    rollback = _rollback(tx, deployment, group, group.target_revision, now)
    message = f"Deployment {deployment.id} ended as {finish.status}; deployment {rollback.id} rolls it back."
    return Aftermath(
        info={"rollbackDeploymentId": rollback.id, "rollbackMessage": message},
        rollback=rollback,
    )


def begin(tx: Transaction, rollback: Deployment) -> None:
    """Record the rollback; the group, which has just become free, is its own."""
    revisions.use(
        tx,
        rollback.application_id,
        rollback.revision,
        description=f"Registered by deployment {rollback.id}",
        now=rollback.create_time,
    )
    deployments.add(tx, rollback)


def _none(deployment: Deployment, why: str) -> Aftermath:
    return Aftermath(info={"rollbackMessage": f"Deployment {deployment.id} cannot be rolled back: {why}."})


def _rollback(
    tx: Transaction, ended: Deployment, group: DeploymentGroup, revision: dict[str, Any], now: float
) -> Deployment:
    last = deployments.get(tx, group.last_successful_deployment_id) if group.last_successful_deployment_id else None
    document = {name: ended.document[name] for name in _KEPT if name in ended.document}
    # Files that were there before are treated as the good revision treated them (S5.5).
    document["fileExistsBehavior"] = "DISALLOW" if last is None else last.document["fileExistsBehavior"]
    identifier = new_deployment_id()
    return replace(
        ended,
        id=identifier,
        status=DeploymentStatus.CREATED,
        creator=CREATOR,
        create_time=now,
        start_time=None,
        complete_time=None,
        revision=revision,
        revision_identity=group.target_revision_identity or "",
        previous_revision=revision,
        document=document,
        # The good revision's hooks ran with its own.
        parameters={} if last is None else last.parameters,
        error_code=None,
        error_message=None,
        rollback_info={
            "rollbackTriggeringDeploymentId": ended.id,
            "rollbackMessage": f"Deployment {identifier} rolls back deployment {ended.id}.",
        },
        required_healthy=None,
        total_targets=None,
        stop_requested_by=None,
        bundle=None,
        phase=None,
        phase_time=None,
        continued=None,
    )
