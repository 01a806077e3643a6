"""What a deployment's lineup depends on, read on one consistent view of the rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from longshore.domain import balancing
from longshore.domain.balancing import Takes
from longshore.domain.config import PREDEFINED
from longshore.domain.group import on_premises_tag_set
from longshore.domain.ids import Scope
from longshore.domain.lineup import Circumstances, Host
from longshore.store import deployment_configs, deployments, instances
from longshore.store.database import Transaction
from longshore.store.deployment_groups import DeploymentGroup
from longshore.store.deployments import Deployment


def on_premises(tx: Transaction, scope: Scope, meant: Mapping[str, Any]) -> list[Host]:
    """The registered instances that `meant`, which is spelled as a group's document, means."""
    return [
        Host(name=one.name, arn=one.arn, poller=scope.host(one.host))
        for one in instances.matching(tx, scope, on_premises_tag_set(meant))
    ]


def unplaceable(tx: Transaction, scope: Scope, hosts: Iterable[Host]) -> list[str]:
    """Why traffic cannot move between those of these hosts that are on premises (`balancing.unplaceable`)."""
    names = {host.name for host in hosts if not Takes.INSTANCES.is_one(host.name)}
    found = instances.several(tx, scope, names) if names else {}
    return balancing.unplaceable({name: instance.tags for name, instance in found.items()})


def circumstances(
    tx: Transaction,
    scope: Scope,
    group: DeploymentGroup,
    *,
    meant: Mapping[str, Any],
    elsewhere: Sequence[Host],
    config_name: str,
    only_without: str | None,
    limit: int,
    account_limit: int,
    ignores_zones: bool = False,
) -> Circumstances:
    """`meant` says who is deployed to, spelled as a group's document.

    `elsewhere` are those of them that no row tells of: EC2 instances. Hosts that run the revision `only_without` take
    no part.
    `limit` is how many hosts one deployment may have, `account_limit` how many all of the account's at once.
    """
    hosts = [*elsewhere, *on_premises(tx, scope, meant)]
    return Circumstances(
        hosts=hosts,
        # Nothing depends on the others where there is no host.
        health=deployments.group_health(tx, group.id) if hosts else {},
        current_revision=group.target_revision_identity,
        config=deployment_configs.find(tx, scope, config_name),
        only_without=only_without,
        limit=limit,
        account_room=account_limit - (deployments.count_active_targets(tx, scope) if hosts else 0),
        account_limit=account_limit,
        ignores_zones=ignores_zones,
    )


def of_instance(
    tx: Transaction, deployment: Deployment, instance_id: str, *, limit: int, account_limit: int
) -> Circumstances:
    """What a deployment to one EC2 instance depends on: whoever else is in the group has no part in it."""
    scope = deployment.scope
    arn = scope.ec2_instance_arn(instance_id)
    return Circumstances(
        hosts=[Host(name=instance_id, arn=arn, poller=scope.host(arn))],
        health={},
        current_revision=deployment.revision_identity,
        config=PREDEFINED[deployment.config_name],
        only_without=None,
        limit=limit,
        account_room=account_limit - deployments.count_active_targets(tx, scope),
        account_limit=account_limit,
    )
