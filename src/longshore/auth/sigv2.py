"""Checks URLs presigned the old way, with Signature Version 2, which S3 alone still knows.

`aws s3 presign` of AWS CLI 1 and boto3's `generate_presigned_url` make them unless told ``s3v4``, so tools people
have depend on them. Pure, as `sigv4.py` is, and with its errors. Such a URL names no region and says itself when
it ends. https://docs.aws.amazon.com/AmazonS3/latest/API/RESTAuthentication.html
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping
from operator import itemgetter
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from longshore.auth.keyring import Keyring
from longshore.auth.keys import Key
from longshore.auth.sigv4 import (
    NOBODY,
    ExpiredToken,
    IncompleteSignature,
    SignatureExpired,
    SignatureMismatch,
    SignedRequest,
    UnrecognizedClient,
    folded,
    has_ended,
    is_token_of,
)

#: Query parameters that make a request another one: they are signed, the rest of the query is not.
_SIGNED_PARAMETERS = frozenset(
    {
        "acl",
        "accelerate",
        "analytics",
        "cors",
        "defaultObjectAcl",
        "delete",
        "inventory",
        "lifecycle",
        "location",
        "logging",
        "metrics",
        "notification",
        "object-lock",
        "partNumber",
        "policy",
        "replication",
        "requestPayment",
        "response-cache-control",
        "response-content-disposition",
        "response-content-encoding",
        "response-content-language",
        "response-content-type",
        "response-expires",
        "restore",
        "select",
        "select-type",
        "storageClass",
        "tagging",
        "torrent",
        "uploadId",
        "uploads",
        "versionId",
        "versioning",
        "versions",
        "website",
    }
)


class PresignedBy(NamedTuple):
    """Who presigned a URL, proven, and the headers the request counts as having."""

    key: Key
    #: Those it came with, and the x-amz- ones the signer put in the query.
    headers: Mapping[str, str]


def is_presigned(query: str) -> bool:
    """Whether a raw query carries such a signature."""
    return "AWSAccessKeyId=" in query and "Signature=" in query


def authenticate_presigned(request: SignedRequest, keyring: Keyring, *, resource: str, now: float) -> PresignedBy:
    """Who presigned `request`, or SignatureRefused.

    `resource` is ``/bucket/key`` as encoded on the wire, with the bucket even where the host name has it. `now` is
    in epoch seconds. Loading a key not seen lately may block.
    """
    parameters = _parameters(request.query)
    given = {name: value or "" for name, value in parameters}
    access_key_id, signature, expires = (given.get(name, "") for name in ("AWSAccessKeyId", "Signature", "Expires"))
    if not (access_key_id and signature and expires.isascii() and expires.isdigit() and len(expires) <= 12):
        raise IncompleteSignature("A presigned URL needs the query parameters AWSAccessKeyId, Signature and Expires.")
    headers = _with_those_in_query(folded(request.headers), parameters)
    key = keyring.find(access_key_id, now)
    to_sign = _string_to_sign(request.method, headers, expires, resource, parameters)
    secret = (key or NOBODY).secret_access_key.encode()
    expected = base64.b64encode(hmac.digest(secret, to_sign.encode("latin-1"), "sha1"))
    is_right = hmac.compare_digest(expected, signature.encode("latin-1", "replace"))
    if key is None:
        raise UnrecognizedClient
    if not is_right:
        raise SignatureMismatch
    if not is_token_of(key, headers.get("x-amz-security-token")):
        raise UnrecognizedClient
    if has_ended(key, now):
        raise ExpiredToken
    if now > int(expires):
        raise SignatureExpired("Request has expired")
    return PresignedBy(key, headers)


def _parameters(query: str) -> list[tuple[str, str | None]]:
    """The query decoded; None for a parameter without "=", which is signed without one too."""
    parameters: list[tuple[str, str | None]] = []
    for pair in query.split("&"):
        name, equals, value = pair.partition("=")
        parameters.append((_decoded(name), _decoded(value) if equals else None))
    names = [name for name, _ in parameters]
    for name in ("AWSAccessKeyId", "Signature", "Expires"):
        if names.count(name) > 1:
            raise IncompleteSignature(f"The query parameter {name} may be given once only.")
    return parameters


def _decoded(text: str) -> str:
    return unquote_to_bytes(text.replace("+", " ")).decode("latin-1")


def _with_those_in_query(headers: Mapping[str, str], parameters: list[tuple[str, str | None]]) -> Mapping[str, str]:
    together = dict(headers)
    for name, value in parameters:
        is_header = name.startswith("x-amz-") or name in ("content-md5", "content-type")
        if is_header and together.setdefault(name, value or "") != (value or ""):
            raise IncompleteSignature(f"The header {name} is not what the URL was presigned for.")
    return together


def _string_to_sign(
    method: str,
    headers: Mapping[str, str],
    expires: str,
    resource: str,
    parameters: list[tuple[str, str | None]],
) -> str:
    amz = [f"{name}:{headers[name].strip()}\n" for name in sorted(headers) if name.startswith("x-amz-")]
    signed = sorted((pair for pair in parameters if pair[0] in _SIGNED_PARAMETERS), key=itemgetter(0))
    query = "&".join(name if value is None else f"{name}={value}" for name, value in signed)
    return (
        f"{method}\n{headers.get('content-md5', '')}\n{headers.get('content-type', '')}\n{expires}\n"
        f"{''.join(amz)}{resource}{'?' if query else ''}{query}"
    )
