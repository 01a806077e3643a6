"""Classic Load Balancers: what they are made of, and who is registered with them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from longshore.onebox.machinery.records import Document
from longshore.onebox.services.elbv2 import errors, listeners, load_balancers, targets
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
    new_id,
    page,
    refuse,
    tags_of,
)
from longshore.wire.service import AwsError

_PROTOCOLS = ("HTTP", "TCP")
_TARGET = re.compile(r"(?P<speaks>HTTP|TCP):(?P<port>[0-9]{1,5})(?P<path>/[!-~]*)?")
_DRAINING = "deregistration_delay.timeout_seconds"
_CONFLICT = "A listener already exists for {} with LoadBalancerPort {}, but with a different InstancePort or Protocol"


def create(ask: Ask, given: Input, zones: Mapping[str, str]) -> Output:
    """`zones` are those of its subnets."""
    name = given["LoadBalancerName"]
    check_name(name, "load balancer")
    if any(one["LoadBalancerName"] == name for one in ask.all(BALANCER).values()):
        raise AwsError("DuplicateLoadBalancerName", f"The load balancer {name} is there already.")
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
        "Pool": _new_group(ask, balancer, "TCP", first.get("InstancePort") or 80, {}),
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
    _add_listeners(ask, balancer, given["Listeners"])
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
            for group in _groups(ask, balancer):
                _remove_group(ask, group)
    return {}


def create_listeners(ask: Ask, given: Input) -> Output:
    _add_listeners(ask, require(ask, given["LoadBalancerName"]), given["Listeners"])
    return {}


def delete_listeners(ask: Ask, given: Input) -> Output:
    balancer = require(ask, given["LoadBalancerName"])
    for listener in _listeners(ask, balancer):
        if listener["Port"] in given["LoadBalancerPorts"]:
            ask.delete(LISTENER, listener["ListenerArn"])
            _remove_group(ask, _group_of(listener))
    return {}


def configure_health_check(ask: Ask, given: Input) -> Output:
    balancer = require(ask, given["LoadBalancerName"])
    check = dict(given["HealthCheck"])
    found = _TARGET.fullmatch(check["Target"])
    if found is None or not 1 <= int(found["port"]) <= 65535 or (found["speaks"] == "HTTP") is not bool(found["path"]):
        raise errors.validation("HealthCheck Target is HTTP:PORT/PATH or TCP:PORT here.")
    if check["Timeout"] >= check["Interval"]:
        raise errors.validation("HealthCheck Timeout must be smaller than its Interval")
    balancer["HealthCheck"] = check
    ask.put(BALANCER, balancer["LoadBalancerArn"], balancer)
    for arn in _groups(ask, balancer):
        ask.put(GROUP, arn, ask.require(GROUP, arn) | _health_check(check))
    return {"HealthCheck": check}


def describe_attributes(ask: Ask, given: Input) -> Output:
    return {"LoadBalancerAttributes": _attributes(require(ask, given["LoadBalancerName"]))}


def modify_attributes(ask: Ask, given: Input) -> Output:
    balancer = require(ask, given["LoadBalancerName"])
    wanted = given["LoadBalancerAttributes"]
    refuse(wanted, "AdditionalAttributes")
    if (wanted.get("AccessLog") or {}).get("Enabled"):
        raise errors.not_configurable("Access logs are not written here.")
    if not (wanted.get("CrossZoneLoadBalancing") or {"Enabled": True})["Enabled"]:
        raise errors.not_configurable("Requests go to instances of all zones here: CrossZoneLoadBalancing stays on.")
    if (settings := wanted.get("ConnectionSettings")) is not None:
        balancer["Attributes"]["idle_timeout.timeout_seconds"] = str(settings["IdleTimeout"])
    if (draining := wanted.get("ConnectionDraining")) is not None:
        seconds = draining.get("Timeout")
        seconds = 300 if seconds is None else seconds
        if not 1 <= seconds <= 3600:
            raise errors.validation("ConnectionDraining Timeout is 1 to 3600 seconds.")
        balancer["DrainSeconds"] = seconds if draining["Enabled"] else 0
        for arn in _groups(ask, balancer):
            group = ask.require(GROUP, arn)
            group["Attributes"][_DRAINING] = str(balancer["DrainSeconds"])
            ask.put(GROUP, arn, group)
    ask.put(BALANCER, balancer["LoadBalancerArn"], balancer)
    return {"LoadBalancerName": given["LoadBalancerName"], "LoadBalancerAttributes": _attributes(balancer)}


def register(ask: Ask, given: Input, running: Mapping[str, str]) -> Output:
    """`running` are the addresses of instances that run."""
    balancer = require(ask, given["LoadBalancerName"])
    wanted = _as_targets(given)
    for arn in _groups(ask, balancer):
        try:
            targets.register(ask, {"TargetGroupArn": arn, "Targets": wanted}, running)
        except AwsError as error:
            raise AwsError("InvalidInstance", error.message) from None
    return {"Instances": _registered(ask, balancer)}


def deregister(ask: Ask, given: Input) -> Output:
    """They get nothing new; what they began they may finish."""
    balancer = require(ask, given["LoadBalancerName"])
    for arn in _groups(ask, balancer):
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
    arns = [_group_of(one) for one in _listeners(ask, balancer)]
    return {arn: (ask.require(GROUP, arn), ask.require(TARGETS, arn)) for arn in arns}


def registered_ids(ask: Ask, balancer: Document) -> list[str]:
    return [one["InstanceId"] for one in _registered(ask, balancer)]


def _add_listeners(ask: Ask, balancer: Document, wanted: Iterable[Document]) -> None:
    name = balancer["LoadBalancerName"]
    for one in wanted:
        refuse(one, "SSLCertificateId")
        protocol = one["Protocol"].upper()
        to = (one.get("InstanceProtocol") or protocol).upper()
        port, instance_port = one["LoadBalancerPort"], one["InstancePort"]
        if protocol not in _PROTOCOLS or to != protocol:
            raise AwsError("UnsupportedProtocol", "Listeners are HTTP to HTTP, or TCP to TCP, here.")
        if not 1 <= port <= 65535:
            raise errors.validation("LoadBalancerPort is 1 to 65535.")
        there = [other for other in _listeners(ask, balancer) if other["Port"] == port]
        if there:
            group = ask.require(GROUP, _group_of(there[0]))
            if (group["Protocol"], group["Port"]) == (protocol, instance_port):
                continue
            raise AwsError("DuplicateListener", _CONFLICT.format(name, port))
        listeners.require_free(balancer["Address"], port)
        pool = ask.require(TARGETS, balancer["Pool"])
        registered = {f"{one['Id']}:{instance_port}": {"Id": one["Id"], "Port": instance_port} for one in pool.values()}
        group_arn = _new_group(ask, balancer, protocol, instance_port, registered)
        arn = ask.arn(f"listener/classic/{name}/{balancer['LoadBalancerArn'].rpartition('/')[2]}/{new_id()}")
        shares = {"TargetGroups": [{"TargetGroupArn": group_arn, "Weight": 1}]}
        ask.put(
            LISTENER,
            arn,
            {
                "ListenerArn": arn,
                "LoadBalancerArn": balancer["LoadBalancerArn"],
                "Port": port,
                "Protocol": protocol,
                "DefaultActions": [{"Type": "forward", "ForwardConfig": shares}],
                "DefaultRuleArn": "",
                "Tags": {},
            },
        )


def _new_group(ask: Ask, balancer: Document, protocol: str, port: int, registered: Document) -> str:
    name = balancer["LoadBalancerName"]
    arn = ask.arn(f"targetgroup/classic/{name}/{new_id()}")
    check = balancer.get("HealthCheck")
    group = {
        "TargetGroupArn": arn,
        "TargetGroupName": name,
        "LoadBalancer": balancer["LoadBalancerArn"],
        "Protocol": protocol,
        "Port": port,
        "TargetType": "instance",
        "Attributes": {_DRAINING: str(balancer.get("DrainSeconds", 0))},
        "Tags": {},
        **(_health_check(check) if check else {}),
    }
    ask.put(GROUP, arn, group)
    ask.put(TARGETS, arn, registered)
    return arn


def _remove_group(ask: Ask, arn: str) -> None:
    ask.delete(GROUP, arn)
    ask.delete(TARGETS, arn)


def _health_check(check: Document) -> Document:
    """A health check in the words of a target group."""
    speaks, _, rest = check["Target"].partition(":")
    port, slash, path = rest.partition("/")
    return {
        "HealthCheckProtocol": speaks,
        "HealthCheckPort": port,
        "HealthCheckEnabled": True,
        "HealthCheckPath": slash + path,
        "HealthCheckIntervalSeconds": check["Interval"],
        "HealthCheckTimeoutSeconds": check["Timeout"],
        "HealthyThresholdCount": check["HealthyThreshold"],
        "UnhealthyThresholdCount": check["UnhealthyThreshold"],
        **({"Matcher": {"HttpCode": "200"}} if speaks == "HTTP" else {}),
    }


def _listeners(ask: Ask, balancer: Document) -> list[Document]:
    found = [one for one in ask.all(LISTENER).values() if one["LoadBalancerArn"] == balancer["LoadBalancerArn"]]
    return sorted(found, key=lambda one: int(one["Port"]))


def _groups(ask: Ask, balancer: Document) -> list[str]:
    """The ARNs of its pool, and of its listeners' groups."""
    arn = balancer["LoadBalancerArn"]
    return [group for group, document in ask.all(GROUP).items() if document["LoadBalancer"] == arn]


def _group_of(listener: Document) -> str:
    arn: str = listener["DefaultActions"][0]["ForwardConfig"]["TargetGroups"][0]["TargetGroupArn"]
    return arn


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
    for listener in _listeners(ask, balancer):
        group = ask.require(GROUP, _group_of(listener))
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
