"""A key with everything that decides what may be done with it."""

from __future__ import annotations

from collections.abc import Mapping

from longshore.auth.keys import Key, PrincipalKind
from longshore.auth.policy_document import MalformedPolicyError, Policy, identity_policy
from longshore.auth.policy_managed import managed_policy
from longshore.domain.ids import ENROLLMENT_TOKEN
from longshore.store import access_keys, enrollment_tokens, principals
from longshore.store.database import Transaction

#: Stands in for a policy that this version cannot read: what it forbids is unknown, so it forbids everything.
_UNREADABLE = identity_policy(
    '{"Version": "2012-10-17", "Statement": {"Effect": "Deny", "Action": "*", "Resource": "*"}}'
)


def load(tx: Transaction, access_key_id: str) -> Key | None:
    """The key of this id as it is now; None for one that is not there or not active."""
    kept = access_keys.find(tx, access_key_id)
    if kept is None and access_key_id.startswith(ENROLLMENT_TOKEN):
        return _of_token(tx, access_key_id)
    if kept is None or kept.status != "Active":
        return None
    policies: tuple[Policy, ...] = ()
    identity_arn = kept.principal_arn
    tags: Mapping[str, str] = {}
    if kept.principal_id is not None:
        principal = principals.get(tx, kept.principal_id)
        if principal is None:
            return None
        identity_arn, tags = principal.arn, principal.tags
        inline, attached = principals.documents(tx, principal.id)
        managed = [found.policy for arn in attached if (found := managed_policy(arn)) is not None]
        policies = (*map(_read, inline), *managed)
    limits = kept.session_policies
    return Key(
        access_key_id=kept.access_key_id,
        secret_access_key=kept.secret_access_key,
        account=kept.account,
        principal_arn=kept.principal_arn,
        kind=PrincipalKind(kept.kind),
        principal_id=kept.principal_id or "",
        identity_arn=identity_arn,
        session_token=kept.session_token,
        expires_at=kept.expiration,
        issued_at=None if kept.expiration is None else kept.create_time,
        tags=tags,
        policies=policies,
        session_policies=None if limits is None else tuple(map(_read, limits)),
    )


def _of_token(tx: Transaction, token_id: str) -> Key | None:
    """The key by which an enrollment token signs. Of one that has ended too: who has it is told so."""
    token = enrollment_tokens.find(tx, token_id)
    if token is None:
        return None
    return Key(
        access_key_id=token.id,
        secret_access_key=token.signing_key,
        account=token.scope.account,
        principal_arn=token.arn,
        kind=PrincipalKind.ENROLLMENT,
    )


def _read(text: str) -> Policy:
    try:
        return identity_policy(text)
    except MalformedPolicyError:
        return _UNREADABLE
