"""Turns a signature into a caller: joins the pure checks of `auth` to the keys in the store."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from typing import Any

from longshore.auth.keyring import Keyring
from longshore.auth.keys import Key, PrincipalKind
from longshore.auth.policy import is_allowed
from longshore.auth.sigv4 import SignatureRefused, SignedRequest, authenticate
from longshore.domain.ids import Scope
from longshore.store import access_keys, targets
from longshore.store.database import Store
from longshore.wire.service import AwsError, Call, Caller


def keyring(store: Store) -> Keyring:
    """The keys of this store, at hand."""

    def load(access_key_id: str) -> Key | None:
        kept = store.read(lambda tx: access_keys.find(tx, access_key_id))
        if kept is None:
            return None
        return Key(
            access_key_id=kept.access_key_id,
            secret_access_key=kept.secret_access_key,
            account=kept.account,
            principal_arn=kept.principal_arn,
            kind=PrincipalKind(kept.kind),
        )

    keys = Keyring(load)
    store.wakeup.listen("key", keys.forget)
    return keys


class Gate:
    """Who signed, and may they?"""

    def __init__(self, keys: Keyring, *, now: Callable[[], float]) -> None:
        self._keys = keys
        self._now = now

    def authenticate(
        self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes, services: Collection[str]
    ) -> Caller:
        """The caller of a signed request; raises the AWS error otherwise."""
        try:
            identity = authenticate(
                SignedRequest(method, path, query, tuple(headers.items())),
                self._keys,
                body_sha256=hashlib.sha256(body).hexdigest(),
                now=self._now(),
                services=services,
            )
        except SignatureRefused as refused:
            raise AwsError(refused.code, refused.message, refused.status) from None
        key = identity.key
        return Caller(
            account=key.account, region=identity.region, arn=key.principal_arn, access_key_id=key.access_key_id
        )

    def authorize(self, call: Call, _asked: Mapping[str, Any]) -> None:
        """Let the call pass, or raise AccessDeniedException."""
        key = self._keys.find(call.caller.access_key_id, self._now())
        if key is None or not is_allowed(key, call.service):
            raise AwsError(
                "AccessDeniedException",
                f"User: {call.caller.arn} is not authorized to perform: {call.service}:{call.operation}",
            )


def bundle_reader(store: Store) -> Callable[[Key, str, str, str], bool]:
    """Says whether a host may get an object: only the bundle of a deployment that it is at work on.

    Our agent needs no such right, its specification carries a URL; the official agent asks with the host's own key.
    """

    def may_read(key: Key, region: str, bucket: str, name: str) -> bool:
        host = Scope(key.account, region).host(key.principal_arn)
        locations = [one.get("s3Location", {}) for one in store.read(lambda tx: targets.revisions_for(tx, host))]
        return any(one.get("bucket") == bucket and one.get("key") == name for one in locations)

    return may_read
