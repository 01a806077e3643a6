"""How much of everything an account may have (server.md S1.12–S1.15, S12.0); the numbers are AWS's."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    applications: int = 1000
    groups_per_application: int = 1000
    custom_configs: int = 200
    active_deployments: int = 1000
    filters_per_tag_list: int = 10
    tag_groups: int = 3
    auto_scaling_groups: int = 10
    triggers: int = 10
    alarms: int = 10
    load_balancers: int = 10
    tags_per_instance: int = 10
    tags_per_resource: int = 50
    #: Names that AddTags/RemoveTagsFromOnPremisesInstances take at once.
    instances_per_call: int = 100
    batch_applications: int = 100
    batch_groups: int = 100
    #: Revisions, deployments, instances, targets.
    batch: int = 25
    page: int = 100
