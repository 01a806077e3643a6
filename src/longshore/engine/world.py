"""What the engine works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from longshore.domain.ids import Scope
from longshore.engine.alarms import AlarmWatch
from longshore.engine.server.replacing import Replacing
from longshore.engine.traffic import Traffic
from longshore.providers.ports import AutoScalingGroups, Bundles, Members
from longshore.store.database import Store


@dataclass(frozen=True, kw_only=True, slots=True)
class World:
    """What a tick may touch."""

    store: Store
    bundles: Bundles
    members: Members
    traffic: Traffic
    scaling: AutoScalingGroups
    replacing: Replacing
    alarms: AlarmWatch
    #: Whether there is an EventBridge that is to be told of what happens there.
    has_event_bus: Callable[[Scope], bool] = lambda _scope: False
    #: Most hosts one deployment may have.
    max_targets: int
    #: Most hosts that all deployments of an account in a region may have at once.
    max_active_targets: int
