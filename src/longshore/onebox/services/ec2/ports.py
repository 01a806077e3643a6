"""What instances need of the control plane they belong to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from longshore.onebox.machinery.records import Owner
from longshore.wire.service import Call


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """An instance profile, and the role in it."""

    id: str
    arn: str
    #: None: it has none (yet), and its instances have no credentials.
    role: str | None
    role_arn: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class RoleCredentials:
    """Keys of a role's session, for one instance."""

    #: The role's name.
    role: str
    access_key_id: str
    secret_access_key: str
    session_token: str
    #: Epoch seconds.
    issued_at: float
    expires_at: float

    def __repr__(self) -> str:
        return f"RoleCredentials({self.access_key_id})"


class RoleRefusedError(Exception):
    """No credentials for this instance; the message says why."""


class Roles(Protocol):
    """Instance profiles, and what they give an instance."""

    def profile(self, account: str, name_or_arn: str) -> Profile | None:
        """The profile of this name or ARN."""

    def begin_session(self, owner: Owner, instance_id: str, role: str) -> RoleCredentials:
        """New keys of the role, for this instance and nobody else; raises `RoleRefusedError`."""

    def end_sessions(self, owner: Owner, instance_id: str) -> None:
        """Lock out whoever holds keys of this instance: it is terminated."""

    async def require_may_launch(self, call: Call, role_arn: str | None) -> None:
        """Raise UnauthorizedOperation unless the caller may run instances, and give them this role (iam:PassRole)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ControlPlane:
    """How the agents of instances find the control plane."""

    url: str
    #: Base64 of the raw Ed25519 key whose specifications are obeyed.
    specification_signer: str
    #: Of the certificate at a https:// URL; "" for none.
    certificate_sha256: str = ""
