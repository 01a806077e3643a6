"""On-premises hosts behind a load balancer of ours: asked for by a tag, and customers notice no deployment."""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from bench.load import load, read

from tests import ports
from tests.acceptance.cloud import cloud_in, require_no_loss
from tests.acceptance.world import ControlPlane, Host, Revision, Shop, service_role, wait_until

SERVER = """
import json, os, signal, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HERE = open("/etc/shop-address").read().strip()
BODY = json.dumps({"release": open("/opt/shop/VERSION").read().strip(), "host": HERE}).encode()

class Shop(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)
    def log_message(self, *_):
        pass

class Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True

signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
Server((HERE, 8080), Shop).serve_forever()
"""
#: From when to when a host is out of traffic.
AWAY = (("BlockTraffic", "endTime"), ("AllowTraffic", "startTime"))
START = """setsid python3 /opt/shop/shop.py </dev/null >/var/log/shop.log 2>&1 &
echo $! >/run/shop.pid"""
STOP = """[ -e /run/shop.pid ] || exit 0
pid=$(cat /run/shop.pid)
kill "$pid"
while [ -e "/proc/$pid" ]; do sleep 0.1; done
rm /run/shop.pid"""


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[ControlPlane]:
    with cloud_in(tmp_path / "cloud") as made:
        yield made


def revision(release: str, **hooks: str) -> Revision:
    return Revision(
        files={"VERSION": release, "shop.py": SERVER},
        install={"VERSION": "/opt/shop", "shop.py": "/opt/shop"},
        hooks={"ApplicationStop": STOP, "ApplicationStart": START, **hooks},
    )


def balanced(plane: ControlPlane) -> str:
    """A load balancer before a target group of addresses; its URL."""
    ec2, elb = plane.client("ec2"), plane.client("elbv2")
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    subnets = [one["SubnetId"] for one in ec2.describe_subnets()["Subnets"]][:2]
    (group,) = elb.create_target_group(
        Name="shop",
        Protocol="HTTP",
        Port=8080,
        VpcId=vpc,
        TargetType="ip",
        HealthCheckIntervalSeconds=5,
        HealthCheckTimeoutSeconds=2,
        HealthyThresholdCount=2,
    )["TargetGroups"]
    delay = [{"Key": "deregistration_delay.timeout_seconds", "Value": "2"}]
    elb.modify_target_group_attributes(TargetGroupArn=group["TargetGroupArn"], Attributes=delay)
    (balancer,) = elb.create_load_balancer(Name="shop", Subnets=subnets)["LoadBalancers"]
    port = ports.kept(balancer["DNSName"])
    elb.create_listener(
        LoadBalancerArn=balancer["LoadBalancerArn"],
        Protocol="HTTP",
        Port=port,
        DefaultActions=[{"Type": "forward", "TargetGroupArn": group["TargetGroupArn"]}],
    )
    return f"http://{balancer['DNSName']}:{port}/"


def test_hosts_that_say_where_they_are(
    plane: ControlPlane, hosts_of: Callable[..., list[Host]], shop_of: Callable[..., Shop], tmp_path: Path
) -> None:
    hosts = hosts_of(plane, 2, views=True)
    shop = shop_of(plane, hosts)
    addresses = placed(shop, hosts)
    url = balanced(plane)
    shop.deploy.update_deployment_group(
        applicationName=shop.name,
        currentDeploymentGroupName="prod",
        serviceRoleArn=service_role(plane),
        deploymentConfigName="CodeDeployDefault.OneAtATime",
        deploymentStyle={"deploymentType": "IN_PLACE", "deploymentOption": "WITH_TRAFFIC_CONTROL"},
        loadBalancerInfo={"targetGroupInfoList": [{"name": "shop"}]},
    )
    _, first = shop.run(revision("1"))
    assert first["status"] == "Succeeded", first
    record = tmp_path / "record.csv"
    with load(url, record, rate=50):
        second, ended = shop.run(revision("2"))
        assert ended["status"] == "Succeeded", ended
        third = shop.start(revision("3"))
        for event in ("BlockTraffic", "AllowTraffic"):
            killed_at(plane, shop, third, hosts, event)
        ended = shop.ended(third, seconds=120)
        assert ended["status"] == "Succeeded", ended
    samples = read(record)
    require_no_loss(samples)
    assert {one.release for one in samples} == {"1", "2", "3"}
    assert {one.host for one in samples} == set(addresses.values())
    for host in hosts:
        for deployment_id in (second, third):
            events = shop.events(deployment_id, host.name)
            left, back = (events[one][at].timestamp() for one, at in AWAY)
            there = [one for one in samples if one.host == addresses[host.name] and left <= one.at < back]
            assert not there, f"{len(there)} requests went to {host.name} while it was deployed to"


def test_who_is_left_out_of_traffic_is_told(
    plane: ControlPlane, hosts_of: Callable[..., list[Host]], shop_of: Callable[..., Shop]
) -> None:
    """By StopDeployment, by the deployment and by `longshore watch`; and who was not touched serves again."""
    hosts = hosts_of(plane, 2, views=True)
    shop = shop_of(plane, hosts)
    addresses = placed(shop, hosts)
    url = balanced(plane)
    shop.deploy.update_deployment_group(
        applicationName=shop.name,
        currentDeploymentGroupName="prod",
        serviceRoleArn=service_role(plane),
        deploymentConfigName="CodeDeployDefault.OneAtATime",
        deploymentStyle={"deploymentType": "IN_PLACE", "deploymentOption": "WITH_TRAFFIC_CONTROL"},
        loadBalancerInfo={"targetGroupInfoList": [{"name": "shop"}]},
    )
    slow = revision("1", AfterBlockTraffic="sleep 3", BeforeInstall="sleep 3")
    _, first = shop.run(slow)
    assert first["status"] == "Succeeded", first

    def at(deployment_id: str, event: str) -> str | None:
        for host in hosts:
            if shop.events(deployment_id, host.name)[event]["status"] == "InProgress":
                return host.name
        return None

    stopped = shop.start(slow)
    wait_until("the deployment has hosts", lambda: shop.info(stopped)["status"] == "InProgress")
    touched = wait_until("a host is being deployed to", lambda: at(stopped, "BeforeInstall"))
    said = shop.deploy.stop_deployment(deploymentId=stopped)
    assert said["status"] == "Pending"
    assert f"{touched} gets no traffic: it is out of target group shop, and half deployed to" in said["statusMessage"]
    told = f"{touched} gets no traffic: it is out of target group shop. A deployment puts back whom it succeeds on;"
    ended = shop.ended(stopped)
    assert ended["status"] == "Stopped"
    assert told in ended["errorInformation"]["message"]
    assert told in plane.run("longshore", "watch", stopped, check=False).stdout
    assert told in shop.deploy.stop_deployment(deploymentId=stopped)["statusMessage"]
    (other,) = {host.name for host in hosts} - {touched}
    assert {served_by(url) for _ in range(8)} == {addresses[other]}
    assert shop.run(slow)[1]["status"] == "Succeeded"
    assert {served_by(url) for _ in range(8)} == set(addresses.values())

    deleted = shop.start(slow)
    wait_until("the deployment has hosts", lambda: shop.info(deleted)["status"] == "InProgress")
    wait_until("a host is out and as it was", lambda: at(deleted, "AfterBlockTraffic"))
    shop.deploy.delete_deployment_group(applicationName=shop.name, deploymentGroupName="prod")
    ended = shop.ended(deleted)
    assert ended["errorInformation"]["code"] == "DEPLOYMENT_GROUP_MISSING"
    assert "no traffic" not in ended["errorInformation"]["message"]
    wait_until("both serve", lambda: {served_by(url) for _ in range(8)} == set(addresses.values()))


def served_by(url: str) -> str:
    """The address of the host that answers."""
    with urllib.request.urlopen(url, timeout=5) as answer:
        return str(json.load(answer)["host"])


def test_blue_green(
    plane: ControlPlane, hosts_of: Callable[..., list[Host]], shop_of: Callable[..., Shop], tmp_path: Path
) -> None:
    """Who asks for the address tag by its group may have it; the traffic moves from one host to the other."""
    blue, green = hosts_of(plane, 2, views=True)
    shop = shop_of(plane, [blue, green])
    addresses = placed(shop, [blue, green])
    for host, colour in ((blue, "blue"), (green, "green")):
        tag = [{"Key": "colour", "Value": colour}]
        shop.deploy.add_tags_to_on_premises_instances(instanceNames=[host.name], tags=tag)
    url = balanced(plane)
    shop.deploy.update_deployment_group(
        applicationName=shop.name,
        currentDeploymentGroupName="prod",
        serviceRoleArn=service_role(plane),
        onPremisesTagSet={"onPremisesTagSetList": having("blue")},
        deploymentStyle={"deploymentType": "BLUE_GREEN", "deploymentOption": "WITH_TRAFFIC_CONTROL"},
        loadBalancerInfo={"targetGroupInfoList": [{"name": "shop"}]},
        blueGreenDeploymentConfiguration={
            "deploymentReadyOption": {"actionOnTimeout": "CONTINUE_DEPLOYMENT"},
            "greenFleetProvisioningOption": {"action": "DISCOVER_EXISTING"},
            "terminateBlueInstancesOnDeploymentSuccess": {"action": "TERMINATE"},
        },
    )
    _, first = shop.run(revision("1"), targetInstances={"ec2TagSet": {"ec2TagSetList": having("blue")}})
    assert first["status"] == "Succeeded", first
    to_green = {"ec2TagSet": {"ec2TagSetList": having("green")}}
    place = ",".join(f"{name}={value}" for name, value in shop.push(revision("2"))["s3Location"].items())
    named = ("--application-name", shop.name, "--deployment-group-name", "prod", "--s3-location", place)
    said = plane.run("longshore", "plan", *named, "--target-instances", json.dumps(to_green)).stdout
    assert "on 1 replacement(s)" in said
    then = f"then     1 original(s) lose their traffic, all at once; they are terminated: {blue.name}"
    assert then in said
    record = tmp_path / "record.csv"
    with load(url, record, rate=50):
        second, ended = shop.run(revision("2"), targetInstances=to_green)
        assert ended["status"] == "Succeeded", ended
    samples = read(record)
    require_no_loss(samples)
    assert {(one.release, one.host) for one in samples} == {("1", addresses[blue.name]), ("2", addresses[green.name])}
    blocked = shop.events(second, blue.name)["BlockTraffic"]["endTime"].timestamp()
    assert not [one for one in samples if one.host == addresses[blue.name] and one.at > blocked]
    assert blue.name in ended["deploymentStatusMessages"][0], "nobody can terminate it"
    group = shop.deploy.get_deployment_group(applicationName=shop.name, deploymentGroupName="prod")
    assert group["deploymentGroupInfo"]["onPremisesTagSet"]["onPremisesTagSetList"] == having("green")


def having(colour: str) -> list[list[dict[str, str]]]:
    """Filters of hosts of this colour that say where they are."""
    return [
        [{"Key": "colour", "Value": colour, "Type": "KEY_AND_VALUE"}],
        [{"Key": "longshore:address", "Type": "KEY_ONLY"}],
    ]


def placed(shop: Shop, hosts: list[Host]) -> dict[str, str]:
    """Give each host an address, tell it, and have its tag say so; the addresses by name."""
    # Not where a demo has its hosts, nor another run of these tests.
    network = f"127.2.{os.getpid() % 250}"
    addresses = {host.name: f"{network}.{number}" for number, host in enumerate(hosts, 1)}
    for host in hosts:
        assert host.view is not None
        inside = host.view.written("/etc/shop-address")
        inside.parent.mkdir(parents=True, exist_ok=True)
        inside.write_text(addresses[host.name])
        tag = [{"Key": "longshore:address", "Value": addresses[host.name]}]
        shop.deploy.add_tags_to_on_premises_instances(instanceNames=[host.name], tags=tag)
    return addresses


def killed_at(plane: ControlPlane, shop: Shop, deployment_id: str, hosts: list[Host], event: str) -> None:
    """`kill -9` of the server while some host is at its load balancer, and a new one."""

    def is_there() -> bool:
        return any(shop.events(deployment_id, host.name)[event]["status"] == "InProgress" for host in hosts)

    wait_until("the deployment has hosts", lambda: shop.info(deployment_id)["status"] == "InProgress")
    wait_until(f"a host is at {event}", is_there)
    plane.kill()
    plane.start()
