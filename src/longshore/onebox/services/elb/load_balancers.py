"""Classic Load Balancers: what they are made of, and who is registered with them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from longshore.onebox.machinery.records import Document
from longshore.onebox.services.elb.parts import (
    DRAINING,
    add_listeners,
    group_of,
    groups_of,
    health_check,
    listeners_of,
    new_group,
)
from longshore.onebox.services.elbv2 import errors, load_balancers, target_groups, targets
from longshore.onebox.services.elbv2.load_balancers import idle_seconds, subnets_of
from longshore.onebox.services.elbv2.rows import (
    BALANCER,
    GROUP,
    LISTENER,
    TARGETS,
    Ask,
    Input,
    Output,
    check_name,
    page,
    refuse,
    tags_of,
)
from longshore.wire.service import AwsError

_TARGET = re.compile(r"(?P<speaks>HTTP|TCP):(?P<port>[0-9]{1,5})(?P<path>/[!-~]*)?")


def create(ask: Ask, given: Input, zones: Mapping[str, str]) -> Output:
    """`zones` are those of its subnets."""
    name = given["LoadBalancerName"]
    check_name(name, "load balancer")
    if any(one["LoadBalancerName"] == name for one in ask.all(BALANCER).values()):
        raise AwsError("DuplicateLoadBalancerName", f"The load balancer {name} is there already: choose another name.")
    asked = {
        "Scheme": given.get("Scheme") or "internet-facing",
        "Subnets": subnets_of(given),
        "SecurityGroups": sorted(given.get("SecurityGroups") or ()),
        "AvailabilityZones": sorted(given.get("AvailabilityZones") or set(zones.values())),
    }
    balancer = load_balancers.make(ask, name, "classic", asked, tags_of(given), zones)
    first = given["Listeners"][0] if given["Listeners"] else {}
    balancer |= {
        # Instances are registered there, and at every listener besides.
        "Pool": new_group(ask, balancer, "TCP", first.get("InstancePort") or 80, {}),
        "HealthCheck": {
            "Target": f"TCP:{first.get('InstancePort') or 80}",
            "Interval": 30,
            "Timeout": 5,
            "UnhealthyThreshold": 2,
            "HealthyThreshold": 10,
        },
        # None, unless draining is enabled.
        "DrainSeconds": 0,
    }
    ask.put(BALANCER, balancer["LoadBalancerArn"], balancer)
    add_listeners(ask, balancer, given["Listeners"])
    return {"DNSName": balancer["DNSName"]}


def describe(ask: Ask, given: Input) -> Output:
    there = {one["LoadBalancerName"]: one for one in ask.all(BALANCER).values()}
    names = given.get("LoadBalancerNames") or there
    found = [_described(ask, there[name] if name in there else require(ask, name)) for name in names]
    return page(given, "LoadBalancerDescriptions", found, "LoadBalancerName")


def delete(ask: Ask, given: Input) -> Output:
    """One that is not there is none the less gone."""
    for arn, balancer in ask.all(BALANCER).items():
        if balancer["LoadBalancerName"] == given["LoadBalancerName"]:
            load_balancers.remove(ask, arn)
            for group in groups_of(ask, balancer):
                target_groups.remove(ask, group)
    return {}


def create_listeners(ask: Ask, given: Input) -> Output:
    add_listeners(ask, require(ask, given["LoadBalancerName"]), given["Listeners"])
    return {}


def delete_listeners(ask: Ask, given: Input) -> Output:
    balancer = require(ask, given["LoadBalancerName"])
    for listener in listeners_of(ask, balancer):
        if listener["Port"] in given["LoadBalancerPorts"]:
            ask.delete(LISTENER, listener["ListenerArn"])
            target_groups.remove(ask, group_of(listener))
    return {}


def configure_health_check(ask: Ask, given: Input) -> Output:
    balancer = require(ask, given["LoadBalancerName"])
    check = dict(given["HealthCheck"])
    found = _TARGET.fullmatch(check["Target"])
    if found is None or not 1 <= int(found["port"]) <= 65535 or (found["speaks"] == "HTTP") is not bool(found["path"]):
        raise errors.validation("HealthCheck Target is HTTP:PORT/PATH or TCP:PORT here.")
    if check["Timeout"] >= check["Interval"]:
        raise errors.validation("HealthCheck Timeout must be smaller than its Interval: change one of them.")
    balancer["HealthCheck"] = check
    ask.put(BALANCER, balancer["LoadBalancerArn"], balancer)
    for arn in groups_of(ask, balancer):
        ask.put(GROUP, arn, ask.require(GROUP, arn) | health_check(check))
    return {"HealthCheck": check}


def describe_attributes(ask: Ask, given: Input) -> Output:
    return {"LoadBalancerAttributes": _attributes(require(ask, given["LoadBalancerName"]))}


def modify_attributes(ask: Ask, given: Input) -> Output:
    balancer = require(ask, given["LoadBalancerName"])
    wanted = given["LoadBalancerAttributes"]
    refuse(wanted, "AdditionalAttributes")
    if (wanted.get("AccessLog") or {}).get("Enabled"):
        raise errors.not_configurable("Access logs are not written here: leave AccessLog disabled.")
    if not (wanted.get("CrossZoneLoadBalancing") or {"Enabled": True})["Enabled"]:
        raise errors.not_configurable("Requests go to instances of all zones here: CrossZoneLoadBalancing stays on.")
    if (settings := wanted.get("ConnectionSettings")) is not None:
        balancer["Attributes"]["idle_timeout.timeout_seconds"] = str(settings["IdleTimeout"])
    if (draining := wanted.get("ConnectionDraining")) is not None:
        seconds = draining.get("Timeout")
        seconds = 300 if seconds is None else seconds
        if not 1 <= seconds <= 3600:
            raise errors.validation("ConnectionDraining Timeout must be 1 to 3600 seconds.")
        balancer["DrainSeconds"] = seconds if draining["Enabled"] else 0
        for arn in groups_of(ask, balancer):
            group = ask.require(GROUP, arn)
            group["Attributes"][DRAINING] = str(balancer["DrainSeconds"])
            ask.put(GROUP, arn, group)
    ask.put(BALANCER, balancer["LoadBalancerArn"], balancer)
    return {"LoadBalancerName": given["LoadBalancerName"], "LoadBalancerAttributes": _attributes(balancer)}


def register(ask: Ask, given: Input, running: Mapping[str, str]) -> Output:
    """`running` are the addresses of instances that run."""
    balancer = require(ask, given["LoadBalancerName"])
    wanted = _as_targets(given)
    for arn in groups_of(ask, balancer):
        try:
            targets.register(ask, {"TargetGroupArn": arn, "Targets": wanted}, running)
        except AwsError as error:
            raise AwsError("InvalidInstance", error.message) from None
    return {"Instances": _registered(ask, balancer)}


def deregister(ask: Ask, given: Input) -> Output:
    """They get nothing new; what they began they may finish."""
    balancer = require(ask, given["LoadBalancerName"])
    for arn in groups_of(ask, balancer):
        asked = {"TargetGroupArn": arn, "Targets": _as_targets(given)}
        targets.deregister(ask, asked, is_in_use=arn != balancer["Pool"])
    return {"Instances": _registered(ask, balancer)}


def add_tags(ask: Ask, given: Input) -> Output:
    tags = tags_of(given)
    for name in given["LoadBalancerNames"]:
        balancer = require(ask, name)
        balancer["Tags"] |= tags
        ask.put(BALANCER, balancer["LoadBalancerArn"], balancer)
    return {}


def remove_tags(ask: Ask, given: Input) -> Output:
    keys = {one.get("Key") for one in given["Tags"]}
    for name in given["LoadBalancerNames"]:
        balancer = require(ask, name)
        balancer["Tags"] = {key: value for key, value in balancer["Tags"].items() if key not in keys}
        ask.put(BALANCER, balancer["LoadBalancerArn"], balancer)
    return {}


def describe_tags(ask: Ask, given: Input) -> Output:
    described = []
    for name in given["LoadBalancerNames"]:
        tags = require(ask, name)["Tags"]
        described.append(
            {"LoadBalancerName": name, "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}
        )
    return {"TagDescriptions": described}


def require(ask: Ask, name: str) -> Document:
    """The load balancer of this name; raises LoadBalancerNotFound."""
    for balancer in ask.all(BALANCER).values():
        if balancer["LoadBalancerName"] == name:
            return balancer
    raise AwsError("LoadBalancerNotFound", f"There is no ACTIVE Load Balancer named '{name}'")


def serving(ask: Ask, balancer: Document) -> dict[str, tuple[Document, Document]]:
    """The target group of each of its listeners, by ARN, with who is there."""
    arns = [group_of(one) for one in listeners_of(ask, balancer)]
    return {arn: (ask.require(GROUP, arn), ask.require(TARGETS, arn)) for arn in arns}


def registered_ids(ask: Ask, balancer: Document) -> list[str]:
    return [one["InstanceId"] for one in _registered(ask, balancer)]


def _as_targets(given: Input) -> list[Document]:
    return [{"Id": one.get("InstanceId") or ""} for one in given["Instances"]]


def _registered(ask: Ask, balancer: Document) -> list[dict[str, str]]:
    return [{"InstanceId": one["Id"]} for one in ask.require(TARGETS, balancer["Pool"]).values()]


def _attributes(balancer: Document) -> dict[str, Any]:
    seconds = balancer["DrainSeconds"]
    return {
        "CrossZoneLoadBalancing": {"Enabled": True},
        "AccessLog": {"Enabled": False},
        "ConnectionDraining": {"Enabled": bool(seconds), "Timeout": seconds or 300},
        "ConnectionSettings": {"IdleTimeout": idle_seconds(balancer)},
    }


def _described(ask: Ask, balancer: Document) -> Output:
    described = []
    for listener in listeners_of(ask, balancer):
        group = ask.require(GROUP, group_of(listener))
        shown = {
            "Protocol": listener["Protocol"],
            "LoadBalancerPort": listener["Port"],
            "InstanceProtocol": group["Protocol"],
            "InstancePort": group["Port"],
        }
        described.append({"Listener": shown, "PolicyNames": []})
    asked = balancer["Asked"]
    return {
        "LoadBalancerName": balancer["LoadBalancerName"],
        "DNSName": balancer["DNSName"],
        "ListenerDescriptions": described,
        "Policies": {"AppCookieStickinessPolicies": [], "LBCookieStickinessPolicies": [], "OtherPolicies": []},
        "BackendServerDescriptions": [],
        "AvailabilityZones": asked["AvailabilityZones"],
        "Subnets": asked["Subnets"],
        "SecurityGroups": asked["SecurityGroups"],
        "Instances": _registered(ask, balancer),
        "HealthCheck": balancer["HealthCheck"],
        "CreatedTime": balancer["CreatedTime"],
        "Scheme": asked["Scheme"],
    }


OPERATIONS = {
    "DescribeLoadBalancers": describe,
    "DeleteLoadBalancer": delete,
    "CreateLoadBalancerListeners": create_listeners,
    "DeleteLoadBalancerListeners": delete_listeners,
    "ConfigureHealthCheck": configure_health_check,
    "DescribeLoadBalancerAttributes": describe_attributes,
    "ModifyLoadBalancerAttributes": modify_attributes,
    "DeregisterInstancesFromLoadBalancer": deregister,
    "AddTags": add_tags,
    "RemoveTags": remove_tags,
    "DescribeTags": describe_tags,
}
