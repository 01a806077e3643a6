"""Permissions of IAM, of STS, and of our own `longshore` service, whose keys are IAM's.

https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsidentityandaccessmanagementiam.html
Resources are users, roles and policies, by their ARNs with their paths.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from longshore.auth.permissions.needs import Asked, Find, Need, Resource, Table, everything, named, plain
from longshore.auth.policy_managed import managed_policy


def _arn(asked: Asked, rest: str) -> str:
    return f"arn:aws:iam::{asked.account}:{rest}"


def _user(asked: Asked, *, default: str | None = None) -> list[Resource]:
    """The user named; `default` is meant when none is."""
    return _named(asked, "user", asked.input.get("UserName") or default or "*")


def _role(asked: Asked) -> list[Resource]:
    return _named(asked, "role", named(asked, "RoleName")[0])


def _named(asked: Asked, kind: str, name: str) -> list[Resource]:
    # Its path is part of its ARN, and not for everybody to see.
    return [Resource(asked.rows.identity_arn(kind, name) or _arn(asked, f"{kind}/{name}"), f"{kind} {name}")]


def _user_or_self(asked: Asked) -> list[Resource]:
    if asked.input.get("UserName") or asked.caller_name:
        return _user(asked, default=asked.caller_name)
    return plain([asked.caller_arn])


def _new(kind: str, name: str) -> Find:
    return lambda asked: plain([_arn(asked, f"{kind}{asked.input.get('Path') or '/'}{named(asked, name)[0]}")])


def _renamed_user(asked: Asked) -> list[Resource]:
    new_name, new_path = asked.input.get("NewUserName"), asked.input.get("NewPath")
    (now,) = _user(asked)
    if not (new_name or new_path):
        return [now]
    path, _, name = now.arn.partition(":user")[2].rpartition("/")
    return [now, *plain([_arn(asked, f"user{new_path or path + '/'}{new_name or name}")])]


def _all(kind: str) -> Find:
    return lambda asked: plain([_arn(asked, f"{kind}{asked.input.get('PathPrefix') or '/'}")])


def _policy(asked: Asked) -> list[Resource]:
    # By whichever of its names it is asked for.
    return plain(known.arn if (known := managed_policy(arn)) else arn for arn in named(asked, "PolicyArn"))


def _profile(asked: Asked) -> list[Resource]:
    name = named(asked, "InstanceProfileName")[0]
    path = asked.rows.profile_path(name) or "/"
    arn = _arn(asked, f"instance-profile{path}{name}")
    return [Resource(arn, f"instance profile {name}")]


def _holder(asked: Asked, member: str) -> list[Resource]:
    key = named(asked, member)[0]
    return [Resource(asked.rows.holder_of(key) or _arn(asked, "user/*"), f"access key {key}")]


def _table(service: str, needs: Mapping[str, Find]) -> Table:
    return {operation: (Need(actions=(f"{service}:{operation}",), find=find),) for operation, find in needs.items()}


_IAM: Final[Table] = _table(
    "iam",
    {
        # Users.
        "CreateUser": _new("user", "UserName"),
        "GetUser": _user_or_self,
        "ListUsers": _all("user"),
        "UpdateUser": _renamed_user,
        "DeleteUser": _user,
        "TagUser": _user,
        "UntagUser": _user,
        "ListUserTags": _user,
        # Their keys.
        "CreateAccessKey": _user_or_self,
        "ListAccessKeys": _user_or_self,
        "UpdateAccessKey": _user_or_self,
        "DeleteAccessKey": _user_or_self,
        "GetAccessKeyLastUsed": lambda asked: _holder(asked, "AccessKeyId"),
        # Their policies.
        "PutUserPolicy": _user,
        "GetUserPolicy": _user,
        "ListUserPolicies": _user,
        "DeleteUserPolicy": _user,
        "AttachUserPolicy": _user,
        "DetachUserPolicy": _user,
        "ListAttachedUserPolicies": _user,
        # What they may have in AWS, and never have here.
        "ListAccountAliases": everything,
        "ListGroups": _all("group"),
        "ListGroupsForUser": _user,
        "ListMFADevices": _user_or_self,
        "ListSSHPublicKeys": _user_or_self,
        "ListServiceSpecificCredentials": _user_or_self,
        "ListSigningCertificates": _user_or_self,
        "ListVirtualMFADevices": everything,
        "GetLoginProfile": _user_or_self,
        "DeleteLoginProfile": _user_or_self,
        # Roles and their policies.
        "CreateRole": _new("role", "RoleName"),
        "GetRole": _role,
        "ListRoles": _all("role"),
        "UpdateRole": _role,
        "UpdateAssumeRolePolicy": _role,
        "DeleteRole": _role,
        "TagRole": _role,
        "UntagRole": _role,
        "ListRoleTags": _role,
        "PutRolePolicy": _role,
        "GetRolePolicy": _role,
        "ListRolePolicies": _role,
        "DeleteRolePolicy": _role,
        "AttachRolePolicy": _role,
        "DetachRolePolicy": _role,
        "ListAttachedRolePolicies": _role,
        # Instance profiles. Who puts a role in one gives it to instances, see below.
        "CreateInstanceProfile": _new("instance-profile", "InstanceProfileName"),
        "GetInstanceProfile": _profile,
        "ListInstanceProfiles": _all("instance-profile"),
        "ListInstanceProfilesForRole": _role,
        "AddRoleToInstanceProfile": _profile,
        "RemoveRoleFromInstanceProfile": _profile,
        "DeleteInstanceProfile": _profile,
        # Managed policies.
        "GetPolicy": _policy,
        "GetPolicyVersion": _policy,
        "ListPolicyVersions": _policy,
        "ListPolicies": everything,
    },
)

IAM: Final[Table] = {
    **_IAM,
    "AddRoleToInstanceProfile": (
        *_IAM["AddRoleToInstanceProfile"],
        Need(actions=("iam:PassRole",), find=_role),
    ),
}

#: Asking who one is, and a session of one's own, need no permission. Who may assume a role is said by the role too, so
#: the operation itself decides that.
STS: Final[Table] = {"GetCallerIdentity": (), "GetSessionToken": (), "AssumeRole": ()}


def _keys_user(asked: Asked) -> list[Resource]:
    return _named(asked, "user", asked.input.get("userName") or "*")


#: The keys are IAM's, and so are the rights: a policy need not know by which door somebody comes.
LONGSHORE: Final[Table] = {
    "CreateAccessKey": (
        Need(actions=("iam:CreateAccessKey",), find=_keys_user),
        # The user comes into being with the first key.
        Need(
            actions=("iam:CreateUser",),
            find=lambda asked: (
                [] if asked.rows.identity_arn("user", asked.input.get("userName") or "") else _keys_user(asked)
            ),
        ),
    ),
    "ListAccessKeys": (Need(actions=("iam:ListAccessKeys",), find=_keys_user),),
    "PutGitHubAccountToken": (Need(actions=("longshore:PutGitHubAccountToken",), find=everything),),
    "CreateEnrollmentToken": (Need(actions=("longshore:CreateEnrollmentToken",), find=everything),),
    "ListEnrollmentTokens": (Need(actions=("longshore:ListEnrollmentTokens",), find=everything),),
    "RevokeEnrollmentToken": (Need(actions=("longshore:RevokeEnrollmentToken",), find=everything),),
    # Whoever signs with a token; the token itself says what it is good for.
    "EnrollHost": (),
    "ListAuditRecords": (Need(actions=("longshore:ListAuditRecords",), find=everything),),
    "DeleteAccessKey": (Need(actions=("iam:DeleteAccessKey",), find=lambda asked: _holder(asked, "accessKeyId")),),
}
