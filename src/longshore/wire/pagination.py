"""Tokens for the next page of a list: opaque to clients, refused when changed or used with another query.

A token carries a position (the sort key of the last row given out), so pages stay right while rows come and go. It is
authentic, not secret: a position must hold nothing the caller could not list. Whoever wants it to expire seals the
moment along.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from collections.abc import Sequence

Position = list[str | int | float]

_MAC_LENGTH = 16
_LONGEST_TOKEN = 4096


def seal(secret: bytes, query: str, position: Sequence[str | int | float]) -> str:
    """A token for what follows `position` in the answers to `query`.

    `query` is any text that is the same for every page of one listing and for no other: operation, account, region,
    filters.
    """
    payload = json.dumps(position, separators=(",", ":"), allow_nan=False).encode()
    return base64.urlsafe_b64encode(_mac(secret, query, payload) + payload).rstrip(b"=").decode()


def open_token(secret: bytes, query: str, token: str) -> Position:
    """The position sealed in a token. Raises ValueError for any text `seal` did not give out for this query."""
    if len(token) > _LONGEST_TOKEN:
        raise ValueError("the token is too long")
    try:
        sealed = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("the token is not one of ours") from None
    mac, payload = sealed[:_MAC_LENGTH], sealed[_MAC_LENGTH:]
    if not hmac.compare_digest(mac, _mac(secret, query, payload)):
        raise ValueError("the token is not one of ours, or belongs to another query")
    position: Position = json.loads(payload)
    return position


def _mac(secret: bytes, query: str, payload: bytes) -> bytes:
    # The length keeps query and payload apart: without it one could lend characters to the other.
    name = query.encode()
    return hmac.digest(secret, len(name).to_bytes(8, "big") + name + payload, "sha256")[:_MAC_LENGTH]
