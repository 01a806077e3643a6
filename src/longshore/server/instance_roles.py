"""What onebox's instances get of the control plane: their profiles' roles, and keys that speak for them."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from longshore.auth.keys import PrincipalKind
from longshore.auth.policy import applies
from longshore.auth.policy_document import MalformedPolicyError, trust_policy
from longshore.domain.ids import new_access_key_id, new_secret_access_key
from longshore.onebox.machinery.records import Owner
from longshore.onebox.services.ec2.ports import Profile, RoleCredentials, RoleRefusedError
from longshore.server.authorization import Authorizer
from longshore.store import access_keys, instance_profiles, principals
from longshore.store.access_keys import AccessKey
from longshore.store.database import Store, Transaction
from longshore.store.principals import Principal
from longshore.wire.service import AwsError, Call

#: Seconds that an instance's keys last, as on AWS.
_DURATION = 6 * 3600.0
_EC2 = "ec2.amazonaws.com"


class InstanceRoles:
    """Instance profiles of IAM, as EC2 uses them."""

    def __init__(self, store: Store, authorizer: Authorizer, *, now: Callable[[], float]) -> None:
        self._store = store
        self._authorizer = authorizer
        self._now = now

    def profile(self, account: str, name_or_arn: str) -> Profile | None:
        """The profile of this name or ARN."""
        return self._store.read(lambda tx: _profile(tx, account, name_or_arn))

    def begin_session(self, owner: Owner, instance_id: str, role: str) -> RoleCredentials:
        """New keys of the role, for this instance and nobody else; raises `RoleRefusedError`."""
        return self._store.write(lambda tx: _begin(tx, owner, instance_id, role, self._now()))

    def end_sessions(self, owner: Owner, instance_id: str) -> None:
        """Lock out whoever holds keys of this instance."""
        self._store.write(lambda tx: access_keys.end_sessions_named(tx, owner.account, _KIND, instance_id))

    async def require_may_launch(self, call: Call, role_arn: str | None) -> None:
        """Raise UnauthorizedOperation unless the caller may run instances, and give them this role."""
        try:
            await self._authorizer.require(call, "ec2:RunInstances", "*")
            if role_arn is not None:
                # Who may give a role to an instance could use it by that.
                await self._authorizer.require(call, "iam:PassRole", role_arn, {"iam:passedtoservice": [_EC2]})
        except AwsError as refused:
            raise AwsError(
                "UnauthorizedOperation", f"You are not authorized to perform this operation. {refused.message}", 403
            ) from None


_KIND = PrincipalKind.INSTANCE.value


def _profile(tx: Transaction, account: str, name_or_arn: str) -> Profile | None:
    found = instance_profiles.find(tx, account, name_or_arn.rpartition("/")[2])
    if found is None or (name_or_arn.startswith("arn:") and found.arn != name_or_arn):
        return None
    role = principals.get(tx, found.role_id) if found.role_id is not None else None
    return Profile(
        id=found.id,
        arn=found.arn,
        role=None if role is None else role.name,
        role_arn=None if role is None else role.arn,
    )


def _begin(tx: Transaction, owner: Owner, instance_id: str, name: str, now: float) -> RoleCredentials:
    role = principals.find(tx, owner.account, "role", name)
    if role is None:
        raise RoleRefusedError(f"The role {name} is gone.")
    if not _trusts_instances(role):
        raise RoleRefusedError(f"The trust policy of the role {name} does not let {_EC2} assume it.")
    access_keys.forget_ended(tx, now)
    key = AccessKey(
        access_key_id=new_access_key_id("ASIA"),
        secret_access_key=new_secret_access_key(),
        account=owner.account,
        principal_arn=f"arn:aws:sts::{owner.account}:assumed-role/{role.name}/{instance_id}",
        kind=_KIND,
        create_time=now,
        principal_id=role.id,
        session_token=secrets.token_urlsafe(96),
        expiration=float(int(now) + _DURATION),
    )
    access_keys.add(tx, key)
    return RoleCredentials(
        role=role.name,
        access_key_id=key.access_key_id,
        secret_access_key=key.secret_access_key,
        session_token=key.session_token or "",
        issued_at=now,
        expires_at=key.expiration or 0.0,
    )


def _trusts_instances(role: Principal) -> bool:
    """Whether the role's trust policy lets EC2 give it to instances."""
    try:
        policy = trust_policy(role.trust_policy or "")
    except MalformedPolicyError:
        return False  # one that this version cannot read lets nobody in
    is_trusted = False
    for statement in policy.statements:
        named = statement.principals
        is_named = named is not None and (named.everybody or _EC2 in named.services)
        if is_named and applies(statement, "sts:assumerole", None, lambda _: None):
            if not statement.allows:
                return False
            is_trusted = True
    return is_trusted
