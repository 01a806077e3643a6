"""Permissions of Elastic Load Balancing.

https://docs.aws.amazon.com/service-authorization/latest/reference/list_awselasticloadbalancingv2.html
To look needs a right to everything; to change, one to what is changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from longshore.auth.permissions.needs import Asked, Find, Need, Resource, Table, everything, named, plain


def _by(member: str) -> Find:
    return lambda asked: plain(named(asked, member))


def _new_balancer(asked: Asked) -> list[Resource]:
    kind = "net" if asked.input.get("Type") == "network" else "app"
    return plain([_arn(asked, f"loadbalancer/{kind}/{named(asked, 'Name')[0]}/*")])


def _new_group(asked: Asked) -> list[Resource]:
    return plain([_arn(asked, f"targetgroup/{named(asked, 'Name')[0]}/*")])


def _classic(member: str) -> Find:
    return lambda asked: plain([_arn(asked, f"loadbalancer/{name}") for name in named(asked, member)])


def _prioritised(asked: Asked) -> list[Resource]:
    given: Any = asked.input.get("RulePriorities") or ()
    return plain([one["RuleArn"] for one in given if one.get("RuleArn")] or ["*"])


def _arn(asked: Asked, rest: str) -> str:
    return f"arn:aws:elasticloadbalancing:{asked.region}:{asked.account}:{rest}"


def _table(needs: Mapping[str, Find]) -> Table:
    return {name: (Need(actions=(f"elasticloadbalancing:{name}",), find=find),) for name, find in needs.items()}


#: Version 2015-12-01.
ELBV2: Final[Table] = _table(
    {
        "AddTags": _by("ResourceArns"),
        "CreateListener": _by("LoadBalancerArn"),
        "CreateLoadBalancer": _new_balancer,
        "CreateRule": _by("ListenerArn"),
        "CreateTargetGroup": _new_group,
        "DeleteListener": _by("ListenerArn"),
        "DeleteLoadBalancer": _by("LoadBalancerArn"),
        "DeleteRule": _by("RuleArn"),
        "DeleteTargetGroup": _by("TargetGroupArn"),
        "DeregisterTargets": _by("TargetGroupArn"),
        "DescribeListeners": everything,
        "DescribeLoadBalancerAttributes": everything,
        "DescribeLoadBalancers": everything,
        "DescribeRules": everything,
        "DescribeTags": everything,
        "DescribeTargetGroupAttributes": everything,
        "DescribeTargetGroups": everything,
        "DescribeTargetHealth": everything,
        "ModifyListener": _by("ListenerArn"),
        "ModifyLoadBalancerAttributes": _by("LoadBalancerArn"),
        "ModifyRule": _by("RuleArn"),
        "ModifyTargetGroup": _by("TargetGroupArn"),
        "ModifyTargetGroupAttributes": _by("TargetGroupArn"),
        "RegisterTargets": _by("TargetGroupArn"),
        "RemoveTags": _by("ResourceArns"),
        "SetRulePriorities": _prioritised,
    }
)

_ONE, _SEVERAL = _classic("LoadBalancerName"), _classic("LoadBalancerNames")

#: Version 2012-06-01: Classic Load Balancers, which policies name without a kind.
ELB: Final[Table] = _table(
    {
        "AddTags": _SEVERAL,
        "ConfigureHealthCheck": _ONE,
        "CreateLoadBalancer": _ONE,
        "CreateLoadBalancerListeners": _ONE,
        "DeleteLoadBalancer": _ONE,
        "DeleteLoadBalancerListeners": _ONE,
        "DeregisterInstancesFromLoadBalancer": _ONE,
        "DescribeInstanceHealth": everything,
        "DescribeLoadBalancerAttributes": everything,
        "DescribeLoadBalancers": everything,
        "DescribeTags": everything,
        "ModifyLoadBalancerAttributes": _ONE,
        "RegisterInstancesWithLoadBalancer": _ONE,
        "RemoveTags": _SEVERAL,
    }
)
