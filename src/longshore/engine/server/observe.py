"""Reads what a deployment to hosts depends on, on one consistent view of the rows."""

from __future__ import annotations

from collections.abc import Mapping

from longshore.domain.config import PREDEFINED_PREFIX
from longshore.domain.deployment import DEPLOYMENT_TIMEOUT, ErrorCode, EventStatus, TargetStatus
from longshore.domain.health import Fleet, room
from longshore.domain.lifecycle import BLOCK_TRAFFIC, ENGINES
from longshore.domain.zones import OpenZone, Zone, open_zone, zone_rules
from longshore.engine.server.decide import Failure, Seen
from longshore.store import applications, deployment_configs, deployment_groups, targets
from longshore.store.database import Transaction
from longshore.store.deployments import Deployment

_CODES = {code.value: code for code in ErrorCode}


def missing(tx: Transaction, deployment: Deployment) -> ErrorCode | None:
    """Whether the application or the group was deleted under the deployment."""
    if deployment_groups.is_there(tx, deployment.group_id):
        return None  # and so is its application
    is_of_one = applications.is_there(tx, deployment.application_id)
    return ErrorCode.DEPLOYMENT_GROUP_MISSING if is_of_one else ErrorCode.APPLICATION_MISSING


def observe(tx: Transaction, deployment: Deployment, now: float) -> Seen:
    """What the next step of a running deployment depends on: a count, and the few hosts it may touch."""
    numbers = targets.counts(tx, deployment.id)
    fleet = _fleet(numbers, total=deployment.total_targets or 0, required=deployment.required_healthy or 0)
    zone = _open_zone(tx, deployment)
    room_there = 0 if zone is None else zone.room(fleet, now)
    gone = missing(tx, deployment)
    alarm = deployment.error_message if deployment.error_code == ErrorCode.ALARM_ACTIVE else None
    is_over = now >= deployment.create_time + DEPLOYMENT_TIMEOUT
    closing = gone is not None or alarm is not None or deployment.stop_requested_by is not None or is_over
    failing = fleet.failed > 0
    at_balancers = targets.errands(tx, deployment.id)
    return Seen(
        fleet=fleet,
        create_time=deployment.create_time,
        stop_requested_by=deployment.stop_requested_by,
        alarm=alarm,
        missing=gone,
        overdue=tuple(targets.overdue(tx, deployment.id, now)),
        first_deadline=targets.first_deadline(tx, deployment.id),
        # A deployment that gives up skips all that are pending; one that goes on needs as many as may start.
        pending=tuple(targets.next_pending(tx, deployment.id, fleet.pending if closing or failing else room(fleet))),
        zone=zone,
        pending_there=()
        if zone is None
        else tuple(targets.next_pending(tx, deployment.id, room_there, zone=zone.zone.name)),
        leaving=tuple(one.target_id for one in at_balancers if one.event == BLOCK_TRAFFIC[1] and not one.is_return),
        returning=sum(one.is_return for one in at_balancers),
        not_taken_up=tuple(targets.not_taken_up(tx, deployment.id)) if closing else (),
        first_failure=first_failure(tx, deployment.id) if failing else None,
    )


def _fleet(numbers: Mapping[TargetStatus, int], *, total: int, required: int) -> Fleet:
    return Fleet(
        total=total,
        required=required,
        pending=numbers.get(TargetStatus.PENDING, 0),
        in_flight=numbers.get(TargetStatus.IN_PROGRESS, 0),
        succeeded=numbers.get(TargetStatus.SUCCEEDED, 0),
        failed=numbers.get(TargetStatus.FAILED, 0),
        skipped=numbers.get(TargetStatus.SKIPPED, 0),
    )


def _open_zone(tx: Transaction, deployment: Deployment) -> OpenZone | None:
    """The zone whose turn it is, in a deployment that goes zone by zone."""
    if deployment.config_name.startswith(PREDEFINED_PREFIX):
        return None
    counted = targets.zones(tx, deployment.id)
    # While the deployment runs its config can neither change nor be deleted.
    config = deployment_configs.find(tx, deployment.scope, deployment.config_name) if counted else None
    if config is None or config.zonal is None:
        return None
    rules = zone_rules(config.zonal)
    totals = {name: sum(numbers.values()) for name, numbers in counted.items()}
    return open_zone(
        [
            Zone(
                name=name,
                fleet=_fleet(numbers, total=totals[name], required=rules.required(totals[name])),
                changed=targets.last_change_in(tx, deployment.id, name) if TargetStatus.SUCCEEDED in numbers else None,
            )
            for name, numbers in counted.items()
        ],
        rules,
    )


def first_failure(tx: Transaction, deployment_id: str) -> Failure | None:
    first = targets.first_failed(tx, deployment_id)
    if first is None:
        return None
    for event in first.target.events:
        if event.status is EventStatus.FAILED and event.diagnostics is not None:
            said = event.diagnostics
            script = "" if said.script_name in said.message else f" in {said.script_name}"
            sentence = f"{first.target_id}, {event.name}: {said.error_code}{script}: {said.message}"
            # What the engine does itself fails for a reason that has a code of its own.
            code = said.message.partition(":")[0] if event.name in ENGINES else ""
            return Failure(sentence, _CODES.get(code))
    return Failure(
        f"{first.target_id}: its agent did not take up the deployment in time. Is it running, and can it reach us?"
    )
