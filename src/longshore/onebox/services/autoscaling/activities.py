"""Scaling activities: what a group did, and why."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from longshore.onebox.services.autoscaling.group import KEPT_ACTIVITIES, Activity, Group


def kept(activities: tuple[Activity, ...], group: Group) -> tuple[Activity, ...]:
    """All that are under way, and the newest of the others."""
    if len(activities) <= KEPT_ACTIVITIES:
        return activities
    under_way = {member.activity for member in group.members}
    return tuple(
        one for place, one in enumerate(activities) if place < KEPT_ACTIVITIES or one.id in under_way or one.end is None
    )


def ended(
    activities: tuple[Activity, ...], activity_id: str, status: str, now: float, message: str | None
) -> tuple[Activity, ...]:
    """Activities of which this one is over, unless it was already."""
    return tuple(
        replace(one, status=status, progress=100, end=now, message=message)
        if one.id == activity_id and one.end is None
        else one
        for one in activities
    )


def moment(now: float) -> str:
    """A time as causes tell it."""
    return datetime.fromtimestamp(int(now), UTC).isoformat().replace("+00:00", "Z")
