"""Turns a signature into a caller: joins the pure checks of `auth` to the keys in the store."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping

from longshore.api.iam import keyholders
from longshore.auth.keyring import Keyring
from longshore.auth.keys import Key
from longshore.auth.sigv4 import SignatureRefused, SignedRequest, identify, read_claim
from longshore.commands.operations import SIGNING_NAMES
from longshore.domain.ids import ENROLLMENT_TOKEN
from longshore.store import access_keys
from longshore.store.database import Store
from longshore.wire.service import AwsError, Caller

#: A key's last use is written down this often at most, seconds.
_USE_NOTED_EVERY = 15 * 60.0
_MAX_NOTED = 65_536
#: Wrong enrollment tokens one address may try at once, and the seconds until it may try another.
_GUESSES = 10
_GUESS_EVERY = 6.0


def keyring(store: Store) -> Keyring:
    """The keys of this store and their policies, at hand."""

    def load(access_key_id: str) -> Key | None:
        return store.read(lambda tx: keyholders.load(tx, access_key_id))

    async def load_soon(access_key_id: str) -> Key | None:
        return await store.peek(lambda tx: keyholders.load(tx, access_key_id))

    keys = Keyring(load, load_soon)
    store.wakeup.listen("key", keys.forget)
    store.wakeup.listen("principal", keys.forget_principal)
    store.wakeup.listen_for_gaps(keys.forget_all)
    return keys


class Usage:
    """Remembers when each key was used last, and writes it down now and then: of a temporary key, that of an agent."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._noted: dict[str, float] = {}

    def note(self, key: Key, *, region: str, service: str, now: float) -> None:
        """The key was used; callable from any thread, and waits for nothing."""
        if key.session_token is not None and service not in SIGNING_NAMES:
            return
        if now - self._noted.get(key.access_key_id, 0.0) < _USE_NOTED_EVERY:
            return
        if len(self._noted) >= _MAX_NOTED:
            self._noted.clear()
        self._noted[key.access_key_id] = now
        access_key_id = key.access_key_id
        self._store.later(lambda tx: access_keys.used(tx, access_key_id, now=now, region=region, service=service))


class Guesses:
    """Slows down who tries enrollment tokens that are none: of each address some at once, then one a while."""

    def __init__(self) -> None:
        #: When each address will have paid for its wrong tries.
        self._until: dict[str, float] = {}

    def require_patience(self, source: str, now: float) -> None:
        """Raise ThrottlingException for an address with too many of them."""
        wait = self._until.get(source, 0.0) - now - (_GUESSES - 1) * _GUESS_EVERY
        if wait > 0:
            raise AwsError(
                "ThrottlingException",
                f"Too many enrollments from this address had a wrong token. Try again in {wait:.0f} seconds.",
            )

    def note(self, source: str, now: float) -> None:
        if len(self._until) >= _MAX_NOTED:
            self._until = {address: until for address, until in self._until.items() if until > now}
        if len(self._until) < _MAX_NOTED or source in self._until:
            self._until[source] = max(now, self._until.get(source, 0.0)) + _GUESS_EVERY


class Gate:
    """Who signed?"""

    def __init__(self, keys: Keyring, usage: Usage, *, now: Callable[[], float]) -> None:
        self._keys = keys
        self._usage = usage
        self._guesses = Guesses()
        self._now = now

    async def authenticate(
        self,
        method: str,
        path: str,
        query: str,
        headers: Mapping[str, str],
        body: bytes,
        services: Collection[str],
        source: str,
    ) -> Caller:
        """The caller of a signed request; raises the AWS error otherwise."""
        now = self._now()
        is_enrolling = f"={ENROLLMENT_TOKEN}" in headers.get("authorization", "")
        if is_enrolling:
            self._guesses.require_patience(source, now)
        try:
            request = SignedRequest(method, path, query, tuple(headers.items()))
            claim = read_claim(request)
            key = await self._keys.find_soon(claim.access_key_id, now)
            body_sha256 = hashlib.sha256(body).hexdigest()
            identity = identify(request, claim, key, self._keys, body_sha256=body_sha256, now=now, services=services)
        except SignatureRefused as refused:
            if is_enrolling:
                self._guesses.note(source, now)
            raise AwsError(refused.code, refused.message, refused.status) from None
        key = identity.key
        self._usage.note(key, region=identity.region, service=identity.service, now=now)
        return Caller(
            account=key.account,
            region=identity.region,
            arn=key.principal_arn,
            access_key_id=key.access_key_id,
            host=key.host_identifier(identity.region),
        )
