"""May this key do that? Joins what a principal is to what its policies say.

The account's owner may do everything in the account, the control plane what it needs of onebox. Everybody else may do
what its policies allow and no Deny forbids, and a session only what its session policy allows too. A host
needs no policy for a host's work, see `as_itself`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from longshore.auth.keys import Key, PrincipalKind
from longshore.auth.policy import Verdict, decide
from longshore.auth.policy_pattern import Keys

#: What the control plane itself does in onebox. Everything else it does as a deployment group's service role, which
#: it may assume where the role's trust policy names CodeDeploy; bundles it reads by presigned URLs, see
#: `server/authorization.py`.
_OF_CONTROL_PLANE = frozenset({"events:PutEvents", "iam:GetRole", "sts:AssumeRole"})


def why_not(key: Key, action: str, resource: str, keys: Keys, *, as_itself: bool = False) -> str | None:
    """Why `key` may not do `action` to `resource`, as AWS words it after "because" or "with"; None when it may.

    `as_itself` is for what a principal does in its own name, such as asking for its own commands: it needs no Allow,
    but a Deny takes it away.
    """
    if key.kind is PrincipalKind.SERVICE and action in _OF_CONTROL_PLANE:
        return None
    if key.kind is PrincipalKind.SERVICE:
        return f"because no identity-based policy allows the {action} action"
    if key.kind is not PrincipalKind.ROOT:
        verdict = decide(key.policies, action, resource, keys)
        if verdict is Verdict.DENIED:
            return "with an explicit deny in an identity-based policy"
        if verdict is Verdict.NOT_ALLOWED and not as_itself:
            return f"because no identity-based policy allows the {action} action"
    if key.session_policies is not None:
        verdict = decide(key.session_policies, action, resource, keys)
        if verdict is Verdict.DENIED:
            return "with an explicit deny in a session policy"
        if verdict is Verdict.NOT_ALLOWED and not as_itself:
            return f"because no session policy allows the {action} action"
    return None


def not_authorized(key: Key, action: str, shown: str, reason: str) -> str:
    """AWS's sentence for a refusal."""
    return f"User: {key.principal_arn} is not authorized to perform: {action} on resource: {shown} {reason}"


def request_keys(
    key: Key,
    *,
    region: str,
    source_ip: str,
    is_secure: bool,
    now: float,
    more: Mapping[str, Sequence[str]] | None = None,
    tags: Callable[[], Mapping[str, str]] = dict,
) -> Keys:
    """The condition keys of one request, asked for only when a policy needs one.

    `more` are keys of the operation, in lower case; `tags` reads those of the resource.
    """
    made: dict[str, Sequence[str]] = {}

    def find(name: str) -> Sequence[str] | None:
        name = name.lower()
        if not made:
            made.update(_common(key, region, source_ip, is_secure, now))
            made.update(more or {})
        if (values := made.get(name)) is not None:
            return values
        kind, _, wanted = name.partition("/")
        if kind == "aws:principaltag":
            return _valued(key.tags, wanted)
        if kind in ("aws:resourcetag", "iam:resourcetag"):
            return _valued(tags(), wanted)
        return None

    return find


def _valued(tags: Mapping[str, str], wanted: str) -> Sequence[str] | None:
    """The values of a tag by its key in lower case; keys that differ by case are one to policies."""
    return [value for tag, value in tags.items() if tag.lower() == wanted] or None


_TYPES = {
    PrincipalKind.ROOT: "Account",
    PrincipalKind.USER: "User",
    PrincipalKind.ROLE: "AssumedRole",
    PrincipalKind.INSTANCE: "AssumedRole",
}


def _common(key: Key, region: str, source_ip: str, is_secure: bool, now: float) -> dict[str, Sequence[str]]:
    found: dict[str, Sequence[str]] = {
        "aws:principalarn": [key.identity_arn or key.principal_arn],
        "aws:principalaccount": [key.account],
        "aws:principaltype": [_TYPES.get(key.kind, "Service")],
        "aws:principalisawsservice": ["true" if key.kind is PrincipalKind.SERVICE else "false"],
        "aws:resourceaccount": [key.account],
        "aws:viaawsservice": ["false"],
        "aws:userid": [user_id(key)],
        "aws:requestedregion": [region],
        "aws:securetransport": ["true" if is_secure else "false"],
        "aws:currenttime": [_moment(now)],
        "aws:epochtime": [str(int(now))],
    }
    if key.kind is PrincipalKind.SERVICE:
        # Trust policies ask for it, so that nobody has a service do what he may not do himself.
        found["aws:sourceaccount"] = [key.account]
    if source_ip:
        found["aws:sourceip"] = [source_ip]
    if key.kind is PrincipalKind.USER:
        found["aws:username"] = [key.principal_arn.rpartition("/")[2]]
    if key.session_token is not None:
        found["aws:multifactorauthpresent"] = ["false"]
    if key.issued_at is not None:
        # By this the sessions of a role are revoked: a Deny of those that were issued before a moment.
        found["aws:tokenissuetime"] = [_moment(key.issued_at)]
    return found


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def user_id(key: Key) -> str:
    """The unique id of a principal, as aws:userid and GetCallerIdentity have it."""
    if key.is_role_session:
        return f"{key.principal_id}:{key.principal_arn.rpartition('/')[2]}"
    return key.principal_id or key.account
