"""The hosts of a deployment, by today's operations and by the older ones (server.md S12.29–S12.34)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from longshore.api.existing import existing_deployment
from longshore.api.operations import Call, reads
from longshore.api.pages import page_of_names
from longshore.domain.blue_green import Phase
from longshore.domain.deployment import DeploymentStatus, TargetStatus
from longshore.domain.lifecycle import Label
from longshore.store import targets
from longshore.store.deployments import Deployment
from longshore.store.targets import TargetRow, event_members
from longshore.wire.service import AwsError

if TYPE_CHECKING:
    from mypy_boto3_codedeploy import type_defs as t

_LABELS = frozenset(Label)


@reads("ListDeploymentTargets")
def list_deployment_targets(call: Call, asked: t.ListDeploymentTargetsInputTypeDef) -> Any:
    """Ids of the hosts; the values of one filter are alternatives, the filters all hold (S12.29)."""
    deployment = _started(call, asked.get("deploymentId"))
    statuses: Sequence[str] | None = None
    labels: Sequence[str] | None = None
    for name, values in (asked.get("targetFilters") or {}).items():
        if name == "TargetStatus":
            statuses = _checked_statuses(values)
        elif name == "ServerInstanceLabel":
            labels = _checked_labels(deployment, values)
        else:
            raise AwsError(
                "InvalidTargetFilterNameException",
                f"Targets cannot be filtered by {name}; use TargetStatus or ServerInstanceLabel.",
            )
    token = asked.get("nextToken")
    return _page(call, "ListDeploymentTargets", deployment, statuses, labels, token, member="targetIds")


@reads("GetDeploymentTarget")
def get_deployment_target(call: Call, asked: t.GetDeploymentTargetInputTypeDef) -> Any:
    deployment = _started(call, asked["deploymentId"])
    return {"deploymentTarget": _target(_found(call, deployment, [asked["targetId"]])[0])}


@reads("BatchGetDeploymentTargets")
def batch_get_deployment_targets(call: Call, asked: t.BatchGetDeploymentTargetsInputTypeDef) -> Any:
    """Several hosts; one unknown id fails the call (S12.31)."""
    deployment = _started(call, asked["deploymentId"])
    ids = asked.get("targetIds") or []
    if not ids:
        raise AwsError("DeploymentTargetIdRequiredException", "At least one target id is required.")
    if len(ids) > call.limits.batch:
        raise AwsError(
            "DeploymentTargetListSizeExceededException",
            f"{len(ids)} targets were asked for; one call takes {call.limits.batch}. Ask in several calls.",
        )
    return {"deploymentTargets": [_target(row) for row in _found(call, deployment, ids)]}


@reads("ListDeploymentInstances")
def list_deployment_instances(call: Call, asked: t.ListDeploymentInstancesInputTypeDef) -> Any:
    """The older way to list hosts."""
    deployment = _started(call, asked["deploymentId"])
    statuses = _checked_statuses(asked.get("instanceStatusFilter") or ()) or None
    labels = _checked_labels(deployment, asked.get("instanceTypeFilter") or ()) or None
    token = asked.get("nextToken")
    return _page(call, "ListDeploymentInstances", deployment, statuses, labels, token, member="instancesList")


@reads("GetDeploymentInstance")
def get_deployment_instance(call: Call, asked: t.GetDeploymentInstanceInputTypeDef) -> Any:
    deployment = _started(call, asked["deploymentId"])
    name = _name(asked["instanceId"])
    rows = targets.find(call.tx, deployment.id, [name])
    if not rows:
        raise AwsError(
            "InstanceDoesNotExistException", f"{name} is no instance of {deployment.id}. {_shown_by(deployment)}"
        )
    return {"instanceSummary": _summary(rows[0])}


@reads("BatchGetDeploymentInstances")
def batch_get_deployment_instances(call: Call, asked: t.BatchGetDeploymentInstancesInputTypeDef) -> Any:
    """Several hosts; unknown ones are named in `errorMessage` (S12.0c)."""
    deployment = _started(call, asked["deploymentId"])
    names = [_name(identifier) for identifier in asked["instanceIds"]]
    if not names:
        raise AwsError("InstanceIdRequiredException", "At least one instance id is required.")
    if len(names) > call.limits.batch:
        raise AwsError(
            "BatchLimitExceededException",
            f"{len(names)} instances were asked for; one call takes {call.limits.batch}. Ask in several calls.",
        )
    rows = targets.find(call.tx, deployment.id, names)
    unknown = sorted(set(names) - {row.target_id for row in rows})
    return {
        "instancesSummary": [_summary(row) for row in rows],
        "errorMessage": f"Not instances of {deployment.id}: {', '.join(unknown)}" if unknown else "",
    }


def _started(call: Call, deployment_id: str | None) -> Deployment:
    """The deployment, once its hosts are known."""
    if not deployment_id:
        raise AwsError("DeploymentIdRequiredException", "A deployment id is required.")
    deployment = existing_deployment(call, deployment_id)
    if deployment.status is DeploymentStatus.CREATED or deployment.phase is Phase.PROVISION:
        raise AwsError(
            "DeploymentNotStartedException",
            f"{deployment.id} has not started: its instances are not known yet. Ask again in a moment.",
        )
    return deployment


def _found(call: Call, deployment: Deployment, ids: Sequence[str]) -> list[TargetRow]:
    names = [_name(identifier) for identifier in ids]
    rows = targets.find(call.tx, deployment.id, names)
    if unknown := sorted(set(names) - {row.target_id for row in rows}):
        raise AwsError(
            "DeploymentTargetDoesNotExistException",
            f"Not targets of {deployment.id}: {', '.join(unknown)}. {_shown_by(deployment)}",
        )
    return rows


def _shown_by(deployment: Deployment) -> str:
    return f"aws deploy list-deployment-targets --deployment-id {deployment.id} shows those that it has."


def _page(
    call: Call,
    operation: str,
    deployment: Deployment,
    statuses: Sequence[str] | None,
    labels: Sequence[str] | None,
    token: str | None,
    *,
    member: str,
) -> dict[str, Any]:
    shown, token = page_of_names(
        call,
        (operation, deployment.id, sorted(statuses or ()), sorted(labels or ())),
        token,
        lambda after, count: targets.page(
            call.tx, deployment.id, after=after or "", limit=count, statuses=statuses, labels=labels
        ),
    )
    return {member: shown, "nextToken": token}


def _checked_statuses(statuses: Sequence[str]) -> Sequence[str]:
    known = {status.value for status in TargetStatus}
    if unknown := [status for status in statuses if status not in known]:
        raise AwsError(
            "InvalidInstanceStatusException", f"{unknown[0]!r} is no status; known: {', '.join(sorted(known))}."
        )
    return statuses


def _checked_labels(deployment: Deployment, labels: Sequence[str]) -> Sequence[str]:
    """Blue and Green tell the sides of a blue/green deployment apart; in place there is one (S3.23)."""
    if unknown := [label for label in labels if label not in _LABELS]:
        raise AwsError("InvalidInstanceTypeException", f"{unknown[0]!r} is no instance type; use Blue or Green.")
    if labels and not deployment.is_blue_green:
        raise AwsError(
            "InvalidDeploymentInstanceTypeException",
            "An in-place deployment has no Blue and Green instances; leave the filter out.",
        )
    return labels


def _name(identifier: str) -> str:
    """A target's id, from the id itself or from its ARN (S1.10)."""
    if not identifier.startswith("arn:"):
        return identifier
    name = identifier.rpartition("/")[2]
    # An on-premises instance's ends in a suffix of its registration (S1.9); an EC2 instance's is its id.
    return name.rpartition("_")[0] if ":codedeploy:" in identifier else name


def _target(row: TargetRow) -> dict[str, Any]:
    return {
        "deploymentTargetType": "InstanceTarget",
        "instanceTarget": {
            "deploymentId": row.deployment_id,
            "targetId": row.target_id,
            "targetArn": row.target_arn,
            "status": row.target.status.value,
            "lastUpdatedAt": row.last_updated,
            "lifecycleEvents": [event_members(event) for event in row.target.events],
            **({} if row.target.label is None else {"instanceLabel": row.target.label.value}),
        },
    }


def _summary(row: TargetRow) -> dict[str, Any]:
    return {
        "deploymentId": row.deployment_id,
        "instanceId": row.target_arn,
        "status": row.target.status.value,
        "lastUpdatedAt": row.last_updated,
        "lifecycleEvents": [event_members(event) for event in row.target.events],
        **({} if row.target.label is None else {"instanceType": row.target.label.value}),
    }
