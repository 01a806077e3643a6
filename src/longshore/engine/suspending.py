"""Stops processes of Auto Scaling groups while a deployment is under way (`autoScalingGroupProcessesToSuspend`).

They run again when it has ended, whatever became of it or of this server: what is suspended is written down before, and
`engine/auto_scaling.py` resumes what is left of deployments that are over.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from longshore.providers.ports import Access, AutoScalingGroups, NoAutoScalingGroupError
from longshore.store import suspensions
from longshore.store.database import Store, Transaction
from longshore.store.deployments import Deployment
from longshore.store.suspensions import Suspension


def suspend(
    store: Store, scaling: AutoScalingGroups, access: Access, deployment: Deployment, names: Sequence[str]
) -> None:
    """Stop what a deployment wants stopped in these groups. Raises ProviderError, and may be called again then."""
    wanted = deployment.document.get("ec2DeploymentOptions", {}).get("autoScalingGroupProcessesToSuspend", ())
    if not wanted or not names:
        return
    known = store.read(lambda tx: suspensions.of_deployment(tx, deployment.id))
    if not known:
        described = scaling.describe(access, names)
        if missing := sorted(set(names) - set(described)):
            raise NoAutoScalingGroupError(f"there is no Auto Scaling group {', '.join(missing)}")
        stopped = {name: group.suspended for name, group in described.items()}
        known = store.write(partial(_write_down, access=access, deployment=deployment, wanted=wanted, stopped=stopped))
    if all(one.is_done for one in known):
        return
    for one in known:
        scaling.suspend(access, one.auto_scaling_group, one.processes)
    store.write(lambda tx: suspensions.done(tx, deployment.id))


def _write_down(
    tx: Transaction,
    *,
    access: Access,
    deployment: Deployment,
    wanted: Sequence[str],
    stopped: dict[str, frozenset[str]],
) -> list[Suspension]:
    """What runs now, or was stopped by another deployment, is this one's to stop and to let run again."""
    new = []
    for name, already in stopped.items():
        by_others = suspensions.by_others(tx, deployment.scope, name, deployment.id)
        new.append(
            Suspension(
                scope=deployment.scope,
                auto_scaling_group=name,
                deployment_id=deployment.id,
                role_arn=access.role_arn,
                processes=tuple(process for process in wanted if process not in already or process in by_others),
            )
        )
    suspensions.add(tx, new)
    return new
