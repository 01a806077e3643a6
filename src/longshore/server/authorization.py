"""May the caller? Joins the tables of `auth.permissions` and the caller's policies to the rows they depend on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from longshore.auth.authorization import not_authorized, request_keys, why_not
from longshore.auth.keyring import Keyring
from longshore.auth.keys import Key, PrincipalKind
from longshore.auth.permissions import commands
from longshore.auth.permissions.codedeploy import CODEDEPLOY, OURS
from longshore.auth.permissions.elasticloadbalancing import ELB, ELBV2
from longshore.auth.permissions.iam import IAM, LONGSHORE, STS
from longshore.auth.permissions.needs import Asked, Need, Table, everything
from longshore.auth.permissions.telling import CLOUDWATCH, SNS
from longshore.auth.policy_managed import managed_policy
from longshore.auth.policy_pattern import Keys
from longshore.domain.ids import Scope
from longshore.onebox.services import s3
from longshore.onebox.services.s3 import WhyNot
from longshore.server.authentication import Usage
from longshore.store import (
    access_keys,
    deployment_groups,
    deployments,
    instance_profiles,
    principals,
    resource_tags,
    targets,
)
from longshore.store.database import Store, Transaction
from longshore.wire.service import AwsError, Call

_TABLES: Mapping[str, Table] = {
    "codedeploy": CODEDEPLOY,
    "iam": IAM,
    "sts": STS,
    "longshore": {**LONGSHORE, **OURS},
    "elb": ELB,
    "elbv2": ELBV2,
    "cloudwatch": CLOUDWATCH,
    "sns": SNS,
}
_ENROLLING = ("longshore", "EnrollHost")
#: More than any operation takes.
_MOST_NAMED = 1000
#: Characters.
_LONGEST_ARN = 2048
_READING = ("s3:GetObject", "s3:GetObjectVersion")


class Authorizer:
    """Says of every call whether its caller may."""

    def __init__(self, store: Store, keys: Keyring, *, now: Callable[[], float]) -> None:
        self._store = store
        self._keys = keys
        self._now = now

    async def __call__(self, call: Call, asked: Mapping[str, Any]) -> None:
        """Let the call pass, or raise AccessDeniedException."""
        key = await self._keys.find_soon(call.caller.access_key_id, self._now())
        if key is None:
            raise _denied(f"User: {call.caller.arn} is not authorized: its key is gone.")
        if key.session_token is not None and not key.is_role_session and _is_about_identity(call):
            raise AwsError(
                "UnrecognizedClientException",
                "Credentials of GetSessionToken cannot see or change users, roles and keys: who steals them for an hour"
                " must not stay. Sign with the lasting key, or assume a role.",
            )
        if key.kind is PrincipalKind.ENROLLMENT:
            # Before everything else: some calls need no permission, and a token is good for none of them.
            if (call.service, call.operation) != _ENROLLING:
                refused = f"{call.service}:{call.operation}"
                reason = "because an enrollment token is good for enrolling alone"
                raise _denied(not_authorized(key, refused, "*", reason))
        elif (action := commands.action_of(call.service, call.operation)) is not None:
            self._require_host(key, call, action)
        elif key.kind is not PrincipalKind.ROOT or key.session_policies is not None:
            await self._store.peek(lambda tx: _require(tx, key, call, asked))

    async def require(
        self, call: Call, action: str, resource: str, more: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        """Raise AccessDeniedException unless the caller may do this as well, for what the call comes to mean.

        `more` are condition keys, in lower case.
        """
        key = await self._keys.find_soon(call.caller.access_key_id, self._now())
        if key is None:
            raise _denied(f"User: {call.caller.arn} is not authorized: its key is gone.")
        request = _keys(key, call, {}, dict)
        reason = why_not(key, action, resource, lambda name: (more or {}).get(name.lower()) or request(name))
        if reason is not None:
            raise _denied(not_authorized(key, action, resource, reason))

    def _require_host(self, key: Key, call: Call, action: str) -> None:
        """A host's work needs no Allow; the account's owner and the control plane are no hosts."""
        reason: str | None = "because only a user or a session can be a host"
        if key.kind is PrincipalKind.USER or key.is_role_session:
            if not key.policies and key.session_policies is None:
                return  # what nearly every host is: nothing to look at, and it polls all day
            reason = why_not(key, action, "*", _keys(key, call, {}, dict), as_itself=True)
        if reason is not None:
            raise _denied(not_authorized(key, action, "*", reason))


def _require(tx: Transaction, key: Key, call: Call, asked: Mapping[str, Any]) -> None:
    # The input's constraints are not checked yet, and everybody waits while this looks at one name after the other.
    if any(isinstance(value, list) and len(value) > _MOST_NAMED for value in asked.values()):
        raise AwsError("ValidationException", f"No list may have more than {_MOST_NAMED} members.")
    asked = {member: _findable(value) for member, value in asked.items()}
    rows = _Rows(tx, Scope(call.caller.account, call.caller.region))
    name = key.principal_arn.rpartition("/")[2] if key.kind is PrincipalKind.USER else ""
    question = Asked(asked, call.caller.account, call.caller.region, key.principal_arn, name, rows)
    for need in _needs(call):
        for resource in need.find(question):
            arn = resource.arn
            if len(arn) > _LONGEST_ARN:
                raise AwsError("ValidationException", f"No name can be so long that its ARN has {len(arn)} characters.")
            keys = _keys(key, call, asked, lambda arn=arn: rows.tags(arn))  # type: ignore[misc]  # mypy cannot infer it
            reasons = [why_not(key, action, arn, keys) for action in need.actions]
            if None not in reasons:
                raise _denied(not_authorized(key, need.actions[0], resource.shown, reasons[0] or ""))


def _findable(value: Any) -> Any:
    """The same without NUL, which no name has and not every database can be asked for."""
    if isinstance(value, list):
        return [_findable(one) for one in value]
    return value.replace("\0", "\ufffd") if isinstance(value, str) else value


def object_permissions(store: Store, usage: Usage, *, now: Callable[[], float]) -> WhyNot:
    """Decides about objects and buckets.

    A host may besides read the bundle of a deployment that it is at work on. Our agent needs no such right, its
    specification carries a URL; the official agent asks with the host's own key.
    """

    def reason(key: Key, asked: s3.Asked) -> str | None:
        at = now()
        region = asked.region or "us-east-1"
        usage.note(key, region=region, service="s3", now=at)
        if key.kind is PrincipalKind.SERVICE:
            # It presigns the bundles' URLs: whoever has one, or the key, can read and nothing else.
            return None if asked.action in _READING else f"because the control plane itself needs no {asked.action}"
        if key.kind is PrincipalKind.ROOT and key.session_policies is None:
            return None
        keys = request_keys(
            key, region=region, source_ip=asked.source, is_secure=asked.is_secure, now=at, more=asked.keys
        )
        refused = why_not(key, asked.action, asked.resource, keys)
        if refused is None or asked.action not in _READING or not _is_own_bundle(store, key, asked):
            return refused
        return why_not(key, asked.action, asked.resource, keys, as_itself=True)

    return reason


def _is_own_bundle(store: Store, key: Key, asked: s3.Asked) -> bool:
    if asked.region is None:
        return False
    host = Scope(key.account, asked.region).host(key.host_identifier(asked.region))
    locations = [one.get("s3Location", {}) for one in store.read(lambda tx: targets.revisions_for(tx, host))]
    return any(f"arn:aws:s3:::{one.get('bucket')}/{one.get('key')}" == asked.resource for one in locations)


def _needs(call: Call) -> Sequence[Need]:
    table = _TABLES.get(call.service, {})
    # An operation that no table knows yet is its owner's, and whoever has a right to all of the service.
    unknown = (Need(actions=(f"{call.service}:{call.operation}",), find=everything),)
    return table.get(call.operation, unknown)


def _is_about_identity(call: Call) -> bool:
    """IAM's own operations, and ours that are fronts to them or give out what a host becomes a user by."""
    asked = [action for need in _needs(call) for action in need.actions]
    # To pass a role on is to use it, and changes nothing about it.
    asked = [action for action in asked if action != "iam:PassRole"]
    return any(action.startswith("iam:") or action == "longshore:CreateEnrollmentToken" for action in asked)


def _denied(message: str) -> AwsError:
    return AwsError("AccessDeniedException", message)


def _keys(key: Key, call: Call, asked: Mapping[str, Any], tags: Callable[[], Mapping[str, str]]) -> Keys:
    return request_keys(
        key,
        region=call.caller.region,
        source_ip=call.source,
        is_secure=call.is_secure,
        now=call.now,
        more=_of_operation(call, asked),
        tags=tags,
    )


def _of_operation(call: Call, asked: Mapping[str, Any]) -> dict[str, Sequence[str]]:
    """Condition keys that the input of an operation gives."""
    more: dict[str, Sequence[str]] = {}
    if agent := call.headers.get("user-agent"):
        more["aws:useragent"] = [agent]
    tags = asked.get("tags") or asked.get("Tags") or ()
    requested: dict[str, list[str]] = {}
    for tag in filter(None, tags):
        # Keys that differ by case are one to policies, and what is given twice has two values.
        requested.setdefault(f"aws:requesttag/{tag.get('Key', '').lower()}", []).append(tag.get("Value", ""))
    more |= requested
    tag_keys = [tag.get("Key", "") for tag in filter(None, tags)] or [str(key) for key in asked.get("TagKeys") or ()]
    if tag_keys:
        more["aws:tagkeys"] = tag_keys
    if call.service == "codedeploy" and asked.get("serviceRoleArn"):
        more["iam:passedtoservice"] = ["codedeploy.amazonaws.com"]
    if call.service == "iam" and (arn := asked.get("PolicyArn")):
        policy = managed_policy(arn)
        more["iam:policyarn"] = [policy.arn if policy else arn]
    return more


class _Rows:
    """The account's rows, as far as permissions depend on them: a quick look at each."""

    def __init__(self, tx: Transaction, scope: Scope) -> None:
        self._tx = tx
        self._scope = scope

    def groups_of(self, deployment_ids: Sequence[str]) -> list[tuple[str, str]]:
        found = [deployments.group_of(self._tx, self._scope, one) for one in dict.fromkeys(deployment_ids)]
        return [group for group in found if group is not None]

    def config_of(self, application: str, group: str) -> str | None:
        return deployment_groups.config_of(self._tx, self._scope, application, group)

    def identity_arn(self, kind: str, name: str) -> str | None:
        account = self._scope.account
        path = principals.path_of(self._tx, account, kind, name)  # type: ignore[arg-type]  # user or role
        return None if path is None else f"arn:aws:iam::{account}:{kind}{path}{name}"

    def profile_path(self, name: str) -> str | None:
        found = instance_profiles.find(self._tx, self._scope.account, name)
        return None if found is None else found.path

    def holder_of(self, access_key_id: str) -> str | None:
        key = access_keys.find(self._tx, access_key_id)
        return key.principal_arn if key is not None and key.account == self._scope.account else None

    def tags(self, arn: str) -> Mapping[str, str]:
        """The tags of a resource; none for what has none, or is not there."""
        kind, _, name = arn.removeprefix(f"arn:aws:iam::{self._scope.account}:").partition("/")
        if kind in ("user", "role"):
            found = principals.find(self._tx, self._scope.account, kind, name.rpartition("/")[2])  # type: ignore[arg-type]  # mypy does not narrow it
            return found.tags if found is not None and found.arn == arn else {}
        return resource_tags.tags_at(self._tx, self._scope, arn)
