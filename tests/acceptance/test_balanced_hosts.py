"""On-premises hosts behind a load balancer of ours, by a tag that says where each is (decision 15)."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.world import ControlPlane, Host, Revision, Shop
from tests.load import ending_proxy, load

PORT = 18080
TRUST = {
    "Version": "2012-10-17",
    "Statement": {
        "Effect": "Allow",
        "Principal": {"Service": "codedeploy.amazonaws.com"},
        "Action": "sts:AssumeRole",
    },
}
#: A web server on the host's own address, which answers with the name of the release.
START = f"""
cd /srv/www
setsid python3 -m http.server --protocol HTTP/1.1 --bind $(cat /etc/address) {PORT} >/dev/null 2>&1 &
echo $! >/run/web.pid
"""
STOP = "[ ! -e /run/web.pid ] || kill $(cat /run/web.pid)"


def release(name: str, *, start: str = START) -> Revision:
    return Revision(
        hooks={"ApplicationStop": STOP, "ApplicationStart": start},
        files={"index.html": name},
        install={"index.html": "/srv/www"},
    )


def address_of(host: Host) -> str:
    return f"127.0.91.{int(host.name.rpartition('-')[2]) % 250 + 1}"


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[ControlPlane]:
    made = ControlPlane(tmp_path)
    with ending_proxy(made.data_dir):
        made.start()
        yield made
        made.stop()


def test_hosts_are_deployed_to_one_after_the_other_and_nobody_notices(
    plane: ControlPlane, hosts_of: Callable[..., list[Host]], shop_of: Callable[..., Shop]
) -> None:
    hosts = hosts_of(plane, 3, views=True)
    shop = shop_of(plane, hosts)
    for host in hosts:
        assert host.view is not None
        (host.view.written("/etc") / "address").write_text(address_of(host))
        tag = {"Key": "longshore:address", "Value": address_of(host)}
        shop.deploy.add_tags_to_on_premises_instances(instanceNames=[host.name], tags=[tag])
    balancer, group = balanced(plane, shop)
    deployment_id, ended = shop.run(release("first"))
    assert ended["status"] == "Succeeded", shop.failure(deployment_id, hosts[0].name)
    assert states(plane, group) == {address_of(host): "healthy" for host in hosts}
    with load(*balancer) as seen:
        seen.more()
        assert set(seen.answered) == {"first"}
        _, ended = shop.run(release("second"), deploymentConfigName="CodeDeployDefault.OneAtATime")
        assert ended["status"] == "Succeeded"
        seen.answered.clear()
        seen.more()
        assert set(seen.answered) == {"second"}
        # The first host that fails stays away; the others go on.
        broken = release("third", start="exit 1")
        _, ended = shop.run(broken, deploymentConfigName="CodeDeployDefault.OneAtATime")
        assert ended["status"] == "Failed"
        seen.answered.clear()
        seen.more()
    assert set(seen.answered) == {"second"}
    assert seen.failed == []


def balanced(plane: ControlPlane, shop: Shop) -> tuple[tuple[str, int], str]:
    """Put a load balancer before the group's hosts; where it is, and the ARN of its target group."""
    iam, elb = plane.client("iam"), plane.client("elbv2")
    role = iam.create_role(RoleName="balancing", AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
    iam.attach_role_policy(RoleName="balancing", PolicyArn="arn:aws:iam::aws:policy/service-role/AWSCodeDeployRole")
    (group,) = elb.create_target_group(
        Name=shop.name,
        Protocol="HTTP",
        Port=PORT,
        TargetType="ip",
        HealthCheckPath="/index.html",
        HealthCheckIntervalSeconds=5,
        HealthCheckTimeoutSeconds=2,
        HealthyThresholdCount=2,
    )["TargetGroups"]
    (made,) = elb.create_load_balancer(Name=shop.name)["LoadBalancers"]
    with socket.create_server((made["DNSName"], 0)) as free:
        port = free.getsockname()[1]
    action = {"Type": "forward", "TargetGroupArn": group["TargetGroupArn"]}
    elb.create_listener(LoadBalancerArn=made["LoadBalancerArn"], Protocol="HTTP", Port=port, DefaultActions=[action])
    shop.deploy.update_deployment_group(
        applicationName=shop.name,
        currentDeploymentGroupName="prod",
        serviceRoleArn=role,
        deploymentStyle={"deploymentType": "IN_PLACE", "deploymentOption": "WITH_TRAFFIC_CONTROL"},
        loadBalancerInfo={"targetGroupInfoList": [{"name": shop.name}]},
    )
    return (made["DNSName"], port), group["TargetGroupArn"]


def states(plane: ControlPlane, group: str) -> dict[str, Any]:
    described = plane.client("elbv2").describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
    return {one["Target"]["Id"]: one["TargetHealth"]["State"] for one in described}
