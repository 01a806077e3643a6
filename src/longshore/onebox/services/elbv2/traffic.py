"""What the proxy is to do, from what is kept: pure, and the same whenever it is asked."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from longshore.onebox.machinery.proxy.plan import Cluster, Endpoint, Listener, Plan, Route, Speaks
from longshore.onebox.machinery.records import Document, Owner, Records
from longshore.onebox.services.elbv2 import actions, conditions, target_groups, targets
from longshore.onebox.services.elbv2.load_balancers import idle_seconds
from longshore.onebox.services.elbv2.rows import BALANCER, GROUP, LISTENER, RULE, TARGETS, short
from longshore.onebox.services.elbv2.targets import Instances, instances_in


@dataclass(frozen=True, kw_only=True)
class Kept:
    """Everybody's documents, by ARN; they may be of one moment only."""

    balancers: dict[str, Document]
    listeners: dict[str, Document]
    rules: dict[str, Document]
    #: With whose they are.
    groups: dict[str, tuple[Owner, Document]]
    targets: dict[str, Document]

    @functools.cached_property
    def used_groups(self) -> set[str]:
        """The ARNs of those that a listener or a rule forwards to."""
        of_listeners = [one["DefaultActions"] for one in self.listeners.values()]
        of_rules = [one["Actions"] for one in self.rules.values()]
        return {arn for some in (*of_listeners, *of_rules) for arn in actions.groups_of(some)}


def read(records: Records) -> Kept:
    with records.transaction() as tx:
        balancers, listeners, rules, targets = (
            {arn: document for _, arn, document in tx.everyones(kind)} for kind in (BALANCER, LISTENER, RULE, TARGETS)
        )
        groups = {arn: (owner, document) for owner, arn, document in tx.everyones(GROUP)}
    return Kept(balancers=balancers, listeners=listeners, rules=rules, groups=groups, targets=targets)


#: The addresses of instances that run, by whose they are.
Running = Mapping[Owner, Mapping[str, str]]


def running(kept: Kept, instances: Instances) -> Running:
    """Those among the targets."""
    ids: dict[Owner, list[str]] = {}
    for arn, (owner, _) in kept.groups.items():
        ids.setdefault(owner, []).extend(instances_in(kept.targets[arn].values()))
    return {owner: instances.running(owner, some) if some else {} for owner, some in ids.items()}


def plan(kept: Kept, running: Running) -> Plan:
    """The listeners that there are, and the groups that any of these may ask."""
    rules: dict[str, list[Document]] = {}
    for rule in sorted(kept.rules.values(), key=lambda one: int(one["Priority"])):
        rules.setdefault(rule["ListenerArn"], []).append(rule)
    return Plan(
        listeners=[
            _listener(kept.balancers[one["LoadBalancerArn"]], one, rules.get(arn, []))
            for arn, one in kept.listeners.items()
        ],
        clusters=[
            _cluster(group, kept.targets[arn], running[owner])
            for arn, (owner, group) in kept.groups.items()
            if arn in kept.used_groups
        ],
    )


def _listener(balancer: Document, listener: Document, rules: list[Document]) -> Listener:
    routes = [_route(one) for one in rules]
    (default,) = listener["DefaultActions"]
    return Listener(
        name=short(listener["ListenerArn"]),
        address=balancer["Address"],
        port=listener["Port"],
        speaks=Speaks(listener["Protocol"]),
        routes=(*routes, Route(action=actions.as_planned(default))),
        idle_seconds=idle_seconds(balancer),
    )


def _route(rule: Document) -> Route:
    headers, sources = conditions.as_planned(rule["Conditions"])
    (action,) = rule["Actions"]
    return Route(action=actions.as_planned(action), headers=tuple(headers), sources=tuple(sources))


def _cluster(group: Document, registered: Document, running: Mapping[str, str]) -> Cluster:
    return Cluster(
        name=short(group["TargetGroupArn"]),
        speaks=Speaks(group["Protocol"]),
        endpoints=list(_endpoints(group, registered, running)),
        check=target_groups.health_check(group),
        to_least_busy=group["Attributes"].get("load_balancing.algorithm.type") == "least_outstanding_requests",
    )


def _endpoints(group: Document, registered: Document, running: Mapping[str, str]) -> Iterator[Endpoint]:
    for target in registered.values():
        address = targets.address(group, target, running)
        if address is not None:
            yield Endpoint(address=address, port=target["Port"], is_drained="DrainedUntil" in target)
