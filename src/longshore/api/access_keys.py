"""Access keys of our own service model: a thin front to IAM's users and keys, for hosts and who looks after them."""

from __future__ import annotations

from typing import Any

from longshore.api.iam.access_keys import KEYS_PER_USER, make_key
from longshore.api.iam.users import make_user
from longshore.api.operations import Call, reads, writes
from longshore.store import access_keys, principals, server_secrets
from longshore.store.access_keys import AccessKey
from longshore.wire.service import AwsError


@writes("CreateAccessKey")
def create_access_key(call: Call, asked: dict[str, Any]) -> Any:
    """Make a key for a user of this account, who is made too if not there; the secret is told once, here."""
    name = asked["userName"]
    account = call.scope.account
    user = principals.find(call.tx, account, "user", name)
    if user is None and principals.is_taken(call.tx, account, "user", name):
        raise AwsError("InvalidInputException", f"There is a user whose name differs from {name} by case alone.")
    user = user or make_user(call, name)
    if len(access_keys.held_by(call.tx, account, "user", user.arn)) >= KEYS_PER_USER:
        raise AwsError(
            "LimitExceededException",
            f"{name} holds {KEYS_PER_USER} access keys already; delete one before making another.",
        )
    key = make_key(call, user)
    return {
        "accessKey": {
            **_shown(key),
            "secretAccessKey": key.secret_access_key,
            "specificationSigner": server_secrets.find(call.tx, server_secrets.SPECIFICATION_SIGNER_PUBLIC) or "",
        }
    }


@reads("ListAccessKeys")
def list_access_keys(call: Call, asked: dict[str, Any]) -> Any:
    """The keys of one user, or of every user of this account, without their secrets."""
    shown = [_shown(key) for key in access_keys.held_in(call.tx, call.scope.account) if key.kind == "user"]
    name = asked.get("userName")
    return {"accessKeys": [key for key in shown if name is None or key["userName"] == name]}


@writes("DeleteAccessKey")
def delete_access_key(call: Call, asked: dict[str, Any]) -> Any:
    """Take a user's key away; it stops working at once. The user stays."""
    key = access_keys.find(call.tx, asked["accessKeyId"])
    is_lasting = key is not None and key.expiration is None
    if key is None or not is_lasting or key.account != call.scope.account or key.kind != "user":
        raise AwsError(
            "KeyDoesNotExistException",
            f"No user of this account holds the key {asked['accessKeyId']}. longshore keys list shows those that are"
            " held.",
        )
    access_keys.remove(call.tx, key)


def _shown(key: AccessKey) -> dict[str, Any]:
    return {
        "userName": key.principal_arn.rpartition("/")[2],
        "userArn": key.principal_arn,
        "accessKeyId": key.access_key_id,
        "createTime": key.create_time,
    }
