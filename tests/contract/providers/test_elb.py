"""Hosts in and out of load balancers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from longshore.domain.balancing import Balancer, BalancerKind, Takes, TrafficState
from longshore.providers.elb import ElasticLoadBalancing
from longshore.providers.ports import NotThereError
from tests.acceptance.world import wait_until
from tests.contract.providers.places import Place

Balance = Callable[[Place], Balancer]

#: Each test in every AWS.
EVERYWHERE = pytest.mark.parametrize("place", ["moto", "onebox"], indirect=True)


def target_group(place: Place, name: str = "shop", *, kind: str = "instance") -> Balancer:
    """A target group that a load balancer forwards to."""
    ec2, elb = place.owner("ec2"), place.owner("elbv2")
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    subnets = [one["SubnetId"] for one in ec2.describe_subnets()["Subnets"]][:2]
    group = elb.create_target_group(Name=name, Protocol="HTTP", Port=8080, VpcId=vpc, TargetType=kind)
    arn = group["TargetGroups"][0]["TargetGroupArn"]
    balancer = elb.create_load_balancer(Name=name, Subnets=subnets)["LoadBalancers"][0]["LoadBalancerArn"]
    elb.create_listener(
        LoadBalancerArn=balancer,
        Protocol="HTTP",
        Port=80,
        DefaultActions=[{"Type": "forward", "TargetGroupArn": arn}],
    )
    return Balancer(kind=BalancerKind.TARGET_GROUP, name=name)


def classic(place: Place, name: str = "shop") -> Balancer:
    listener = {"Protocol": "HTTP", "LoadBalancerPort": 80, "InstancePort": 8080}
    place.owner("elb").create_load_balancer(
        LoadBalancerName=name, Listeners=[listener], AvailabilityZones=["eu-central-1a"]
    )
    return Balancer(kind=BalancerKind.CLASSIC, name=name)


@EVERYWHERE
@pytest.mark.parametrize("balance", [target_group, classic])
def test_a_host_goes_in_and_out(place: Place, balance: Balance) -> None:
    balancers, balancer = ElasticLoadBalancing(place.roles), balance(place)
    hosts = place.launch(3)

    def seen() -> set[str]:
        return {name for name, one in balancers.backends(place.access, balancer).items()}

    for _ in range(2):
        assert balancers.register(place.access, balancer, hosts) == {}
    assert seen() == set(hosts)
    states = {one.state for one in balancers.backends(place.access, balancer).values()}
    assert states <= {TrafficState.INITIAL, TrafficState.HEALTHY, TrafficState.UNHEALTHY, TrafficState.UNUSED}

    for _ in range(2):
        balancers.deregister(place.access, balancer, hosts[:2])
    wait_until("the first two are out", lambda: seen() == set(hosts[2:]))
    balancers.deregister(place.access, balancer, ["i-0123456789abcdef0"])


@EVERYWHERE
@pytest.mark.parametrize("kind", list(BalancerKind))
def test_a_balancer_that_is_not_there(place: Place, kind: BalancerKind) -> None:
    with pytest.raises(NotThereError):
        ElasticLoadBalancing(place.roles).backends(place.access, Balancer(kind=kind, name="nobody"))


@EVERYWHERE
def test_one_that_cannot_be_registered_holds_no_other_up(place: Place) -> None:
    balancers, balancer = ElasticLoadBalancing(place.roles), target_group(place)
    *good, bad = place.launch(5)
    place.owner("ec2").stop_instances(InstanceIds=[bad])
    wait_until(
        "it has stopped",
        lambda: (
            place.owner("ec2").describe_instances(InstanceIds=[bad])["Reservations"][0]["Instances"][0]["State"]["Name"]
            == "stopped"
        ),
    )
    refused = balancers.register(place.access, balancer, [*good, bad])
    assert set(refused) == {bad}
    assert refused[bad]
    assert set(balancers.backends(place.access, balancer)) == set(good)


@EVERYWHERE
def test_a_target_group_that_was_made_anew_is_found(place: Place) -> None:
    balancers, balancer = ElasticLoadBalancing(place.roles), target_group(place)
    (host,) = place.launch(1)
    balancers.register(place.access, balancer, [host])
    elb = place.owner("elbv2")
    (old,) = elb.describe_load_balancers(Names=["shop"])["LoadBalancers"]
    elb.delete_load_balancer(LoadBalancerArn=old["LoadBalancerArn"])
    (gone,) = elb.describe_target_groups(Names=["shop"])["TargetGroups"]
    elb.delete_target_group(TargetGroupArn=gone["TargetGroupArn"])
    with pytest.raises(NotThereError):
        balancers.register(place.access, balancer, [host])
    target_group(place)
    assert balancers.register(place.access, balancer, [host]) == {}
    assert set(balancers.backends(place.access, replace(balancer))) == {host}


# moto knows one port a host.
@pytest.mark.parametrize("place", ["onebox"], indirect=True)
def test_hosts_at_several_ports_go_out_at_all_of_them(place: Place) -> None:
    balancers, balancer = ElasticLoadBalancing(place.roles), target_group(place)
    (host,) = place.launch(1)
    (group,) = place.owner("elbv2").describe_target_groups(Names=["shop"])["TargetGroups"]
    places = [{"Id": host, "Port": port} for port in (8080, 8081)]
    place.owner("elbv2").register_targets(TargetGroupArn=group["TargetGroupArn"], Targets=places)
    balancers.deregister(place.access, balancer, [host])
    wait_until("it is out", lambda: host not in balancers.backends(place.access, balancer))


def test_addresses_of_on_premises_hosts(place: Place) -> None:
    balancers, balancer = ElasticLoadBalancing(place.roles), target_group(place, kind="ip")
    assert balancers.takes(place.access, balancer) is Takes.ADDRESSES
    both = ["127.0.0.7", "127.0.0.8:8081"]
    assert balancers.register(place.access, balancer, both) == {}
    found = balancers.backends(place.access, balancer)
    assert set(found) == {"127.0.0.7", "127.0.0.7:8080", "127.0.0.8:8081"}
    balancers.deregister(place.access, balancer, ["127.0.0.8"])
    assert "127.0.0.8:8081" in balancers.backends(place.access, balancer), "another port is another host"
    balancers.deregister(place.access, balancer, both)
    wait_until("both are out", lambda: not set(both) & set(balancers.backends(place.access, balancer)))
