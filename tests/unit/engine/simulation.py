"""The rules of the Server platform in a world that loses, repeats, delays and reorders, and in which hosts die.

Rows are values here, and a tick is what the engine's is: look, act on the world, decide by the real rules, and apply
what was decided to rows that may have moved on. Every chance is drawn from one source, so a run can be repeated.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from random import Random

from longshore.domain.blue_green import Options, Phase, Side, Step, Wait, is_to_be_switched, next_step
from longshore.domain.blue_green import Seen as BlueGreenSeen
from longshore.domain.deployment import (
    DEPLOYMENT_TIMEOUT,
    DeploymentStatus,
    ErrorCode,
    Finish,
    ScriptCode,
    TargetStatus,
)
from longshore.domain.health import Fleet, room
from longshore.domain.lifecycle import (
    ALLOW_TRAFFIC,
    BLOCK_TRAFFIC,
    BLUE_GREEN,
    BLUE_GREEN_ROLLBACK,
    IN_PLACE,
    READY_AT,
    Label,
)
from longshore.domain.target import (
    CommandState,
    Diagnostics,
    Report,
    Target,
    advance,
    begin,
    lose,
    returned,
    settle,
    skip,
    start,
)
from longshore.engine.plan import Plan
from longshore.engine.server.decide import Seen as InPlaceSeen
from longshore.engine.server.decide import decide, ending_of

_LEASE = 60.0
#: Events during which a host may be in pieces.
_WORK = frozenset({*IN_PLACE, "AfterBlockTraffic", "BeforeAllowTraffic"})


@dataclass
class Host:
    """A host, its agent, and what the load balancer knows of it."""

    name: str
    is_alive: bool = True
    is_terminated: bool = False
    is_registered: bool = False
    #: Whether the load balancer calls it healthy when it is registered.
    is_healthy: bool = True

    @property
    def serves(self) -> bool:
        return self.is_registered and self.is_healthy and self.is_alive


@dataclass
class Deployment:
    """A row of `deployments` and its `targets`."""

    id: int
    create_time: float
    required: int
    targets: dict[str, Target]
    #: None in place.
    phase: Phase | None = None
    since: float = 0.0
    options: Options = field(default_factory=Options)
    is_rollback: bool = False
    status: DeploymentStatus = DeploymentStatus.IN_PROGRESS
    stop_requested: bool = False
    #: Its group was deleted under it.
    is_orphaned: bool = False
    continued: Wait | None = None
    wake_at: float = 0.0
    code: ErrorCode | None = None
    #: What a copied Auto Scaling group will consist of.
    to_come: tuple[str, ...] = ()

    def side(self, label: Label) -> dict[str, Target]:
        return {name: target for name, target in self.targets.items() if target.label is label}


@dataclass
class Group:
    """A deployment group."""

    members: list[str]
    active: Deployment | None = None


@dataclass(frozen=True)
class Said:
    """A report under way."""

    deployment: Deployment
    host: str
    report: Report


class Simulation:
    """One deployment group, its hosts, the network between, and a clock."""

    def __init__(self, chance: Random) -> None:
        self.chance = chance
        self.now = 1000.0
        self.hosts: dict[str, Host] = {}
        self.group = Group(members=self._launch(chance.randint(1, 4), registered=True))
        self.deployments: list[Deployment] = []
        #: Reports that may still come, once or more than once.
        self.network: list[Said] = []
        #: Offers an agent has got and not acknowledged: deployment, host, position, attempt.
        self.offers: list[tuple[Deployment, str, int, str]] = []
        #: What agents are executing.
        self.executing: dict[tuple[int, str, int], tuple[Deployment, str, int, str]] = {}
        self.ran: set[tuple[int, str, int]] = set()
        self.balancer_is_away = False
        self.failure_rate = chance.choice([0.0, 0.02, 0.1])
        self._attempts = 0
        #: How many of each deployment's hosts were down at most, for the message of a broken floor.
        self.history: list[str] = []

    def _launch(self, number: int, *, registered: bool) -> list[str]:
        names = [f"h{len(self.hosts) + count}" for count in range(number)]
        for name in names:
            self.hosts[name] = Host(name=name, is_registered=registered)
        return names

    # What users do.

    def deploy(self) -> None:
        """CreateDeployment: in place or blue/green, with some floor; refused while another one is active (S6.2)."""
        if self.group.active is not None or not self.group.members:
            return
        deployment = self._in_place() if self.chance.random() < 0.3 else self._blue_green()
        self._add(deployment)

    def _in_place(self) -> Deployment:
        events = (*BLOCK_TRAFFIC, *IN_PLACE, *ALLOW_TRAFFIC)
        targets = {name: begin(events, forgives_stop_failures=self._maybe()) for name in self.group.members}
        return self._deployment(targets, self.chance.randint(0, len(targets) - 1))

    def _blue_green(self) -> Deployment:
        chance = self.chance
        options = Options(
            ready_wait=chance.choice([None, 0.0, 600.0]),
            copies_group=self._maybe(),
            termination_wait=chance.choice([None, 0.0, 600.0]),
        )
        replacements = tuple(self._launch(chance.randint(1, 4), registered=False))
        deployment = self._deployment({}, chance.randint(0, len(replacements) - 1))
        deployment.options = options
        deployment.phase, deployment.since, deployment.to_come = Phase.PROVISION, self.now, replacements
        return deployment

    def _deployment(self, targets: dict[str, Target], required: int) -> Deployment:
        number = len(self.deployments) + 1
        return Deployment(id=number, create_time=self.now, required=required, targets=targets, wake_at=self.now)

    def _add(self, deployment: Deployment) -> None:
        assert self.group.active is None, "two deployments of one group are active"
        self.deployments.append(deployment)
        self.group.active = deployment
        self.history.append(f"{self.now:.0f} deployment {deployment.id} {deployment.phase} begins")

    def stop(self) -> None:
        """StopDeployment: in the same commit, no host starts another event (S6.5, S6.9)."""
        deployment = self.group.active
        if deployment is not None and deployment.phase is not Phase.RETIRE:
            deployment.stop_requested = True
            self._halt(deployment)
            deployment.wake_at = self.now

    def delete_the_group(self) -> None:
        """DeleteDeploymentGroup under a deployment: whoever deploys next does so to a new one of the same hosts."""
        if self.group.active is not None:
            self.group.active.is_orphaned = True
            self.group.active.wake_at = self.now

    def go_on(self) -> None:
        """ContinueDeployment, of whichever wait there is (S6.10)."""
        deployment = self.group.active
        waits = {Phase.READY_WAIT: Wait.READY, Phase.TERMINATION_WAIT: Wait.TERMINATION}
        if deployment is not None and deployment.phase in waits:
            deployment.continued = waits[deployment.phase]
            deployment.wake_at = self.now

    # What the world does.

    def kill_a_host(self) -> None:
        host = self.chance.choice(list(self.hosts.values()))
        host.is_alive = False

    def balancer_changes(self) -> None:
        self.balancer_is_away = not self.balancer_is_away

    def health_changes(self) -> None:
        host = self.chance.choice(list(self.hosts.values()))
        host.is_healthy = not host.is_healthy

    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    # What agents do.

    def poll(self) -> None:
        """An agent asks for its command; the answer may be lost."""
        found = [
            (deployment, name)
            for deployment in self.deployments
            for name, target in deployment.targets.items()
            if target.command is CommandState.READY and self._is_there(name)
        ]
        if not found:
            return
        deployment, name = self.chance.choice(found)
        self._attempts += 1
        if not self._lost():
            position = deployment.targets[name].position
            self.offers.append((deployment, name, position, f"a{self._attempts}"))

    def acknowledge(self) -> None:
        """An agent takes up an offer, however old; who is told to run it runs it."""
        if not self.offers:
            return
        offer = self.chance.choice(self.offers)
        deployment, name, position, attempt = offer
        if not self._is_there(name):
            self.offers.remove(offer)
            return
        self._hear(Said(deployment, name, Report(position=position, attempt=attempt)))
        target = deployment.targets[name]
        if self._lost():
            return  # the agent asks again with the same offer
        self.offers.remove(offer)
        runs = (target.command, target.position, target.attempt) == (CommandState.RUNNING, position, attempt)
        key = (deployment.id, name, position)
        if runs and key not in self.executing:
            assert key not in self.ran, f"{name} runs event {position} of deployment {deployment.id} twice"
            self.ran.add(key)
            self.executing[key] = offer

    def complete(self) -> None:
        """An agent is done with an event; it says so until it is heard, and maybe again."""
        if not self.executing:
            return
        key = self.chance.choice(list(self.executing))
        deployment, name, position, attempt = self.executing.pop(key)
        if not self._is_there(name):
            return
        code = ScriptCode.SCRIPT_FAILED if self.chance.random() < self.failure_rate else ScriptCode.SUCCESS
        self.network.append(Said(deployment, name, Report(position=position, attempt=attempt, outcome=_ended(code))))

    def hear(self) -> None:
        """A report comes, in any order, and may come again."""
        if not self.network:
            return
        said = self.chance.choice(self.network)
        self._hear(said)
        if self.chance.random() < 0.7:
            self.network.remove(said)

    def _hear(self, said: Said) -> None:
        before = said.deployment.targets[said.host]
        after = advance(before, said.report, self.now)
        said.deployment.targets[said.host] = after
        if after is not before and after.awaits_engine:
            said.deployment.wake_at = min(said.deployment.wake_at, self.now)

    # What the engine does.

    def tick(self, *, may_crash: bool = True, meanwhile: Iterable[str] = ()) -> None:
        """One look at the active deployment; `meanwhile` happens between the decision and its commit."""
        deployment = self.group.active
        if deployment is None or deployment.wake_at > self.now:
            return
        # Who asks for a look from here on gets one; a tick that dies is followed by another when its lease is over.
        deployment.wake_at = self.now + _LEASE
        self._move_traffic(deployment, may_crash=may_crash)
        if deployment.phase is Phase.RETIRE:
            self._retire(deployment)
        if may_crash and self.chance.random() < 0.05:
            return  # killed before the decision
        decided = self._decide(deployment)
        for happening in meanwhile:
            getattr(self, happening)()
        if may_crash and self.chance.random() < 0.05:
            return  # killed before the commit
        self._apply(deployment, decided)

    def _move_traffic(self, deployment: Deployment, *, may_crash: bool) -> None:
        """The engine's own events, at the load balancer: asked for again until it has followed."""
        for name, target in list(deployment.targets.items()):
            if target.command not in (CommandState.ENGINE, CommandState.RETURN) or self.balancer_is_away:
                continue
            host = self.hosts[name]
            goes_back = target.command is CommandState.RETURN
            wants = goes_back or target.event.name == "AllowTraffic"
            if not wants:
                # Written down before it is done.
                target = deployment.targets[name] = replace(target, taken_out=True)
            host.is_registered = wants and not host.is_terminated
            if may_crash and self._lost():
                continue  # done, and the answer was lost
            if goes_back:
                deployment.targets[name] = returned(target)
            elif not wants or host.serves:
                deployment.targets[name] = settle(target, _ended(ScriptCode.SUCCESS), self.now)

    def _retire(self, deployment: Deployment) -> None:
        if deployment.options.termination_wait is None or self.balancer_is_away:
            return
        served = [name for name, one in deployment.side(Label.GREEN).items() if one.status is TargetStatus.SUCCEEDED]
        assert len(served) >= max(1, deployment.required), "originals are terminated before the replacements serve"
        assert all(self.hosts[name].is_registered for name in served), "originals go, and a replacement has no traffic"
        for name in deployment.side(Label.BLUE):
            host = self.hosts[name]
            host.is_terminated, host.is_alive, host.is_registered = True, False, False

    def _decide(self, deployment: Deployment) -> Plan | Step:
        if deployment.phase is None:
            return decide(self._in_place_seen(deployment), self.now)
        return next_step(self._blue_green_seen(deployment), self.now)

    def _in_place_seen(self, deployment: Deployment) -> InPlaceSeen:
        side = _side(deployment.targets)
        fleet = Fleet(
            total=side.total,
            required=deployment.required,
            pending=side.pending,
            in_flight=side.in_flight,
            succeeded=side.succeeded,
            failed=side.failed,
            skipped=side.skipped,
        )
        is_over = self.now >= deployment.create_time + DEPLOYMENT_TIMEOUT
        closing = deployment.stop_requested or deployment.is_orphaned or side.failed > 0 or is_over
        pending = [name for name, target in deployment.targets.items() if target.status is TargetStatus.PENDING]
        return InPlaceSeen(
            fleet=fleet,
            create_time=deployment.create_time,
            stop_requested_by="somebody" if deployment.stop_requested else None,
            alarm=None,
            missing=ErrorCode.DEPLOYMENT_GROUP_MISSING if deployment.is_orphaned else None,
            overdue=self._overdue(deployment),
            first_deadline=_first_deadline(deployment),
            pending=tuple(pending[: None if closing else room(fleet)]),
            not_taken_up=tuple(
                name for name, target in deployment.targets.items() if target.command is CommandState.READY
            ),
            first_failure=None,
            leaving=tuple(
                name
                for name, target in deployment.targets.items()
                if target.command is CommandState.ENGINE and target.event.name == "BlockTraffic"
            ),
            returning=sum(target.command is CommandState.RETURN for target in deployment.targets.values()),
        )

    def _blue_green_seen(self, deployment: Deployment) -> BlueGreenSeen:
        phase = deployment.phase
        assert phase is not None
        label, status = {
            Phase.REROUTE: (Label.GREEN, TargetStatus.READY),
            Phase.BLOCK: (Label.BLUE, TargetStatus.PENDING),
            Phase.RESTORE: (Label.BLUE, TargetStatus.PENDING),
        }.get(phase, (Label.GREEN, TargetStatus.PENDING))
        waiting = [name for name, target in deployment.side(label).items() if target.status is status]
        blue = deployment.side(Label.BLUE)
        kept = deployment.options.termination_wait is None
        arranged = {
            Phase.PROVISION: self._maybe(),
            Phase.RETIRE: kept or all(self.hosts[name].is_terminated for name in blue),
        }
        missing = ErrorCode.DEPLOYMENT_GROUP_MISSING if deployment.is_orphaned else None
        return BlueGreenSeen(
            phase=phase,
            since=deployment.since,
            create_time=deployment.create_time,
            options=deployment.options,
            green=_side(deployment.side(Label.GREEN)),
            blue=_side(blue),
            required=deployment.required,
            is_arranged=arranged.get(phase, False),
            continued=deployment.continued,
            ending=ending_of(missing, None, "somebody" if deployment.stop_requested else None),
            overdue=self._overdue(deployment),
            first_deadline=_first_deadline(deployment),
            waiting=tuple(waiting),
            idle=tuple(
                name
                for name, target in deployment.targets.items()
                if not target.status.is_final and target.command is not CommandState.RUNNING
            ),
            is_running=any(target.command is CommandState.RUNNING for target in deployment.targets.values()),
        )

    def _overdue(self, deployment: Deployment) -> tuple[str, ...]:
        return tuple(
            name
            for name, target in deployment.targets.items()
            if target.deadline is not None and target.deadline <= self.now
        )

    def _apply(self, deployment: Deployment, decided: Plan | Step) -> None:
        """As `engine.apply`: every host is looked at again, and one that has moved on is left as it is."""
        for names, move in ((decided.lose, lose), (decided.skip, skip)):
            for name in names:
                deployment.targets[name] = move(deployment.targets[name], self.now)
        if decided.halt:
            self._halt(deployment)
        for name in decided.start:
            deployment.targets[name] = start(deployment.targets[name], self.now)
        look_at = decided.wake_at if isinstance(decided, Plan) else decided.look_at
        was_asked = deployment.wake_at < self.now + _LEASE
        deployment.wake_at = min(deployment.wake_at, look_at) if was_asked else look_at
        if isinstance(decided, Step) and decided.enter is not None:
            self._enter(deployment, decided.enter)
        if decided.finish is None:
            return
        if any(target.command in (CommandState.ENGINE, CommandState.RETURN) for target in deployment.targets.values()):
            deployment.wake_at = self.now  # given up meanwhile, and to be put back first
            return
        if any(target.status is TargetStatus.IN_PROGRESS for target in deployment.targets.values()):
            self._halt(deployment)
            deployment.wake_at = self.now
            return
        self._finish(deployment, decided.finish)

    def _enter(self, deployment: Deployment, phase: Phase) -> None:
        deployment.wake_at = self.now
        if deployment.stop_requested:
            return  # the next look sees it: there may be no way back from the phase
        if phase is Phase.INSTALL:
            green = {name: begin(BLUE_GREEN[Label.GREEN], label=Label.GREEN) for name in deployment.to_come}
            blue = {name: begin(BLUE_GREEN[Label.BLUE], label=Label.BLUE) for name in self.group.members}
            deployment.targets = green | blue
        deployment.phase, deployment.since, deployment.continued = phase, self.now, None
        self.history.append(f"{self.now:.0f} deployment {deployment.id} enters {phase}")

    def _finish(self, deployment: Deployment, finish: Finish) -> None:
        deployment.status, deployment.code = finish.status, finish.code
        self.group.active = None
        self.history.append(f"{self.now:.0f} deployment {deployment.id} ends: {finish}")
        assert all(target.status.is_final for target in deployment.targets.values()), "a host has not ended"
        if deployment.phase is Phase.RETIRE:
            assert finish.status is DeploymentStatus.SUCCEEDED, "it ends as if there was a way back, and there is none"
        if finish.status is DeploymentStatus.SUCCEEDED:
            if deployment.phase is Phase.RETIRE:
                self.group.members = list(deployment.side(Label.GREEN))
        elif deployment.is_rollback or deployment.is_orphaned or deployment.phase is None:
            return
        elif deployment.phase.moves_traffic:
            self._roll_back(deployment)

    def _roll_back(self, ended: Deployment) -> None:
        switched = {name: target for name, target in ended.targets.items() if is_to_be_switched(target)}
        if not switched:
            return
        rollback = self._deployment({}, 0)
        for name, target in switched.items():
            label = target.label
            assert label is not None
            rollback.targets[name] = begin(BLUE_GREEN_ROLLBACK[label], label=label)
        originals = len(rollback.side(Label.BLUE))
        rollback.required = min(ended.required, max(originals - 1, 0))
        rollback.phase, rollback.since, rollback.is_rollback = Phase.RESTORE, self.now, True
        self._add(rollback)

    def _halt(self, deployment: Deployment) -> None:
        for name, target in deployment.targets.items():
            if target.status is TargetStatus.IN_PROGRESS:
                deployment.targets[name] = replace(target, halted=True)

    # What must always hold.

    def check(self) -> None:
        active = [deployment for deployment in self.deployments if not deployment.status.is_final]
        assert active == ([] if self.group.active is None else [self.group.active])
        for deployment in active:
            self._check_floor(deployment)
            self._check_traffic(deployment)

    def _check_floor(self, deployment: Deployment) -> None:
        """What we take down ourselves never leaves fewer than were promised."""
        if deployment.phase is None:
            side = _side(deployment.targets)
            assert side.total - side.in_flight - side.failed >= deployment.required, "the floor is broken"
            return
        green, blue = deployment.side(Label.GREEN), deployment.side(Label.BLUE)
        losing = {name for name, target in blue.items() if _has_begun(target, "BlockTraffic")}
        if losing and not deployment.is_rollback:
            got = sum(target.status is TargetStatus.SUCCEEDED for target in green.values())
            assert got >= max(1, deployment.required), "originals lose traffic that too few replacements have"
        withdrawn = [name for name, target in green.items() if _has_begun(target, "BlockTraffic")]
        if withdrawn and blue:
            back = sum(target.status is TargetStatus.SUCCEEDED for target in blue.values())
            assert back >= max(1, deployment.required), "replacements are withdrawn and the originals are not back"

    def _check_traffic(self, deployment: Deployment) -> None:
        """Traffic goes to no host that is being worked on, and to no replacement before its turn."""
        for name, target in deployment.targets.items():
            host = self.hosts[name]
            if not host.is_registered:
                continue
            if target.command is CommandState.RUNNING and target.label is None:
                assert target.event.name not in _WORK, f"{name} gets traffic during {target.event.name}"
            if target.label is Label.GREEN and not deployment.is_rollback:
                assert _has_begun(target, "AllowTraffic"), f"{name} gets traffic and is {target.status}"
            if target.label is Label.BLUE and not deployment.is_rollback:
                assert target.status is not TargetStatus.SUCCEEDED, f"{name} was blocked and gets traffic"

    # To the end.

    def finish(
        self, *, stop_in: Phase | None = None, kill_in: Phase | None = None, delete_in: Phase | None = None
    ) -> None:
        """From here on nothing is lost, and what can come comes: every deployment must end.

        The first deployment to enter `stop_in` is stopped there, the first in `delete_in` loses its group; a host dies
        when the first enters `kill_in`.
        """
        self.balancer_is_away = False
        for _ in range(4000):
            if self.group.active is None:
                return
            if stop_in is not None and self.group.active.phase is stop_in:
                self.stop()
                stop_in = None
            if kill_in is not None and self.group.active.phase is kill_in:
                self.kill_a_host()
                kill_in = None
            if delete_in is not None and self.group.active.phase is delete_in:
                self.delete_the_group()
                delete_in = None
            for step in (self.poll, self.acknowledge, self.complete, self.hear):
                step()
            self.tick(may_crash=False)
            self.check()
            is_quiet = not (self.network or self.executing or self.offers) and not self._someone_polls()
            if self.group.active is not None:
                self.now = max(self.now, self.group.active.wake_at) if is_quiet else self.now + 1.0
        stuck = self.group.active
        raise AssertionError(f"deployment {stuck.id} does not end, in phase {stuck.phase}")

    def _someone_polls(self) -> bool:
        return any(
            target.command is CommandState.READY and self._is_there(name)
            for deployment in self.deployments
            for name, target in deployment.targets.items()
        )

    def _is_there(self, name: str) -> bool:
        return self.hosts[name].is_alive

    def _lost(self) -> bool:
        return self.chance.random() < 0.1

    def _maybe(self) -> bool:
        return self.chance.random() < 0.5


def _ended(code: ScriptCode) -> Diagnostics:
    return Diagnostics(error_code=code, script_name="", message="", log_tail="")


def _has_begun(target: Target, name: str) -> bool:
    return any(event.name == name and event.start_time is not None for event in target.events)


def _first_deadline(deployment: Deployment) -> float | None:
    return min((target.deadline for target in deployment.targets.values() if target.deadline), default=None)


def _side(targets: dict[str, Target]) -> Side:
    def number(status: TargetStatus) -> int:
        return sum(target.status is status for target in targets.values())

    return Side(
        pending=number(TargetStatus.PENDING),
        ready=number(TargetStatus.READY),
        in_flight=number(TargetStatus.IN_PROGRESS),
        succeeded=number(TargetStatus.SUCCEEDED),
        failed=number(TargetStatus.FAILED),
        not_installed=sum(
            target.status is TargetStatus.FAILED and target.position < READY_AT for target in targets.values()
        ),
        skipped=number(TargetStatus.SKIPPED),
    )
