"""Tells topics and the event bus what happens: rows first, in the commit of the change (server.md S10)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from longshore.domain.blue_green import Phase
from longshore.domain.deployment import TargetStatus
from longshore.domain.event_bus import bus_trigger
from longshore.domain.ids import Scope
from longshore.domain.notification import (
    INSTANCE_EVENTS,
    Notification,
    Told,
    TriggerEvent,
    end_of,
    of_deployment,
    of_instance,
)
from longshore.domain.rollback import CREATOR
from longshore.store import deployments, notifications, targets
from longshore.store.database import Transaction
from longshore.store.deployment_groups import DeploymentGroup
from longshore.store.deployments import Deployment

#: Instances told of in one tick; the next one tells of more.
_AT_ONCE = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Subscribed:
    """Who wants to know of a deployment."""

    triggers: Sequence[Mapping[str, Any]]
    #: The group's service role, by which its topics are published to; "" when the group is gone.
    role_arn: str

    @property
    def wants_instances(self) -> bool:
        """Whether some trigger is to be sent for single instances."""
        return any(event in INSTANCE_EVENTS for trigger in self.triggers for event in trigger["triggerEvents"])

    def tell(self, tx: Transaction, deployment: Deployment, found: Iterable[Notification], now: float) -> None:
        """Have these delivered."""
        notifications.add(tx, deployment.scope, found, now, role_arn=self.role_arn)


def subscribed_to(group: DeploymentGroup | None, scope: Scope, *, has_event_bus: bool) -> Subscribed:
    """By the triggers of a deployment's group; when that is gone, nobody but the event bus."""
    triggers = () if group is None else group.document.get("triggerConfigurations", ())
    bus = [bus_trigger(scope)] if has_event_bus else []
    return Subscribed(triggers=[*triggers, *bus], role_arn="" if group is None else group.service_role_arn)


def tell_start(tx: Transaction, to: Subscribed, deployment: Deployment, now: float) -> None:
    """A deployment leaves Created."""
    told = _told(deployment)
    found = [*of_deployment(to.triggers, TriggerEvent.DEPLOYMENT_START, told)]
    if deployment.creator == CREATOR:
        found += of_deployment(to.triggers, TriggerEvent.DEPLOYMENT_ROLLBACK, told)
    to.tell(tx, deployment, found, now)


def tell_phase(tx: Transaction, to: Subscribed, deployment: Deployment, phase: Phase, now: float) -> None:
    """A blue/green deployment enters a phase; some of them are news (S10.1)."""
    if phase is Phase.READY_WAIT and to.triggers:
        told = _told(deployment, overview=targets.overview(tx, deployment.id, phase))
        to.tell(tx, deployment, of_deployment(to.triggers, TriggerEvent.DEPLOYMENT_READY, told), now)


def tell_end(tx: Transaction, to: Subscribed, deployment_id: str, now: float) -> None:
    """A deployment has ended."""
    deployment = deployments.get(tx, deployment_id) if to.triggers else None
    if deployment is None:
        return
    told = _told(deployment, overview=targets.overview(tx, deployment.id, deployment.phase))
    to.tell(tx, deployment, of_deployment(to.triggers, end_of(deployment.status), told), now)


def tell_instances(tx: Transaction, to: Subscribed, deployment: Deployment, now: float) -> bool:
    """Instances that started or ended since this was called last; whether there may be more."""
    if not to.wants_instances:
        return False
    told = _told(deployment)
    news = targets.untold(tx, deployment.id, _AT_ONCE)
    for row, is_started in news:
        events = [] if is_started else [TriggerEvent.INSTANCE_START]
        if row.target.status is TargetStatus.READY:
            events.append(TriggerEvent.INSTANCE_READY)
        elif row.target.status is TargetStatus.SUCCEEDED:
            events.append(TriggerEvent.INSTANCE_SUCCESS)
        elif row.target.status is TargetStatus.FAILED:
            events.append(TriggerEvent.INSTANCE_FAILURE)
        for event in events:
            found = of_instance(to.triggers, event, told, row.target_arn, row.target, row.last_updated or now)
            to.tell(tx, deployment, found, now)
    targets.mark_told(tx, deployment.id, [row for row, _ in news])
    return len(news) == _AT_ONCE


def _told(deployment: Deployment, *, overview: Mapping[TargetStatus, int] | None = None) -> Told:
    return Told(
        scope=deployment.scope,
        deployment_id=deployment.id,
        application=deployment.application_name,
        group=deployment.group_name,
        group_id=deployment.group_id,
        create_time=deployment.create_time,
        complete_time=deployment.complete_time,
        overview=overview,
        error_code=deployment.error_code,
        error_message=deployment.error_message,
        rollback_info=deployment.rollback_info,
    )
