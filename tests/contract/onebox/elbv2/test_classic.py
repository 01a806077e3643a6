"""Classic Load Balancers as boto3 and the aws CLI see them; one signing name, two services."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.acceptance.world import ControlPlane

LISTENER = {"Protocol": "HTTP", "LoadBalancerPort": 18080, "InstancePort": 8080}


@pytest.fixture
def classic(plane: ControlPlane) -> Any:
    return plane.client("elb")


def refused(call: Callable[..., Any], **asked: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**asked)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] in (400, 409)
    code: str = caught.value.response["Error"]["Code"]
    return code


def test_both_versions_are_served_and_neither_sees_the_other(plane: ControlPlane, elb: Any, classic: Any) -> None:
    zone = ["us-east-1a"]
    made = classic.create_load_balancer(LoadBalancerName="twin", Listeners=[LISTENER], AvailabilityZones=zone)
    other = elb.create_load_balancer(Name="twin")["LoadBalancers"][0]
    assert made["DNSName"] != other["DNSName"]
    (seen,) = classic.describe_load_balancers(LoadBalancerNames=["twin"])["LoadBalancerDescriptions"]
    assert seen["DNSName"] == made["DNSName"]
    assert seen["AvailabilityZones"] == zone
    assert seen["ListenerDescriptions"] == [{"Listener": LISTENER | {"InstanceProtocol": "HTTP"}, "PolicyNames": []}]
    assert seen["HealthCheck"]["Target"] == "TCP:8080"
    assert [one["DNSName"] for one in elb.describe_load_balancers(Names=["twin"])["LoadBalancers"]] == [
        other["DNSName"]
    ]
    shown = plane.aws("elb", "describe-load-balancers", "--load-balancer-name", "twin")
    assert shown["LoadBalancerDescriptions"][0]["DNSName"] == made["DNSName"]
    classic.delete_load_balancer(LoadBalancerName="twin")
    classic.delete_load_balancer(LoadBalancerName="twin")
    assert elb.describe_load_balancers(Names=["twin"])["LoadBalancers"]
    elb.delete_load_balancer(LoadBalancerArn=other["LoadBalancerArn"])


def test_what_cannot_be_is_refused(classic: Any) -> None:
    name = {"LoadBalancerName": "shop"}
    classic.create_load_balancer(**name, Listeners=[LISTENER])
    instances = {"Instances": [{"InstanceId": "i-0123456789abcdef0"}]}
    https = LISTENER | {"Protocol": "HTTPS", "LoadBalancerPort": 18443}
    check = {"Target": "HTTP:80/", "Interval": 5, "Timeout": 5, "UnhealthyThreshold": 2, "HealthyThreshold": 2}
    cases: list[tuple[Callable[..., Any], dict[str, Any], str]] = [
        (classic.create_load_balancer, name | {"Listeners": [LISTENER]}, "DuplicateLoadBalancerName"),
        (classic.create_load_balancer_listeners, name | {"Listeners": [https]}, "UnsupportedProtocol"),
        (
            classic.create_load_balancer_listeners,
            name | {"Listeners": [LISTENER | {"InstancePort": 1}]},
            "DuplicateListener",
        ),
        (classic.register_instances_with_load_balancer, name | instances, "InvalidInstance"),
        (classic.configure_health_check, name | {"HealthCheck": check}, "ValidationError"),
        (classic.describe_instance_health, {"LoadBalancerName": "none"}, "LoadBalancerNotFound"),
        (classic.describe_load_balancers, {"LoadBalancerNames": ["none"]}, "LoadBalancerNotFound"),
        (
            classic.modify_load_balancer_attributes,
            name | {"LoadBalancerAttributes": {"AccessLog": {"Enabled": True}}},
            "InvalidConfigurationRequest",
        ),
    ]
    for call, asked, code in cases:
        assert refused(call, **asked) == code, asked
    classic.add_tags(LoadBalancerNames=["shop"], Tags=[{"Key": "stage", "Value": "beta"}])
    (tags,) = classic.describe_tags(LoadBalancerNames=["shop"])["TagDescriptions"]
    assert tags["Tags"] == [{"Key": "stage", "Value": "beta"}]
    assert classic.describe_instance_health(**name)["InstanceStates"] == []
    draining = {"ConnectionDraining": {"Enabled": True, "Timeout": 20}}
    classic.modify_load_balancer_attributes(**name, LoadBalancerAttributes=draining)
    found = classic.describe_load_balancer_attributes(**name)["LoadBalancerAttributes"]
    assert found.items() >= draining.items()
    classic.delete_load_balancer(**name)
