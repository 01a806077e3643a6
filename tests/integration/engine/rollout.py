"""A deployment driven step by step: the real store, operations and engine; simulated hosts and a clock of our own."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy.engine import URL

from longshore.api import (
    applications,
    deployment_configs,
    deployment_groups,
    deployment_targets,
    deployments,
    on_premises_instances,
)
from longshore.api.limits import Limits
from longshore.api.operations import Call
from longshore.domain.alarms import AlarmState
from longshore.domain.balancing import Backend, Balancer, Takes, TrafficState
from longshore.domain.bundle import BundleFacts
from longshore.domain.deployment import ScriptCode, TargetStatus
from longshore.domain.group import TagSet
from longshore.domain.ids import Scope
from longshore.domain.lifecycle import IN_PLACE_WITH_TRAFFIC
from longshore.domain.lineup import Host
from longshore.domain.target import Diagnostics, Report, advance
from longshore.engine.alarms import AlarmWatch
from longshore.engine.server.fleets import Fleets
from longshore.engine.server.replacing import Replacing
from longshore.engine.tick import tick
from longshore.engine.traffic import Traffic
from longshore.engine.world import World
from longshore.providers.ports import Access, ProviderError, TransientError
from longshore.store import deployments as deployment_rows
from longshore.store import targets
from longshore.store.database import Store, Transaction
from longshore.store.wakeup import Wakeup
from longshore.wire.service import Call as WireCall
from longshore.wire.service import Caller
from tests.integration.engine.cloud import Cloud
from tests.integration.engine.scaling import ScalingGroups

SCOPE = Scope("111122223333", "eu-central-1")
OWNER = "arn:aws:iam::111122223333:root"
REVISION = {"revisionType": "S3", "s3Location": {"bucket": "releases", "key": "shop-1.zip", "bundleType": "zip"}}
LEASE = 60.0


class Bundles:
    """Object storage that has every bundle."""

    def presign(self, scope: Scope, location: Mapping[str, Any], *, expires_in: int) -> str:
        return "http://127.0.0.1/bundle"

    def examine(self, scope: Scope, location: Mapping[str, Any], *, expires_in: int) -> BundleFacts:
        return BundleFacts(url="http://127.0.0.1/bundle", sha256="0" * 64, size=1, appspec_filename="appspec.yml")


class Members:
    """EC2 instances that a test has launched."""

    def __init__(self) -> None:
        #: Availability zones by instance id.
        self.zones: dict[str, str] = {}
        #: Instead of an answer.
        self.fails: ProviderError | None = None
        self.asked: list[Access] = []

    def hosts(self, access: Access, tag_set: TagSet, groups: Sequence[str]) -> list[Host]:
        self.asked.append(access)
        if self.fails is not None:
            raise self.fails
        arns = {name: SCOPE.ec2_instance_arn(name) for name in self.zones}
        return [
            Host(name=name, arn=arns[name], poller=SCOPE.host(arns[name]), zone=zone)
            for name, zone in sorted(self.zones.items())
        ]


class LoadBalancers:
    """Load balancers whose hosts drain and become healthy when a test says so."""

    def __init__(self) -> None:
        #: Who is where, by balancer.
        self.hosts: defaultdict[str, dict[str, TrafficState]] = defaultdict(dict)
        #: Instead of an answer.
        self.fails: ProviderError | None = None
        #: Hosts that cannot be registered, and why.
        self.refuses: dict[str, str] = {}
        #: Calls made, by kind.
        self.calls: Counter[str] = Counter()
        #: By which roles.
        self.roles: set[str] = set()

    def takes(self, access: Access, balancer: Balancer) -> Takes:
        return Takes.ADDRESSES if balancer.name == "addresses" else Takes.INSTANCES

    def register(self, access: Access, balancer: Balancer, places: Collection[str]) -> Mapping[str, str]:
        self._called("register", access)
        refused = {name: self.refuses[name] for name in places if name in self.refuses}
        here = self.hosts[balancer.name]
        for name in set(places) - set(refused):
            if here.get(name) in (None, TrafficState.DRAINING):
                here[name] = TrafficState.INITIAL
        return refused

    def deregister(self, access: Access, balancer: Balancer, places: Collection[str]) -> None:
        self._called("deregister", access)
        here = self.hosts[balancer.name]
        here.update((name, TrafficState.DRAINING) for name in places if name in here)

    def backends(self, access: Access, balancer: Balancer) -> Mapping[str, Backend]:
        self._called("backends", access)
        return {name: Backend(state=state, reason="said so") for name, state in self.hosts[balancer.name].items()}

    def follow(self, *, healthy: bool = True) -> None:
        """Time for draining to end and for health checks to pass."""
        for here in self.hosts.values():
            for name, state in list(here.items()):
                if state is TrafficState.DRAINING:
                    del here[name]
                elif state is TrafficState.INITIAL:
                    here[name] = TrafficState.HEALTHY if healthy else TrafficState.UNHEALTHY

    def serving(self, name: str) -> bool:
        """Whether requests may come to this host."""
        return any(here.get(name) not in (None, TrafficState.UNUSED) for here in self.hosts.values())

    def _called(self, what: str, access: Access) -> None:
        self.calls[what] += 1
        self.roles.add(access.role_arn)
        if self.fails is not None:
            raise self.fails


class Alarms:
    """Alarms whose states a test sets; None: nobody answers."""

    def __init__(self) -> None:
        self.now: dict[str, AlarmState] | None = {}
        #: Instead of an answer.
        self.fails: ProviderError | None = None
        self.asked: list[Access] = []

    def states(self, access: Access, names: Collection[str]) -> Mapping[str, AlarmState]:
        self.asked.append(access)
        if self.fails is not None:
            raise self.fails
        if self.now is None:
            raise TransientError("nobody answers")
        return {name: state for name, state in self.now.items() if name in names}


class Rollout:
    """One application and group, some hosts, and a clock that moves when it is told to."""

    def __init__(
        self,
        database: URL,
        *,
        hosts: int,
        minimum: Mapping[str, Any] | str,
        zonal: Mapping[str, Any] | None = None,
        now: float = 1_000_000.0,
    ) -> None:
        self.store = Store(database, Wakeup())
        self.alarms = Alarms()
        self.members = Members()
        self.balancers = LoadBalancers()
        self.scaling = ScalingGroups()
        self.cloud = Cloud()
        self.world = World(
            store=self.store,
            bundles=Bundles(),
            members=self.members,
            traffic=Traffic(self.balancers),
            scaling=self.scaling,
            replacing=Replacing(self.store, Fleets(self.cloud, self.cloud, self.cloud), limit=1000, account_limit=2000),
            alarms=AlarmWatch(self.alarms),
            max_targets=1000,
            max_active_targets=2000,
        )
        self.now = now
        self.names = [f"web-{number:02}" for number in range(hosts)]
        #: EC2 instances.
        self.instances: list[str] = []
        self.deployment_id = ""
        self._attempts = itertools.count()
        self.call(applications.create_application, applicationName="shop")
        for name in self.names:
            arn = f"arn:aws:iam::{SCOPE.account}:user/{name}"
            self.call(on_premises_instances.register_on_premises_instance, instanceName=name, iamUserArn=arn)
        if self.names:
            tags = [{"Key": "role", "Value": "web"}]
            for chunk in (self.names[at : at + 100] for at in range(0, hosts, 100)):
                self.call(on_premises_instances.add_tags_to_on_premises_instances, instanceNames=chunk, tags=tags)
        config = minimum
        if not isinstance(minimum, str):
            config = "custom"
            self.call(
                deployment_configs.create_deployment_config,
                deploymentConfigName=config,
                minimumHealthyHosts=minimum,
                **({} if zonal is None else {"zonalConfig": zonal}),
            )
        self.call(
            deployment_groups.create_deployment_group,
            applicationName="shop",
            deploymentGroupName="prod",
            serviceRoleArn="arn:aws:iam::111122223333:role/deploy",
            deploymentConfigName=config,
            onPremisesInstanceTagFilters=[{"Key": "role", "Value": "web", "Type": "KEY_AND_VALUE"}],
        )

    def close(self) -> None:
        self.store.close()

    def call(self, operation: Callable[[Call, Any], Any], **asked: Any) -> Any:
        """Call an operation of the API, as the wire would."""

        caller = Caller(account=SCOPE.account, region=SCOPE.region, arn=OWNER, access_key_id="AKIAOWNER")
        request = WireCall(
            caller=caller, request_id="-", now=self.now, service="codedeploy", operation=operation.__name__, headers={}
        )

        def work(tx: Transaction) -> Any:
            call = Call(
                tx=tx,
                scope=SCOPE,
                caller=OWNER,
                now=self.now,
                limits=Limits(),
                page_secret=b"x",
                request=request,
            )
            return operation(call, asked)

        return self.store.write(work)

    def mean(self, **members: Any) -> None:
        """Change what the group is, as UpdateDeploymentGroup has it."""
        self.call(
            deployment_groups.update_deployment_group,
            applicationName="shop",
            currentDeploymentGroupName="prod",
            **members,
        )

    def balance(self, instances: int) -> None:
        """Put that many EC2 instances into the group, and all of them behind a target group."""
        self.instances = [f"i-{number:08x}" for number in range(1, instances + 1)]
        self.members.zones = dict.fromkeys(self.instances, "eu-central-1a")
        self.balancers.hosts["web"] = dict.fromkeys(self.instances, TrafficState.HEALTHY)
        self.mean(
            ec2TagFilters=[{"Key": "role", "Value": "web", "Type": "KEY_AND_VALUE"}],
            deploymentStyle={"deploymentType": "IN_PLACE", "deploymentOption": "WITH_TRAFFIC_CONTROL"},
            loadBalancerInfo={"targetGroupInfoList": [{"name": "web"}]},
        )

    def tag(self, name: str, key: str, value: str) -> None:
        """Give a registered instance a tag more."""
        self.call(
            on_premises_instances.add_tags_to_on_premises_instances,
            instanceNames=[name],
            tags=[{"Key": key, "Value": value}],
        )

    def change_document(self, **members: Any) -> None:
        """Change what the deployment was created with, as no operation can."""

        def work(tx: Transaction) -> None:
            row = deployment_rows.get(tx, self.deployment_id)
            assert row is not None
            deployment_rows.keep_document(tx, row.id, {**row.document, **members})

        self.store.write(work)

    def deploy(self, revision: Mapping[str, Any] = REVISION, **options: Any) -> str:
        self.deployment_id = self.call(
            deployments.create_deployment,
            applicationName="shop",
            deploymentGroupName="prod",
            revision=revision,
            **options,
        )["deploymentId"]
        return self.deployment_id

    def stop(self) -> Any:
        return self.call(deployments.stop_deployment, deploymentId=self.deployment_id)

    @property
    def info(self) -> dict[str, Any]:
        info: dict[str, Any] = self.call(deployments.get_deployment, deploymentId=self.deployment_id)["deploymentInfo"]
        return info

    @property
    def is_final(self) -> bool:
        return self.info["status"] in ("Succeeded", "Failed", "Stopped")

    @property
    def overview(self) -> dict[str, int]:
        """The counters that are not zero."""
        return {name: number for name, number in self.info["deploymentOverview"].items() if number}

    def target(self, name: str) -> dict[str, Any]:
        asked = {"deploymentId": self.deployment_id, "targetId": name}
        target: dict[str, Any] = self.call(deployment_targets.get_deployment_target, **asked)["deploymentTarget"][
            "instanceTarget"
        ]
        return target

    # The engine.

    def claim(self) -> deployment_rows.Claim | None:
        claims = self.store.write(
            lambda tx: deployment_rows.claiming_due(tx, owner="test", now=self.now, lease=LEASE, limit=1)()
        )
        return claims[0] if claims else None

    def tick(self, times: int = 20) -> int:
        """Tick until nothing is due, at most so often; returns how often."""
        for done in range(times):
            claim = self.claim()
            if claim is None:
                return done
            tick(self.world, claim, self.now)
        return times

    def tick_with(self, claim: deployment_rows.Claim) -> None:
        tick(self.world, claim, self.now)

    def pass_time(self, seconds: float = 1.0) -> None:
        """Let time pass, and the engine do what is due then."""
        self.now += seconds
        self.tick()

    def go_on(self, until: Callable[[], list[str]] = list) -> list[str]:
        """Have agents and balancers do their part till a condition names somebody, or the deployment has ended."""
        for _ in range(2000):
            self.tick()
            if (found := until()) or self.is_final:
                return found
            for name in self.ready():
                self.run_event(name)
            self.balancers.follow()
            self.now += 1.0
        raise AssertionError(f"it goes on for ever: {self.overview}")

    @contextmanager
    def dying_after_the_act(self) -> Iterator[None]:
        """A server that dies as soon as it has told a balancer what to do."""
        deregister = self.balancers.deregister

        def act(access: Access, balancer: Balancer, places: Collection[str]) -> None:
            deregister(access, balancer, places)
            raise RuntimeError("killed")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(self.balancers, "deregister", act)
            yield

    def crash_while_ticking(self) -> None:
        """A server that dies between its decision and the commit: the claim was taken, nothing else happened."""
        self.claim()

    # The hosts.

    def ready(self) -> list[str]:
        """Hosts with a command to take up."""
        return self._with_command("ready")

    def running(self) -> list[str]:
        return self._with_command("running")

    def at(self, event: str) -> list[str]:
        """Hosts at work on this event, or about to be."""
        every = ((name, self._progress(name)) for name in (*self.names, *self.instances))
        return [name for name, target in every if target and target.event.name == event and not target.status.is_final]

    def events(self, name: str) -> dict[str, str]:
        """The status of each event of a host."""
        return {event["lifecycleEventName"]: event["status"] for event in self.target(name)["lifecycleEvents"]}

    def diagnostics(self, name: str, event: str) -> dict[str, str]:
        events = {one["lifecycleEventName"]: one for one in self.target(name)["lifecycleEvents"]}
        said: dict[str, str] = events[event]["diagnostics"]
        return said

    def _with_command(self, command: str) -> list[str]:
        every = ((name, self._progress(name)) for name in (*self.names, *self.instances))
        return [name for name, target in every if target and target.command == command]

    def take_up(self, name: str) -> None:
        self._report(name, attempt=f"a{next(self._attempts)}", outcome=None)

    def complete(self, name: str, code: ScriptCode = ScriptCode.SUCCESS) -> None:
        target = self._progress(name)
        if target is not None:
            outcome = Diagnostics(error_code=code, script_name="s.sh", message="said so", log_tail="")
            self._report(name, attempt=target.attempt, outcome=outcome)

    def run_event(self, name: str, code: ScriptCode = ScriptCode.SUCCESS) -> None:
        self.take_up(name)
        self.complete(name, code)

    def run_until(self, name: str, event: str) -> None:
        """Events of this host's agent, one after the other, till this one is due."""
        for _ in range(len(IN_PLACE_WITH_TRAFFIC)):
            if self._progress(name).event.name == event:
                return
            self.run_event(name)
        raise AssertionError(f"{name} does not come to {event}: {self.events(name)}")

    def run_all(self, name: str) -> None:
        """Every event of this host, to the end."""
        for _ in range(7):
            self.run_event(name)

    def _progress(self, name: str) -> Any:
        return self.store.read(lambda tx: targets.progress(tx, self.deployment_id, name))

    def _report(self, name: str, *, attempt: str, outcome: Diagnostics | None) -> None:
        def work(tx: Transaction) -> None:
            target = targets.progress(tx, self.deployment_id, name)
            if target is None:
                return
            moved = advance(target, Report(position=target.position, attempt=attempt, outcome=outcome), self.now)
            if moved is not target:
                targets.save_progress(tx, self.deployment_id, name, moved, self.now)
                if moved.awaits_engine:
                    deployment_rows.wake(tx, self.deployment_id, self.now)

        self.store.write(work)

    # What must always hold.

    def check_floor(self) -> None:
        """Our own action never leaves fewer healthy hosts than were promised."""
        row = self.store.read(lambda tx: deployment_rows.get(tx, self.deployment_id))
        if row is None or row.total_targets is None or row.required_healthy is None:
            return
        numbers = self.store.read(lambda tx: targets.counts(tx, self.deployment_id))
        down = numbers.get(TargetStatus.IN_PROGRESS, 0) + numbers.get(TargetStatus.FAILED, 0)
        assert row.total_targets - down >= min(row.required_healthy, row.total_targets)
