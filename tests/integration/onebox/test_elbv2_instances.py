"""Targets that are instances come, stop and end with these."""

from __future__ import annotations

import asyncio
import time
import urllib.request
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pytest

from longshore.auth.permissions.elasticloadbalancing import ELB, ELBV2
from longshore.onebox.machinery.proxy.envoy import Envoy
from longshore.onebox.machinery.records import Owner, Records
from longshore.onebox.services.elb import Elb
from longshore.onebox.services.elbv2 import Elbv2
from longshore.wire.service import AwsError, Call, Caller
from tests.load import Backend, load, until

OWNER = Owner("000000000000", "us-east-1")
ONE, TWO = "i-00000000000000001", "i-00000000000000002"


class Machines:
    """EC2 as a target group sees it."""

    def __init__(self) -> None:
        self.addresses: dict[str, str] = {}
        self.terminated: set[str] = set()

    def running(self, owner: Owner, ids: Collection[str]) -> dict[str, str]:
        assert owner == OWNER
        return {one: self.addresses[one] for one in ids if one in self.addresses}

    def ended(self, owner: Owner, ids: Collection[str]) -> Collection[str]:
        return self.terminated & set(ids)

    def zone_of_subnet(self, owner: Owner, subnet_id: str) -> str:
        return f"{owner.region}a"


@pytest.fixture
def machines() -> Machines:
    return Machines()


@pytest.fixture
def classic(elb: Elbv2) -> Elb:
    return Elb(elb)


@pytest.fixture
def elb(tmp_path: Path, machines: Machines) -> Iterator[Elbv2]:
    records = Records(tmp_path / "onebox.db")
    made = Elbv2(records, tmp_path / "proxy", machines, now=time.time)
    made.start()
    yield made
    made.stop()
    records.close()
    Envoy(tmp_path / "proxy").stop()


def call(elb: Elbv2 | Elb, operation: str, **asked: Any) -> Any:
    caller = Caller(account=OWNER.account, region=OWNER.region, arn="arn", access_key_id="key")
    asking = Call(caller=caller, request_id="1", now=time.time(), service="elbv2", operation=operation, headers={})
    return asyncio.run(elb.service.handlers[operation](asking, asked))  # type: ignore[arg-type]


def test_an_instance_is_a_target_as_long_as_it_runs(elb: Elbv2, machines: Machines) -> None:
    one = Backend("one", "127.64.255.1")
    two = Backend("two", "127.64.255.2", one.port)
    balancer = call(elb, "CreateLoadBalancer", Name="shop")["LoadBalancers"][0]["LoadBalancerArn"]
    group = call(
        elb,
        "CreateTargetGroup",
        Name="shop",
        Protocol="HTTP",
        Port=one.port,
        HealthCheckPath="/health",
        HealthyThresholdCount=2,
    )["TargetGroups"][0]["TargetGroupArn"]
    action = {"Type": "forward", "TargetGroupArn": group}
    call(elb, "CreateListener", LoadBalancerArn=balancer, Protocol="HTTP", Port=18080, DefaultActions=[action])

    with pytest.raises(AwsError, match="'i-00000000000000001'"):
        elb.register(OWNER, group, [ONE])
    machines.addresses = {ONE: one.address, TWO: two.address}
    elb.register(OWNER, group, [ONE, TWO])
    until(lambda: elb.health(OWNER, group) == {ONE: "healthy", TWO: "healthy"})

    del machines.addresses[ONE]
    elb.wake()
    until(lambda: elb.health(OWNER, group) == {ONE: "unused", TWO: "healthy"})
    machines.addresses[ONE] = one.address
    elb.wake()
    until(lambda: elb.health(OWNER, group) == {ONE: "healthy", TWO: "healthy"})

    elb.deregister(OWNER, group, [TWO])
    assert elb.health(OWNER, group) == {ONE: "healthy", TWO: "draining"}
    until(lambda: elb.health(OWNER, group) == {ONE: "healthy"})

    del machines.addresses[ONE]
    machines.terminated.add(ONE)
    elb.wake()
    until(lambda: elb.health(OWNER, group) == {})
    assert elb.health(OWNER, "arn:aws:elasticloadbalancing:us-east-1:000000000000:targetgroup/none/0") is None
    one.close()
    two.close()


def test_instances_behind_a_classic_load_balancer(elb: Elbv2, classic: Elb, machines: Machines) -> None:
    one = Backend("one", "127.64.255.3")
    two = Backend("two", "127.64.255.4", one.port)
    machines.addresses = {ONE: one.address, TWO: two.address}
    http = {"Protocol": "HTTP", "LoadBalancerPort": 18080, "InstancePort": one.port}
    tcp = {"Protocol": "TCP", "LoadBalancerPort": 18081, "InstancePort": one.port}
    address = call(classic, "CreateLoadBalancer", LoadBalancerName="old", Listeners=[http])["DNSName"]
    check = {"Interval": 5, "Timeout": 2, "UnhealthyThreshold": 2, "HealthyThreshold": 2}
    check["Target"] = f"HTTP:{one.port}/health"
    call(classic, "ConfigureHealthCheck", LoadBalancerName="old", HealthCheck=check)
    draining = {"ConnectionDraining": {"Enabled": True, "Timeout": 3}}
    call(classic, "ModifyLoadBalancerAttributes", LoadBalancerName="old", LoadBalancerAttributes=draining)

    def change(operation: str, *ids: str) -> list[str]:
        answer = call(classic, operation, LoadBalancerName="old", Instances=[{"InstanceId": each} for each in ids])
        return [each["InstanceId"] for each in answer["Instances"]]

    def said(identifier: str) -> tuple[str, str]:
        asked = {"LoadBalancerName": "old", "Instances": [{"InstanceId": identifier}]}
        (state,) = call(classic, "DescribeInstanceHealth", **asked)["InstanceStates"]
        return state["State"], state["Description"]

    assert change("RegisterInstancesWithLoadBalancer", ONE, TWO) == [ONE, TWO]
    until(lambda: said(ONE) == said(TWO) == ("InService", "N/A"))
    call(classic, "CreateLoadBalancerListeners", LoadBalancerName="old", Listeners=[tcp])
    until(lambda: said(ONE) == said(TWO) == ("InService", "N/A"))
    with load(address, 18081) as plain:
        until(lambda: len(plain.answered) == 2)
    with load(address, 18080) as seen:
        until(lambda: len(seen.answered) == 2)
        assert change("DeregisterInstancesFromLoadBalancer", ONE) == [TWO]
        until(lambda: said(ONE)[1] == "Instance is not currently registered with the LoadBalancer.")
        asked = one.asked
        seen.more()
    with load(address, 18081) as more:
        more.more(20)
    assert one.asked == asked
    assert seen.failed == plain.failed == more.failed == []
    del machines.addresses[TWO]
    elb.wake()
    until(lambda: said(TWO) == ("OutOfService", "Instance is in stopped state."))

    (described,) = call(classic, "DescribeLoadBalancers")["LoadBalancerDescriptions"]
    assert [each["Listener"]["LoadBalancerPort"] for each in described["ListenerDescriptions"]] == [18080, 18081]
    assert described["HealthCheck"] == check
    assert described["Instances"] == [{"InstanceId": TWO}]
    call(classic, "DeleteLoadBalancerListeners", LoadBalancerName="old", LoadBalancerPorts=[18080, 18081])
    assert said(TWO) == ("OutOfService", "Instance registration is still in progress.")
    assert call(elb, "DescribeLoadBalancers")["LoadBalancers"] == []
    assert call(elb, "DescribeTargetGroups")["TargetGroups"] == []
    call(classic, "DeleteLoadBalancer", LoadBalancerName="old")
    assert call(classic, "DescribeLoadBalancers")["LoadBalancerDescriptions"] == []
    one.close()
    two.close()


def test_every_operation_needs_a_permission_that_policies_can_name(elb: Elbv2, classic: Elb) -> None:
    assert elb.service.handlers.keys() == ELBV2.keys()
    assert classic.service.handlers.keys() == ELB.keys()


def test_a_proxy_that_dies_is_there_again(elb: Elbv2, tmp_path: Path) -> None:
    balancer = call(elb, "CreateLoadBalancer", Name="shop")["LoadBalancers"][0]
    answer = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "200"}}
    asked = {"LoadBalancerArn": balancer["LoadBalancerArn"], "Protocol": "HTTP", "Port": 18080}
    call(elb, "CreateListener", DefaultActions=[answer], **asked)
    Envoy(tmp_path / "proxy").stop()

    def answers() -> bool:
        try:
            with urllib.request.urlopen(f"http://{balancer['DNSName']}:18080/", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    until(answers)
