"""Operations on the waits and hooks of deployments that shift traffic (server.md S6.10–S6.14)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from longshore.api.existing import existing_deployment
from longshore.api.operations import Call, writes
from longshore.domain.blue_green import Phase, Wait
from longshore.domain.deployment import DeploymentStatus
from longshore.store import deployments
from longshore.store.deployments import Deployment
from longshore.wire.service import AwsError

if TYPE_CHECKING:
    from mypy_boto3_codedeploy import type_defs as t


@writes("ContinueDeployment")
def continue_deployment(call: Call, asked: t.ContinueDeploymentInputTypeDef) -> None:
    """Ask for the end of a wait: for traffic to be rerouted, or for the originals to be terminated (S6.10)."""
    deployment = existing_deployment(call, asked["deploymentId"])
    _refuse_ended(deployment)
    if not deployment.is_blue_green:
        raise _in_place(deployment, "waits for no traffic to be rerouted and no instances to be terminated")
    if Wait(asked.get("deploymentWaitType", Wait.READY)) is Wait.TERMINATION:
        return _end_termination_wait(call, deployment)
    if deployment.status is not DeploymentStatus.READY:
        raise AwsError(
            "DeploymentIsNotInReadyStateException",
            f"{deployment.id} is {deployment.status}: traffic can be rerouted while a deployment is Ready. aws deploy"
            f" get-deployment --deployment-id {deployment.id} says when it is.",
        )
    deployments.end_wait(call.tx, deployment.id, Wait.READY, call.now)
    return None


@writes("SkipWaitTimeForInstanceTermination")
def skip_wait_time_for_instance_termination(
    call: Call, asked: t.SkipWaitTimeForInstanceTerminationInputTypeDef
) -> None:
    """The older way to say ContinueDeployment with TERMINATION_WAIT."""
    deployment = existing_deployment(call, asked["deploymentId"])
    _refuse_ended(deployment)
    if deployment.status is DeploymentStatus.CREATED:
        raise AwsError("DeploymentNotStartedException", f"{deployment.id} has not started. Try again in a moment.")
    if not deployment.is_blue_green:
        raise _in_place(deployment, "terminates no instances")
    if deployment.phase is not Phase.TERMINATION_WAIT:
        raise AwsError("UnsupportedActionForDeploymentTypeException", _waits_not(deployment))
    deployments.end_wait(call.tx, deployment.id, Wait.TERMINATION, call.now)


@writes("PutLifecycleEventHookExecutionStatus")
def put_lifecycle_event_hook_execution_status(
    call: Call, asked: t.PutLifecycleEventHookExecutionStatusInputTypeDef
) -> NoReturn:
    deployment = existing_deployment(call, asked["deploymentId"])
    raise AwsError(
        "UnsupportedActionForDeploymentTypeException",
        f"{deployment.id} runs its hooks on instances, whose agents report them; nothing is to be reported by this.",
    )


def _end_termination_wait(call: Call, deployment: Deployment) -> None:
    if deployment.phase is not Phase.TERMINATION_WAIT:
        raise AwsError("InvalidDeploymentStatusException", _waits_not(deployment))
    deployments.end_wait(call.tx, deployment.id, Wait.TERMINATION, call.now)


def _waits_not(deployment: Deployment) -> str:
    return f"{deployment.id} is not waiting for its original instances to be terminated."


def _refuse_ended(deployment: Deployment) -> None:
    if deployment.status.is_final:
        raise AwsError(
            "DeploymentAlreadyCompletedException", f"{deployment.id} has already ended: it {deployment.status}."
        )


def _in_place(deployment: Deployment, why: str) -> AwsError:
    return AwsError(
        "UnsupportedActionForDeploymentTypeException", f"{deployment.id} is an in-place deployment: it {why}."
    )
