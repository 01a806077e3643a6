"""What instances stand on: hosts below, and the control plane they belong to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from longshore.onebox.machinery.records import Owner
from longshore.onebox.services.ec2.values import Instance
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


class HostFailedError(Exception):
    """A host cannot be started; the message says why."""


class Hosts(Protocol):
    """The real things behind instances. Each step may be repeated, and finds done what is done."""

    def why_not(self) -> str | None:
        """Why no host can be run here; None when one can."""

    def is_running(self, instance: Instance) -> bool: ...

    def is_attended(self, instance: Instance) -> bool:
        """Whether its questions about itself are answered."""

    def boot(self, owner: Owner, instance: Instance) -> None:
        """Start the host, or find it started, and attend it; raises HostFailedError."""

    def attend(self, owner: Owner, instance: Instance) -> None:
        """Answer the host's questions about itself from now on; raises HostFailedError."""

    def halt(self, instance: Instance) -> None:
        """End the host; its files stay."""

    def remove(self, owner: Owner, instance: Instance) -> None:
        """End the host, forget its files, and lock out who has its keys."""

    def sweep(self, known: Callable[[], set[str]]) -> None:
        """End hosts that no record knows; `known` gives the ids of those that have one."""

    def stop(self) -> None:
        """Attend nobody any more; what runs goes on running."""
