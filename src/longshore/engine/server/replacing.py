"""Blue/green deployments where AWS has to be asked: at their start, for copies to come, for originals to go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import structlog

from longshore.domain.balancing import Takes
from longshore.domain.blue_green import LOOK_EVERY, Phase, copy_name, members_deployed_to, options_of
from longshore.domain.bundle import BundleFacts
from longshore.domain.deployment import START_TIMEOUT, DeploymentStatus, ErrorCode, Finish
from longshore.domain.group import auto_scaling_groups
from longshore.domain.lifecycle import Label
from longshore.domain.lineup import Circumstances, Host, line_up
from longshore.engine.plan import Plan
from longshore.engine.server.blue_green import Arranged, late_originals, plan_provisioning, plan_sides, plan_step
from longshore.engine.server.fleets import Fleets, NotYetError
from longshore.providers.ports import Access, PermanentError, TransientError
from longshore.store import deployment_groups, lineups, targets
from longshore.store.database import Store, Transaction
from longshore.store.deployment_groups import DeploymentGroup
from longshore.store.deployments import Deployment
from longshore.store.targets import NewTarget

log = structlog.get_logger()

#: Before these, the Auto Scaling groups of the originals are told whether what they launch may have traffic.
_TURNS = (Phase.BLOCK, Phase.WITHDRAW)
_MOST_SAID = 5


def asks_aws(deployment: Deployment) -> bool:
    """Whether the next step of one that has begun depends on AWS, and is for `Replacing.plan_step`."""
    match deployment.phase:
        case Phase.PROVISION | Phase.RETIRE:
            return True
        case Phase.REROUTE | Phase.RESTORE:
            return bool(deployment.replaced_groups)
    return False


class Replacing:
    """What becomes of the two sides of blue/green deployments."""

    def __init__(self, store: Store, fleets: Fleets, *, limit: int, account_limit: int) -> None:
        """`limit` is how many hosts one deployment may have, `account_limit` how many all of the account's at once."""
        self._store = store
        self._fleets = fleets
        self._limit = limit
        self._account_limit = account_limit

    def plan_start(self, deployment: Deployment, bundle: BundleFacts | None, now: float) -> Plan:
        """How a blue/green deployment begins, or why it cannot."""
        group = self._store.read(lambda tx: deployment_groups.by_id(tx, deployment.group_id))
        if group is None:
            return _fail(ErrorCode.DEPLOYMENT_GROUP_MISSING, "The deployment group was deleted before the start.")
        replaced = tuple(auto_scaling_groups(group.document))
        configuration = deployment.document["blueGreenDeploymentConfiguration"]
        copies = options_of(configuration).copies_group
        if copies and len(replaced) != 1:
            return _fail(ErrorCode.AUTO_SCALING_CONFIGURATION, "The group no longer names one Auto Scaling group.")
        access = _access(deployment, group)
        try:
            # The configuration is that of the deployment's creation; who is meant is the group's affair.
            document = {**group.document, "blueGreenDeploymentConfiguration": configuration}
            named = deployment.document.get("targetInstances", {})
            originals = self._fleets.members(access, document)
            meant = members_deployed_to(document, named)
            replacements = self._fleets.members(access, meant)
        except TransientError as error:
            if now < deployment.create_time + START_TIMEOUT:
                return Plan(wake_at=now + LOOK_EVERY, reason=f"AWS cannot be asked: {error}")
            return _fail(error.code, f"AWS could not be asked for originals and replacements: {error}")
        except PermanentError as error:
            return _fail(error.code, f"AWS cannot be asked for originals and replacements: {error}")
        if copies:
            # As many as there will be: what cannot be done is refused before anything is made.
            lineup = line_up(self._store.read(lambda tx: self._seen(tx, deployment, group, meant, replacements)))
            if lineup.refusal is not None:
                return _fail(lineup.refusal.code, lineup.refusal.message)
            copy = copy_name(group.name, deployment.id)
            return plan_provisioning(bundle, replaced, copy, account_limit=self._account_limit, now=now)
        plan = partial(self._plan_sides, deployment=deployment, group=group, meant=meant, bundle=bundle, now=now)
        return self._store.read(
            lambda tx: plan(tx, replacements=replacements, originals=originals, replaced=replaced, copy=None)
        )

    def plan_step(self, deployment: Deployment, now: float) -> Plan:
        """The next step of one that has begun; what shall be there or gone at AWS is seen to first."""
        match deployment.phase:
            case Phase.PROVISION:
                return self._provision(deployment, now)
            case Phase.RETIRE:
                arranged = self._retire(deployment)
                return self._store.read(lambda tx: plan_step(tx, deployment, now, arranged))
        plan = self._store.read(lambda tx: plan_step(tx, deployment, now))
        if plan.enter not in _TURNS:
            return plan
        try:
            plan = replace(plan, late=tuple(self._turn(deployment, plan.enter)))
        except TransientError as error:
            return Plan(wake_at=now + LOOK_EVERY, reason=f"AWS cannot be asked: {error}")
        except PermanentError as error:
            # Who is launched now may get traffic that it should not; to stay here would be worse.
            log.warning("auto_scaling_groups_left", deployment=deployment.id, reason=str(error))
        return plan

    def _turn(self, deployment: Deployment, enter: Phase) -> list[NewTarget]:
        """The side that has the traffic changes: whose Auto Scaling group may hand it on changes too.

        Returns the originals that these groups have launched since the deployment began.
        """
        group = self._store.read(lambda tx: deployment_groups.by_id(tx, deployment.group_id))
        replaced = deployment.replaced_groups or ()
        if group is None or not replaced:
            return []
        access = _access(deployment, group)
        if enter is not Phase.BLOCK:
            self._fleets.let_in(access, replaced)
            return []
        self._fleets.shut_out(access, replaced)
        members = self._fleets.members(access, {"autoScalingGroups": replaced})
        known = {row.target_id for row in self._store.read(lambda tx: targets.every(tx, deployment.id))}
        forgives = bool(deployment.document.get("ignoreApplicationStopFailures"))
        return late_originals(members, known, forgives_stop_failures=forgives)

    def _provision(self, deployment: Deployment, now: float) -> Plan:
        group = self._store.read(lambda tx: deployment_groups.by_id(tx, deployment.group_id))
        if group is None or deployment.stop_requested_by is not None:
            return self._store.read(lambda tx: plan_step(tx, deployment, now))
        replaced, copy = deployment.replaced_groups or [], deployment.copied_group or ""
        access = _access(deployment, group)
        try:
            replacements = self._fleets.provision(access, replaced[0], copy, deployment.id)
            originals = self._fleets.members(access, {**group.document, "autoScalingGroups": replaced})
        except (NotYetError, TransientError) as error:
            arranged = Arranged(why=str(error))
            return self._store.read(lambda tx: plan_step(tx, deployment, now, arranged))
        except PermanentError as error:
            message = f"The replacements cannot be made: {error}"
            refused = Arranged(ending=Finish(status=DeploymentStatus.FAILED, code=error.code, message=message))
            return self._store.read(lambda tx: plan_step(tx, deployment, now, refused))

        def plan(tx: Transaction) -> Plan:
            step = plan_step(tx, deployment, now, Arranged(is_done=True))
            if step.enter is not Phase.INSTALL:
                return step
            return self._plan_sides(
                tx,
                deployment=deployment,
                group=group,
                meant={"autoScalingGroups": [copy]},
                bundle=deployment.bundle,
                replacements=replacements,
                originals=originals,
                replaced=tuple(replaced),
                copy=copy,
                now=now,
            )

        return self._store.read(plan)

    def _plan_sides(
        self,
        tx: Transaction,
        *,
        deployment: Deployment,
        group: DeploymentGroup,
        meant: Mapping[str, Any],
        bundle: BundleFacts | None,
        replacements: Sequence[Host],
        originals: Sequence[Host],
        replaced: tuple[str, ...],
        copy: str | None,
        now: float,
    ) -> Plan:
        forgives = bool(deployment.document.get("ignoreApplicationStopFailures"))
        seen = self._seen(tx, deployment, group, meant, replacements)
        originals = [*originals, *lineups.on_premises(tx, deployment.scope, group.document)]
        if problems := lineups.unplaceable(tx, deployment.scope, [*seen.hosts, *originals]):
            return _fail(ErrorCode.ELB_INVALID_INSTANCE, " ".join(problems[:_MOST_SAID]))
        return plan_sides(
            seen,
            originals,
            bundle=bundle,
            replaced=replaced,
            copy=copy,
            forgives_stop_failures=forgives,
            now=now,
        )

    def _seen(
        self,
        tx: Transaction,
        deployment: Deployment,
        group: DeploymentGroup,
        meant: Mapping[str, Any],
        replacements: Sequence[Host],
    ) -> Circumstances:
        return lineups.circumstances(
            tx,
            deployment.scope,
            group,
            meant=meant,
            elsewhere=replacements,
            config_name=deployment.config_name,
            only_without=None,
            limit=self._limit,
            account_limit=self._account_limit,
        )

    def _retire(self, deployment: Deployment) -> Arranged:
        group = self._store.read(lambda tx: deployment_groups.by_id(tx, deployment.group_id))
        if group is None:
            return Arranged(is_done=True, why="The deployment group was deleted, and its service role is not known.")
        access = _access(deployment, group)
        options = options_of(deployment.document["blueGreenDeploymentConfiguration"])
        try:
            if deployment.copied_group is not None:
                self._fleets.release(access, deployment.copied_group)
            if options.termination_wait is not None:
                rows = self._store.read(lambda tx: targets.every(tx, deployment.id))
                originals = [row.target_id for row in rows if row.target.label is Label.BLUE]
                instances = list(filter(Takes.INSTANCES.is_one, originals))
                self._fleets.terminate(access, instances, deployment.replaced_groups or ())
                if left := sorted(set(originals) - set(instances)):
                    # Whoever is on premises is nobody's to terminate.
                    named = ", ".join(left[:_MOST_SAID]) + (" …" if len(left) > _MOST_SAID else "")
                    return Arranged(is_done=True, why=f"On-premises instances run on without traffic: {named}.")
        except (NotYetError, TransientError) as error:
            return Arranged(why=str(error))
        except PermanentError as error:
            return Arranged(is_done=True, why=str(error))
        return Arranged(is_done=True)


def _access(deployment: Deployment, group: DeploymentGroup) -> Access:
    return Access(scope=deployment.scope, role_arn=group.service_role_arn)


def _fail(code: ErrorCode, message: str) -> Plan:
    finish = Finish(status=DeploymentStatus.FAILED, code=code, message=message)
    return Plan(finish=finish, wake_at=0.0, reason=message)
