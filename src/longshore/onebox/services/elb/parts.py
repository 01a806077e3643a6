"""What a Classic Load Balancer is kept as: a listener and a target group for each of its listeners, and a pool."""

from __future__ import annotations

from collections.abc import Iterable

from longshore.onebox.machinery.records import Document
from longshore.onebox.services.elbv2 import errors, listeners
from longshore.onebox.services.elbv2.rows import GROUP, LISTENER, TARGETS, Ask, new_id, refuse
from longshore.wire.service import AwsError

#: Of a target group: how long those may go on that are taken out.
DRAINING = "deregistration_delay.timeout_seconds"

_PROTOCOLS = ("HTTP", "TCP")
_CONFLICT = "A listener already exists for {} with LoadBalancerPort {}, but with a different InstancePort or Protocol"


def add_listeners(ask: Ask, balancer: Document, wanted: Iterable[Document]) -> None:
    """Have it listen there too; raises the error of what cannot be."""
    name = balancer["LoadBalancerName"]
    for one in wanted:
        refuse(one, "SSLCertificateId")
        protocol = one["Protocol"].upper()
        to = (one.get("InstanceProtocol") or protocol).upper()
        port, instance_port = one["LoadBalancerPort"], one["InstancePort"]
        if protocol not in _PROTOCOLS or to != protocol:
            raise AwsError("UnsupportedProtocol", "Listeners are HTTP to HTTP, or TCP to TCP, here: give one of these.")
        if not 1 <= port <= 65535:
            raise errors.validation("LoadBalancerPort must be 1 to 65535.")
        there = [other for other in listeners_of(ask, balancer) if other["Port"] == port]
        if there:
            group = ask.require(GROUP, group_of(there[0]))
            if (group["Protocol"], group["Port"]) == (protocol, instance_port):
                continue
            raise AwsError("DuplicateListener", _CONFLICT.format(name, port))
        listeners.require_free(balancer["Address"], port)
        pool = ask.require(TARGETS, balancer["Pool"])
        registered = {f"{one['Id']}:{instance_port}": {"Id": one["Id"], "Port": instance_port} for one in pool.values()}
        group_arn = new_group(ask, balancer, protocol, instance_port, registered)
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


def new_group(ask: Ask, balancer: Document, protocol: str, port: int, registered: Document) -> str:
    """A target group with these targets; its ARN."""
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
        "Attributes": {DRAINING: str(balancer.get("DrainSeconds", 0))},
        "Tags": {},
        **(health_check(check) if check else {}),
    }
    ask.put(GROUP, arn, group)
    ask.put(TARGETS, arn, registered)
    return arn


def health_check(check: Document) -> Document:
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


def listeners_of(ask: Ask, balancer: Document) -> list[Document]:
    """By their ports."""
    found = [one for one in ask.all(LISTENER).values() if one["LoadBalancerArn"] == balancer["LoadBalancerArn"]]
    return sorted(found, key=lambda one: int(one["Port"]))


def groups_of(ask: Ask, balancer: Document) -> list[str]:
    """The ARNs of its pool, and of its listeners' groups."""
    arn = balancer["LoadBalancerArn"]
    return [group for group, document in ask.all(GROUP).items() if document["LoadBalancer"] == arn]


def group_of(listener: Document) -> str:
    arn: str = listener["DefaultActions"][0]["ForwardConfig"]["TargetGroups"][0]["TargetGroupArn"]
    return arn
