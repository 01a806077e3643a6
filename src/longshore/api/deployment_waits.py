"""Operations on the waits and hooks of deployments that shift traffic (server.md S6.10–S6.14).

Every deployment that this server starts is in place: none waits for traffic, and none has a hook that a function
answers for. So each of these is refused once its input has been checked, as CodeDeploy refuses it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from longshore.api.existing import existing_deployment
from longshore.api.operations import Call, writes
from longshore.domain.deployment import DeploymentStatus
from longshore.store.deployments import Deployment
from longshore.wire.service import AwsError

if TYPE_CHECKING:
    from mypy_boto3_codedeploy import type_defs as t


@writes("ContinueDeployment")
def continue_deployment(call: Call, asked: t.ContinueDeploymentInputTypeDef) -> NoReturn:
    deployment = existing_deployment(call, asked["deploymentId"])
    _refuse_ended(deployment)
    raise _in_place(deployment, "waits for no traffic to be rerouted and no instances to be terminated")


@writes("SkipWaitTimeForInstanceTermination")
def skip_wait_time_for_instance_termination(
    call: Call, asked: t.SkipWaitTimeForInstanceTerminationInputTypeDef
) -> NoReturn:
    """The older way to say ContinueDeployment with TERMINATION_WAIT."""
    deployment = existing_deployment(call, asked["deploymentId"])
    _refuse_ended(deployment)
    if deployment.status is DeploymentStatus.CREATED:
        raise AwsError("DeploymentNotStartedException", f"{deployment.id} has not started.")
    raise _in_place(deployment, "terminates no instances")


@writes("PutLifecycleEventHookExecutionStatus")
def put_lifecycle_event_hook_execution_status(
    call: Call, asked: t.PutLifecycleEventHookExecutionStatusInputTypeDef
) -> NoReturn:
    deployment = existing_deployment(call, asked["deploymentId"])
    raise _in_place(deployment, "runs its hooks on instances, whose agents report them")


def _refuse_ended(deployment: Deployment) -> None:
    if deployment.status.is_final:
        raise AwsError(
            "DeploymentAlreadyCompletedException", f"{deployment.id} has already ended: it {deployment.status}."
        )


def _in_place(deployment: Deployment, why: str) -> AwsError:
    return AwsError(
        "UnsupportedActionForDeploymentTypeException", f"{deployment.id} is an in-place deployment: it {why}."
    )
