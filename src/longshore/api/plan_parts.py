"""Parts of a deployment's plan: what becomes of a blue/green deployment's originals, and how long the work takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import median
from typing import Any

from longshore.domain.blue_green import options_of
from longshore.domain.deployment import TargetStatus
from longshore.domain.group import auto_scaling_groups
from longshore.domain.lifecycle import Label
from longshore.domain.lineup import Host
from longshore.domain.rollback import CREATOR
from longshore.store import deployments, targets
from longshore.store.database import Transaction
from longshore.store.deployment_groups import DeploymentGroup

#: Hosts of the last deployment that are looked at to know how long one takes.
_SAMPLE = 100


def becomes_of(originals: Iterable[Host], group: Mapping[str, Any], deployed_to: Iterable[Host]) -> dict[str, Any]:
    """BlueGreenPlan: who loses traffic to the replacements of a group with this document, and what happens when."""
    options = options_of(group["blueGreenDeploymentConfiguration"])
    # Of a copy, those that are copied stand for the replacements.
    replacements = set() if options.copies_group else {host.name for host in deployed_to}
    plan: dict[str, Any] = {"originals": sorted({host.name for host in originals} - replacements)}
    if options.copies_group and (copied := auto_scaling_groups(group)):
        plan["copiedAutoScalingGroup"] = copied[0]
    if options.ready_wait is not None:
        plan["readyWaitSeconds"] = options.ready_wait
    if options.termination_wait is not None:
        plan["terminationWaitSeconds"] = options.termination_wait
    return plan


def seconds_of(tx: Transaction, group: DeploymentGroup, waves: int) -> float | None:
    """How long so many waves are at work, by the group's last success; None when that says nothing of it.

    What a blue/green deployment waits for is no work.
    """
    last = deployments.get(tx, group.last_successful_deployment_id) if group.last_successful_deployment_id else None
    if last is None or (last.is_blue_green and last.creator == CREATOR):
        return None  # going back moves traffic, and installs nothing
    names = targets.with_status(tx, last.id, TargetStatus.SUCCEEDED)
    taken: dict[bool, list[float]] = {True: [], False: []}
    for row in targets.find(tx, last.id, names[:_SAMPLE]):
        if (seconds := row.target.seconds) is not None:
            taken[row.target.label is Label.BLUE].append(seconds)
    if not taken[False]:
        return None
    is_blue_green = group.document["deploymentStyle"].get("deploymentType") == "BLUE_GREEN"
    # Originals lose their traffic all at once.
    leaving = median(taken[True]) if is_blue_green and taken[True] else 0.0
    return median(taken[False]) * waves + leaving
