"""How a call to the world outside can fail: what the engine does next depends on nothing else."""

from __future__ import annotations

from typing import ClassVar

from longshore.domain.deployment import ErrorCode

# ProviderError
# ├── TransientError            try again later: the network, a service that is starting
# │   └── ThrottledError        asked too often
# └── PermanentError            trying again will not help
#     ├── RoleMissingError      there is no such service role
#     ├── RoleRightsError       it cannot be assumed, or lacks a right
#     │   └── AutoScalingRightsError
#     ├── NotThereError         what was named does not exist
#     │   ├── NoBalancerError
#     │   └── NoAutoScalingGroupError
#     └── LimitReachedError     one more would be too many


class ProviderError(Exception):
    """A call to a service outside failed."""

    #: What a deployment ends with that ends because of it.
    code: ClassVar[ErrorCode] = ErrorCode.INTERNAL_ERROR


class TransientError(ProviderError):
    """It may work later."""


class ThrottledError(TransientError):
    """The service is asked too often."""

    code = ErrorCode.THROTTLED


class PermanentError(ProviderError):
    """It will not work, however often it is tried."""


class RoleMissingError(PermanentError):
    """The group's service role does not exist."""

    code = ErrorCode.IAM_ROLE_MISSING


class RoleRightsError(PermanentError):
    """The service role cannot be assumed, or its policies do not allow the call."""

    code = ErrorCode.IAM_ROLE_PERMISSIONS


class AutoScalingRightsError(RoleRightsError):
    """The service role's policies do not allow a call to Auto Scaling."""

    code = ErrorCode.AUTO_SCALING_IAM_ROLE_PERMISSIONS


class NotThereError(PermanentError):
    """What was named does not exist."""


class NoBalancerError(NotThereError):
    """The load balancer or target group does not exist."""

    code = ErrorCode.ELASTIC_LOAD_BALANCING_INVALID


class NoAutoScalingGroupError(NotThereError):
    """The Auto Scaling group does not exist."""

    code = ErrorCode.AUTO_SCALING_CONFIGURATION


class LimitReachedError(PermanentError):
    """The account or the resource has as many of these as it may."""
