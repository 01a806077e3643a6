"""Tells topics and the event bus what happens: rows first, in the commit of the change (server.md S10)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from longshore.domain.blue_green import Phase
from longshore.domain.deployment import TargetStatus
from longshore.domain.event_bus import bus_trigger
from longshore.domain.notification import INSTANCE_EVENTS, Told, TriggerEvent, end_of, of_deployment, of_instance
from longshore.domain.rollback import CREATOR
from longshore.store import deployment_groups, deployments, notifications, targets
from longshore.store.database import Transaction
from longshore.store.deployments import Deployment

Triggers = Sequence[Mapping[str, Any]]
#: Instances told of in one tick; the next one tells of more.
_AT_ONCE = 500


def triggers_of(tx: Transaction, deployment: Deployment, *, has_event_bus: bool) -> Triggers:
    """The triggers of a deployment's group, as they are now; none when the group is gone, but the event bus's own."""
    group = deployment_groups.by_id(tx, deployment.group_id)
    triggers: Triggers = () if group is None else group.document.get("triggerConfigurations", ())
    return [*triggers, bus_trigger(deployment.scope)] if has_event_bus else triggers


def wants_instances(triggers: Triggers) -> bool:
    """Whether some trigger is to be sent for single instances."""
    return any(event in INSTANCE_EVENTS for trigger in triggers for event in trigger["triggerEvents"])


def tell_start(tx: Transaction, triggers: Triggers, deployment: Deployment, now: float) -> None:
    """A deployment leaves Created."""
    told = _told(deployment)
    found = [*of_deployment(triggers, TriggerEvent.DEPLOYMENT_START, told)]
    if deployment.creator == CREATOR:
        found += of_deployment(triggers, TriggerEvent.DEPLOYMENT_ROLLBACK, told)
    notifications.add(tx, deployment.scope, found, now)


def tell_phase(tx: Transaction, triggers: Triggers, deployment: Deployment, phase: Phase, now: float) -> None:
    """A blue/green deployment enters a phase; some of them are news (S10.1)."""
    if phase is Phase.READY_WAIT and triggers:
        told = _told(deployment, overview=targets.counts(tx, deployment.id))
        notifications.add(tx, deployment.scope, of_deployment(triggers, TriggerEvent.DEPLOYMENT_READY, told), now)


def tell_end(tx: Transaction, triggers: Triggers, deployment_id: str, now: float) -> None:
    """A deployment has ended."""
    deployment = deployments.get(tx, deployment_id) if triggers else None
    if deployment is None:
        return
    told = _told(deployment, overview=targets.counts(tx, deployment.id))
    notifications.add(tx, deployment.scope, of_deployment(triggers, end_of(deployment.status), told), now)


def tell_instances(tx: Transaction, triggers: Triggers, deployment: Deployment, now: float) -> bool:
    """Instances that started or ended since this was called last; whether there may be more."""
    if not wants_instances(triggers):
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
            found = of_instance(triggers, event, told, row.target_arn, row.target, row.last_updated or now)
            notifications.add(tx, deployment.scope, found, now)
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
