"""Target groups: what answers requests alike, and how it shows that it is able to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from longshore.onebox.machinery.proxy.plan import HealthCheck, Speaks
from longshore.onebox.machinery.records import Document
from longshore.onebox.services.elbv2 import actions, errors
from longshore.onebox.services.elbv2.attributes import GROUP_ATTRIBUTES, Attributes
from longshore.onebox.services.elbv2.rows import (
    BALANCER,
    GROUP,
    TARGETS,
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

_TYPES = ("instance", "ip")
_MOST = 3000

#: How health is checked when nobody says, by protocol of the group.
_CHECKS: Mapping[str, Mapping[str, Any]] = {
    "HTTP": {
        "HealthCheckProtocol": "HTTP",
        "HealthCheckPort": "traffic-port",
        "HealthCheckEnabled": True,
        "HealthCheckIntervalSeconds": 30,
        "HealthCheckTimeoutSeconds": 5,
        "HealthyThresholdCount": 5,
        "UnhealthyThresholdCount": 2,
    },
    "TCP": {
        "HealthCheckProtocol": "TCP",
        "HealthCheckPort": "traffic-port",
        "HealthCheckEnabled": True,
        "HealthCheckIntervalSeconds": 30,
        "HealthCheckTimeoutSeconds": 10,
        "HealthyThresholdCount": 5,
        "UnhealthyThresholdCount": 2,
    },
}
_CHECK_MEMBERS = (*_CHECKS["HTTP"], "HealthCheckPath", "Matcher")
_PATH = re.compile("/[!-~]*")
_CODES = re.compile("([2-5][0-9][0-9])(?:-([2-5][0-9][0-9]))?")


def create(ask: Ask, given: Input) -> Output:
    name = given["Name"]
    check_name(name, "target group")
    kind, protocol = given.get("TargetType") or "instance", given.get("Protocol")
    if kind not in _TYPES:
        raise errors.not_configurable(f"Targets of type {kind} are not done here: {' and '.join(_TYPES)} are.")
    if protocol is None or given.get("Port") is None:
        raise errors.validation("A target group has a Protocol and a Port: give both.")
    if protocol not in _CHECKS:
        raise errors.not_configurable(f"Targets of protocol {protocol} are not done here: HTTP and TCP are.")
    if (given.get("ProtocolVersion") or "HTTP1") != "HTTP1":
        raise errors.not_configurable("Targets speak HTTP1 here: leave ProtocolVersion out.")
    if (given.get("IpAddressType") or "ipv4") != "ipv4":
        raise errors.not_configurable("Targets have addresses of IPv4 here: leave IpAddressType out.")
    refuse(given, "TargetControlPort")
    tags = tags_of(given)
    asked = {key: value for key, value in given.items() if key != "Tags" and value is not None}
    there = ask.all(GROUP)
    for one in there.values():
        if one["TargetGroupName"] == name:
            if one["Asked"] == asked:
                return {"TargetGroups": [_shown(ask, one)]}
            message = f"A target group with the same name '{name}' exists, but with different settings"
            raise AwsError("DuplicateTargetGroupName", message)
    if len(there) >= _MOST:
        raise AwsError(
            "TooManyTargetGroups", f"An account has at most {_MOST} target groups in a region; delete one first."
        )
    arn = ask.arn(f"targetgroup/{name}/{new_id()}")
    document = {
        "TargetGroupArn": arn,
        "TargetGroupName": name,
        "Protocol": protocol,
        "Port": given["Port"],
        "TargetType": kind,
        "IpAddressType": "ipv4",
        **({"ProtocolVersion": "HTTP1"} if protocol == "HTTP" else {}),
        **({"VpcId": given["VpcId"]} if given.get("VpcId") else {}),
        **checked({}, given, protocol),
        "Attributes": {},
        "Tags": tags,
        "Asked": asked,
    }
    ask.put(GROUP, arn, document)
    ask.put(TARGETS, arn, {})
    return {"TargetGroups": [_shown(ask, document)]}


def describe(ask: Ask, given: Input) -> Output:
    arns, names, balancer = given.get("TargetGroupArns") or (), given.get("Names") or (), given.get("LoadBalancerArn")
    found = ask.chosen(GROUP, arns, names, named_by="TargetGroupName")
    users = actions.balancers_of_groups(ask)
    if balancer:
        ask.require(BALANCER, balancer)
        found = [one for one in found if balancer in users.get(one["TargetGroupArn"], ())]
    groups = [_with_users(one, users) for one in found]
    return page(given, "TargetGroups", groups, "TargetGroupArn")


def modify(ask: Ask, given: Input) -> Output:
    arn = given["TargetGroupArn"]
    group = ask.require(GROUP, arn)
    group |= checked({name: group[name] for name in _CHECK_MEMBERS if name in group}, given, group["Protocol"])
    if group["HealthCheckProtocol"] != "HTTP":
        group.pop("HealthCheckPath", None)
        group.pop("Matcher", None)
    ask.put(GROUP, arn, group)
    return {"TargetGroups": [_shown(ask, group)]}


def delete(ask: Ask, given: Input) -> Output:
    """One that is not there is none the less gone."""
    arn = given["TargetGroupArn"]
    if arn in actions.balancers_of_groups(ask):
        raise errors.in_use(f"Target group '{arn}' is currently in use by a listener or a rule")
    remove(ask, arn)
    return {}


def remove(ask: Ask, arn: str) -> None:
    ask.delete(GROUP, arn)
    ask.delete(TARGETS, arn)


def describe_attributes(ask: Ask, given: Input) -> Output:
    return {"Attributes": attributes(ask.require(GROUP, given["TargetGroupArn"])).listed()}


def modify_attributes(ask: Ask, given: Input) -> Output:
    group = ask.require(GROUP, given["TargetGroupArn"])
    group["Attributes"] |= attributes(group).changed(given["Attributes"])
    ask.put(GROUP, given["TargetGroupArn"], group)
    return {"Attributes": attributes(group).listed()}


def attributes(group: Document) -> Attributes:
    return Attributes("Target group", GROUP_ATTRIBUTES[group["Protocol"]], group["Attributes"])


def drain_seconds(group: Document) -> int:
    """How long a target that is taken out may go on with what it began."""
    return int(attributes(group)["deregistration_delay.timeout_seconds"])


def health_check(group: Document) -> HealthCheck:
    """How its targets are checked, in the proxy's words."""
    port = group["HealthCheckPort"]
    return HealthCheck(
        speaks=Speaks(group["HealthCheckProtocol"]),
        path=group.get("HealthCheckPath") or "/",
        port=None if port == "traffic-port" else int(port),
        codes=_codes(group["Matcher"]["HttpCode"]) if "Matcher" in group else (),
        interval=group["HealthCheckIntervalSeconds"],
        timeout=group["HealthCheckTimeoutSeconds"],
        healthy_after=group["HealthyThresholdCount"],
        unhealthy_after=group["UnhealthyThresholdCount"],
    )


def checked(before: Document, given: Input, protocol: str) -> Document:
    """The health check as it is kept; raises the error of what is wrong with it.

    `before` is what it was, {} for a new one.
    """
    check = (
        dict(_CHECKS[protocol]) | before | {name: given[name] for name in _CHECK_MEMBERS if given.get(name) is not None}
    )
    speaks = check["HealthCheckProtocol"]
    if speaks not in ("HTTP", "TCP") or (protocol == "HTTP" and speaks != "HTTP"):
        raise errors.not_configurable(
            f"Targets of {protocol} are not checked by {speaks} here: use {' or '.join(sorted({'HTTP', protocol}))}."
        )
    if not check["HealthCheckEnabled"]:
        raise errors.validation(
            "Health checks cannot be disabled for targets of type instance or ip: leave HealthCheckEnabled out."
        )
    port = check["HealthCheckPort"]
    if port != "traffic-port" and not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
        raise errors.validation(f"Health check port '{port[:20]}' must be 'traffic-port' or 1 to 65535")
    if check["HealthCheckTimeoutSeconds"] >= check["HealthCheckIntervalSeconds"]:
        raise errors.validation("Health check interval must be greater than the timeout.")
    if speaks == "HTTP":
        check.setdefault("HealthCheckPath", "/")
        if not _PATH.fullmatch(check["HealthCheckPath"]):
            raise errors.validation("Health check path must begin with '/' and be printable ASCII without spaces")
        codes = (check.get("Matcher") or {}).get("HttpCode") or ("200" if protocol == "HTTP" else "200-399")
        _codes(codes)
        check["Matcher"] = {"HttpCode": codes}
    return check


def _codes(text: str) -> list[tuple[int, int]]:
    ranges = [_CODES.fullmatch(one) for one in text.split(",")]
    found = [(int(one[1]), int(one[2] or one[1])) for one in ranges if one]
    if len(found) < len(ranges) or any(first > last for first, last in found):
        raise errors.validation(f"Health check matcher HTTP code '{text[:100]}' must be like 200, 200,202 or 200-299")
    return found


def _shown(ask: Ask, group: Document) -> Output:
    return _with_users(group, actions.balancers_of_groups(ask))


def _with_users(group: Document, users: Mapping[str, set[str]]) -> Output:
    return shown(group) | {"LoadBalancerArns": sorted(users.get(group["TargetGroupArn"], ()))}


OPERATIONS = {
    "CreateTargetGroup": create,
    "DescribeTargetGroups": describe,
    "ModifyTargetGroup": modify,
    "DeleteTargetGroup": delete,
    "DescribeTargetGroupAttributes": describe_attributes,
    "ModifyTargetGroupAttributes": modify_attributes,
}
