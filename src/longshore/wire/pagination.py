"""Tokens for the next page of a list: opaque to clients, refused when changed or used with another query.

A token carries a position (the sort key of the last row given out), so pages stay right while rows come and go. Whoever
wants it to expire seals the moment along.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Sequence
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

Position = list[str | int | float]

_LONGEST_TOKEN = 4096


def seal(secret: bytes, query: str, position: Sequence[str | int | float]) -> str:
    """A token for what follows `position` in the answers to `query`.

    `query` is any text that is the same for every page of one listing and for no other: operation, account, region,
    filters.
    """
    payload = json.dumps(position, separators=(",", ":"), allow_nan=False).encode()
    return _text(_cipher(secret).encrypt(payload, [query.encode()]))


def open_token(secret: bytes, query: str, token: str) -> Position:
    """The position sealed in a token. Raises ValueError for any text `seal` did not give out for this query."""
    if len(token) > _LONGEST_TOKEN:
        raise ValueError("the token is too long")
    try:
        sealed = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("the token is not one of ours") from None
    if _text(sealed) != token:  # the last character has bits to spare
        raise ValueError("the token is not one of ours")
    try:
        payload = _cipher(secret).decrypt(sealed, [query.encode()])
    except InvalidTag:
        raise ValueError("the token is not one of ours, or belongs to another query") from None
    position: Position = json.loads(payload)
    return position


def _text(sealed: bytes) -> str:
    return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()


@lru_cache(maxsize=4)
def _cipher(secret: bytes) -> AESSIV:
    # It needs no nonce: the same page of the same list has the same token, which tells nobody anything.
    return AESSIV(hashlib.sha256(secret).digest())
