"""As whom the world outside is called."""

from __future__ import annotations

from dataclasses import dataclass

from longshore.domain.ids import Scope


@dataclass(frozen=True, kw_only=True, slots=True)
class Access:
    """Whose AWS is meant, and by which role it is used.

    Whatever is called with an access may raise, besides what each method names:

    - TransientError (ThrottledError): later it may work;
    - RoleMissingError, RoleRightsError: the service role is not there, not to be assumed, or lacks the right.

    Every act may be repeated: done twice it comes to the same as done once.
    """

    scope: Scope
    #: The deployment group's `serviceRoleArn`.
    role_arn: str
