"""Operations on users' access keys."""

from __future__ import annotations

from typing import Any

from longshore.api.iam.errors import limit_exceeded, no_such_entity, validation_error
from longshore.api.iam.existing import existing
from longshore.api.iam.pages import page_of
from longshore.api.operations import Call, reads, writes
from longshore.domain.ids import new_access_key_id, new_secret_access_key
from longshore.store import access_keys
from longshore.store.access_keys import AccessKey
from longshore.store.principals import Principal

#: Keys one user may hold, as in IAM: enough to replace one while the other works.
KEYS_PER_USER = 2


@writes("CreateAccessKey")
def create_access_key(call: Call, asked: dict[str, Any]) -> Any:
    """A key for the user named, or for the caller; its secret is told once, here."""
    key = make_key(call, _holder(call, asked))
    return {"AccessKey": {**_shown(key), "SecretAccessKey": key.secret_access_key}}


def make_key(call: Call, user: Principal | None) -> AccessKey:
    """A new lasting key of a user, or of the account's owner. Raises LimitExceeded."""
    if len(_held(call, user)) >= KEYS_PER_USER:
        raise limit_exceeded(f"Cannot exceed quota for AccessKeysPerUser: {KEYS_PER_USER}")
    key = AccessKey(
        access_key_id=new_access_key_id("AKIA"),
        secret_access_key=new_secret_access_key(),
        account=call.scope.account,
        principal_arn=call.caller if user is None else user.arn,
        kind="root" if user is None else "user",
        create_time=call.now,
        principal_id=None if user is None else user.id,
    )
    access_keys.add(call.tx, key)
    return key


@reads("ListAccessKeys")
def list_access_keys(call: Call, asked: dict[str, Any]) -> Any:
    held = sorted(_held(call, _holder(call, asked)), key=lambda key: key.access_key_id)
    keys, more = page_of(call, "ListAccessKeys", asked, held, lambda key: key.access_key_id)
    return {"AccessKeyMetadata": [_shown(key) for key in keys], **more}


@writes("UpdateAccessKey")
def update_access_key(call: Call, asked: dict[str, Any]) -> None:
    """An inactive key is refused at once, as if it were not there."""
    if asked["Status"] not in ("Active", "Inactive"):
        raise validation_error("Status must be Active or Inactive.")
    access_keys.set_status(call.tx, _key(call, asked), asked["Status"])


@writes("DeleteAccessKey")
def delete_access_key(call: Call, asked: dict[str, Any]) -> None:
    access_keys.remove(call.tx, _key(call, asked))


@reads("GetAccessKeyLastUsed")
def get_access_key_last_used(call: Call, asked: dict[str, Any]) -> Any:
    """When and where a key was used last, to a quarter of an hour."""
    key = access_keys.find(call.tx, asked["AccessKeyId"])
    if key is None or key.account != call.scope.account or key.kind != "user" or key.expiration is not None:
        raise _missing(asked["AccessKeyId"])
    return {
        "UserName": _user_name(key),
        "AccessKeyLastUsed": {
            "LastUsedDate": key.last_used_time,
            "ServiceName": key.last_used_service or "N/A",
            "Region": key.last_used_region or "N/A",
        },
    }


def _holder(call: Call, asked: dict[str, Any]) -> Principal | None:
    """The user named, or the caller; None for the account's owner."""
    name = asked.get("UserName") or call.user_name
    if name is None and call.is_of_a_role:
        raise validation_error("Must specify userName when calling with non-User credentials")
    return None if name is None else existing(call, "user", name)


def _held(call: Call, user: Principal | None) -> list[AccessKey]:
    account = call.scope.account
    kind, arn = ("root", f"arn:aws:iam::{account}:root") if user is None else ("user", user.arn)
    return access_keys.held_by(call.tx, account, kind, arn)


def _key(call: Call, asked: dict[str, Any]) -> AccessKey:
    for key in _held(call, _holder(call, asked)):
        if key.access_key_id == asked["AccessKeyId"]:
            return key
    raise _missing(asked["AccessKeyId"])


def _missing(access_key_id: str) -> Exception:
    return no_such_entity(f"The Access Key with id {access_key_id} cannot be found.")


def _user_name(key: AccessKey) -> str:
    return key.principal_arn.rpartition("/")[2] if key.kind == "user" else ""


def _shown(key: AccessKey) -> dict[str, Any]:
    return {
        "UserName": _user_name(key),
        "AccessKeyId": key.access_key_id,
        "Status": key.status,
        "CreateDate": key.create_time,
    }
