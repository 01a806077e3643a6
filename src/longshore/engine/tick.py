"""One look at one deployment: observe, decide, apply. Nothing is remembered from one tick to the next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import structlog

from longshore.domain.alarms import Watch, effective, watch_of
from longshore.domain.balancing import balancers_of
from longshore.domain.blue_green import Phase
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
from longshore.engine.alarms import LOOK_EVERY, AlarmWatch
from longshore.engine.apply import apply
from longshore.engine.plan import Plan
from longshore.engine.server import blue_green
from longshore.engine.server.begin import plan_start
from longshore.engine.server.decide import decide
from longshore.engine.server.observe import missing, observe
from longshore.engine.server.replacing import Replacing
from longshore.engine.suspending import suspend
from longshore.engine.traffic import Traffic
from longshore.providers.ports import Access, AutoScalingGroups, Bundles, Members, PermanentError, TransientError
from longshore.store import deployment_groups, deployments, lineups, targets
from longshore.store.database import Store, Transaction
from longshore.store.deployment_groups import DeploymentGroup
from longshore.store.deployments import Claim, Deployment

log = structlog.get_logger()

#: How soon storage that could not be reached is tried again, seconds.
_RETRY_AFTER = 2.0
#: A bundle's URL outlives the longest deployment by an hour, seconds.
_URL_LIFETIME = int(DEPLOYMENT_TIMEOUT + 3600)


@dataclass(frozen=True, kw_only=True, slots=True)
class World:
    """What a tick may touch."""

    store: Store
    bundles: Bundles
    members: Members
    traffic: Traffic
    scaling: AutoScalingGroups
    replacing: Replacing
    alarms: AlarmWatch
    #: Whether there is an EventBridge that is to be told.
    has_event_bus: bool = False
    #: Most hosts one deployment may have.
    max_targets: int
    #: Most hosts that all deployments of an account in a region may have at once.
    max_active_targets: int


@dataclass(frozen=True, kw_only=True, slots=True)
class _Seen:
    """A deployment that has not ended."""

    deployment: Deployment
    #: The alarms to look at.
    watch: Watch | None
    #: Its next step; None when that depends on more than the rows.
    plan: Plan | None


def tick(world: World, claim: Claim, now: float) -> None:
    """Move a claimed deployment one step on and give it back.

    Raises:
        LeaseLostError: another tick has taken over meanwhile.
    """
    seen = world.store.read(lambda tx: _see(tx, world, claim, now))
    if seen is None:
        return
    deployment = seen.deployment
    if seen.watch is None:
        plan = seen.plan or _plan_asking(world, claim, deployment, now)
    else:
        deployment, plan = _plan_watched(world, claim, deployment, seen.watch, now)
    world.store.write(_step(world, claim, deployment, plan, now))


def tick_by_rows(world: World, claims: Sequence[Claim], now: float) -> dict[Claim, Exception | None]:
    """`tick` for those of these whose next step the rows alone decide, with one look and one commit for all.

    Returns what it came to, None when it went well; the claims that are not among them are for `tick`.
    """
    seen = world.store.read(lambda tx: [(claim, _see(tx, world, claim, now)) for claim in claims])
    over: list[Claim] = [claim for claim, one in seen if one is None]
    steps = {
        claim: _step(world, claim, one.deployment, one.plan, now)
        for claim, one in seen
        if one is not None and one.plan is not None
    }
    outcomes = world.store.write_each(list(steps.values()))
    return dict.fromkeys(over) | dict(zip(steps, outcomes, strict=True))


def _step(world: World, claim: Claim, deployment: Deployment, plan: Plan, now: float) -> Callable[[Transaction], None]:
    log.info("tick", deployment=deployment.id, reason=plan.reason, finish=plan.finish and plan.finish.status.value)
    return lambda tx: apply(tx, claim, deployment, plan, now, has_event_bus=world.has_event_bus)


def abandon(world: World, claim: Claim, now: float) -> None:
    """End a deployment that this server cannot tick: better an honest failure than a group held for ever."""

    def work(tx: Transaction) -> None:
        deployment = deployments.get(tx, claim.deployment_id)
        if deployment is not None and not deployment.status.is_final:
            given_up = tuple(targets.idle(tx, deployment.id))
            plan = _fail(ErrorCode.INTERNAL_ERROR, "The server failed repeatedly; its log says why.", now)
            plan = replace(plan, skip=given_up, halt=True, leaves_out=True)
            apply(tx, claim, deployment, plan, now, has_event_bus=world.has_event_bus)

    world.store.write(work)


def _see(tx: Transaction, world: World, claim: Claim, now: float) -> _Seen | None:
    """The deployment as it stands; None when there is nothing more to do."""
    deployment = deployments.get(tx, claim.deployment_id)
    if deployment is None or deployment.status.is_final:
        return None
    group = deployment_groups.by_id(tx, deployment.group_id)
    watch = _watch(deployment, group)
    return _Seen(
        deployment=deployment,
        watch=watch,
        plan=_plan_by_rows(tx, world, deployment, group, now) if watch is None else None,
    )


def _watch(deployment: Deployment, group: DeploymentGroup | None) -> Watch | None:
    """The alarms to look at.

    A rollback looks at none: what fires may well be what it mends (S5.8). Neither does a deployment to one instance:
    its revision is the good one, and capacity that is wanted now may be the remedy too.
    """
    if deployment.creator == CREATOR or deployment.instance_id is not None or deployment.error_code is not None:
        return None
    return None if group is None else watch_of(effective(deployment.document, group.document))


def _close(tx: Transaction, *, claim: Claim, deployment: Deployment, why: str) -> Deployment:
    """From this commit on no host starts another event, however the alarms go on."""
    deployments.check_claim(tx, claim)
    targets.halt(tx, deployment.id)
    deployments.close(tx, deployment.id, code=ErrorCode.ALARM_ACTIVE, message=why)
    return replace(deployment, error_code=ErrorCode.ALARM_ACTIVE.value, error_message=why)


def _plan_watched(
    world: World, claim: Claim, deployment: Deployment, watch: Watch, now: float
) -> tuple[Deployment, Plan]:
    """The next step of a deployment that alarms may stop, and the deployment as that leaves it."""
    look = world.alarms.look(deployment.scope, watch, now)
    if look.stop is not None:
        deployment = world.store.write(partial(_close, claim=claim, deployment=deployment, why=look.stop))
    elif look.is_open and deployment.status is DeploymentStatus.CREATED:
        return deployment, Plan(wake_at=now + LOOK_EVERY, reason="its alarms cannot be read yet")
    plan = world.store.read(
        lambda tx: _plan_by_rows(tx, world, deployment, deployment_groups.by_id(tx, deployment.group_id), now)
    )
    plan = plan or _plan_asking(world, claim, deployment, now)
    if plan.finish is None:
        plan = replace(plan, wake_at=min(plan.wake_at, now + LOOK_EVERY))
    return deployment, plan


def _plan_by_rows(
    tx: Transaction, world: World, deployment: Deployment, group: DeploymentGroup | None, now: float
) -> Plan | None:
    """The next step, as far as alarms have no say in it; None when others must be asked first."""
    if deployment.status is not DeploymentStatus.CREATED:
        if targets.errands(tx, deployment.id) or deployment.phase in (Phase.PROVISION, Phase.RETIRE):
            return None
        return _go_on(tx, deployment, now)
    if deployment.error_code == ErrorCode.ALARM_ACTIVE:
        finish = Finish(status=DeploymentStatus.STOPPED, code=ErrorCode.ALARM_ACTIVE, message=deployment.error_message)
        return Plan(finish=finish, wake_at=now, reason="alarms stop it before the start")
    if group is None:
        gone = missing(tx, deployment) or ErrorCode.DEPLOYMENT_GROUP_MISSING
        return _fail(gone, "The application or deployment group was deleted before the deployment started.", now)
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


def _plan_asking(world: World, claim: Claim, deployment: Deployment, now: float) -> Plan:
    """The next step of a deployment that depends on others than the rows."""
    if deployment.status is DeploymentStatus.CREATED:
        return _plan_start(world, deployment, now)
    look_again = world.traffic.attend(world.store, claim, deployment, now)
    if deployment.phase in (Phase.PROVISION, Phase.RETIRE):
        plan = world.replacing.plan_step(deployment, now)
    else:
        plan = world.store.read(lambda tx: _go_on(tx, deployment, now))
    return plan if look_again is None else replace(plan, wake_at=min(plan.wake_at, look_again))


def _go_on(tx: Transaction, deployment: Deployment, now: float) -> Plan:
    """The next step of one that has begun, by the rows alone."""
    if deployment.is_blue_green:
        return blue_green.plan_step(tx, deployment, now)
    return decide(observe(tx, deployment, now), now)


def _plan_start(world: World, deployment: Deployment, now: float) -> Plan:
    try:
        bundle = _bundle(world, deployment)
    except TransientError as error:
        if now < deployment.create_time + START_TIMEOUT:
            return Plan(wake_at=now + _RETRY_AFTER, reason=f"the bundle's storage does not answer: {error}")
        return _fail(ErrorCode.REVISION_MISSING, f"The revision's storage could not be reached: {error}", now)
    if deployment.is_blue_green:
        return world.replacing.plan_start(deployment, bundle, now)
    try:
        elsewhere = _elsewhere(world, deployment)
        _check_balancers(world, deployment, elsewhere)
    except TransientError as error:
        if now < deployment.create_time + START_TIMEOUT:
            return Plan(wake_at=now + _RETRY_AFTER, reason=f"AWS cannot be asked: {error}")
        return _fail(error.code, f"AWS could not be asked for what the group names: {error}", now)
    except PermanentError as error:
        return _fail(error.code, f"AWS cannot be asked for what the group names: {error}", now)
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
        return _fail(ErrorCode.DEPLOYMENT_GROUP_MISSING, "The deployment group was deleted before the start.", now)
    if deployment.instance_id is not None:
        seen = lineups.of_instance(
            tx,
            deployment,
            deployment.instance_id,
            limit=world.max_targets,
            account_limit=world.max_active_targets,
        )
    else:
        seen = lineups.circumstances(
            tx,
            deployment.scope,
            group,
            elsewhere=elsewhere,
            config_name=deployment.config_name,
            only_outdated=bool(deployment.document.get("updateOutdatedInstancesOnly")),
            limit=world.max_targets,
            account_limit=world.max_active_targets,
            ignores_zones=deployment.creator == CREATOR,
        )
    if deployment.has_traffic and not balancers_of(deployment.document):
        return _fail(ErrorCode.MISSING_ELB_INFORMATION, "The deployment group names no load balancer.", now)
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


def _check_balancers(world: World, deployment: Deployment, hosts: Sequence[Host]) -> None:
    """Whether the load balancers are there: to find out with half of the hosts taken out would be late."""
    role = world.store.read(lambda tx: deployment_groups.by_id(tx, deployment.group_id))
    if deployment.has_traffic and hosts and role is not None:
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


def _fail(code: ErrorCode, message: str, now: float) -> Plan:
    finish = Finish(status=DeploymentStatus.FAILED, code=code, message=message)
    return Plan(finish=finish, wake_at=now, reason=message)
