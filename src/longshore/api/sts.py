"""STS: who one is, and temporary keys (https://docs.aws.amazon.com/STS/latest/APIReference/)."""

from __future__ import annotations

import re
import secrets
from typing import Any

from longshore.api.iam import keyholders
from longshore.api.iam.errors import limit_exceeded, malformed_policy, validation_error
from longshore.api.operations import Call, reads, writes
from longshore.auth.authorization import request_keys, user_id, why_not
from longshore.auth.keys import Key, PrincipalKind
from longshore.auth.policy import applies
from longshore.auth.policy_document import MalformedPolicyError, Principals, identity_policy, trust_policy
from longshore.auth.policy_managed import managed_policy
from longshore.auth.policy_pattern import Keys
from longshore.domain.ids import new_access_key_id, new_secret_access_key
from longshore.store import access_keys, principals
from longshore.store.access_keys import AccessKey
from longshore.store.principals import Principal
from longshore.wire.service import AwsError

_HOUR = 3600
#: Seconds a session of GetSessionToken lasts, if not said otherwise; the account's owner gets an hour at most.
_OF_A_USER = 12 * _HOUR
#: Characters of a session policy, white space left out.
_MAX_SESSION_POLICY = 2048
_MAX_POLICY_ARNS = 10
_IS_CODEDEPLOY = re.compile(r"codedeploy(\.[a-z0-9-]+)?\.amazonaws\.com(\.cn)?")
#: What would change who the session is, or what it may do, and is not done.
_NOT_DONE = ("Tags", "TransitiveTagKeys", "SerialNumber", "TokenCode", "SourceIdentity", "ProvidedContexts")


@reads("GetCallerIdentity")
def get_caller_identity(call: Call, _asked: dict[str, Any]) -> Any:
    key = _own(call)
    return {"UserId": user_id(key), "Account": key.account, "Arn": key.principal_arn}


@writes("GetSessionToken")
def get_session_token(call: Call, asked: dict[str, Any]) -> Any:
    """A temporary key of the caller itself."""
    key = _own(call)
    _refuse_what_is_not_done(asked)
    if key.session_token is not None:
        raise AwsError("AccessDenied", "Cannot call GetSessionToken with session credentials", 403)
    duration = asked.get("DurationSeconds", _OF_A_USER)
    if key.kind is PrincipalKind.ROOT:
        duration = min(duration, _HOUR)
    made = _temporary(
        call,
        arn=key.principal_arn,
        account=key.account,
        kind=key.kind.value,
        principal_id=key.principal_id or None,
        duration=duration,
    )
    return {"Credentials": _shown(made)}


@writes("AssumeRole")
def assume_role(call: Call, asked: dict[str, Any]) -> Any:
    """A temporary key of a role, for a caller whom its trust policy names and whose own policies allow it."""
    key = _own(call)
    arn, session = asked["RoleArn"], asked["RoleSessionName"]
    role = _role(call, arn)
    if role is None or not _is_trusted(call, key, role, asked):
        # Whether there is such a role is nobody's business who may not assume it.
        raise AwsError(
            "AccessDenied",
            f"User: {key.principal_arn} is not authorized to perform: sts:AssumeRole on resource: {arn}",
            403,
        )
    _refuse_what_is_not_done(asked)
    duration = asked.get("DurationSeconds", _HOUR)
    if duration > (role.max_session_duration or _HOUR):
        raise validation_error("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
    if key.is_role_session and duration > _HOUR:
        raise validation_error(
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining."
        )
    made = _temporary(
        call,
        arn=f"arn:aws:sts::{role.account}:assumed-role/{role.name}/{session}",
        account=role.account,
        kind=PrincipalKind.ROLE.value,
        principal_id=role.id,
        duration=duration,
        policies=_session_policies(asked),
    )
    return {
        "Credentials": _shown(made),
        "AssumedRoleUser": {"AssumedRoleId": f"{role.id}:{session}", "Arn": made.principal_arn},
    }


def _own(call: Call) -> Key:
    """The caller's key with its policies, in this transaction."""
    key = keyholders.load(call.tx, call.access_key_id)
    if key is None:
        raise AwsError("InvalidClientTokenId", "The security token included in the request is invalid.", 403)
    return key


def _role(call: Call, arn: str) -> Principal | None:
    account, _, path_and_name = arn.removeprefix("arn:aws:iam::").partition(":role/")
    role = principals.find(call.tx, account, "role", path_and_name.rpartition("/")[2])
    return role if role is not None and role.arn == arn else None


def _is_trusted(call: Call, key: Key, role: Principal, asked: dict[str, Any]) -> bool:
    """Whether the role's trust policy and the caller's own policies agree.

    In the caller's own account, a role that names the caller itself needs no policy of the caller's; a role that names
    the account leaves it to the account's policies. Another account's caller needs both.
    """
    keys = request_keys(
        key,
        region=call.scope.region,
        source_ip=call.request.source,
        is_secure=call.request.is_secure,
        now=call.now,
        more={
            "aws:resourceaccount": [role.account],
            "sts:rolesessionname": [asked["RoleSessionName"]],
            **({"sts:externalid": [asked["ExternalId"]]} if "ExternalId" in asked else {}),
        },
        tags=lambda: role.tags,
    )
    trust = _trust(key, role, keys)
    is_named_here = trust == "itself" and key.account == role.account and key.session_policies is None
    return trust is not None and why_not(key, "sts:AssumeRole", role.arn, keys, as_itself=is_named_here) is None


def _trust(key: Key, role: Principal, keys: Keys) -> str | None:
    """How the trust policy lets this caller in: "itself", by its "account", or not at all."""
    found = None
    try:
        policy = trust_policy(role.trust_policy or "")
    except MalformedPolicyError:
        return None  # one that this version cannot read lets nobody in
    for statement in policy.statements:
        how = _how_named(key, statement.principals)
        if how is not None and applies(statement, "sts:assumerole", None, keys):
            if not statement.allows:
                return None
            found = how if found != "itself" else found
    return found


def _how_named(key: Key, named: Principals | None) -> str | None:
    if named is None:
        return None
    if key.kind is PrincipalKind.SERVICE:
        # The control plane is CodeDeploy, and nobody else in the account.
        return "itself" if named.everybody or any(map(_IS_CODEDEPLOY.fullmatch, named.services)) else None
    if named.everybody or {key.principal_arn, key.identity_arn} & named.arns:
        return "itself"
    return "account" if key.account in named.accounts else None


def _session_policies(asked: dict[str, Any]) -> list[str] | None:
    texts = []
    if "Policy" in asked:
        try:
            identity_policy(asked["Policy"])
        except MalformedPolicyError as problem:
            raise malformed_policy(str(problem)) from None
        if len("".join(asked["Policy"].split())) > _MAX_SESSION_POLICY:
            raise AwsError(
                "PackedPolicyTooLarge",
                f"The session policy has more than {_MAX_SESSION_POLICY} characters, white space left out.",
            )
        texts.append(asked["Policy"])
    arns = [one.get("arn", "") for one in asked.get("PolicyArns", ())]
    if len(arns) > _MAX_POLICY_ARNS:
        raise limit_exceeded(f"A session takes at most {_MAX_POLICY_ARNS} PolicyArns.")
    for arn in arns:
        policy = managed_policy(arn)
        if policy is None:
            raise malformed_policy(f"There is no managed policy {arn}.")
        texts.append(policy.document)
    return texts or None


def _refuse_what_is_not_done(asked: dict[str, Any]) -> None:
    for member in _NOT_DONE:
        if asked.get(member):
            raise validation_error(f"{member} is not supported by this server; leave it out.")


def _temporary(
    call: Call,
    *,
    arn: str,
    account: str,
    kind: str,
    principal_id: str | None,
    duration: int,
    policies: list[str] | None = None,
) -> AccessKey:
    access_keys.forget_ended(call.tx, call.now)
    # Anybody with a key may begin sessions, so that somebody could fill the disk with them.
    if access_keys.count_sessions(call.tx, account, arn, call.now) >= call.limits.sessions:
        raise AwsError("Throttling", f"{arn} has {call.limits.sessions} sessions; use those, or wait till some end.")
    key = AccessKey(
        access_key_id=new_access_key_id("ASIA"),
        secret_access_key=new_secret_access_key(),
        account=account,
        principal_arn=arn,
        kind=kind,
        create_time=call.now,
        principal_id=principal_id,
        session_token=secrets.token_urlsafe(96),
        expiration=float(int(call.now) + duration),
        session_policies=policies,
    )
    access_keys.add(call.tx, key)
    return key


def _shown(key: AccessKey) -> dict[str, Any]:
    return {
        "AccessKeyId": key.access_key_id,
        "SecretAccessKey": key.secret_access_key,
        "SessionToken": key.session_token,
        "Expiration": key.expiration,
    }
