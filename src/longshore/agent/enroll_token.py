"""The token that an operator hands to a host: it lets the host in, and tells it by what to know the server."""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple

from longshore.agent.errors import ConfigError
from longshore.agent.identity import Credentials

_SHA256 = r"[0-9a-f]{64}"
_FORM = re.compile(
    r"lsenroll1\.([A-Z0-9]{16,32})\.([A-Za-z0-9_-]{20,100})\.([a-z0-9-]{1,64})"
    rf"\.({_SHA256})\.({_SHA256}|)"
)


class EnrollToken(NamedTuple):
    """What `longshore tokens create` printed."""

    id: str
    secret: str
    #: The instance is registered there.
    region: str
    #: SHA-256 of the raw key that the server's specifications are signed with, in hexadecimal.
    signer_sha256: str
    #: SHA-256 of the server's certificate; None where it has none of its own.
    certificate_sha256: str | None

    @classmethod
    def read(cls, said: str) -> EnrollToken:
        """A token from its text; raises ConfigError."""
        found = _FORM.fullmatch(said.strip())
        if found is None:
            raise ConfigError(
                "this is no enrollment token: one begins with lsenroll1. and is printed by: longshore tokens create"
            )
        token_id, secret, region, signer, certificate = found.groups()
        return cls(token_id, secret, region, signer, certificate or None)

    def __repr__(self) -> str:
        return f"EnrollToken({self.id})"

    @property
    def credentials(self) -> Credentials:
        """What the token signs with; its secret itself goes nowhere."""
        return Credentials(self.id, hashlib.sha256(self.secret.encode()).hexdigest())
