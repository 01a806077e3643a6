"""Access keys: who a signature belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class PrincipalKind(StrEnum):
    """What a principal is for; it decides what it may do (see `auth/policy.py`)."""

    #: The account's owner: everything in the account.
    ROOT = "root"
    #: The control plane itself, when it calls onebox.
    SERVICE = "service"
    #: An IAM user, usually an on-premises host.
    USER = "user"


@dataclass(frozen=True, kw_only=True, slots=True)
class Key:
    """One access key and the principal that holds it."""

    access_key_id: str
    #: Needed in clear to check a signature; never logged, never returned after creation.
    secret_access_key: str
    #: Twelve digits.
    account: str
    principal_arn: str
    kind: PrincipalKind
    #: Issued together with a temporary key, and then required beside every signature; None for a lasting key.
    session_token: str | None = None

    def __repr__(self) -> str:
        return f"Key({self.access_key_id}, {self.principal_arn})"
