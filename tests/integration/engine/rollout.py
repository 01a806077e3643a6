"""A deployment driven step by step: the real store, operations and engine; simulated hosts and a clock of our own."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

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
from longshore.domain.bundle import BundleFacts
from longshore.domain.deployment import ScriptCode, TargetStatus
from longshore.domain.group import TagSet
from longshore.domain.ids import Scope
from longshore.domain.lineup import Host
from longshore.domain.target import Diagnostics, Report, advance
from longshore.engine.alarms import AlarmWatch
from longshore.engine.tick import World, tick
from longshore.providers.ports import Access, ProviderError, TransientError
from longshore.store import deployments as deployment_rows
from longshore.store import targets
from longshore.store.database import Store, Transaction
from longshore.store.wakeup import Wakeup
from longshore.wire.service import Call as WireCall
from longshore.wire.service import Caller

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


class Alarms:
    """Alarms whose states a test sets; None: nobody answers."""

    def __init__(self) -> None:
        self.now: dict[str, AlarmState] | None = {}

    def states(self, scope: Scope, names: Collection[str]) -> Mapping[str, AlarmState]:
        if self.now is None:
            raise TransientError("nobody answers")
        return {name: state for name, state in self.now.items() if name in names}


class Rollout:
    """One application and group, some hosts, and a clock that moves when it is told to."""

    def __init__(
        self, database: URL, *, hosts: int, minimum: Mapping[str, Any] | str, now: float = 1_000_000.0
    ) -> None:
        self.store = Store(database, Wakeup())
        self.alarms = Alarms()
        self.members = Members()
        self.world = World(
            store=self.store,
            bundles=Bundles(),
            members=self.members,
            alarms=AlarmWatch(self.alarms),
            max_targets=1000,
            max_active_targets=2000,
        )
        self.now = now
        self.names = [f"web-{number:02}" for number in range(hosts)]
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
                deployment_configs.create_deployment_config, deploymentConfigName=config, minimumHealthyHosts=minimum
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
            lambda tx: deployment_rows.claim_due(tx, owner="test", now=self.now, lease=LEASE, limit=1)
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

    def crash_while_ticking(self) -> None:
        """A server that dies between its decision and the commit: the claim was taken, nothing else happened."""
        self.claim()

    # The hosts.

    def ready(self) -> list[str]:
        """Hosts with a command to take up."""
        return [name for name in self.names if self._progress(name) and self._progress(name).command == "ready"]

    def running(self) -> list[str]:
        return [name for name in self.names if self._progress(name) and self._progress(name).command == "running"]

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
