"""The keys in use, at hand: a signature check must not cost a database read."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from hashlib import sha256

from longshore.auth.keys import Key

#: Seconds a loaded key with its policies, or the absence of one, is believed. What changes is told at once (`forget`);
#: this bounds how long a key still works, or a right is still there, where word of the change was lost.
KEYS_BELIEVED_FOR = 30.0
MAX_KEYS = 4096
MAX_SIGNING_KEYS = 4096


class SigningKey:
    """Signs the requests of one key, date, region and service.

    It keeps the two hash states HMAC begins with, which makes a signature cost 2 µs instead of 5.
    """

    __slots__ = ("_inner", "_outer")

    def __init__(self, secret_access_key: str, date: str, region: str, service: str) -> None:
        derived = b"AWS4" + secret_access_key.encode()
        for part in (date, region, service, "aws4_request"):
            derived = hmac.digest(derived, part.encode(), "sha256")
        # RFC 2104; a derived key is always shorter than a block.
        block = derived.ljust(64, b"\0")
        self._inner = sha256(block.translate(_INNER_PAD))
        self._outer = sha256(block.translate(_OUTER_PAD))

    def sign(self, message: bytes) -> str:
        """The HMAC-SHA-256 of `message`, in hexadecimal."""
        inner = self._inner.copy()
        inner.update(message)
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.hexdigest()


_INNER_PAD = bytes(byte ^ 0x36 for byte in range(256))
_OUTER_PAD = bytes(byte ^ 0x5C for byte in range(256))


class Keyring:
    """Finds keys and the signing keys derived from them, remembering a bounded number of both.

    Safe to share between threads: every step is one dictionary operation, and the worst a race
    does is load or derive twice.
    """

    def __init__(
        self, load: Callable[[str], Key | None], load_soon: Callable[[str], Awaitable[Key | None]] | None = None
    ) -> None:
        """`load` finds a key by its id where keys are kept; it is called in the caller's thread, and may block.

        `load_soon` does so for an event loop, which it does not block.
        """
        self._load = load
        self._load_soon = load_soon
        self._keys: dict[str, tuple[Key | None, float]] = {}
        #: Counts what was forgotten: a key loaded before that may be what was forgotten.
        self._changes = 0
        self._signing_keys: dict[tuple[str, str, str, str], SigningKey] = {}

    def find(self, access_key_id: str, now: float) -> Key | None:
        """The key with this id, or None; as it was at most `KEYS_BELIEVED_FOR` seconds before `now`.

        An unknown id is remembered like a known one, so both cost the same from the second request on.
        """
        known = self._at_hand(access_key_id, now)
        if known is not None:
            return known[0]
        changes = self._changes
        return self._keep(access_key_id, self._load(access_key_id), now, changes)

    async def find_soon(self, access_key_id: str, now: float) -> Key | None:
        """`find`, for an event loop."""
        known = self._at_hand(access_key_id, now)
        if known is not None:
            return known[0]
        assert self._load_soon is not None
        changes = self._changes
        return self._keep(access_key_id, await self._load_soon(access_key_id), now, changes)

    def _at_hand(self, access_key_id: str, now: float) -> tuple[Key | None, float] | None:
        known = self._keys.get(access_key_id)
        return known if known is not None and abs(now - known[1]) < KEYS_BELIEVED_FOR else None

    def _keep(self, access_key_id: str, key: Key | None, now: float, changes: int) -> Key | None:
        """Remember a key that was loaded when `changes` was what it was."""
        if len(self._keys) >= MAX_KEYS:
            # Made-up ids can fill this; starting afresh costs one load a key and no bookkeeping a request.
            self._keys.clear()
        self._keys[access_key_id] = (key, now)
        if changes != self._changes:
            # Forgotten while it was loaded. Looked at last: who forgets from here on finds it to be dropped.
            self._keys.pop(access_key_id, None)
        return key

    def signing_key(self, key: Key, date: str, region: str, service: str) -> SigningKey:
        """The key that signs requests of one `date` (``YYYYMMDD``), region and service."""
        # By secret, not by id: a key made anew under an old id never meets the old derivation.
        scope = (key.secret_access_key, date, region, service)
        derived = self._signing_keys.get(scope)
        if derived is None:
            derived = SigningKey(*scope)
            if len(self._signing_keys) >= MAX_SIGNING_KEYS:
                self._signing_keys.clear()
            self._signing_keys[scope] = derived
        return derived

    def forget(self, access_key_id: str) -> None:
        """Ask for this key again at its next use. Call it when the key was made, changed or deleted."""
        self._changes += 1
        self._keys.pop(access_key_id, None)

    def forget_all(self) -> None:
        """Ask for every key again: word of some change may have been lost."""
        self._changes += 1
        self._keys.clear()

    def forget_principal(self, principal_id: str) -> None:
        """Ask for every key of this user or role again. Call it when its policies changed, or it is gone."""
        self._changes += 1
        # A copy: other threads add keys meanwhile.
        for access_key_id, (key, _) in list(self._keys.items()):
            if key is not None and key.principal_id == principal_id:
                self._keys.pop(access_key_id, None)
