"""Deployments that Auto Scaling brings about: to one instance, and to those that joined late (server.md S9.3–S9.8)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from longshore.domain.config import ComputePlatform
from longshore.domain.deployment import DeploymentStatus
from longshore.domain.ids import Scope, new_deployment_id
from longshore.domain.lifecycle_hook import BEAT_EVERY, CREATORS
from longshore.store import applications, deployment_groups, deployments, held_instances, revisions
from longshore.store.database import Transaction
from longshore.store.deployment_groups import DeploymentGroup
from longshore.store.deployments import Deployment
from longshore.store.lifecycle_hooks import HookRow

#: Who brings those up to date that joined while a fleet was deployed to (S9.5).
AUTO_UPDATE = "CodeDeployAutoUpdate"
#: Predefined, and as good as any for one host.
_CONFIG = "CodeDeployDefault.OneAtATime"


def begin(tx: Transaction, *, hook: HookRow, instance_id: str, now: float, max_active: int) -> None:
    """Make the deployment that an instance waits for, or note that there is nothing to deploy.

    Only one for a group and an instance: whoever comes second finds that it is known. An account that has as many
    deployments as it may makes it wait; its hook's timeout is the bound.
    """
    group = None if hook.group_id is None else deployment_groups.by_id(tx, hook.group_id)
    if group is None or held_instances.is_known(tx, group.id, hook.name, instance_id):
        return
    deployment_id = None
    if group.target_revision is not None:
        if deployments.counting_active(tx, hook.scope)() >= max_active:
            return
        deployment_id = _add(tx, group, hook.scope, now, creator=CREATORS[hook.transition], instance_id=instance_id)
    held_instances.hold(tx, group.id, hook.name, instance_id, deployment_id=deployment_id, beat_at=now + BEAT_EVERY)


def catch_up(tx: Transaction, *, group_id: str, serving: Collection[str], now: float) -> str | None:
    """Deploy the group's revision to those in service that joined with an older one; the deployment's id.

    They came while a fleet was deployed to, and got what was good then. Nothing is done while the group is held, or
    where it does not want that; each of them is tried once for what the group runs.
    """
    group = deployment_groups.by_id(tx, group_id)
    last = None if group is None else _behind(tx, group, serving)
    if group is None or last is None:
        return None
    root = last.root_deployment_id or last.id
    return _add(tx, group, last.scope, now, creator=AUTO_UPDATE, root_deployment_id=root)


def is_behind(tx: Transaction, *, group_id: str, serving: Collection[str]) -> bool:
    """Whether `catch_up` would do something: nearly always it would not, and this takes no writer's time."""
    group = deployment_groups.by_id(tx, group_id)
    return group is not None and _behind(tx, group, serving) is not None


def _behind(tx: Transaction, group: DeploymentGroup, serving: Collection[str]) -> Deployment | None:
    """The group's last success, if some of its instances in service joined too late for it and can be updated now."""
    if group.active_deployment_id is not None or group.last_successful_deployment_id is None:
        return None
    if group.document.get("outdatedInstancesStrategy") == "IGNORE":
        return None
    late = [
        name for name in deployments.joined_late(tx, group.id, group.target_revision_identity or "") if name in serving
    ]
    last = deployments.get(tx, group.last_successful_deployment_id) if late else None
    if last is None or not deployments.joined_since_last_update(tx, group.id, last.root_deployment_id or last.id, late):
        return None
    return last


def _add(
    tx: Transaction,
    group: DeploymentGroup,
    scope: Scope,
    now: float,
    *,
    creator: str,
    instance_id: str | None = None,
    root_deployment_id: str | None = None,
) -> str | None:
    application = applications.name_of(tx, group.application_id)
    if application is None or group.target_revision is None:
        return None
    last = deployments.get(tx, group.last_successful_deployment_id) if group.last_successful_deployment_id else None
    # Whatever the group's fleets are: these instances get it where they are.
    document: dict[str, Any] = {"deploymentStyle": {**group.document["deploymentStyle"], "deploymentType": "IN_PLACE"}}
    if balancers := group.document.get("loadBalancerInfo"):
        document["loadBalancerInfo"] = balancers
    document["fileExistsBehavior"] = "DISALLOW" if last is None else last.document["fileExistsBehavior"]
    if instance_id is None:
        document["updateOutdatedInstancesOnly"] = True
        if options := group.document.get("ec2DeploymentOptions"):
            document["ec2DeploymentOptions"] = options
    deployment = Deployment(
        id=new_deployment_id(),
        account=scope.account,
        region=scope.region,
        application_id=group.application_id,
        group_id=group.id,
        application_name=application,
        group_name=group.name,
        compute_platform=ComputePlatform.SERVER.value,
        config_name=group.deployment_config_name if instance_id is None else _CONFIG,
        status=DeploymentStatus.CREATED,
        creator=creator,
        create_time=now,
        start_time=None,
        complete_time=None,
        revision=group.target_revision,
        revision_identity=group.target_revision_identity or "",
        previous_revision=group.target_revision,
        document=document,
        parameters={} if last is None else last.parameters,
        error_code=None,
        error_message=None,
        rollback_info=None,
        required_healthy=None,
        total_targets=None,
        stop_requested_by=None,
        bundle=None,
        instance_id=instance_id,
        root_deployment_id=root_deployment_id,
    )
    revisions.use(
        tx,
        group.application_id,
        group.target_revision,
        description=f"Registered by deployment {deployment.id}",
        now=now,
    )
    deployments.add(tx, deployment)
    return deployment.id
