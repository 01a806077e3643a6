"""Operations on roles: what is assumed for a while, by whoever its trust policy names."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from longshore.api.iam.errors import already_exists, delete_conflict, limit_exceeded, malformed_policy
from longshore.api.iam.existing import existing, refuse_boundary, shown_tags, tags_of
from longshore.api.iam.pages import page
from longshore.api.iam.users import require_no_policies
from longshore.api.operations import Call, reads, writes
from longshore.auth.policy_document import MalformedPolicyError, trust_policy
from longshore.domain.ids import new_principal_id
from longshore.store import instance_profiles, principals
from longshore.store.principals import Principal

#: Characters of a trust policy, white space left out.
_MAX_TRUST_POLICY = 2048
_USUAL_SESSION = 3600


@writes("CreateRole")
def create_role(call: Call, asked: dict[str, Any]) -> Any:
    refuse_boundary(asked)
    _check_trust(asked["AssumeRolePolicyDocument"])
    name = asked["RoleName"]
    if principals.is_taken(call.tx, call.scope.account, "role", name):
        raise already_exists(f"Role with name {name} already exists.")
    if principals.count(call.tx, call.scope.account, "role") >= call.limits.roles:
        raise limit_exceeded(f"Cannot exceed quota for RolesPerAccount: {call.limits.roles}.")
    role = Principal(
        id=new_principal_id("AROA"),
        account=call.scope.account,
        kind="role",
        name=name,
        path=asked.get("Path", "/"),
        create_time=call.now,
        tags=tags_of(asked.get("Tags", ()), call.limits.tags_per_resource),
        trust_policy=asked["AssumeRolePolicyDocument"],
        description=asked.get("Description"),
        max_session_duration=asked.get("MaxSessionDuration", _USUAL_SESSION),
    )
    principals.add(call.tx, role)
    return {"Role": shown(role)}


@reads("GetRole")
def get_role(call: Call, asked: dict[str, Any]) -> Any:
    return {"Role": shown(existing(call, "role", asked["RoleName"]))}


@reads("ListRoles")
def list_roles(call: Call, asked: dict[str, Any]) -> Any:
    roles, more = page(
        call,
        "ListRoles",
        asked,
        lambda after, count: principals.names(
            call.tx,
            call.scope.account,
            "role",
            path_prefix=asked.get("PathPrefix", "/"),
            after=after,
            count=count,
        ),
        lambda role: role.name,
    )
    # As AWS: a list has no tags.
    return {"Roles": [{**shown(role), "Tags": None} for role in roles], **more}


@writes("UpdateRole")
def update_role(call: Call, asked: dict[str, Any]) -> Any:
    role = existing(call, "role", asked["RoleName"])
    changes = {
        column: asked[member]
        for member, column in (("Description", "description"), ("MaxSessionDuration", "max_session_duration"))
        if member in asked
    }
    if changes:
        principals.change(call.tx, role, **changes)
    return {}


@writes("UpdateAssumeRolePolicy")
def update_assume_role_policy(call: Call, asked: dict[str, Any]) -> None:
    """Whoever has assumed the role already keeps the session until it ends."""
    _check_trust(asked["PolicyDocument"])
    role = existing(call, "role", asked["RoleName"])
    principals.change(call.tx, role, trust_policy=asked["PolicyDocument"])


@writes("DeleteRole")
def delete_role(call: Call, asked: dict[str, Any]) -> None:
    """Its sessions end with it."""
    role = existing(call, "role", asked["RoleName"])
    require_no_policies(call, role)
    if instance_profiles.with_role(call.tx, role.id):
        raise delete_conflict("Cannot delete entity, must remove roles from instance profile first.")
    principals.remove(call.tx, role)


def _check_trust(document: str) -> None:
    try:
        trust_policy(document)
    except MalformedPolicyError as problem:
        raise malformed_policy(str(problem)) from None
    if len("".join(document.split())) > _MAX_TRUST_POLICY:
        raise limit_exceeded(f"Cannot exceed quota for ACLSizePerRole: {_MAX_TRUST_POLICY}.")


def shown(role: Principal) -> dict[str, Any]:
    """A role as IAM shows it."""
    return {
        "Path": role.path,
        "RoleName": role.name,
        "RoleId": role.id,
        "Arn": role.arn,
        "CreateDate": role.create_time,
        # As AWS gives documents, and as its SDKs undo (RFC 3986).
        "AssumeRolePolicyDocument": quote(role.trust_policy or "", safe=""),
        "Description": role.description,
        "MaxSessionDuration": role.max_session_duration,
        "Tags": shown_tags(role.tags) or None,
    }
