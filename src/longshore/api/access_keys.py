"""Access keys of our own service model: what a host, or its owner, signs with."""

from __future__ import annotations

import secrets
import string
from typing import Any

from longshore.api.operations import Call, reads, writes
from longshore.domain.ids import user_arn
from longshore.store import access_keys, server_secrets
from longshore.store.access_keys import AccessKey
from longshore.wire.service import AwsError

#: Keys one user may hold, as in IAM: enough to replace one while the other works.
_KEYS_PER_USER = 2
_ID_LETTERS = string.ascii_uppercase + "234567"
_SECRET_LETTERS = string.ascii_letters + string.digits + "+/"


@writes("CreateAccessKey")
def create_access_key(call: Call, asked: dict[str, Any]) -> Any:
    """Make a key for a user of this account; its secret is told once, here."""
    arn = user_arn(call.scope.account, asked["userName"])
    if len(access_keys.held_in(call.tx, call.scope.account, principal_arn=arn)) >= _KEYS_PER_USER:
        raise AwsError(
            "LimitExceededException",
            f"{asked['userName']} holds {_KEYS_PER_USER} access keys already; delete one before making another.",
        )
    key = new_key(call.scope.account, arn, kind="user", now=call.now)
    access_keys.add(call.tx, key)
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
    name = asked.get("userName")
    arn = user_arn(call.scope.account, name) if name else None
    held = access_keys.held_in(call.tx, call.scope.account, principal_arn=arn)
    return {"accessKeys": [_shown(key) for key in held if key.kind == "user"]}


@writes("DeleteAccessKey")
def delete_access_key(call: Call, asked: dict[str, Any]) -> Any:
    """Take a user's key away; it stops working at once."""
    key = access_keys.find(call.tx, asked["accessKeyId"])
    if key is None or key.account != call.scope.account or key.kind != "user":
        raise AwsError("KeyDoesNotExistException", f"No user of this account holds the key {asked['accessKeyId']}.")
    access_keys.remove(call.tx, call.scope.account, key.access_key_id)


def new_key(account: str, arn: str, *, kind: str, now: float) -> AccessKey:
    """A fresh key, shaped like AWS's: tools check the form."""
    return AccessKey(
        access_key_id="AKIA" + "".join(secrets.choice(_ID_LETTERS) for _ in range(16)),
        secret_access_key="".join(secrets.choice(_SECRET_LETTERS) for _ in range(40)),
        account=account,
        principal_arn=arn,
        kind=kind,
        create_time=now,
    )


def _shown(key: AccessKey) -> dict[str, Any]:
    return {
        "userName": key.principal_arn.rpartition("/")[2],
        "userArn": key.principal_arn,
        "accessKeyId": key.access_key_id,
        "createTime": key.create_time,
    }
