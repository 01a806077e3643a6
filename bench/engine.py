"""What the engine costs: a tick of a large fleet, and a thousand hosts that leave their load balancer and come back."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import boto3
import botocore.session
from tests.integration.engine.rollout import SCOPE, Rollout

from bench import report, setting
from bench.report import Figure, Report
from longshore.engine.traffic import Traffic
from longshore.providers.clients import Clients
from longshore.providers.elb import ElasticLoadBalancing
from longshore.providers.service_roles import ServiceRoles
from longshore.server import logs
from longshore.store.database import sqlite_url

_FLEETS = (100, 1_000, 10_000)
_TICKS = 40
_HOSTS = 1_000
_KEYS = ("AKIAEXAMPLE", "example")


def benchmark() -> Report:
    """Ticks first, then traffic."""
    logs.configure(None, logs.LogLevel.WARNING)
    figures: list[Figure] = []
    with setting.ground() as ground:
        ticks = {hosts: _ticks(ground / f"{hosts}.db", hosts) for hosts in _FLEETS}
        for hosts, took in ticks.items():
            figures += [_of_ticks(what, hosts, values, ticks[_FLEETS[0]][what]) for what, values in took.items()]
        for minimum, what in ((500, "half at a time"), (900, "a tenth at a time")):
            report.note(f"engine: {_HOSTS} hosts behind a load balancer, {what}")
            figures += _of_traffic(ground / f"elb-{minimum}.db", minimum, what)
    return Report(
        name="engine",
        setting=(
            "The engine, the operations and SQLite in this process, hosts that are simulated as fast as they can be.",
            "A tick is one claim, one look, one decision and one commit; all but a handful of the hosts are untouched.",
            "Load balancers are moto's, called by boto3 through an assumed role; its calls are counted at the client."
            " CPU is this process's while a tick lasts: engine, database and boto3; neither moto's nor the hosts'.",
        ),
        figures=tuple(figures),
    )


def _of_ticks(what: str, hosts: int, ours: Sequence[float], smallest: Sequence[float]) -> Figure:
    times = hosts / _FLEETS[0]
    figure = Figure(what=f"{what}, {hosts:,} hosts", unit="ms of CPU", ours=statistics.median(ours) * 1000)
    if times == 1:
        return figure
    figure = replace(figure, peer=f"{_FLEETS[0]} hosts", theirs=statistics.median(smallest) * 1000)
    return replace(figure, goal=(f"less than {times:g} times that", (figure.ratio or times) < times))


def _ticks(database: Path, hosts: int) -> dict[str, list[float]]:
    """CPU seconds of ticks in which nothing has changed, and of ticks after a host has ended."""
    report.note(f"engine: ticks of {hosts:,} hosts")
    rollout = Rollout(sqlite_url(database), hosts=hosts, minimum={"type": "HOST_COUNT", "value": hosts - 5})
    try:
        rollout.world = replace(rollout.world, max_targets=hosts, max_active_targets=hosts)
        rollout.deploy()
        rollout.tick(times=2)
        took: dict[str, list[float]] = {"a tick with nothing to do": [], "a tick after a host has ended": []}
        idle, moving = took.values()
        at_work = _at_work(rollout)
        for _ in range(_TICKS):
            rollout.call(_wake, deploymentId=rollout.deployment_id)
            idle.append(_cpu_of_tick(rollout))
            rollout.run_all(at_work.pop(0))
            moving.append(_cpu_of_tick(rollout))
            at_work = at_work or _at_work(rollout)
    finally:
        rollout.close()
    return took


def _at_work(rollout: Rollout) -> list[str]:
    return rollout.ready()


def _wake(call: Any, asked: Mapping[str, Any]) -> None:
    from longshore.store import deployments

    deployments.wake(call.tx, asked["deploymentId"], call.now)


def _cpu_of_tick(rollout: Rollout) -> float:
    began = time.process_time()
    assert rollout.tick(times=1) == 1
    return time.process_time() - began


@dataclass(kw_only=True)
class _Run:
    cpu_seconds: float
    #: Calls of Elastic Load Balancing, by operation.
    calls: Counter[str]


def _of_traffic(database: Path, minimum: int, what: str) -> list[Figure]:
    with _moto(database.parent) as url:
        clients = _Counting(endpoint_url=url, keys=lambda _: _KEYS)
        ours = _run(database, minimum, url, clients)
    without = _run(database.with_suffix(".without.db"), minimum, None, _Counting(endpoint_url=None))
    moved = ours.calls["RegisterTargets"] + ours.calls["DeregisterTargets"]
    return [
        Figure(
            what=f"calls that move hosts, {what}",
            unit="calls",
            ours=moved,
            peer="one a host and event",
            theirs=2 * _HOSTS,
        ),
        Figure(what=f"looks at who is healthy, {what}", unit="calls", ours=ours.calls["DescribeTargetHealth"]),
        Figure(
            what=f"engine, {_HOSTS:,} hosts, {what}",
            unit="hosts per CPU second",
            ours=_HOSTS / ours.cpu_seconds,
            peer="without a load balancer",
            theirs=_HOSTS / without.cpu_seconds,
        ),
    ]


def _run(database: Path, minimum: int, url: str | None, clients: _Counting) -> _Run:
    rollout = Rollout(sqlite_url(database), hosts=0, minimum={"type": "HOST_COUNT", "value": minimum})
    try:
        rollout.balance(_HOSTS)
        if url is not None:
            rollout.instances = _launched(url)
            rollout.members.zones = dict.fromkeys(rollout.instances, "eu-central-1a")
            balancing = ElasticLoadBalancing(ServiceRoles(clients))
            rollout.world = replace(rollout.world, traffic=Traffic(balancing))
        else:
            rollout.mean(deploymentStyle={"deploymentType": "IN_PLACE", "deploymentOption": "WITHOUT_TRAFFIC_CONTROL"})
        rollout.deploy()
        cpu = 0.0
        while not rollout.is_final:
            began = time.process_time()
            rollout.tick()
            cpu += time.process_time() - began
            for name in rollout.ready():
                rollout.run_event(name)
            rollout.now += 1.0
        assert rollout.info["status"] == "Succeeded", rollout.info
    finally:
        rollout.close()
    return _Run(cpu_seconds=cpu, calls=clients.calls)


def _launched(url: str) -> list[str]:
    """Instances of the group's account, all of them in the target group `web`."""
    sts = boto3.client(
        "sts", endpoint_url=url, region_name=SCOPE.region, aws_access_key_id=_KEYS[0], aws_secret_access_key=_KEYS[1]
    )
    role = f"arn:aws:iam::{SCOPE.account}:role/deploy"
    keys = sts.assume_role(RoleArn=role, RoleSessionName="owner")["Credentials"]
    owner = {
        "endpoint_url": url,
        "region_name": SCOPE.region,
        "aws_access_key_id": keys["AccessKeyId"],
        "aws_secret_access_key": keys["SecretAccessKey"],
        "aws_session_token": keys["SessionToken"],
    }
    ec2, elb = boto3.client("ec2", **owner), boto3.client("elbv2", **owner)
    launched = ec2.run_instances(ImageId="ami-12c6146b", MinCount=_HOSTS, MaxCount=_HOSTS)["Instances"]
    ids = sorted(one["InstanceId"] for one in launched)
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    subnets = [one["SubnetId"] for one in ec2.describe_subnets()["Subnets"]]
    group = elb.create_target_group(Name="web", Protocol="HTTP", Port=8080, VpcId=vpc)["TargetGroups"][0]
    balancer = elb.create_load_balancer(Name="web", Subnets=subnets)["LoadBalancers"][0]
    elb.create_listener(
        LoadBalancerArn=balancer["LoadBalancerArn"],
        Protocol="HTTP",
        Port=80,
        DefaultActions=[{"Type": "forward", "TargetGroupArn": group["TargetGroupArn"]}],
    )
    elb.register_targets(TargetGroupArn=group["TargetGroupArn"], Targets=[{"Id": one} for one in ids])
    return ids


class _Counting(Clients):
    """Clients that count what is called."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.calls: Counter[str] = Counter()

    def of_session(self, session: botocore.session.Session, service: str, region: str) -> Any:
        client = super().of_session(session, service, region)
        client.meta.events.register("before-call.*.*", lambda model, **_: self.calls.update([model.name]))
        return client


@contextmanager
def _moto(ground: Path) -> Iterator[str]:
    port = setting.free_port()
    argv = [setting.program("moto_server"), "-H", "127.0.0.1", "-p", str(port)]
    with setting.process(argv, output=ground / "moto.out") as running:
        setting.wait_for_port(port, running)
        yield f"http://127.0.0.1:{port}"


if __name__ == "__main__":
    report.main(benchmark)
