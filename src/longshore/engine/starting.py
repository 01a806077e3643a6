"""How a deployment starts: who is asked for what before its first host is touched."""

from __future__ import annotations

from collections.abc import Sequence

from longshore.domain.balancing import balancers_of
from longshore.domain.bundle import BundleFacts
from longshore.domain.deployment import (
    DEPLOYMENT_TIMEOUT,
    START_TIMEOUT,
    DeploymentMode,
    DeploymentStatus,
    ErrorCode,
    Finish,
)
from longshore.domain.group import TagSet, auto_scaling_groups, ec2_tag_set
from longshore.domain.lifecycle import IN_PLACE, IN_PLACE_WITH_TRAFFIC
from longshore.domain.lifecycle_hook import EVENTS, transition_of
from longshore.domain.lineup import Host
from longshore.domain.rollback import CREATOR
from longshore.engine.plan import Plan, fail
from longshore.engine.server import blue_green
from longshore.engine.server.begin import plan_start
from longshore.engine.server.observe import missing
from longshore.engine.suspending import suspend
from longshore.engine.world import World
from longshore.providers.ports import Access, PermanentError, TransientError
from longshore.store import deployment_groups, deployments, lineups
from longshore.store.database import Transaction
from longshore.store.deployment_groups import DeploymentGroup
from longshore.store.deployments import Deployment

#: How soon storage that could not be reached is tried again, seconds.
_RETRY_AFTER = 2.0
#: A bundle's URL outlives the longest deployment by an hour, seconds.
_URL_LIFETIME = int(DEPLOYMENT_TIMEOUT + 3600)


def plan_by_rows(
    tx: Transaction, world: World, deployment: Deployment, group: DeploymentGroup | None, now: float
) -> Plan | None:
    """The start of a deployment of which the rows tell all that counts; None when others must be asked (`plan`)."""
    if deployment.error_code == ErrorCode.ALARM_ACTIVE:
        finish = Finish(status=DeploymentStatus.STOPPED, code=ErrorCode.ALARM_ACTIVE, message=deployment.error_message)
        return Plan(finish=finish, wake_at=now, reason="alarms stop it before the start")
    if group is None:
        gone = missing(tx, deployment) or ErrorCode.DEPLOYMENT_GROUP_MISSING
        return fail(gone, "The application or deployment group was deleted before the deployment started.", now)
    if deployment.stop_requested_by is not None:
        finish = Finish(
            status=DeploymentStatus.STOPPED,
            code=ErrorCode.MANUAL_STOP,
            message=f"The deployment was stopped by {deployment.stop_requested_by} before it started.",
        )
        return Plan(finish=finish, wake_at=now, reason="stopped before the start")
    if deployment.is_blue_green:
        is_rollback = deployment.creator == CREATOR
        return blue_green.plan_rollback(tx, deployment, world.max_active_targets, now) if is_rollback else None
    if _is_restart(deployment) or "s3Location" in deployment.revision or _meant_elsewhere(deployment, group):
        return None
    return _plan_lineup(tx, world, deployment, group, None, (), now)


def plan(world: World, deployment: Deployment, now: float) -> Plan:
    """The start of any other deployment."""
    try:
        bundle = _bundle(world, deployment)
    except TransientError as error:
        if now < deployment.create_time + START_TIMEOUT:
            return Plan(wake_at=now + _RETRY_AFTER, reason=f"the bundle's storage does not answer: {error}")
        return fail(ErrorCode.REVISION_MISSING, f"The revision's storage could not be reached: {error}", now)
    elsewhere: list[Host] = []
    try:
        if not deployment.is_blue_green:
            elsewhere = _elsewhere(world, deployment)
        if elsewhere or deployment.is_blue_green:
            _check_balancers(world, deployment)
    except TransientError as error:
        if now < deployment.create_time + START_TIMEOUT:
            return Plan(wake_at=now + _RETRY_AFTER, reason=f"AWS cannot be asked: {error}")
        return fail(error.code, f"AWS could not be asked for what the group names: {error}", now)
    except PermanentError as error:
        return fail(error.code, f"AWS cannot be asked for what the group names: {error}", now)
    if deployment.is_blue_green:
        if not balancers_of(deployment.document):
            return fail(ErrorCode.MISSING_ELB_INFORMATION, "The deployment group names no load balancer.", now)
        return world.replacing.plan_start(deployment, bundle, now)
    return world.store.read(
        lambda tx: _plan_lineup(
            tx, world, deployment, deployment_groups.by_id(tx, deployment.group_id), bundle, elsewhere, now
        )
    )


def _plan_lineup(
    tx: Transaction,
    world: World,
    deployment: Deployment,
    group: DeploymentGroup | None,
    bundle: BundleFacts | None,
    elsewhere: Sequence[Host],
    now: float,
) -> Plan:
    if group is None:
        return fail(ErrorCode.DEPLOYMENT_GROUP_MISSING, "The deployment group was deleted before the start.", now)
    if deployment.instance_id is not None:
        seen = lineups.of_instance(
            tx,
            deployment,
            deployment.instance_id,
            limit=world.max_targets,
            account_limit=world.max_active_targets,
        )
    else:
        updates_outdated_only = deployment.document.get("updateOutdatedInstancesOnly")
        seen = lineups.circumstances(
            tx,
            deployment.scope,
            group,
            meant=group.document,
            elsewhere=elsewhere,
            config_name=deployment.config_name,
            only_without=deployment.revision_identity if updates_outdated_only else None,
            limit=world.max_targets,
            account_limit=world.max_active_targets,
            ignores_zones=deployment.creator == CREATOR,
        )
    if deployment.has_traffic and not balancers_of(deployment.document):
        return fail(ErrorCode.MISSING_ELB_INFORMATION, "The deployment group names no load balancer.", now)
    transition = transition_of(deployment.creator)
    fleets = IN_PLACE_WITH_TRAFFIC if deployment.has_traffic else IN_PLACE
    return plan_start(
        seen,
        events=fleets if transition is None else EVENTS[transition],
        bundle=bundle,
        forgives_stop_failures=bool(deployment.document.get("ignoreApplicationStopFailures")),
        now=now,
    )


def _is_restart(deployment: Deployment) -> bool:
    return deployment.document.get("deploymentMode") == DeploymentMode.RESTART


def _elsewhere(world: World, deployment: Deployment) -> list[Host]:
    """The group's EC2 instances; from now on nobody launches or terminates any, if that is wanted."""
    meant = _meant_elsewhere(deployment, world.store.read(lambda tx: deployment_groups.by_id(tx, deployment.group_id)))
    if meant is None:
        return []
    access, tags, groups = meant
    suspend(world.store, world.scaling, access, deployment, groups)
    return world.members.hosts(access, tags, groups)


def _check_balancers(world: World, deployment: Deployment) -> None:
    """Whether the load balancers are there: to find out with half of the hosts taken out, or made, would be late."""
    role = world.store.read(lambda tx: deployment_groups.by_id(tx, deployment.group_id))
    if deployment.has_traffic and role is not None:
        access = Access(scope=deployment.scope, role_arn=role.service_role_arn)
        world.traffic.check(access, balancers_of(deployment.document))


def _meant_elsewhere(deployment: Deployment, group: DeploymentGroup | None) -> tuple[Access, TagSet, list[str]] | None:
    """How to find the group's EC2 instances. A group that means none needs no AWS, and no service role."""
    if group is None or deployment.instance_id is not None:
        return None
    tags, groups = ec2_tag_set(group.document), auto_scaling_groups(group.document)
    if not tags and not groups:
        return None
    return Access(scope=deployment.scope, role_arn=group.service_role_arn), tags, groups


def _bundle(world: World, deployment: Deployment) -> BundleFacts | None:
    if _is_restart(deployment):
        return _installed_bundle(world, deployment)
    location = deployment.revision.get("s3Location")
    return location and world.bundles.examine(deployment.scope, location, expires_in=_URL_LIFETIME)


def _installed_bundle(world: World, deployment: Deployment) -> BundleFacts:
    """The bundle that a restart finds on its hosts: what it was when it was deployed, not what storage has today."""

    def look(tx: Transaction) -> Deployment | None:
        # The group is held by this deployment, so its last success is the one that was found when this was asked for.
        group = deployment_groups.by_id(tx, deployment.group_id)
        last = group and group.last_successful_deployment_id
        return deployments.get(tx, last) if last else None

    before = world.store.read(look)
    known = None if before is None else before.bundle
    location = deployment.revision.get("s3Location")
    return BundleFacts(
        # For a host that lost its copy, or never had one.
        url=location and world.bundles.presign(deployment.scope, location, expires_in=_URL_LIFETIME),
        sha256=None if known is None else known.sha256,
        size=None if known is None else known.size,
        appspec_filename=None if known is None else known.appspec_filename,
        installed_by=None if before is None else before.id,
    )
