"""Where a group grows, and where it shrinks."""

from __future__ import annotations

from collections import Counter

from longshore.onebox.services.autoscaling.group import Group, Member, State


def emptiest(group: Group) -> str:
    """The zone with the fewest members; of equals the first in order."""
    numbers = Counter(member.zone for member in group.staying)
    return min(group.zones, key=lambda zone: (numbers[zone], zone))


def victims(staying: list[Member], number: int, group: Group) -> list[Member]:
    """Who goes when a group shrinks: from the fullest zone, there who has not come into service, then by its policy.

    Who is protected stays, and who has no instance yet cannot go: its launch may be under way.
    """
    left = list(staying)
    chosen: list[Member] = []
    while len(chosen) < number:
        numbers = Counter(member.zone for member in left)
        candidates = [one for one in left if one.instance_id is not None and not _is_kept(one)]
        if not candidates:
            break
        newest_first = "NewestInstance" in group.termination_policies
        victim = min(
            candidates,
            key=lambda one: (
                -numbers[one.zone],
                not one.state.is_coming,
                one.launched_from == group.launch,
                -one.since if newest_first else one.since,
                one.token,
            ),
        )
        chosen.append(victim)
        left.remove(victim)
    return chosen


def _is_kept(member: Member) -> bool:
    return member.is_protected and member.state is State.IN_SERVICE
