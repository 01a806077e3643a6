"""Deployments: what was asked for, where it stands, and when the engine looks at it next."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import case, func, null, select, update

from longshore.domain.blue_green import Phase, Wait
from longshore.domain.bundle import BundleFacts
from longshore.domain.deployment import FINAL_STATUSES, DeploymentStatus, ErrorCode
from longshore.domain.ids import Scope
from longshore.store import wakeup
from longshore.store.database import Transaction, as_json, from_json
from longshore.store.tables import deployment_groups, deployments, group_instances, targets

_FINAL = tuple(status.value for status in FINAL_STATUSES)


@dataclass(frozen=True, kw_only=True, slots=True)
class Deployment:
    """One deployment; times are epoch seconds."""

    id: str
    account: str
    region: str
    application_id: str
    group_id: str
    #: Kept when the application or the group is deleted, renamed along with them.
    application_name: str
    group_name: str
    compute_platform: str
    config_name: str
    status: DeploymentStatus
    creator: str
    create_time: float
    start_time: float | None
    complete_time: float | None
    revision: dict[str, Any]
    revision_identity: str
    previous_revision: dict[str, Any] | None
    #: What else was asked for, as DeploymentInfo spells it.
    document: dict[str, Any]
    #: Environment variables for its hooks, value by name.
    parameters: dict[str, str]
    error_code: str | None
    error_message: str | None
    rollback_info: dict[str, Any] | None
    required_healthy: int | None
    total_targets: int | None
    stop_requested_by: str | None
    bundle: BundleFacts | None
    #: The one instance that it is for, where an Auto Scaling group's hook holds that up; it does not hold its group.
    instance_id: str | None = None
    #: The deployment whose late joiners it brings up to date (S9.6).
    root_deployment_id: str | None = None
    #: Of a blue/green deployment: how far it has come and since when.
    phase: Phase | None = None
    phase_time: float | None = None
    #: The wait whose end was asked for.
    continued: Wait | None = None
    #: The Auto Scaling groups whose place its replacements take.
    replaced_groups: list[str] | None = None
    #: The one that was made for them.
    copied_group: str | None = None
    #: What there is to say of it although nothing went wrong.
    status_message: str | None = None
    #: Of its group, if that was deleted under it.
    service_role_arn: str | None = None

    @property
    def scope(self) -> Scope:
        return Scope(self.account, self.region)

    @property
    def has_traffic(self) -> bool:
        """Whether its hosts leave their load balancers and come back."""
        return bool(self.document.get("deploymentStyle", {}).get("deploymentOption") == "WITH_TRAFFIC_CONTROL")

    @property
    def is_blue_green(self) -> bool:
        return bool(self.document.get("deploymentStyle", {}).get("deploymentType") == "BLUE_GREEN")


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """The right to tick one deployment for a while; a later claim's fence is higher and ends it."""

    deployment_id: str
    fence: int
    #: When others may claim it.
    lease_until: float


class LeaseLostError(Exception):
    """Somebody else has claimed the deployment since; nothing may be written for this tick."""


_FIELDS = tuple(Deployment.__dataclass_fields__)
_JSON = ("revision", "previous_revision", "document", "parameters", "rollback_info", "bundle", "replaced_groups")
#: How many `columns` are.
COLUMNS = len(_FIELDS)


def columns(table: str) -> str:
    """What `of_row` is made of, of a table that a statement calls so."""
    return ", ".join(f"{table}.{name}" for name in _FIELDS)


# Core would build each of these anew, and every call of the API and every tick pays for some of them.
_ONE = f"SELECT {', '.join(_FIELDS)} FROM deployments WHERE id = ?"  # noqa: S608  # fixed names
_INSERT = f"INSERT INTO deployments ({', '.join(_FIELDS)}, wake_at) VALUES ({'?, ' * len(_FIELDS)}?)"  # noqa: S608  # fixed names


def of_row(row: Sequence[Any]) -> Deployment:
    """The deployment in a row of `columns`."""
    values = dict(zip(_FIELDS, row, strict=True))
    for column in _JSON:
        values[column] = from_json(values[column])
    values["status"] = DeploymentStatus(values["status"])
    values["bundle"] = values["bundle"] and BundleFacts(**values["bundle"])
    values["phase"] = values["phase"] and Phase(values["phase"])
    values["continued"] = values["continued"] and Wait(values["continued"])
    return Deployment(**values)


def add(tx: Transaction, deployment: Deployment) -> None:
    """Record a new deployment, let it hold its group, and have the engine look at it at once.

    One that is for a single instance neither holds the group nor is its last attempt (S6.3, S7.25).
    """
    values = {name: getattr(deployment, name) for name in _FIELDS}
    values["status"] = deployment.status.value
    values["phase"] = deployment.phase and deployment.phase.value
    values["continued"] = deployment.continued and deployment.continued.value
    # As it is told: whoever asks for what was created at that moment, bounds included, must be given it.
    values["create_time"] = round(deployment.create_time, 3)
    values["bundle"] = deployment.bundle and asdict(deployment.bundle)
    values |= {column: None if values[column] is None else as_json(values[column]) for column in _JSON}
    tx.hot(_INSERT, (*values.values(), deployment.create_time))
    if (active := _active(deployment.scope)) in tx.known:
        tx.known[active] += 1
    if deployment.instance_id is None:
        tx.hot(
            "UPDATE deployment_groups SET active_deployment_id = ?, last_attempted_deployment_id = ? WHERE id = ?",
            (deployment.id, deployment.id, deployment.group_id),
        )
    tx.tell(wakeup.deployment(deployment.id))


def find(tx: Transaction, scope: Scope, deployment_id: str) -> Deployment | None:
    """The deployment of this id, if it is in this account and region."""
    found = get(tx, deployment_id)
    return found if found is not None and found.scope == scope else None


def group_of(tx: Transaction, scope: Scope, deployment_id: str) -> tuple[str, str] | None:
    """The names of a deployment's application and group. Asked for many calls, so it goes straight to the driver."""
    row = tx.hot(
        "SELECT application_name, group_name FROM deployments WHERE id = ? AND account = ? AND region = ?",
        (deployment_id, scope.account, scope.region),
    ).fetchone()
    return None if row is None else (row[0], row[1])


def get(tx: Transaction, deployment_id: str) -> Deployment | None:
    """The deployment of this id, whoever's it is: for the engine."""
    row = tx.hot(_ONE, (deployment_id,)).fetchone()
    return None if row is None else of_row(row)


def find_all(tx: Transaction, scope: Scope, deployment_ids: Iterable[str]) -> list[Deployment]:
    """These deployments in the order asked; those not in this account and region are left out."""
    asked = [tx.hot(_ONE, (deployment_id,)) for deployment_id in deployment_ids]
    found = [of_row(row) for one in asked if (row := one.fetchone()) is not None]
    return [one for one in found if one.scope == scope]


def page(
    tx: Transaction,
    scope: Scope,
    *,
    group_id: str | None,
    statuses: Sequence[str],
    since: float | None,
    until: float | None,
    before: tuple[float, str] | None,
    limit: int,
) -> list[tuple[float, str]]:
    """Creation times and ids, newest first, before a position; bounds are inclusive, no statuses are all of them."""
    conditions, values = ["group_id = ?"], [group_id or ""]
    if group_id is None:
        conditions, values = ["account = ?", "region = ?"], [scope.account, scope.region]
    window: list[float | str] = []
    if since is not None:
        conditions.append("create_time >= ?")
        window.append(since)
    if before is not None:
        # Compared as a row, an index can be entered there; with OR, or beside the window's own end (which lies behind
        # it), every page would walk all the pages before it.
        conditions.append("(create_time, id) < (?, ?)")
        window += before
    elif until is not None:
        conditions.append("create_time <= ?")
        window.append(until)
    query = f"SELECT create_time, id FROM deployments WHERE {' AND '.join(conditions)}"  # noqa: S608  # fixed texts
    newest = "ORDER BY create_time DESC, id DESC LIMIT ?"
    if not statuses:
        rows: list[tuple[float, str]] = tx.hot(f"{query} {newest}", (*values, *window, limit)).fetchall()
        return rows
    # Each status by an index of its own; one walk would pass all the ended deployments for the few that have not.
    found = [
        (row[0], row[1])
        for status in statuses
        for row in tx.hot(f"{query} AND status = ? {newest}", (*values, *window, status, limit)).fetchall()
    ]
    return sorted(found, reverse=True)[:limit]


def counting_active(tx: Transaction, scope: Scope) -> Callable[[], int]:
    """Ask how many deployments of this account and region have not ended; call what is returned to be told.

    Counted once a transaction, however many it creates; what ends in the same one counts until the commit.
    """
    if (known := tx.known.get(_active(scope))) is not None:
        return lambda: int(known)
    asked = tx.hot(
        "SELECT count(*) FROM deployments WHERE wake_at IS NOT NULL AND account = ? AND region = ?",
        (scope.account, scope.region),
    )

    def count() -> int:
        number = tx.known[_active(scope)] = int(asked.fetchone()[0])
        return number

    return count


def _active(scope: Scope) -> tuple[str, Scope]:
    """Where a transaction keeps how many there are."""
    return ("active deployments", scope)


def count_by_status(tx: Transaction) -> dict[str, int]:
    """How many deployments there are of each status, of everybody; statuses that none has are absent."""
    return dict(tx.hot("SELECT status, count(*) FROM deployments GROUP BY status").fetchall())


def count_due(tx: Transaction, now: float) -> int:
    """How many deployments the engine should have looked at by now, and nobody is."""
    row = tx.hot(
        "SELECT count(*) FROM deployments WHERE wake_at IS NOT NULL AND wake_at <= ?"
        " AND (lease_until IS NULL OR lease_until <= ?)",
        (now, now),
    ).fetchone()
    return int(row[0])


def count_active_targets(tx: Transaction, scope: Scope) -> int:
    """How many hosts the deployments of this account and region that have not ended have."""
    row = tx.hot(
        "SELECT coalesce(sum(total_targets), 0) FROM deployments"
        " WHERE wake_at IS NOT NULL AND account = ? AND region = ?",
        (scope.account, scope.region),
    ).fetchone()
    return int(row[0])


def ask_to_stop(tx: Transaction, deployment_id: str, *, by: str, now: float) -> None:
    """Have the engine stop this deployment; who asked first is kept."""
    tx.hot(
        "UPDATE deployments SET stop_requested_by = coalesce(stop_requested_by, ?)"
        " WHERE id = ? AND wake_at IS NOT NULL",
        (by, deployment_id),
    )
    wake(tx, deployment_id, now)


def end_wait(tx: Transaction, deployment_id: str, wait: Wait, now: float) -> None:
    """Have the engine end this wait of a blue/green deployment."""
    tx.hot("UPDATE deployments SET continued = ? WHERE id = ?", (wait.value, deployment_id))
    wake(tx, deployment_id, now)


#: Ended before a moment, and neither the last success of its group, which rollbacks and restarts go by, nor its last
#: attempt, which the group shows.
_FORGETTABLE = (
    "complete_time < ? AND NOT EXISTS (SELECT 1 FROM deployment_groups"
    " WHERE deployment_groups.id = deployments.group_id"
    " AND deployments.id IN (last_successful_deployment_id, last_attempted_deployment_id))"
)


def ended_before(tx: Transaction, moment: float, limit: int) -> list[str]:
    """Deployments that ended before then and that nobody needs any more, the oldest first."""
    rows = tx.hot(f"SELECT id FROM deployments WHERE {_FORGETTABLE} ORDER BY complete_time LIMIT ?", (moment, limit))  # noqa: S608  # fixed text
    return [row[0] for row in rows.fetchall()]


def forget(tx: Transaction, deployment_id: str, moment: float) -> int:
    """Delete one of these, with its targets and logs; how many that were: 1, or 0 when it is needed after all."""
    done = tx.hot(f"DELETE FROM deployments WHERE id = ? AND {_FORGETTABLE}", (deployment_id, moment))  # noqa: S608  # fixed text
    return int(done.rowcount)


def keep_document(tx: Transaction, deployment_id: str, document: dict[str, Any]) -> None:
    """Replace what a deployment keeps of what was asked for."""
    tx.execute(update(deployments).where(deployments.c.id == deployment_id).values(document=document))


def close(tx: Transaction, deployment_id: str, *, code: ErrorCode, message: str) -> None:
    """Note why a deployment is being ended while some of its hosts are still at work."""
    tx.execute(
        update(deployments)
        .where(deployments.c.id == deployment_id)
        .values(error_code=code.value, error_message=message)
    )


def wake(tx: Transaction, deployment_id: str, now: float) -> None:
    """Have the engine look at this deployment soon; costs no write when it was going to anyway."""
    done = tx.hot(
        "UPDATE deployments SET asked_at = ?, wake_at = CASE WHEN wake_at < ? THEN wake_at ELSE ? END WHERE id = ?"
        " AND (wake_at > ? OR (lease_until IS NOT NULL AND asked_at IS NULL))",
        (now, now, now, deployment_id, now),
    )
    if done.rowcount:
        tx.tell(wakeup.deployment(deployment_id))


# What follows is the engine's.


def claiming_due(tx: Transaction, *, owner: str, now: float, lease: float, limit: int) -> Callable[[], list[Claim]]:
    """Take up to `limit` deployments that are due and that nobody is ticking, for `lease` seconds.

    Call what is returned to be told which. None of what it writes is in an index: that makes it cheap on either
    database.
    """
    asked = tx.hot(
        "UPDATE deployments SET lease_owner = ?, lease_until = ?, asked_at = NULL, fence = fence + 1 WHERE id IN"
        " (SELECT id FROM deployments WHERE wake_at IS NOT NULL AND wake_at <= ?"
        " AND (lease_until IS NULL OR lease_until <= ?) ORDER BY wake_at LIMIT ?) RETURNING id, fence",
        (owner, now + lease, now, now, limit),
    )
    return lambda: [Claim(deployment_id=row[0], fence=row[1], lease_until=now + lease) for row in asked.fetchall()]


def drop_leases(tx: Transaction, now: float) -> None:
    """Make due what a dead process was ticking. The caller knows that nobody else uses this database."""
    tx.hot(
        "UPDATE deployments SET lease_owner = NULL, lease_until = NULL, wake_at = ?"
        " WHERE lease_until IS NOT NULL AND wake_at IS NOT NULL",
        (now,),
    )


def hand_back(tx: Transaction, owner: str) -> list[str]:
    """Give back what `owner` has claimed and will not finish, due as it is; returns its ids.

    The fence moves on: a tick of it that is still at work may write nothing any more.
    """
    rows = tx.hot(
        "UPDATE deployments SET lease_owner = NULL, lease_until = NULL, fence = fence + 1"
        " WHERE lease_owner = ? AND wake_at IS NOT NULL RETURNING id",
        (owner,),
    ).fetchall()
    for (deployment_id,) in rows:
        tx.tell(wakeup.deployment(deployment_id))
    return [deployment_id for (deployment_id,) in rows]


def finding_first_wake_at(tx: Transaction, now: float) -> Callable[[], float | None]:
    """Ask when the next deployment may be claimed; None when there is none. Call what is returned to be told."""
    free = tx.hot("SELECT wake_at FROM deployments WHERE wake_at >= 0 AND lease_until IS NULL ORDER BY wake_at LIMIT 1")
    # What is being ticked was due, and before what is due only now: it is among the first, or the answer is `free`.
    leased = tx.hot(
        "SELECT min(lease_until) FROM (SELECT lease_until FROM deployments WHERE wake_at IS NOT NULL AND wake_at <= ?"
        " ORDER BY wake_at LIMIT 64) AS due",
        (now,),
    )

    def first() -> float | None:
        found = [row[0] for row in (free.fetchone(), leased.fetchone()) if row is not None and row[0] is not None]
        return min(found, default=None)

    return first


def check_claim(tx: Transaction, claim: Claim) -> None:
    """Raise LeaseLostError unless this claim is the latest: the fence against a tick that slept too long."""
    row = tx.hot("SELECT fence FROM deployments WHERE id = ?", (claim.deployment_id,)).fetchone()
    if row is None or row[0] != claim.fence:
        raise LeaseLostError(claim.deployment_id)


def release(tx: Transaction, claim: Claim, *, wake_at: float) -> float | None:
    """Give the deployment back until `wake_at`, or sooner if somebody asked for a look during the tick.

    Returns until when; None where it has ended.
    """
    row = tx.hot(
        "UPDATE deployments SET lease_owner = NULL, lease_until = NULL,"
        " wake_at = CASE WHEN asked_at < ? THEN asked_at ELSE ? END"
        " WHERE id = ? AND wake_at IS NOT NULL RETURNING wake_at",
        (wake_at, wake_at, claim.deployment_id),
    ).fetchone()
    if row is None:
        return None
    if row[0] < wake_at:
        tx.tell(wakeup.deployment(claim.deployment_id))
    return float(row[0])


def begin(
    tx: Transaction, deployment_id: str, *, now: float, bundle: BundleFacts | None, required: int, total: int
) -> None:
    """Move a deployment from Created to InProgress."""
    tx.execute(
        update(deployments)
        .where(deployments.c.id == deployment_id)
        .values(
            status=DeploymentStatus.IN_PROGRESS.value,
            # A blue/green deployment that made its hosts first began then.
            start_time=func.coalesce(deployments.c.start_time, now),
            bundle=None if bundle is None else asdict(bundle),
            required_healthy=required,
            total_targets=total,
        )
    )


def is_stopping(tx: Transaction, deployment_id: str) -> bool:
    """Whether somebody has asked for a stop by now."""
    row = tx.hot("SELECT stop_requested_by FROM deployments WHERE id = ?", (deployment_id,)).fetchone()
    return row is not None and row[0] is not None


def keep_sides(tx: Transaction, deployment_id: str, replaced_groups: Sequence[str], copied_group: str | None) -> None:
    """Note which Auto Scaling groups a blue/green deployment is between, whatever its group is changed to meanwhile."""
    tx.hot(
        "UPDATE deployments SET replaced_groups = ?, copied_group = ? WHERE id = ?",
        (as_json(list(replaced_groups)), copied_group, deployment_id),
    )


def enter(tx: Transaction, deployment_id: str, phase: Phase, now: float) -> None:
    """Move a blue/green deployment on to a phase; it is Ready while it waits to be told to reroute traffic (S3.1)."""
    status = DeploymentStatus.READY if phase is Phase.READY_WAIT else DeploymentStatus.IN_PROGRESS
    tx.hot(
        "UPDATE deployments SET phase = ?, phase_time = ?, status = ?, continued = NULL WHERE id = ?",
        (phase.value, now, status.value, deployment_id),
    )


def finish(
    tx: Transaction,
    deployment_id: str,
    *,
    status: DeploymentStatus,
    code: ErrorCode | None,
    message: str | None,
    now: float,
    rollback_info: dict[str, Any] | None,
) -> None:
    """End a deployment and free its group; the engine looks at it no more. A message without a code is no error."""
    tx.hot(
        "UPDATE deployments SET status = ?, error_code = ?, error_message = ?, status_message = ?, complete_time = ?,"
        " rollback_info = ?, wake_at = NULL, lease_owner = NULL, lease_until = NULL WHERE id = ?",
        (
            status.value,
            None if code is None else code.value,
            None if code is None else message,
            message if code is None else None,
            now,
            None if rollback_info is None else as_json(rollback_info),
            deployment_id,
        ),
    )
    tx.hot(
        "UPDATE deployment_groups SET active_deployment_id = NULL WHERE id ="
        " (SELECT group_id FROM deployments WHERE id = ?) AND active_deployment_id = ?",
        (deployment_id, deployment_id),
    )
    tx.tell(wakeup.deployment(deployment_id))


def remember_hosts(tx: Transaction, deployment: Deployment, *, succeeded: bool) -> None:
    """Bring what the group knows of its hosts up to date after a deployment ended (S2.18, S2.19)."""
    known = tx.hot(
        "SELECT target_revision_identity FROM deployment_groups WHERE id = ?", (deployment.group_id,)
    ).fetchone()
    if known is None:  # the group was deleted meanwhile
        return
    current = known[0]
    # Hosts that were attempted: their own result. One that failed is no longer known to run what it ran.
    tx.hot(
        "INSERT INTO group_instances (group_id, target_id, healthy, revision_identity)"
        " SELECT ?, target_id, status = 'Succeeded',"
        " CASE status WHEN 'Succeeded' THEN ? END FROM targets"
        " WHERE deployment_id = ? AND (status IN ('Succeeded', 'Failed') OR position > 0)"
        " ON CONFLICT (group_id, target_id) DO UPDATE SET healthy = excluded.healthy, revision_identity = CASE"
        " WHEN NOT excluded.healthy AND group_instances.revision_identity <> ?"
        " THEN group_instances.revision_identity ELSE excluded.revision_identity END",
        (deployment.group_id, deployment.revision_identity, deployment.id, current or ""),
    )
    if not succeeded:
        return
    # Hosts that the successful deployment did not reach are unhealthy; the ones that were Current are Unknown now.
    tx.execute(
        update(group_instances)
        .where(
            group_instances.c.group_id == deployment.group_id,
            group_instances.c.target_id.in_(
                select(targets.c.target_id).where(
                    targets.c.deployment_id == deployment.id, targets.c.status != "Succeeded"
                )
            ),
        )
        .values(
            healthy=False,
            revision_identity=case(
                (group_instances.c.revision_identity == (current or ""), null()),
                else_=group_instances.c.revision_identity,
            ),
        )
    )
    have_succeeded_last(tx, deployment)


def say(tx: Transaction, deployment_id: str, message: str) -> None:
    """Have a deployment say this beside how it ended."""
    tx.hot("UPDATE deployments SET status_message = ? WHERE id = ?", (message, deployment_id))


def remember_replacements(tx: Transaction, deployment: Deployment) -> None:
    """Have a group know the hosts that a blue/green deployment gave traffic to, and nobody whose place they took."""
    tx.hot("DELETE FROM group_instances WHERE group_id = ?", (deployment.group_id,))
    tx.hot(
        "INSERT INTO group_instances (group_id, target_id, healthy, revision_identity)"
        " SELECT group_id, target_id, targets.status = 'Succeeded',"
        " CASE targets.status WHEN 'Succeeded' THEN revision_identity END"
        " FROM targets JOIN deployments ON deployments.id = deployment_id"
        " WHERE deployment_id = ? AND label = 'Green' AND targets.status IN ('Succeeded', 'Failed')"
        " AND EXISTS (SELECT 1 FROM deployment_groups WHERE deployment_groups.id = group_id)",
        (deployment.id,),
    )


def have_succeeded_last(tx: Transaction, deployment: Deployment) -> None:
    """Have a group know this deployment as its last successful one (S7.24, S7.25)."""
    tx.execute(
        update(deployment_groups)
        .where(deployment_groups.c.id == deployment.group_id)
        .values(
            target_revision=deployment.revision,
            target_revision_identity=deployment.revision_identity,
            last_successful_deployment_id=deployment.id,
        )
    )


def group_health(tx: Transaction, group_id: str) -> dict[str, tuple[bool, str | None]]:
    """What the group knows of each host: healthy, and the identity of the revision it runs."""
    rows = tx.hot(
        "SELECT target_id, healthy, revision_identity FROM group_instances WHERE group_id = ?", (group_id,)
    ).fetchall()
    return {row[0]: (bool(row[1]), row[2]) for row in rows}


def joined_late(tx: Transaction, group_id: str, current: str) -> list[str]:
    """Instances that still run what was deployed to them when they were launched, and not this revision."""
    rows = tx.hot(
        "SELECT target_id FROM group_instances WHERE group_id = ? AND healthy AND revision_identity <> ?"
        " AND EXISTS (SELECT 1 FROM deployments WHERE deployments.group_id = group_instances.group_id"
        " AND instance_id = target_id AND status = 'Succeeded'"
        " AND deployments.revision_identity = group_instances.revision_identity)",
        (group_id, current),
    ).fetchall()
    return [row[0] for row in rows]


def joined_since_last_update(tx: Transaction, group_id: str, root_id: str, instance_ids: Sequence[str]) -> bool:
    """Whether one of these instances joined after the last deployment that was made to update those of `root_id`."""
    last = tx.hot("SELECT max(create_time) FROM deployments WHERE root_deployment_id = ?", (root_id,)).fetchone()[0]
    if last is None:
        return True
    joined = select(deployments.c.instance_id).where(
        deployments.c.group_id == group_id,
        deployments.c.instance_id.in_(instance_ids),
        deployments.c.complete_time > last,
    )
    return tx.execute(joined.limit(1)).first() is not None


def finding_updates_of(tx: Transaction, root_id: str) -> Callable[[], list[str]]:
    """Ask which deployments brought this one's late joiners up to date, the first first (S9.6).

    Call what is returned to be told.
    """
    asked = tx.hot("SELECT id FROM deployments WHERE root_deployment_id = ? ORDER BY create_time", (root_id,))
    return lambda: [row[0] for row in asked.fetchall()]
