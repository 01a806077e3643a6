"""Load balancers: each has a loopback address of its own, so that their ports never collide."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from longshore.onebox.machinery.proxy import ProxyError
from longshore.onebox.machinery.proxy.envoy import program
from longshore.onebox.machinery.records import Document
from longshore.onebox.services.elbv2 import errors, rules
from longshore.onebox.services.elbv2.attributes import BALANCER_ATTRIBUTES, Attributes
from longshore.onebox.services.elbv2.rows import (
    BALANCER,
    LISTENER,
    Ask,
    Input,
    Output,
    check_name,
    new_id,
    page,
    refuse,
    shown,
    tags_of,
)
from longshore.wire.service import AwsError

_SHORT = {"application": "app", "network": "net", "classic": "classic"}
_OFFERED = ("application", "network")
_MOST = 50


def subnets_of(given: Input) -> list[str]:
    """The ids of the subnets that an input asks for; none: it does not matter."""
    return sorted(given.get("Subnets") or [one.get("SubnetId") or "" for one in given.get("SubnetMappings") or ()])


def create(ask: Ask, given: Input, zones: Mapping[str, str]) -> Output:
    """`zones` are those of the subnets."""
    name, kind = given["Name"], given.get("Type") or "application"
    check_name(name, "load balancer")
    if name.startswith("internal-"):
        raise errors.validation("A load balancer name cannot begin with 'internal-': choose another.")
    if kind not in _OFFERED:
        raise errors.not_configurable(f"Load balancers of type {kind} are not done here: application and network are.")
    refuse(given, "CustomerOwnedIpv4Pool", "EnablePrefixForIpv6SourceNat", "IpamPools")
    if (given.get("IpAddressType") or "ipv4") != "ipv4":
        raise errors.not_configurable("Load balancers have addresses of IPv4 here: leave IpAddressType out.")
    tags = tags_of(given)
    asked = {
        "Type": kind,
        "Scheme": given.get("Scheme") or "internet-facing",
        "Subnets": subnets_of(given),
        "SecurityGroups": sorted(given.get("SecurityGroups") or ()),
    }
    there = ask.all(BALANCER)
    for one in there.values():
        if one["LoadBalancerName"] == name:
            if one["Asked"] == asked:
                return {"LoadBalancers": [shown(one)]}
            message = f"A load balancer with the same name '{name}' exists, but with different settings"
            raise AwsError("DuplicateLoadBalancerName", message)
    if len(there) >= _MOST:
        raise AwsError(
            "TooManyLoadBalancers", f"An account has at most {_MOST} load balancers in a region; delete one first."
        )
    made = make(ask, name, kind, asked, tags, zones)
    return {"LoadBalancers": [shown(made)]}


def make(ask: Ask, name: str, kind: str, asked: Document, tags: dict[str, str], zones: Mapping[str, str]) -> Document:
    """A new load balancer, with nothing to listen to yet."""
    try:
        program()
    except ProxyError as error:
        raise errors.not_configurable(str(error)) from None
    arn = ask.arn(f"loadbalancer/{_SHORT[kind]}/{name}/{new_id()}")
    address = _free_address({one["Address"] for _, _, one in ask.tx.everyones(BALANCER)})
    document = {
        "LoadBalancerArn": arn,
        "LoadBalancerName": name,
        # No resolver knows names of ours, and those below localhost are all 127.0.0.1.
        "DNSName": address,
        "CreatedTime": ask.now,
        "Scheme": asked["Scheme"],
        "State": {"Code": "active"},
        "Type": kind,
        "AvailabilityZones": [{"ZoneName": zones[one], "SubnetId": one} for one in asked["Subnets"]],
        "SecurityGroups": asked["SecurityGroups"],
        "IpAddressType": "ipv4",
        "Address": address,
        "Asked": asked,
        "Attributes": {},
        "Tags": tags,
    }
    ask.put(BALANCER, arn, document)
    return document


def _free_address(taken: set[str]) -> str:
    """One of 127.128.0.0/16: what is below is EC2's.

    By chance, so that another server's on this machine is another most likely.
    """
    while True:
        address = f"127.128.{secrets.randbelow(256)}.{1 + secrets.randbelow(254)}"
        if address not in taken:
            return address


def describe(ask: Ask, given: Input) -> Output:
    arns, names = given.get("LoadBalancerArns") or (), given.get("Names") or ()
    found = ask.chosen(BALANCER, arns, names, named_by="LoadBalancerName")
    return page(given, "LoadBalancers", [shown(one) for one in found], "LoadBalancerArn")


def delete(ask: Ask, given: Input) -> Output:
    """Also its listeners and their rules; one that is not there is none the less gone."""
    arn = given["LoadBalancerArn"]
    document = ask.find(BALANCER, arn)
    if document is not None:
        if _attributes(document)["deletion_protection.enabled"] == "true":
            raise errors.not_permitted(
                f"Load balancer '{arn}' cannot be deleted because deletion protection is enabled"
            )
        remove(ask, arn)
    return {}


def remove(ask: Ask, arn: str) -> None:
    for listener_arn, listener in ask.all(LISTENER).items():
        if listener["LoadBalancerArn"] == arn:
            rules.remove_listener(ask, listener_arn)
    ask.delete(BALANCER, arn)


def describe_attributes(ask: Ask, given: Input) -> Output:
    document = ask.require(BALANCER, given["LoadBalancerArn"])
    return {"Attributes": _attributes(document).listed()}


def modify_attributes(ask: Ask, given: Input) -> Output:
    document = ask.require(BALANCER, given["LoadBalancerArn"])
    document["Attributes"] |= _attributes(document).changed(given["Attributes"])
    ask.put(BALANCER, given["LoadBalancerArn"], document)
    return {"Attributes": _attributes(document).listed()}


def _attributes(document: Document) -> Attributes:
    return Attributes("Load balancer", BALANCER_ATTRIBUTES[document["Type"]], document["Attributes"])


def idle_seconds(document: Document) -> int:
    """How long a connection through it may be idle."""
    return int(_attributes(document)["idle_timeout.timeout_seconds"])


OPERATIONS = {
    "DescribeLoadBalancers": describe,
    "DeleteLoadBalancer": delete,
    "DescribeLoadBalancerAttributes": describe_attributes,
    "ModifyLoadBalancerAttributes": modify_attributes,
}
