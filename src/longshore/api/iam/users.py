"""Operations on users."""

from __future__ import annotations

from typing import Any

from longshore.api.iam.errors import already_exists, delete_conflict, limit_exceeded, validation_error
from longshore.api.iam.existing import existing, refuse_boundary, shown_tags, tags_of
from longshore.api.iam.pages import page, page_of
from longshore.api.operations import Call, reads, writes
from longshore.domain.ids import new_principal_id
from longshore.store import access_keys, principals
from longshore.store.principals import Principal


@writes("CreateUser")
def create_user(call: Call, asked: dict[str, Any]) -> Any:
    refuse_boundary(asked)
    tags = tags_of(asked.get("Tags", ()), call.limits.tags_per_resource)
    return {"User": shown(make_user(call, asked["UserName"], path=asked.get("Path", "/"), tags=tags))}


def make_user(call: Call, name: str, *, path: str = "/", tags: dict[str, str] | None = None) -> Principal:
    """A new user of the caller's account. Raises EntityAlreadyExists or LimitExceeded."""
    _require_free(call, name)
    if principals.count(call.tx, call.scope.account, "user") >= call.limits.users:
        raise limit_exceeded(f"Cannot exceed quota for UsersPerAccount: {call.limits.users}.")
    user = Principal(
        id=new_principal_id("AIDA"),
        account=call.scope.account,
        kind="user",
        name=name,
        path=path,
        create_time=call.now,
        tags=tags or {},
    )
    principals.add(call.tx, user)
    return user


@reads("GetUser")
def get_user(call: Call, asked: dict[str, Any]) -> Any:
    """The user named, or the caller; the account's owner is a user without a name."""
    name = asked.get("UserName") or call.user_name
    if name is None and call.is_of_a_role:
        raise validation_error("Must specify userName when calling with non-User credentials")
    if name is None:
        account = call.scope.account
        return {"User": {"Path": "/", "UserName": "", "UserId": account, "Arn": call.caller, "CreateDate": 0.0}}
    return {"User": shown(existing(call, "user", name))}


@reads("ListUsers")
def list_users(call: Call, asked: dict[str, Any]) -> Any:
    users, more = page(
        call,
        "ListUsers",
        asked,
        lambda after, count: principals.names(
            call.tx,
            call.scope.account,
            "user",
            path_prefix=asked.get("PathPrefix", "/"),
            after=after,
            count=count,
        ),
        lambda user: user.name,
    )
    # As AWS: a list has no tags.
    return {"Users": [shown(user, tags=False) for user in users], **more}


@writes("UpdateUser")
def update_user(call: Call, asked: dict[str, Any]) -> None:
    """Another name or path, and so another ARN: an instance registered with the old one has to be registered again."""
    user = existing(call, "user", asked["UserName"])
    name = asked.get("NewUserName", user.name)
    if name.lower() != user.name.lower():
        _require_free(call, name)
    principals.rename(call.tx, user, name=name, path=asked.get("NewPath", user.path))


@writes("DeleteUser")
def delete_user(call: Call, asked: dict[str, Any]) -> None:
    user = existing(call, "user", asked["UserName"])
    if access_keys.held_by(call.tx, call.scope.account, "user", user.arn):
        raise delete_conflict("Cannot delete entity, must delete access keys first.")
    require_no_policies(call, user)
    principals.remove(call.tx, user)


def require_no_policies(call: Call, principal: Principal) -> None:
    if principals.attached(call.tx, principal):
        raise delete_conflict("Cannot delete entity, must detach all policies first.")
    if principals.inline_names(call.tx, principal, after=None, count=1):
        raise delete_conflict("Cannot delete entity, must delete policies first.")


@writes("TagUser")
def tag_user(call: Call, asked: dict[str, Any]) -> None:
    _tag(call, existing(call, "user", asked["UserName"]), asked)


@writes("UntagUser")
def untag_user(call: Call, asked: dict[str, Any]) -> None:
    _untag(call, existing(call, "user", asked["UserName"]), asked)


@reads("ListUserTags")
def list_user_tags(call: Call, asked: dict[str, Any]) -> Any:
    return _list_tags(call, "ListUserTags", existing(call, "user", asked["UserName"]), asked)


@writes("TagRole")
def tag_role(call: Call, asked: dict[str, Any]) -> None:
    _tag(call, existing(call, "role", asked["RoleName"]), asked)


@writes("UntagRole")
def untag_role(call: Call, asked: dict[str, Any]) -> None:
    _untag(call, existing(call, "role", asked["RoleName"]), asked)


@reads("ListRoleTags")
def list_role_tags(call: Call, asked: dict[str, Any]) -> Any:
    return _list_tags(call, "ListRoleTags", existing(call, "role", asked["RoleName"]), asked)


def _tag(call: Call, principal: Principal, asked: dict[str, Any]) -> None:
    new = tags_of(asked["Tags"], call.limits.tags_per_resource)
    folded = {key.lower() for key in new}
    kept = {key: value for key, value in principal.tags.items() if key.lower() not in folded}
    if len(kept) + len(new) > call.limits.tags_per_resource:
        most = call.limits.tags_per_resource
        raise limit_exceeded(f"The number of tags has reached the maximum limit of {most}.")
    principals.change(call.tx, principal, tags={**kept, **new})


def _untag(call: Call, principal: Principal, asked: dict[str, Any]) -> None:
    gone = {key.lower() for key in asked["TagKeys"]}
    kept = {key: value for key, value in principal.tags.items() if key.lower() not in gone}
    principals.change(call.tx, principal, tags=kept)


def _list_tags(call: Call, operation: str, principal: Principal, asked: dict[str, Any]) -> Any:
    tags, more = page_of(call, operation, asked, shown_tags(principal.tags), lambda tag: tag["Key"])
    return {"Tags": tags, **more}


def _require_free(call: Call, name: str) -> None:
    if principals.is_taken(call.tx, call.scope.account, "user", name):
        raise already_exists(f"User with name {name} already exists.")


def shown(user: Principal, *, tags: bool = True) -> dict[str, Any]:
    return {
        "Path": user.path,
        "UserName": user.name,
        "UserId": user.id,
        "Arn": user.arn,
        "CreateDate": user.create_time,
        "Tags": (shown_tags(user.tags) or None) if tags else None,
    }
