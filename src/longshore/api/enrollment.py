"""A host enrolls: with a token it becomes an on-premises instance, tagged, with a user and key of its own."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime
from typing import Any

from longshore.api import on_premises_instances
from longshore.api.iam.access_keys import make_key
from longshore.api.iam.users import make_user
from longshore.api.operations import Call, writes
from longshore.domain.enrollment import why_not
from longshore.store import access_keys, enrollment_tokens, instances, principals, server_secrets
from longshore.store.enrollment_tokens import EnrollmentToken
from longshore.store.principals import Principal
from longshore.wire.service import AwsError

#: Where the users of enrolled hosts are, in the account's tree of users. A token gives keys to no other user.
HOSTS_PATH = "/longshore/hosts/"


@writes("EnrollHost")
def enroll_host(call: Call, asked: dict[str, Any]) -> Any:
    """All of it in one commit, or nothing. Repeated since its answer got lost, it gives another key in its place."""
    token = _token(call)
    name = asked["instanceName"]
    tags = [(tag["key"], tag["value"]) for tag in asked.get("tags", ())]
    if reason := why_not(token.grant, name, tags):
        raise AwsError("EnrollmentNotAllowedException", reason)
    proof = hashlib.sha256(asked["clientToken"].encode()).hexdigest()
    if _is_repeated(call, token, name, proof):
        user = _user(call, name)
    else:
        _use(call, token)
        user = _user(call, name)
        _register(call, user, tags)
    access_keys.remove_all(call.tx, user.id)
    key = make_key(call, user)
    enrollment_tokens.note(call.tx, token.id, name, proof, call.now)
    return {
        "instanceName": name,
        "region": call.scope.region,
        "userArn": user.arn,
        "accessKeyId": key.access_key_id,
        "secretAccessKey": key.secret_access_key,
        "specificationSigner": server_secrets.find(call.tx, server_secrets.SPECIFICATION_SIGNER_PUBLIC) or "",
    }


def _token(call: Call) -> EnrollmentToken:
    """The token that signed, which is still good."""
    token = enrollment_tokens.find(call.tx, call.access_key_id)
    if token is None:
        raise AwsError("EnrollmentTokenInvalidException", "EnrollHost is signed with an enrollment token, not a key.")
    if token.scope != call.scope:
        raise _useless(f"The token is for the region {token.scope.region}.")
    if token.revoke_time is not None:
        raise _useless(f"The token was revoked at {_moment(token.revoke_time)}.")
    if call.now >= token.expire_time:
        raise _useless(f"The token expired at {_moment(token.expire_time)}.")
    return token


def _useless(why: str) -> AwsError:
    return AwsError("EnrollmentTokenInvalidException", f"{why} Make another: longshore tokens create")


def _is_repeated(call: Call, token: EnrollmentToken, name: str, proof: str) -> bool:
    """Whether this host enrolled already by this very call."""
    known = enrollment_tokens.client_token_hash(call.tx, token.id, name)
    if known is None or not hmac.compare_digest(known, proof):
        return False
    instance = instances.find(call.tx, call.scope, name)
    return instance is not None and instance.is_registered


def _use(call: Call, token: EnrollmentToken) -> None:
    if not enrollment_tokens.use(call.tx, token.id):
        hosts = "one host" if token.uses == 1 else f"{token.uses} hosts"
        raise AwsError(
            "EnrollmentTokenInvalidException",
            f"The token was good for {hosts} and has been used by {', '.join(token.used_by[-5:])}."
            " If that was not you, revoke the key of that host and find out who it is.",
        )


def _user(call: Call, name: str) -> Principal:
    """The user of a host of this name: a new one, or that of an enrolled host which is registered no more."""
    account = call.scope.account
    user = principals.find(call.tx, account, "user", name)
    if user is None:
        if principals.is_taken(call.tx, account, "user", name):
            raise _unavailable(f"There is a user whose name differs from {name} by case alone. Choose another name.")
        return make_user(call, name, path=HOSTS_PATH)
    if user.path != HOSTS_PATH or any(principals.documents(call.tx, user.id)):
        # Whoever it is may do more than a host may: no token opens that.
        raise _unavailable(f"There is a user {name} that is not an enrolled host's. Choose another name.")
    return user


def _register(call: Call, user: Principal, tags: list[tuple[str, str]]) -> None:
    name = user.name
    known = instances.find(call.tx, call.scope, name)
    if known is not None and known.is_registered:
        raise _unavailable(
            f"An on-premises instance named {name} is registered already. Choose another name, or, if this host is to"
            f" take its place: aws deploy deregister-on-premises-instance --instance-name {name}"
        )
    if elsewhere := instances.regions_of(call.tx, call.scope.account, user.arn):
        raise _unavailable(f"{name} is an enrolled host of the region {elsewhere[0]}. Choose another name.")
    on_premises_instances.register_on_premises_instance(call, {"instanceName": name, "iamUserArn": user.arn})
    if tags:
        asked = [{"Key": key, "Value": value} for key, value in tags]
        on_premises_instances.add_tags_to_on_premises_instances(call, {"instanceNames": [name], "tags": asked})


def _unavailable(reason: str) -> AwsError:
    return AwsError("InstanceNameUnavailableException", reason)


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
