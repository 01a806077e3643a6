"""Operations on the policies of users and roles: written into them, or managed and attached."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from longshore.api.iam.errors import invalid_input, limit_exceeded, malformed_policy, no_such_entity
from longshore.api.iam.existing import existing
from longshore.api.iam.pages import page, page_of
from longshore.api.operations import Call, reads, writes
from longshore.auth.policy_document import MalformedPolicyError, identity_policy
from longshore.auth.policy_managed import MANAGED_POLICIES, ManagedPolicy, managed_policy
from longshore.store import principals
from longshore.store.principals import Kind, Principal

#: Characters of all inline policies together, white space left out.
_MAX_INLINE = {"user": 2048, "role": 10240}
_VERSION = "v1"


def _member(kind: Kind) -> str:
    return "UserName" if kind == "user" else "RoleName"


def _named(call: Call, kind: Kind, asked: dict[str, Any]) -> Principal:
    return existing(call, kind, asked[_member(kind)])


# Inline policies.


@writes("PutUserPolicy")
def put_user_policy(call: Call, asked: dict[str, Any]) -> None:
    _put(call, "user", asked)


@writes("PutRolePolicy")
def put_role_policy(call: Call, asked: dict[str, Any]) -> None:
    _put(call, "role", asked)


def _put(call: Call, kind: Kind, asked: dict[str, Any]) -> None:
    name, document = asked["PolicyName"], asked["PolicyDocument"]
    try:
        identity_policy(document)
    except MalformedPolicyError as problem:
        raise malformed_policy(str(problem)) from None
    principal = _named(call, kind, asked)
    size = len("".join(document.split())) + principals.inline_size(call.tx, principal, without=name)
    if size > _MAX_INLINE[kind]:
        raise limit_exceeded(f"Maximum policy size of {_MAX_INLINE[kind]} bytes exceeded for {kind} {principal.name}.")
    principals.put_inline(call.tx, principal, name, document)


@reads("GetUserPolicy")
def get_user_policy(call: Call, asked: dict[str, Any]) -> Any:
    return _get(call, "user", asked)


@reads("GetRolePolicy")
def get_role_policy(call: Call, asked: dict[str, Any]) -> Any:
    return _get(call, "role", asked)


def _get(call: Call, kind: Kind, asked: dict[str, Any]) -> Any:
    name = asked["PolicyName"]
    document = principals.inline(call.tx, _named(call, kind, asked), name)
    if document is None:
        raise _no_inline(kind, name)
    return {_member(kind): asked[_member(kind)], "PolicyName": name, "PolicyDocument": quote(document, safe="")}


@reads("ListUserPolicies")
def list_user_policies(call: Call, asked: dict[str, Any]) -> Any:
    return _list(call, "ListUserPolicies", "user", asked)


@reads("ListRolePolicies")
def list_role_policies(call: Call, asked: dict[str, Any]) -> Any:
    return _list(call, "ListRolePolicies", "role", asked)


def _list(call: Call, operation: str, kind: Kind, asked: dict[str, Any]) -> Any:
    principal = _named(call, kind, asked)

    def read(after: str | None, count: int) -> list[str]:
        return principals.inline_names(call.tx, principal, after=after, count=count)

    names, more = page(call, operation, asked, read, _itself)
    return {"PolicyNames": names, **more}


@writes("DeleteUserPolicy")
def delete_user_policy(call: Call, asked: dict[str, Any]) -> None:
    _delete(call, "user", asked)


@writes("DeleteRolePolicy")
def delete_role_policy(call: Call, asked: dict[str, Any]) -> None:
    _delete(call, "role", asked)


def _delete(call: Call, kind: Kind, asked: dict[str, Any]) -> None:
    if not principals.remove_inline(call.tx, _named(call, kind, asked), asked["PolicyName"]):
        raise _no_inline(kind, asked["PolicyName"])


def _no_inline(kind: Kind, name: str) -> Exception:
    return no_such_entity(f"The {kind} policy with name {name} cannot be found.")


# Managed policies, attached.


@writes("AttachUserPolicy")
def attach_user_policy(call: Call, asked: dict[str, Any]) -> None:
    _attach(call, "user", asked)


@writes("AttachRolePolicy")
def attach_role_policy(call: Call, asked: dict[str, Any]) -> None:
    _attach(call, "role", asked)


def _attach(call: Call, kind: Kind, asked: dict[str, Any]) -> None:
    principal = _named(call, kind, asked)
    policy = managed_policy(asked["PolicyArn"])
    if policy is None:
        raise no_such_entity(
            f"Policy {asked['PolicyArn']} does not exist or is not attachable. There are"
            f" {', '.join(one.arn for one in MANAGED_POLICIES)}; write any other with put-{kind}-policy."
        )
    if len({*principals.attached(call.tx, principal), policy.arn}) > call.limits.attached_policies:
        raise limit_exceeded(
            f"Cannot exceed quota for PoliciesPer{kind.capitalize()}: {call.limits.attached_policies}."
        )
    principals.attach(call.tx, principal, policy.arn)


@writes("DetachUserPolicy")
def detach_user_policy(call: Call, asked: dict[str, Any]) -> None:
    _detach(call, "user", asked)


@writes("DetachRolePolicy")
def detach_role_policy(call: Call, asked: dict[str, Any]) -> None:
    _detach(call, "role", asked)


def _detach(call: Call, kind: Kind, asked: dict[str, Any]) -> None:
    principal = _named(call, kind, asked)
    policy = managed_policy(asked["PolicyArn"])
    if policy is None or not principals.detach(call.tx, principal, policy.arn):
        raise no_such_entity(f"Policy {asked['PolicyArn']} was not found.")


@reads("ListAttachedUserPolicies")
def list_attached_user_policies(call: Call, asked: dict[str, Any]) -> Any:
    return _list_attached(call, "ListAttachedUserPolicies", "user", asked)


@reads("ListAttachedRolePolicies")
def list_attached_role_policies(call: Call, asked: dict[str, Any]) -> Any:
    return _list_attached(call, "ListAttachedRolePolicies", "role", asked)


def _list_attached(call: Call, operation: str, kind: Kind, asked: dict[str, Any]) -> Any:
    prefix = asked.get("PathPrefix", "/")
    attached = [
        arn
        for arn in principals.attached(call.tx, _named(call, kind, asked))
        if (policy := managed_policy(arn)) is not None and policy.path.startswith(prefix)
    ]
    arns, more = page_of(call, operation, asked, attached, _itself)
    return {
        "AttachedPolicies": [{"PolicyName": arn.rpartition("/")[2], "PolicyArn": arn} for arn in arns],
        **more,
    }


# Managed policies themselves.


@reads("GetPolicy")
def get_policy(call: Call, asked: dict[str, Any]) -> Any:
    return {"Policy": _shown(call, _managed(asked)) | {"Description": _managed(asked).description}}


@reads("GetPolicyVersion")
def get_policy_version(_call: Call, asked: dict[str, Any]) -> Any:
    policy = _managed(asked)
    if asked["VersionId"] != _VERSION:
        raise no_such_entity(f"Policy {policy.arn} version {asked['VersionId']} does not exist.")
    return {"PolicyVersion": {"Document": quote(policy.document, safe=""), **_version()}}


@reads("ListPolicyVersions")
def list_policy_versions(_call: Call, asked: dict[str, Any]) -> Any:
    _managed(asked)
    return {"Versions": [_version()], "IsTruncated": False}


@reads("ListPolicies")
def list_policies(call: Call, asked: dict[str, Any]) -> Any:
    """The managed policies; there are none of an account's own."""
    prefix = asked.get("PathPrefix", "/")
    rows = [_shown(call, policy) for policy in MANAGED_POLICIES if policy.path.startswith(prefix)]
    if asked.get("Scope") == "Local" or asked.get("PolicyUsageFilter") == "PermissionsBoundary":
        rows = []
    if asked.get("OnlyAttached"):
        rows = [policy for policy in rows if policy["AttachmentCount"] > 0]
    policies, more = page_of(call, "ListPolicies", asked, rows, lambda policy: str(policy["PolicyName"]))
    return {"Policies": policies, **more}


def _managed(asked: dict[str, Any]) -> ManagedPolicy:
    arn = asked["PolicyArn"]
    policy = managed_policy(arn)
    if policy is None:
        if not arn.startswith("arn:"):
            raise invalid_input(f"ARN {arn} is not valid.")
        raise no_such_entity(f"Policy {arn} was not found.")
    return policy


def _version() -> dict[str, Any]:
    return {"VersionId": _VERSION, "IsDefaultVersion": True, "CreateDate": 0.0}


def _shown(call: Call, policy: ManagedPolicy) -> dict[str, Any]:
    return {
        "PolicyName": policy.name,
        "PolicyId": policy.policy_id,
        "Arn": policy.arn,
        "Path": policy.path,
        "DefaultVersionId": _VERSION,
        "AttachmentCount": principals.attachments(call.tx, call.scope.account).get(policy.arn, 0),
        "PermissionsBoundaryUsageCount": 0,
        "IsAttachable": True,
    }


def _itself(name: str) -> str:
    return name
