"""Access keys: who a signature belongs to, and what that principal's policies are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from longshore.auth.policy_document import Policy


class PrincipalKind(StrEnum):
    """What a principal is (see `auth/authorization.py` for what each may do)."""

    #: The account's owner: everything in the account.
    ROOT = "root"
    #: The control plane itself, when it calls onebox.
    SERVICE = "service"
    #: An IAM user: a person, a program, or an on-premises host.
    USER = "user"
    #: Who has assumed an IAM role.
    ROLE = "role"
    #: An EC2 instance of onebox, with its role's rights: keys that the control plane gives to it alone.
    INSTANCE = "instance"
    #: Who holds an enrollment token: a host that is to be registered, and may do nothing else.
    ENROLLMENT = "enrollment"


@dataclass(frozen=True, kw_only=True, slots=True)
class Key:
    """One access key and the principal that holds it."""

    access_key_id: str
    #: Needed in clear to check a signature; never logged, never returned after creation.
    secret_access_key: str
    #: Twelve digits.
    account: str
    #: Of a user, or of a session: ``arn:aws:sts::000000000000:assumed-role/role/session``.
    principal_arn: str
    kind: PrincipalKind
    #: The user's or role's unique id, ``AIDA…`` or ``AROA…``; the account for its owner.
    principal_id: str = ""
    #: The user's or role's own ARN, path and all; a session's is its role's.
    identity_arn: str = ""
    #: Issued together with a temporary key, and then required beside every signature; None for a lasting key.
    session_token: str | None = None
    #: Epoch seconds at which a temporary key ends; None for a lasting one.
    expires_at: float | None = None
    #: Epoch seconds at which a temporary key was issued; None for a lasting one.
    issued_at: float | None = None
    #: Those of the user or role.
    tags: Mapping[str, str] = field(default_factory=dict)
    #: Those of the user or role.
    policies: tuple[Policy, ...] = ()
    #: What a session is limited to besides; None when it is not.
    session_policies: tuple[Policy, ...] | None = None

    @property
    def is_role_session(self) -> bool:
        """Whether its holder has a role for a while."""
        return self.kind in (PrincipalKind.ROLE, PrincipalKind.INSTANCE)

    def host_identifier(self, region: str) -> str:
        """What its holder polls by, as a host: its ARN, or an instance's own (agent.md 7.4).

        Anybody may name a session of a role like an instance; only the kind of the key makes it one.
        """
        if self.kind is PrincipalKind.INSTANCE:
            return f"arn:aws:ec2:{region}:{self.account}:instance/{self.principal_arn.rpartition('/')[2]}"
        return self.principal_arn

    def __repr__(self) -> str:
        return f"Key({self.access_key_id}, {self.principal_arn})"
