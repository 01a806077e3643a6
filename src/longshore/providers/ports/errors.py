"""How a call to the world outside can fail: what the engine does next depends on nothing else."""

from __future__ import annotations

# ProviderError
# ├── TransientError            try again later: the network, a service that is starting
# │   └── ThrottledError        asked too often
# └── PermanentError            trying again will not help
#     ├── RoleMissingError      there is no such service role
#     ├── RoleRightsError       it cannot be assumed, or lacks a right
#     ├── NotThereError         what was named does not exist
#     └── LimitReachedError     one more would be too many


class ProviderError(Exception):
    """A call to a service outside failed."""


class TransientError(ProviderError):
    """It may work later."""


class ThrottledError(TransientError):
    """The service is asked too often (THROTTLED)."""


class PermanentError(ProviderError):
    """It will not work, however often it is tried."""


class RoleMissingError(PermanentError):
    """The group's service role does not exist (IAM_ROLE_MISSING)."""


class RoleRightsError(PermanentError):
    """The service role cannot be assumed, or its policies do not allow the call (IAM_ROLE_PERMISSIONS)."""


class NotThereError(PermanentError):
    """The load balancer, target group or Auto Scaling group does not exist."""


class LimitReachedError(PermanentError):
    """The account or the resource has as many of these as it may."""
