"""Minimum healthy hosts: how many may be down, has the deployment failed, who is next (server.md S2)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum, StrEnum


class MinimumType(StrEnum):
    """How a deployment config counts the hosts that must stay healthy."""

    HOST_COUNT = "HOST_COUNT"
    FLEET_PERCENT = "FLEET_PERCENT"
    #: How OneAtATime reports itself; nobody can submit it (S2.4).
    MOST_CONCURRENCY = "MOST_CONCURRENCY"


@dataclass(frozen=True, kw_only=True, slots=True)
class MinimumHealthyHosts:
    type: MinimumType
    value: int


def required_healthy(minimum: MinimumHealthyHosts, total: int, *, predefined: bool) -> int:
    """How many hosts must stay healthy, fixed when a deployment starts (S2.3, S2.8).

    A predefined config always leaves one host free, so that it never refuses a group of one: what the user asked
    for by choosing it is a pace, not a number. A custom config is taken literally, and may ask for the impossible.
    """
    match minimum.type:
        case MinimumType.HOST_COUNT:
            required = minimum.value
        case MinimumType.FLEET_PERCENT:
            required = math.ceil(total * minimum.value / 100)
        case MinimumType.MOST_CONCURRENCY:
            required = total - minimum.value
    return min(required, total - 1) if predefined else required


@dataclass(frozen=True, kw_only=True, slots=True)
class Fleet:
    """The targets of one deployment, counted."""

    total: int
    #: How many must stay healthy.
    required: int
    pending: int
    in_flight: int
    succeeded: int
    failed: int
    #: Given up without an attempt, because the deployment had failed already.
    skipped: int = 0

    @property
    def spare(self) -> int:
        """How many hosts the deployment may have down or failed at any moment (N - M)."""
        return self.total - self.required


class Verdict(StrEnum):
    """What the counts say of a deployment."""

    #: The floor cannot be kept even before anything starts (S2.13 a).
    UNATTAINABLE = "unattainable"
    #: Go on.
    OPEN = "open"
    #: Too many failed: start no more, let what runs finish, then fail (S2.13 c, d).
    DOOMED = "doomed"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


def judge(fleet: Fleet) -> Verdict:
    """Apply rules a, c, d and e of S2.13."""
    if fleet.spare <= 0:
        return Verdict.UNATTAINABLE
    unattempted = fleet.pending + fleet.skipped
    if fleet.failed > fleet.spare or (unattempted and fleet.failed >= fleet.spare):
        return Verdict.DOOMED if fleet.in_flight else Verdict.FAILED
    if fleet.pending or fleet.in_flight:
        return Verdict.OPEN
    return Verdict.SUCCEEDED if fleet.succeeded else Verdict.FAILED


def room(fleet: Fleet) -> int:
    """How many more hosts may be started now without going below the floor (S2.13 b)."""
    return max(0, min(fleet.pending, fleet.spare - fleet.failed - fleet.in_flight))


class Turn(IntEnum):
    """Which hosts go first: those that have least to lose (S2.12)."""

    UNHEALTHY = 0
    UNKNOWN_REVISION = 1
    OLD_REVISION = 2
    CURRENT_REVISION = 3


def turn(*, healthy: bool, installed: str | None, current: str | None) -> Turn:
    """A host's place in the order, from its health and the revision it runs (S2.11).

    `installed` and `current` identify the revision on the host and the group's last successful one.
    """
    if not healthy:
        return Turn.UNHEALTHY
    if installed is None:
        return Turn.UNKNOWN_REVISION
    return Turn.CURRENT_REVISION if installed == current else Turn.OLD_REVISION
