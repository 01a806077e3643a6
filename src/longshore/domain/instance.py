"""An EC2 instance, as far as deployments look at it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class InstanceState(StrEnum):
    """Where an instance is in its life, spelled as EC2 spells it."""

    PENDING = "pending"
    RUNNING = "running"
    SHUTTING_DOWN = "shutting-down"
    TERMINATED = "terminated"
    STOPPING = "stopping"
    STOPPED = "stopped"

    @property
    def is_over(self) -> bool:
        """Whether it never comes back. A stopped one may, so it stays a target (S2.15)."""
        return self in (InstanceState.SHUTTING_DOWN, InstanceState.TERMINATED)


@dataclass(frozen=True, kw_only=True, slots=True)
class Instance:
    """An EC2 instance."""

    #: ``i-`` and hexadecimal digits.
    id: str
    state: InstanceState
    #: Its availability zone.
    zone: str
