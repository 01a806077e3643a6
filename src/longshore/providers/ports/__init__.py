"""What the engine needs of the world outside, in our words, and how that can fail."""

from __future__ import annotations

from longshore.providers.ports.access import Access
from longshore.providers.ports.alarms import Alarms
from longshore.providers.ports.auto_scaling import AutoScalingGroups
from longshore.providers.ports.bundles import Bundles
from longshore.providers.ports.errors import (
    AutoScalingRightsError,
    LimitReachedError,
    NoAutoScalingGroupError,
    NoBalancerError,
    NotThereError,
    PermanentError,
    ProviderError,
    RoleMissingError,
    RoleRightsError,
    ThrottledError,
    TransientError,
)
from longshore.providers.ports.instances import Instances
from longshore.providers.ports.load_balancers import LoadBalancers
from longshore.providers.ports.members import Members
from longshore.providers.ports.topics import Topics

__all__ = [
    "Access",
    "Alarms",
    "AutoScalingGroups",
    "AutoScalingRightsError",
    "Bundles",
    "Instances",
    "LimitReachedError",
    "LoadBalancers",
    "Members",
    "NoAutoScalingGroupError",
    "NoBalancerError",
    "NotThereError",
    "PermanentError",
    "ProviderError",
    "RoleMissingError",
    "RoleRightsError",
    "ThrottledError",
    "Topics",
    "TransientError",
]
