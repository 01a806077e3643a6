"""The hosts of deployments. One row holds all of a host's progress, so that a report is one read and one write."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import and_, insert, or_, select

from longshore.domain.blue_green import Phase, Side
from longshore.domain.deployment import EventStatus, ScriptCode, TargetStatus
from longshore.domain.health import Turn
from longshore.domain.lifecycle import READY_AT, Label
from longshore.domain.target import CommandState, Diagnostics, LifecycleEvent, Target
from longshore.store import wakeup
from longshore.store.database import Transaction, as_json, from_json
from longshore.store.tables import targets

#: `told` of a host of which nothing is left to tell.
_ALL_TOLD = 2
#: `told` of a replacement whose start was told, and that it is Ready.
_READY_TOLD = -1
_ATTEMPTED = (TargetStatus.SUCCEEDED.value, TargetStatus.FAILED.value)


@dataclass(frozen=True, kw_only=True, slots=True)
class NewTarget:
    """A host that a deployment is about to have."""

    target_id: str
    target_arn: str
    #: Who polls for it (Scope.host).
    host: str
    turn: Turn
    target: Target
    #: Its availability zone, where the deployment goes zone by zone.
    zone: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TargetRow:
    """A host of a deployment, as the API shows it."""

    deployment_id: str
    target_id: str
    target_arn: str
    host: str
    #: Epoch seconds of the last change of any event.
    last_updated: float | None
    target: Target


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenCommand:
    """A command that waits for its host's poll."""

    deployment_id: str
    target_id: str
    position: int
    event: str
    #: Epoch seconds.
    ready_since: float


def add(tx: Transaction, deployment_id: str, new: Iterable[NewTarget], *, is_told: bool = False) -> None:
    """Record the hosts of a deployment, all Pending; `is_told` when somebody wants to know of each."""
    rows = [
        {
            "deployment_id": deployment_id,
            "target_id": one.target_id,
            "target_arn": one.target_arn,
            "host": one.host,
            "turn": int(one.turn),
            "zone": one.zone,
            "told": 0 if is_told else _ALL_TOLD,
            **_progress(one.target),
        }
        for one in new
    ]
    if rows:
        tx.execute(insert(targets), rows)


def counts(tx: Transaction, deployment_id: str) -> dict[TargetStatus, int]:
    """How many hosts of a deployment stand where; statuses nobody has are absent."""
    return counting(tx, deployment_id)()


def counting(tx: Transaction, deployment_id: str) -> Callable[[], dict[TargetStatus, int]]:
    """Ask for `counts`; call what is returned to be told."""
    asked = tx.hot("SELECT status, count(*) FROM targets WHERE deployment_id = ? GROUP BY status", (deployment_id,))
    return lambda: {TargetStatus(status): number for status, number in asked.fetchall()}


def zones(tx: Transaction, deployment_id: str) -> dict[str, dict[TargetStatus, int]]:
    """`counts` by availability zone; empty where the deployment does not go zone by zone."""
    rows = tx.hot(
        "SELECT zone, status, count(*) FROM targets WHERE deployment_id = ? AND zone IS NOT NULL GROUP BY zone, status",
        (deployment_id,),
    )
    found: dict[str, dict[TargetStatus, int]] = {}
    for zone, status, number in rows.fetchall():
        found.setdefault(zone, {})[TargetStatus(status)] = number
    return found


def last_change_in(tx: Transaction, deployment_id: str, zone: str) -> float | None:
    """When a host of this zone changed last, epoch seconds."""
    row = tx.hot(
        "SELECT max(last_updated) FROM targets WHERE deployment_id = ? AND zone = ?", (deployment_id, zone)
    ).fetchone()
    changed: float | None = row[0]
    return changed


def sides(tx: Transaction, deployment_id: str) -> dict[Label, Side]:
    """How many hosts of each side of a blue/green deployment stand where."""
    rows = tx.hot(
        "SELECT label, status, position >= ?, count(*) FROM targets WHERE deployment_id = ? GROUP BY 1, 2, 3",
        (READY_AT, deployment_id),
    )
    numbers: dict[Label, Counter[str]] = {label: Counter() for label in Label}
    for label, status, was_ready, count in rows.fetchall():
        numbers[Label(label)][status] += count
        if status == TargetStatus.FAILED and not was_ready:
            numbers[Label(label)]["not installed"] += count
    return {
        label: Side(
            pending=count[TargetStatus.PENDING],
            ready=count[TargetStatus.READY],
            in_flight=count[TargetStatus.IN_PROGRESS],
            succeeded=count[TargetStatus.SUCCEEDED],
            failed=count[TargetStatus.FAILED],
            not_installed=count["not installed"],
            skipped=count[TargetStatus.SKIPPED],
        )
        for label, count in numbers.items()
    }


def overview(
    tx: Transaction,
    deployment_id: str,
    phase: Phase | None,
    counted: Callable[[], dict[TargetStatus, int]] | None = None,
) -> dict[TargetStatus, int]:
    """How many hosts stand where, as is told of a deployment that is in this phase; None: of one in place.

    `counted` is what `counting` gave, where that was asked already.
    """
    if phase is None or phase.counts_originals:
        return (counted or counting(tx, deployment_id))()
    green = sides(tx, deployment_id)[Label.GREEN].overview
    return {TargetStatus(status): number for status, number in green.items() if number}


def waiting(tx: Transaction, deployment_id: str, label: Label, status: TargetStatus, limit: int) -> list[str]:
    """The hosts of one side that stand there, in the order in which they are to be started (S2.12)."""
    rows = tx.hot(
        "SELECT target_id FROM targets WHERE deployment_id = ? AND label = ? AND status = ?"
        " ORDER BY turn, target_id LIMIT ?",
        (deployment_id, label.value, status.value, limit),
    )
    return [row[0] for row in rows.fetchall()]


def every(tx: Transaction, deployment_id: str) -> list[TargetRow]:
    """All hosts of a deployment, by id."""
    query = select(targets).where(targets.c.deployment_id == deployment_id).order_by(targets.c.target_id)
    return [_row(row) for row in tx.execute(query).mappings()]


def idle(tx: Transaction, deployment_id: str) -> list[str]:
    """The hosts that have not ended and whose agent runs nothing."""
    rows = tx.hot(
        "SELECT target_id FROM targets WHERE deployment_id = ?"
        " AND (status IN ('Pending', 'Ready') OR (status = 'InProgress' AND command <> 'running')) ORDER BY target_id",
        (deployment_id,),
    )
    return [row[0] for row in rows.fetchall()]


def next_pending(tx: Transaction, deployment_id: str, limit: int, *, zone: str | None = None) -> list[str]:
    """The hosts to start next, of one zone or of all, those with least to lose first (S2.12), by id within a class."""
    if zone is not None:
        rows = tx.hot(
            "SELECT target_id FROM targets WHERE deployment_id = ? AND zone = ? AND status = 'Pending'"
            " ORDER BY turn, target_id LIMIT ?",
            (deployment_id, zone, limit),
        )
        return [row[0] for row in rows.fetchall()]
    rows = tx.hot(
        "SELECT target_id FROM targets WHERE deployment_id = ? AND status = 'Pending' ORDER BY turn, target_id LIMIT ?",
        (deployment_id, limit),
    )
    return [row[0] for row in rows.fetchall()]


def overdue(tx: Transaction, deployment_id: str, now: float) -> list[str]:
    """The hosts whose open command got no answer in time."""
    rows = tx.hot(
        "SELECT target_id FROM targets WHERE deployment_id = ? AND deadline IS NOT NULL AND deadline <= ?",
        (deployment_id, now),
    )
    return [row[0] for row in rows.fetchall()]


def first_deadline(tx: Transaction, deployment_id: str) -> float | None:
    """When the next open command counts as lost."""
    row = tx.hot(
        "SELECT min(deadline) FROM targets WHERE deployment_id = ? AND deadline IS NOT NULL", (deployment_id,)
    ).fetchone()
    deadline: float | None = row[0]
    return deadline


@dataclass(frozen=True, kw_only=True, slots=True)
class Errand:
    """What the engine has to do for a host at its load balancers."""

    target_id: str
    command: CommandState
    event: str
    #: Epoch seconds.
    deadline: float

    @property
    def is_return(self) -> bool:
        """Whether the host has ended, and goes back into traffic."""
        return self.command is CommandState.RETURN


def errands(tx: Transaction, deployment_id: str) -> list[Errand]:
    """What is to be done at load balancers for the hosts of a deployment."""
    rows = tx.hot(
        "SELECT target_id, command, event, deadline FROM targets"
        " WHERE deployment_id = ? AND command IN ('engine', 'return')",
        (deployment_id,),
    )
    return [
        Errand(target_id=row[0], command=CommandState(row[1]), event=row[2], deadline=row[3]) for row in rows.fetchall()
    ]


def taken_out(tx: Transaction, deployment_id: str) -> list[TargetRow]:
    """The hosts that were taken out of their load balancers and not put back, by id."""
    query = select(targets).where(targets.c.deployment_id == deployment_id, targets.c.taken_out)
    return [_row(row) for row in tx.execute(query.order_by(targets.c.target_id)).mappings()]


def with_status(tx: Transaction, deployment_id: str, status: TargetStatus) -> list[str]:
    """The ids of the hosts that stand there."""
    rows = tx.hot("SELECT target_id FROM targets WHERE deployment_id = ? AND status = ?", (deployment_id, status.value))
    return [row[0] for row in rows.fetchall()]


def first_failed(tx: Transaction, deployment_id: str) -> TargetRow | None:
    """The host that failed before all others."""
    failed = (targets.c.deployment_id == deployment_id) & (targets.c.status == TargetStatus.FAILED.value)
    row = tx.execute(select(targets).where(failed).order_by(targets.c.last_updated).limit(1)).mappings().first()
    return None if row is None else _row(row)


_PROGRESS = "status, position, command, attempt, deadline, halted, forgives_stop_failures, label, taken_out, events"


def progress(tx: Transaction, deployment_id: str, target_id: str, *, host: str | None = None) -> Target | None:
    """A host's progress; with `host`, only if that is who it is."""
    row = tx.hot(
        f"SELECT {_PROGRESS}, host FROM targets WHERE deployment_id = ? AND target_id = ?",  # noqa: S608  # fixed names
        (deployment_id, target_id),
    ).fetchone()
    if row is None or (host is not None and row[-1] != host):
        return None
    return _target(row)


def save_progress(tx: Transaction, deployment_id: str, target_id: str, target: Target, now: float) -> None:
    """Store a host's progress; a command that is ready wakes the host's poll after the commit."""
    values = _progress(target)
    row = tx.hot(
        "UPDATE targets SET status = ?, position = ?, event = ?, command = ?, attempt = ?, deadline = ?, halted = ?,"
        " taken_out = ?, events = ?, last_updated = ? WHERE deployment_id = ? AND target_id = ? RETURNING host",
        (
            values["status"],
            values["position"],
            values["event"],
            values["command"],
            values["attempt"],
            values["deadline"],
            values["halted"],
            values["taken_out"],
            values["events"],
            now,
            deployment_id,
            target_id,
        ),
    ).fetchone()
    if target.command is CommandState.READY:
        tx.tell(wakeup.host(row[0]))


def open_commands(tx: Transaction, host: str) -> list[OpenCommand]:
    """The commands that wait for this host, of all its deployments, oldest deadline first."""
    rows = tx.hot(
        "SELECT deployment_id, target_id, position, event, last_updated FROM targets"
        " WHERE host = ? AND command = 'ready'"
        " ORDER BY deadline LIMIT 64",
        (host,),
    )
    return [
        OpenCommand(deployment_id=row[0], target_id=row[1], position=row[2], event=row[3], ready_since=row[4])
        for row in rows.fetchall()
    ]


def of_host(tx: Transaction, deployment_id: str, host: str) -> list[str]:
    """The targets of this deployment that this host is; one, unless an instance was registered twice over."""
    rows = tx.hot("SELECT target_id FROM targets WHERE deployment_id = ? AND host = ?", (deployment_id, host))
    return [row[0] for row in rows.fetchall()]


def revisions_for(tx: Transaction, host: str) -> list[dict[str, Any]]:
    """The revisions, as the API spells their locations, that this host is being deployed right now."""
    rows = tx.hot(
        "SELECT revision FROM deployments JOIN targets ON deployment_id = id"
        " WHERE host = ? AND targets.status = 'InProgress'",
        (host,),
    )
    return [from_json(row[0]) for row in rows.fetchall()]


def halt(tx: Transaction, deployment_id: str) -> None:
    """Let no host of this deployment start another event; running ones may finish theirs."""
    tx.hot("UPDATE targets SET halted = true WHERE deployment_id = ? AND status = 'InProgress'", (deployment_id,))


def not_taken_up(tx: Transaction, deployment_id: str) -> list[str]:
    """The started hosts whose agent has not acknowledged the open command."""
    rows = tx.hot("SELECT target_id FROM targets WHERE deployment_id = ? AND command = 'ready'", (deployment_id,))
    return [row[0] for row in rows.fetchall()]


def any_running(tx: Transaction, deployment_id: str) -> bool:
    """Whether some host is executing a lifecycle event at this moment."""
    row = tx.hot(
        "SELECT 1 FROM targets WHERE deployment_id = ? AND status = 'InProgress' AND command = 'running' LIMIT 1",
        (deployment_id,),
    ).fetchone()
    return row is not None


def any_attempted(tx: Transaction, deployment_id: str) -> bool:
    """Whether anything was done, or should have been, on some host."""
    row = tx.hot(
        "SELECT 1 FROM targets WHERE deployment_id = ? AND (status IN ('Succeeded', 'Failed') OR position > 0) LIMIT 1",
        (deployment_id,),
    ).fetchone()
    return row is not None


def untold(tx: Transaction, deployment_id: str, limit: int) -> list[tuple[TargetRow, bool]]:
    """Hosts whose start or end was not told yet, and whether their start was."""
    is_news = or_(
        and_(targets.c.status == TargetStatus.IN_PROGRESS.value, targets.c.told == 0),
        and_(targets.c.status == TargetStatus.READY.value, targets.c.told >= 0, targets.c.told < _ALL_TOLD),
        and_(targets.c.status.in_(_ATTEMPTED), targets.c.told < _ALL_TOLD),
    )
    rows = tx.execute(
        select(targets)
        .where(targets.c.deployment_id == deployment_id, targets.c.told < _ALL_TOLD, is_news)
        .order_by(targets.c.last_updated, targets.c.target_id)
        .limit(limit)
    ).mappings()
    return [(_row(row), bool(row["told"])) for row in rows]


def mark_told(tx: Transaction, deployment_id: str, rows: Iterable[TargetRow]) -> None:
    """What these hosts have come to was told."""
    for row in rows:
        told = (
            _ALL_TOLD if row.target.status.is_final else _READY_TOLD if row.target.status is TargetStatus.READY else 1
        )
        tx.hot(
            "UPDATE targets SET told = ? WHERE deployment_id = ? AND target_id = ?",
            (told, deployment_id, row.target_id),
        )


def grant_grace(tx: Transaction, until: float) -> None:
    """Let no open command count as lost before `until`: agents could not reach a server that was down."""
    tx.hot("UPDATE targets SET deadline = ? WHERE deadline IS NOT NULL AND deadline < ?", (until, until))


def find(tx: Transaction, deployment_id: str, target_ids: Sequence[str]) -> list[TargetRow]:
    """These hosts of a deployment, in the order asked; unknown ones are left out."""
    rows = tx.execute(
        select(targets).where(targets.c.deployment_id == deployment_id, targets.c.target_id.in_(target_ids))
    ).mappings()
    found = {row["target_id"]: _row(row) for row in rows}
    return [found[target_id] for target_id in target_ids if target_id in found]


def page(
    tx: Transaction,
    deployment_id: str,
    *,
    after: str,
    limit: int,
    statuses: Sequence[str] | None = None,
    labels: Sequence[str] | None = None,
) -> list[str]:
    """Ids of a deployment's hosts after this one, in id order."""
    query = (
        select(targets.c.target_id)
        .where(targets.c.deployment_id == deployment_id, targets.c.target_id > after)
        .order_by(targets.c.target_id)
        .limit(limit)
    )
    if statuses is not None:
        query = query.where(targets.c.status.in_(statuses))
    if labels is not None:
        query = query.where(targets.c.label.in_(labels))
    return list(tx.execute(query).scalars())


def _progress(target: Target) -> dict[str, Any]:
    return {
        "status": target.status.value,
        "position": target.position,
        "event": target.event.name,
        "command": target.command.value,
        "attempt": target.attempt,
        "deadline": target.deadline,
        "halted": target.halted,
        "forgives_stop_failures": target.forgives_stop_failures,
        "label": target.label and target.label.value,
        "taken_out": target.taken_out,
        "events": as_json([event_members(event) for event in target.events]),
    }


def _target(row: Sequence[Any]) -> Target:
    return Target(
        status=TargetStatus(row[0]),
        position=row[1],
        command=CommandState(row[2]),
        attempt=row[3],
        deadline=row[4],
        halted=bool(row[5]),
        forgives_stop_failures=bool(row[6]),
        label=row[7] and Label(row[7]),
        taken_out=bool(row[8]),
        events=tuple(_event_in(event) for event in from_json(row[9])),
    )


def _row(row: Any) -> TargetRow:
    return TargetRow(
        deployment_id=row["deployment_id"],
        target_id=row["target_id"],
        target_arn=row["target_arn"],
        host=row["host"],
        last_updated=row["last_updated"],
        target=_target([row[name] for name in _PROGRESS.split(", ")]),
    )


def event_members(event: LifecycleEvent) -> dict[str, Any]:
    """A lifecycle event as the API spells it."""
    members: dict[str, Any] = {"lifecycleEventName": event.name, "status": event.status.value}
    if event.start_time is not None:
        members["startTime"] = event.start_time
    if event.end_time is not None:
        members["endTime"] = event.end_time
    if event.diagnostics is not None:
        members["diagnostics"] = {
            "errorCode": event.diagnostics.error_code.value,
            "scriptName": event.diagnostics.script_name,
            "message": event.diagnostics.message,
            "logTail": event.diagnostics.log_tail,
        }
    return members


_EVENT_STATUSES = {status.value: status for status in EventStatus}
_SCRIPT_CODES = {code.value: code for code in ScriptCode}


@lru_cache(maxsize=64)
def _untouched(name: str) -> LifecycleEvent:
    return LifecycleEvent(name=name)


def _event_in(members: dict[str, Any]) -> LifecycleEvent:
    if len(members) == 2 and members["status"] == "Pending":
        return _untouched(members["lifecycleEventName"])
    said = members.get("diagnostics")
    return LifecycleEvent(
        name=members["lifecycleEventName"],
        status=_EVENT_STATUSES[members["status"]],
        start_time=members.get("startTime"),
        end_time=members.get("endTime"),
        diagnostics=said
        and Diagnostics(
            error_code=_SCRIPT_CODES[said["errorCode"]],
            script_name=said["scriptName"],
            message=said["message"],
            log_tail=said["logTail"],
        ),
    )
