"""How much of everything an account may have in a region (server.md S1.12–S1.15, S12.0).

The numbers are AWS's, but for those of instances: a fleet of one's own is not a shared service.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields


class LimitError(ValueError):
    """A limit as an operator spelt it that is none; the message says what to write."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    applications: int = 1000
    groups_per_application: int = 1000
    custom_configs: int = 200
    #: Deployments that have not ended.
    active_deployments: int = 1000
    #: Most hosts one deployment may have.
    instances_per_deployment: int = 10_000
    #: Hosts of all deployments that have not ended, together.
    active_instances: int = 100_000
    filters_per_tag_list: int = 10
    tag_groups: int = 3
    auto_scaling_groups: int = 10
    triggers: int = 10
    alarms: int = 10
    load_balancers: int = 10
    tags_per_instance: int = 10
    tags_per_resource: int = 50
    github_tokens: int = 25
    #: Names that AddTags/RemoveTagsFromOnPremisesInstances take at once.
    instances_per_call: int = 100
    batch_applications: int = 100
    batch_groups: int = 100
    #: Revisions, deployments, instances, targets.
    batch: int = 25
    #: Entries of one page of a list.
    page: int = 100
    #: Most characters (S1.15).
    description_length: int = 256
    tag_key_length: int = 128
    tag_value_length: int = 256
    alarm_name_length: int = 255
    arn_length: int = 1011
    #: IAM's.
    users: int = 5000
    roles: int = 1000
    sessions: int = 1000
    attached_policies: int = 10


def with_changes(asked: Iterable[str]) -> Limits:
    """The usual limits with these changes, each as ``name=number``; the last of a name counts.

    Raises:
        LimitError: no limit has that name, or the number is no whole number above 0.
    """
    known = {field.name.replace("_", "-"): field.name for field in fields(Limits)}
    changes: dict[str, int] = {}
    for each in asked:
        name, equals, number = each.partition("=")
        if not equals or name not in known:
            raise LimitError(f"{each!r} is no limit: write NAME=NUMBER, with one of the names {', '.join(known)}.")
        if not (number.isascii() and number.isdigit() and 0 < int(number[:12]) <= 1_000_000_000):
            raise LimitError(f"The limit {name} must be a whole number from 1 to 1000000000, not {number!r}.")
        changes[known[name]] = int(number)
    return Limits(**changes)
