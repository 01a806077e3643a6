"""What a blue/green deployment to hosts does next (server.md S2.9, S3.10–S3.12, S4.5–S4.7, S6.9–S6.13, S7.11–S7.16).

    PROVISION → INSTALL → READY_WAIT → REROUTE → BLOCK → TERMINATION_WAIT → RETIRE

Replacements are found or made; the revision is installed on them; they wait for a word; they get traffic; the originals
lose it; the originals wait; they are terminated, or leave the group. A rollback moves traffic and nothing else:

    RESTORE → WITHDRAW
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from longshore.domain.balancing import ADDRESS_TAG
from longshore.domain.deployment import RUN_TIMEOUT, START_TIMEOUT, DeploymentStatus, ErrorCode, Finish
from longshore.domain.group import demands, ec2_tag_set
from longshore.domain.health import Fleet, Verdict, judge, room
from longshore.domain.lifecycle import READY_AT, Label
from longshore.domain.target import Target

#: A blue/green deployment longer than this fails, seconds (S4.5): two waits of 48 hours, and 13 events of one.
DEPLOYMENT_TIMEOUT = 109 * 3600.0
#: How long replacements may take to be there, and originals to go, seconds: as long as a lifecycle event may run.
PROVISION_TIMEOUT = RETIRE_TIMEOUT = RUN_TIMEOUT
#: How often is looked whether they are, seconds.
LOOK_EVERY = 2.0


class Phase(StrEnum):
    """How far a blue/green deployment has come. One that has entered a phase never goes back."""

    PROVISION = "provision"
    INSTALL = "install"
    READY_WAIT = "ready-wait"
    REROUTE = "reroute"
    BLOCK = "block"
    TERMINATION_WAIT = "termination-wait"
    RETIRE = "retire"
    RESTORE = "restore"
    WITHDRAW = "withdraw"

    @property
    def moves_traffic(self) -> bool:
        """Whether some host may serve now that did not when the deployment began, or the other way round."""
        return self not in {Phase.PROVISION, Phase.INSTALL, Phase.READY_WAIT}

    @property
    def counts_originals(self) -> bool:
        """Whether originals are part of `deploymentOverview`: from the moment on that they lose traffic (S3.24)."""
        return self.moves_traffic and self is not Phase.REROUTE


class Wait(StrEnum):
    """A wait that ContinueDeployment ends (`deploymentWaitType`)."""

    READY = "READY_WAIT"
    TERMINATION = "TERMINATION_WAIT"


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What a group's `blueGreenDeploymentConfiguration` says."""

    #: How long ready replacements wait for ContinueDeployment before the deployment stops, seconds; None: no wait.
    ready_wait: float | None = None
    #: Whether the replacements are a copy of the group's Auto Scaling group.
    copies_group: bool = False
    #: How long the originals stay before they are terminated, seconds; None: for good.
    termination_wait: float | None = None


def options_of(configuration: Mapping[str, Any]) -> Options:
    """Read a `blueGreenDeploymentConfiguration`; what it leaves out is done in the way that loses nothing."""
    ready = configuration.get("deploymentReadyOption", {})
    termination = configuration.get("terminateBlueInstancesOnDeploymentSuccess", {})
    waits = ready.get("actionOnTimeout") == "STOP_DEPLOYMENT"
    terminates = termination.get("action") == "TERMINATE"
    return Options(
        ready_wait=60.0 * ready.get("waitTimeInMinutes", 0) if waits else None,
        copies_group=configuration.get("greenFleetProvisioningOption", {}).get("action") == "COPY_AUTO_SCALING_GROUP",
        termination_wait=60.0 * termination.get("terminationWaitTimeInMinutes", 0) if terminates else None,
    )


#: The process by which an Auto Scaling group gives what it launches traffic.
TRAFFIC_PROCESS = "AddToLoadBalancer"
#: Processes of a copied Auto Scaling group that would give its instances traffic before their turn, or change how many
#: there are; they run when the replacements serve (S7.13).
SUSPENDED = (TRAFFIC_PROCESS, "AlarmNotification", "ScheduledActions")
#: The tag by which a copy is known to be a deployment's.
COPY_TAG = "CodeDeployProvisioningDeploymentId"


def copy_name(group: str, deployment_id: str) -> str:
    """How the copy of a deployment group's Auto Scaling group is called (S7.12)."""
    return f"CodeDeploy_{group}_{deployment_id}"


def members_deployed_to(group: Mapping[str, Any], named: Mapping[str, Any]) -> Mapping[str, Any]:
    """Who a deployment to a group with this document installs on, spelled as a group says it.

    Of a blue/green group these are the replacements that `named`, its `targetInstances`, means; of one that copies its
    Auto Scaling group, those that are to be copied stand for them.
    """
    if group["deploymentStyle"].get("deploymentType") != "BLUE_GREEN":
        return group
    if options_of(group.get("blueGreenDeploymentConfiguration", {})).copies_group:
        return {"autoScalingGroups": group.get("autoScalingGroups", [])}
    return members_named(named)


def members_named(named: Mapping[str, Any]) -> dict[str, Any]:
    """Whom `named`, a `targetInstances`, means, spelled as a group says it.

    Tags that ask for an address mean on-premises hosts; all others mean EC2 instances.
    """
    flat, tag_set = named.get("tagFilters"), named.get("ec2TagSet")
    members = {"ec2TagFilters": flat, "ec2TagSet": tag_set}
    if demands(ec2_tag_set(members), ADDRESS_TAG):
        several = (tag_set or {}).get("ec2TagSetList")
        members = {
            "onPremisesInstanceTagFilters": flat,
            "onPremisesTagSet": {"onPremisesTagSetList": several} if several else None,
        }
    members["autoScalingGroups"] = named.get("autoScalingGroups")
    return {member: value for member, value in members.items() if value}


#: The members of a group's document that say who belongs to it.
_MEMBERSHIP = frozenset(
    {"ec2TagFilters", "ec2TagSet", "onPremisesInstanceTagFilters", "onPremisesTagSet", "autoScalingGroups"}
)


def cannot_replace(hosts: Sequence[str], originals: Container[str]) -> str | None:
    """Why these cannot be replacements; `originals` are all that the group has deployed to and not let go of."""
    if serving := [host for host in hosts if host in originals]:
        return (
            f"{', '.join(sorted(serving)[:5])} would be replacements and are the group's originals too: they may be"
            " serving. targetInstances has to name instances that the group has not deployed to, or let go of."
        )
    if not hosts:
        return (
            "There are no replacement instances. Name running ones by their tags or Auto Scaling groups in"
            " targetInstances, and check that they have these tags."
        )
    return None


def group_after(group: Mapping[str, Any], replacements: Mapping[str, Any]) -> dict[str, Any]:
    """The document of a deployment group whose replacements have taken its originals' place.

    `replacements` says who they are, spelled as `targetInstances`. Whoever the group meant before it means no more, so
    that originals which are kept are not deployed to again (S7.15).
    """
    kept = {member: value for member, value in group.items() if member not in _MEMBERSHIP}
    return kept | members_named(replacements)


@dataclass(frozen=True, kw_only=True, slots=True)
class Side:
    """The hosts of one label, counted."""

    pending: int = 0
    #: Replacements with the revision installed, which have not begun to be given traffic.
    ready: int = 0
    in_flight: int = 0
    succeeded: int = 0
    failed: int = 0
    #: Of these, replacements that failed before they were ready.
    not_installed: int = 0
    skipped: int = 0

    @property
    def total(self) -> int:
        return sum(self.overview.values())

    @property
    def overview(self) -> dict[str, int]:
        """The counters as the API spells them (`deploymentOverview`)."""
        return {
            "Pending": self.pending,
            "InProgress": self.in_flight,
            "Succeeded": self.succeeded,
            "Failed": self.failed,
            "Skipped": self.skipped,
            "Ready": self.ready,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """All that the next step depends on."""

    phase: Phase
    #: When that phase began, and when the deployment was created, epoch seconds.
    since: float
    create_time: float
    options: Options
    green: Side
    blue: Side
    #: Replacements that must end healthy; of a rollback, originals (S2.10).
    required: int
    #: Whether the replacements are there to be deployed to, or the originals are gone that shall go, and what is wrong
    #: or missing: of originals that will never go, both are set.
    is_arranged: bool = False
    unarranged: str = ""
    #: The wait whose end was asked for.
    continued: Wait | None = None
    #: Why the deployment ends before it is through, if it does: a stop, alarms, a deleted group.
    ending: Finish | None = None
    #: Hosts whose open command's deadline has passed, and when the next one counts as lost.
    overdue: tuple[str, ...] = ()
    first_deadline: float | None = None
    #: Hosts that may be started now, in their order, at least as many as there is room for.
    waiting: tuple[str, ...] = ()
    #: Hosts that have not ended and whose agent runs nothing: what a deployment that ends gives up. Whether others run.
    idle: tuple[str, ...] = ()
    is_running: bool = False
    #: A sentence on the first host that failed, and the code of its reason where that is the deployment's too.
    first_failure: str | None = None
    failure_code: ErrorCode | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """What is to be done, in the order of the fields, and when to look again."""

    lose: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    #: Let no host start another event.
    halt: bool = False
    start: tuple[str, ...] = ()
    enter: Phase | None = None
    finish: Finish | None = None
    #: Epoch seconds; meaningless with `finish`.
    look_at: float
    #: One sentence for the log: why.
    reason: str


def is_to_be_switched(target: Target) -> bool:
    """Whether a rollback gives this original its traffic back, or takes this replacement's away (S3.12).

    Only of a host that has begun to have it moved: all others are as they were.
    """
    first = READY_AT if target.label is Label.GREEN else 0
    return any(event.start_time is not None for event in target.events[first:])


def rolling(seen: Seen) -> Fleet | None:
    """The hosts that this phase takes one after another, as minimum healthy hosts count them."""
    match seen.phase:
        case Phase.INSTALL:
            return _installing(seen)
        case Phase.REROUTE:
            return _rerouting(seen)
        case Phase.RESTORE:
            return _restoring(seen)
    return None


def next_step(seen: Seen, now: float) -> Step:
    """The next step of a blue/green deployment that is in progress.

    Pure, and called at every wake-up: it must be right when called twice, late, or after a crash half-way.
    """
    if seen.overdue:
        return Step(lose=seen.overdue, look_at=now, reason=f"{len(seen.overdue)} host(s) gave no answer in time")
    if seen.phase is Phase.RETIRE:
        # Past the point of no return: originals may be gone already, so nothing stops it any more (S6.9).
        return _retire(seen, now)
    if ending := seen.ending or _timeout(seen, now):
        return _close(seen, ending, now)
    match seen.phase:
        case Phase.PROVISION:
            return _provision(seen, now)
        case Phase.INSTALL:
            after = Phase.REROUTE if seen.options.ready_wait is None else Phase.READY_WAIT
            return _roll(seen, _installing(seen), after, now)
        case Phase.READY_WAIT:
            return _wait_ready(seen, now)
        case Phase.REROUTE:
            return _roll(seen, _rerouting(seen), Phase.BLOCK, now)
        case Phase.BLOCK:
            # A group that nothing was deployed to yet has no originals.
            after = Phase.RETIRE if seen.options.termination_wait is None else Phase.TERMINATION_WAIT
            return _block(seen, seen.blue, after, now)
        case Phase.TERMINATION_WAIT:
            return _wait_termination(seen, now)
        case Phase.RESTORE:
            return _roll(seen, _restoring(seen), Phase.WITHDRAW, now)
        case Phase.WITHDRAW:
            return _block(seen, seen.green, None, now)


def _provision(seen: Seen, now: float) -> Step:
    if seen.is_arranged:
        return Step(enter=Phase.INSTALL, look_at=now, reason="the replacements are there")
    if now >= seen.since + PROVISION_TIMEOUT:
        message = f"The replacement instances were not there after {PROVISION_TIMEOUT / 60:.0f} minutes."
        message += f" {seen.unarranged}" if seen.unarranged else ""
        return _close(seen, Finish(status=DeploymentStatus.FAILED, code=ErrorCode.NO_INSTANCES, message=message), now)
    return Step(look_at=now + LOOK_EVERY, reason=f"replacements are on their way: {seen.unarranged}")


def _wait_ready(seen: Seen, now: float) -> Step:
    """S4.6, S7.14."""
    if seen.continued is Wait.READY or seen.options.ready_wait is None:
        return Step(enter=Phase.REROUTE, look_at=now, reason="traffic may be rerouted")
    end = seen.since + seen.options.ready_wait
    if now >= end:
        message = (
            f"Nobody asked for traffic to be rerouted within {seen.options.ready_wait / 60:.0f} minutes."
            " Deploy again, and call ContinueDeployment in time."
        )
        return _close(seen, Finish(status=DeploymentStatus.STOPPED, code=ErrorCode.TIMEOUT, message=message), now)
    return Step(look_at=_look(seen, end), reason="ready; waiting for ContinueDeployment")


def _wait_termination(seen: Seen, now: float) -> Step:
    """S6.13: what was asked to be ended early, or is over, is over."""
    end = seen.since + (seen.options.termination_wait or 0.0)
    if seen.continued is Wait.TERMINATION or now >= end:
        return Step(enter=Phase.RETIRE, look_at=now, reason="the originals have waited long enough")
    return Step(look_at=_look(seen, end), reason="the originals wait to be terminated")


def _retire(seen: Seen, now: float) -> Step:
    """Whatever becomes of the originals, the replacements serve (S7.16)."""
    if seen.is_arranged and not seen.unarranged:
        return Step(finish=Finish(status=DeploymentStatus.SUCCEEDED), look_at=now, reason="the replacements serve")
    if seen.is_arranged or now >= seen.since + RETIRE_TIMEOUT:
        message = f"The original instances could not all be terminated; look after them yourself. {seen.unarranged}"
        finish = Finish(status=DeploymentStatus.SUCCEEDED, message=message.strip())
        return Step(finish=finish, look_at=now, reason="originals are left behind")
    return Step(look_at=now + LOOK_EVERY, reason=f"the originals are leaving: {seen.unarranged}")


def _installing(seen: Seen) -> Fleet:
    """The replacements on their way to Ready: the rules of an in-place deployment (S2.9)."""
    green = seen.green
    return Fleet(
        total=green.total,
        required=seen.required,
        pending=green.pending,
        in_flight=green.in_flight,
        succeeded=green.ready + green.succeeded,
        failed=green.failed,
        skipped=green.skipped,
    )


def _rerouting(seen: Seen) -> Fleet:
    """The replacements that got ready, on their way to traffic: as many at a time as were deployed to (S2.9)."""
    green = seen.green
    total = green.total - green.not_installed
    return Fleet(
        total=total,
        required=total - (green.total - seen.required),
        pending=green.ready,
        in_flight=green.in_flight,
        succeeded=green.succeeded,
        failed=green.failed - green.not_installed,
        skipped=green.skipped,
    )


def _restoring(seen: Seen) -> Fleet:
    """The originals, on their way back to traffic."""
    blue = seen.blue
    return Fleet(
        total=blue.total,
        required=seen.required,
        pending=blue.pending,
        in_flight=blue.in_flight,
        succeeded=blue.succeeded,
        failed=blue.failed,
        skipped=blue.skipped,
    )


def _roll(seen: Seen, fleet: Fleet, after: Phase, now: float) -> Step:
    """Start as many hosts as the floor leaves room for, until all have ended well enough for the next phase."""
    if fleet.total == 0:
        return Step(enter=after, look_at=now, reason="there are no hosts for this phase")
    verdict = judge(fleet)
    if seen.green.total - seen.green.failed < seen.required and after is Phase.BLOCK:
        # Some failed to be installed, and now too many have failed altogether.
        verdict = Verdict.DOOMED if fleet.in_flight else Verdict.FAILED
    match verdict:
        case Verdict.SUCCEEDED:
            return Step(enter=after, look_at=now, reason=f"{fleet.succeeded} of {fleet.total} host(s) got through")
        case Verdict.OPEN:
            starting = seen.waiting[: room(fleet)]
            if starting:
                look_at = now + START_TIMEOUT
                return Step(start=starting, look_at=look_at, reason=f"{len(starting)} host(s) may start")
            return Step(look_at=_next_look(seen, now), reason="hosts are at work")
        case Verdict.DOOMED:
            # Start no more, but let those at work go through to their end (S2.13 c).
            look_at = _next_look(seen, now)
            return Step(skip=seen.waiting, look_at=look_at, reason="too many hosts failed; others finish")
        case _:
            return Step(skip=seen.idle, finish=_too_many_failed(seen, fleet), look_at=now, reason="too many failed")


def _block(seen: Seen, side: Side, after: Phase | None, now: float) -> Step:
    """Take every host of this side off traffic, all at once: the other side serves."""
    if side.pending:
        starting = seen.waiting
        return Step(start=starting, look_at=now + START_TIMEOUT, reason=f"{len(starting)} host(s) lose their traffic")
    if side.in_flight:
        return Step(look_at=_next_look(seen, now), reason="hosts are at work")
    if side.failed:
        # One is enough (S2.10): it may still be serving the other revision.
        return Step(finish=_not_blocked(seen, side), look_at=now, reason="some could not be taken off their traffic")
    if after is None:
        return Step(finish=Finish(status=DeploymentStatus.SUCCEEDED), look_at=now, reason="the originals serve again")
    return Step(enter=after, look_at=now, reason="the originals serve no more")


def _close(seen: Seen, ending: Finish, now: float) -> Step:
    """Schedule nothing more; what runs may finish its event (S6.5)."""
    if seen.is_running:
        return Step(skip=seen.idle, halt=True, look_at=_next_look(seen, now), reason=f"{ending.code}: events finish")
    return Step(skip=seen.idle, finish=ending, look_at=now, reason=str(ending.code))


def _timeout(seen: Seen, now: float) -> Finish | None:
    if now < seen.create_time + DEPLOYMENT_TIMEOUT:
        return None
    message = f"The deployment took longer than {DEPLOYMENT_TIMEOUT / 3600:.0f} hours."
    return Finish(status=DeploymentStatus.FAILED, code=ErrorCode.TIMEOUT, message=message)


def _too_many_failed(seen: Seen, fleet: Fleet) -> Finish:
    what = {
        Phase.INSTALL: "had the revision installed",
        Phase.REROUTE: "were given traffic",
        Phase.RESTORE: "got their traffic back",
    }[seen.phase]
    side = seen.blue if seen.phase is Phase.RESTORE else seen.green
    message = (
        f"{fleet.succeeded} of {side.total} {_name(seen.phase)} instance(s) {what}, {side.failed} failed and"
        f" {fleet.pending + fleet.skipped} were not attempted; the deployment needs at least"
        f" {max(seen.required, 1)} to succeed."
    )
    return _failed(seen, message)


def _not_blocked(seen: Seen, side: Side) -> Finish:
    message = (
        f"{side.failed} of {side.total} {_name(seen.phase)} instance(s) could not be taken off their load balancers,"
        " and may still be serving."
    )
    return _failed(seen, message)


def _name(phase: Phase) -> str:
    return "original" if phase in {Phase.RESTORE, Phase.BLOCK} else "replacement"


def _failed(seen: Seen, message: str) -> Finish:
    if seen.first_failure:
        message += f" First failure: {seen.first_failure}"
    code = seen.failure_code or ErrorCode.HEALTH_CONSTRAINTS
    return Finish(status=DeploymentStatus.FAILED, code=code, message=message)


def _next_look(seen: Seen, now: float) -> float:
    # A deadline made after this look cannot come sooner than START_TIMEOUT from now, so this misses none.
    return _look(seen, now + START_TIMEOUT)


def _look(seen: Seen, latest: float) -> float:
    latest = min(latest, seen.create_time + DEPLOYMENT_TIMEOUT)
    return latest if seen.first_deadline is None else min(latest, seen.first_deadline)
