"""Instances of EC2 behind a load balancer: real hosts, whose real servers get real requests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests import ports
from tests.contract.onebox.elbv2.conftest import ask, make_shop, new_group
from tests.contract.onebox.test_ec2 import Cloud, cloud_in
from tests.load import ending_proxy, load, until

#: A web server on the instance's own address, which answers with the instance's name.
SERVE = """#!/bin/sh
mkdir /srv/www && hostname >/srv/www/index.html && cd /srv/www
exec python3 -m http.server --bind $(hostname -i) --protocol HTTP/1.1 {port}
"""


@pytest.fixture
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    folder = tmp_path_factory.mktemp("balanced")
    # Outermost: a server that still runs starts the proxy again.
    with ending_proxy(folder / "data"), cloud_in(folder) as made:
        yield made


def test_instances_go_in_serve_stop_and_end(cloud: Cloud) -> None:
    elb = cloud.plane.client("elbv2")
    subnets = [one["SubnetId"] for one in cloud.ec2.describe_subnets()["Subnets"]]
    port = ports.kept()
    one, two = cloud.run(2, UserData=SERVE.format(port=port))
    shop = make_shop(elb, "shop")
    group = new_group(elb, "instances", TargetType="instance", Port=port, HealthCheckPath="/index.html")
    balancer = elb.create_load_balancer(Name="zoned", Subnets=subnets)["LoadBalancers"][0]
    assert {zone["SubnetId"] for zone in balancer["AvailabilityZones"]} == set(subnets)
    elb.modify_listener(ListenerArn=shop.listener, DefaultActions=[{"Type": "forward", "TargetGroupArn": group}])

    def states() -> dict[str, str]:
        described = elb.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
        return {target["Target"]["Id"]: target["TargetHealth"]["State"] for target in described}

    def change(operation: Any, *ids: str) -> None:
        operation(TargetGroupArn=group, Targets=[{"Id": each} for each in ids])

    names = {each: cloud.instance(each)["PrivateDnsName"].partition(".")[0] for each in (one, two)}
    change(elb.register_targets, one, two)
    until(lambda: states() == {one: "healthy", two: "healthy"}, seconds=60)
    with load(shop.address, shop.port, connections=4) as seen:
        until(lambda: len(seen.answered) == 2)
        change(elb.deregister_targets, one)
        until(lambda: states() == {two: "healthy"})
        cloud.ec2.stop_instances(InstanceIds=[one])
        cloud.wait(one, "stopped")
        with pytest.raises(elb.exceptions.InvalidTargetException, match=one):
            change(elb.register_targets, one)
        seen.more(100)
    assert seen.failed == []
    assert {answer.strip().partition(".")[0] for answer in seen.answered} == set(names.values())
    cloud.ec2.stop_instances(InstanceIds=[two])
    until(lambda: states() == {two: "unused"})
    assert ask(shop)[0] == 503
    cloud.ec2.terminate_instances(InstanceIds=[one, two])
    until(lambda: states() == {})
