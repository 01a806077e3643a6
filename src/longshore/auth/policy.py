"""May it? What each kind of principal may call."""

from __future__ import annotations

from longshore.auth.keys import Key, PrincipalKind

#: The service that agents poll.
COMMANDS = "codedeploy-commands"


def is_allowed(key: Key, service: str) -> bool:
    """Whether this principal may call operations of this service; deny by default.

    The account's owner may call everything. A user is a host: it may poll, and report, as itself and no more.
    """
    match key.kind:
        case PrincipalKind.ROOT:
            return service != COMMANDS
        case PrincipalKind.USER:
            return service == COMMANDS
        case PrincipalKind.SERVICE:
            return False
