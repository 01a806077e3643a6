"""Tokens by which hosts enroll: made, listed, revoked by who looks after them."""

from __future__ import annotations

import base64
import hashlib
import secrets
from typing import Any

from longshore.api.operations import Call, reads, writes
from longshore.api.pages import page
from longshore.domain.enrollment import Grant, signing_key, token_text
from longshore.domain.ids import new_enrollment_token_id
from longshore.store import enrollment_tokens, server_secrets
from longshore.store.enrollment_tokens import EnrollmentToken
from longshore.wire.service import AwsError

_HOUR = 3600


@writes("CreateEnrollmentToken")
def create_enrollment_token(call: Call, asked: dict[str, Any]) -> Any:
    """A new token; its text is told once, here. What is kept of its secret is a hash."""
    tags = asked.get("tags")
    secret = secrets.token_urlsafe(32)
    token = EnrollmentToken(
        id=new_enrollment_token_id(),
        scope=call.scope,
        signing_key=signing_key(secret),
        grant=Grant(
            name_pattern=asked.get("namePattern"),
            tags=None if tags is None else tuple((tag["key"], tag["value"]) for tag in tags),
        ),
        uses=asked.get("uses", 1),
        created_by=call.caller,
        create_time=call.now,
        expire_time=call.now + asked.get("expiresInSeconds", _HOUR),
    )
    enrollment_tokens.add(call.tx, token)
    signer = server_secrets.find(call.tx, server_secrets.SPECIFICATION_SIGNER_PUBLIC) or ""
    text = token_text(
        token.id,
        secret,
        region=call.scope.region,
        signer_sha256=hashlib.sha256(base64.b64decode(signer)).hexdigest(),
        certificate_sha256=server_secrets.find(call.tx, server_secrets.CERTIFICATE_SHA256) or "",
    )
    return {"token": text, "enrollmentToken": _shown(token)}


@reads("ListEnrollmentTokens")
def list_enrollment_tokens(call: Call, asked: dict[str, Any]) -> Any:
    """The region's tokens, newest first; those that ended are shown for a month."""
    tokens, following = page(
        call,
        ["ListEnrollmentTokens"],
        asked.get("nextToken"),
        lambda after, count: enrollment_tokens.page(
            call.tx, call.scope, after=None if after is None else (float(after[0]), str(after[1])), count=count
        ),
        lambda token: [token.create_time, token.id],
    )
    reply: dict[str, Any] = {"enrollmentTokens": [_shown(token) for token in tokens]}
    return reply | ({"nextToken": following} if following else {})


@writes("RevokeEnrollmentToken")
def revoke_enrollment_token(call: Call, asked: dict[str, Any]) -> None:
    """Take a token away; one revoked before is no matter."""
    token = enrollment_tokens.find(call.tx, asked["tokenId"])
    if token is None or token.scope != call.scope:
        raise AwsError(
            "EnrollmentTokenDoesNotExistException",
            f"There is no enrollment token {asked['tokenId']} in {call.scope.region}. longshore tokens list shows those"
            " that there are.",
        )
    enrollment_tokens.revoke(call.tx, token.id, call.now)


def _shown(token: EnrollmentToken) -> dict[str, Any]:
    tags = token.grant.tags
    members = {
        "tokenId": token.id,
        "namePattern": token.grant.name_pattern,
        "tags": None if tags is None else [{"key": key, "value": value} for key, value in tags],
        "createTime": token.create_time,
        "expireTime": token.expire_time,
        "revokeTime": token.revoke_time,
        "createdBy": token.created_by,
        "uses": token.uses,
        "usedByInstanceNames": list(token.used_by),
    }
    return {name: value for name, value in members.items() if value is not None}
