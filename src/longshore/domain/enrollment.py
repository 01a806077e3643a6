"""What an enrollment token is good for."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from fnmatch import fnmatchcase

#: How a token's text begins; a version, and a word for those who scan for secrets that got out.
TOKEN_PREFIX = "lsenroll1"  # noqa: S105 - what every token begins with is no secret

Tag = tuple[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Grant:
    """Which hosts may enroll with a token."""

    #: ``*`` and ``?`` stand for any characters and any one; None: any name.
    name_pattern: str | None
    #: Tags that hosts may take; None: any.
    tags: Collection[Tag] | None


def why_not(grant: Grant, name: str, tags: Collection[Tag]) -> str | None:
    """Why a host of this name and these tags may not enroll with a token, as a sentence; None when it may."""
    if grant.name_pattern is not None and not fnmatchcase(name, grant.name_pattern):
        return f"The token is for hosts named {grant.name_pattern}, and {name} is not."
    if grant.tags is not None and (
        others := [f"{key}={value}" for key, value in tags if (key, value) not in grant.tags]
    ):
        allowed = ", ".join(f"{key}={value}" for key, value in grant.tags) or "none"
        return f"The token is not good for the tag {others[0]}; the tags it allows: {allowed}."
    return None


def signing_key(secret: str) -> str:
    """What a token's secret signs with, and what is kept of it."""
    return hashlib.sha256(secret.encode()).hexdigest()


def token_text(token_id: str, secret: str, *, region: str, signer_sha256: str, certificate_sha256: str) -> str:
    """A token as it is handed over. Beside id and secret it says by what to know the server (in hexadecimal):
    the key that signs its specifications, and its certificate if it has one of its own."""
    return ".".join((TOKEN_PREFIX, token_id, secret, region, signer_sha256, certificate_sha256))
