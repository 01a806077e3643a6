"""Alarms."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from longshore.domain.alarms import AlarmState
from longshore.providers.ports.access import Access


class Alarms(Protocol):
    """The states of alarms."""

    def states(self, access: Access, names: Collection[str]) -> Mapping[str, AlarmState]:
        """Where these alarms stand; absent are those that nobody knows.

        Raises:
            TransientError: they cannot be read now.
            PermanentError: they cannot be read as things are set up.
        """
