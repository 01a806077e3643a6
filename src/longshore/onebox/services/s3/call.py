"""One authenticated request as the operations see it, and what they answer."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Protocol

from longshore.auth.authorization import not_authorized
from longshore.auth.keyring import SigningKey
from longshore.auth.keys import Key
from longshore.auth.sigv4 import Claim
from longshore.onebox.machinery.objects import ObjectStore, Reading, StoredBucket, StoredObject, Versioning
from longshore.onebox.services.s3.errors import S3Error
from longshore.onebox.services.s3.xml import BadXmlError, Content, Element, document, parse


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """One authenticated request."""

    store: ObjectStore
    method: str
    #: "" for the service itself.
    bucket: str
    #: "" for the bucket itself.
    key: str
    #: Decoded, first value of each.
    query: Mapping[str, str]
    #: By lower-case name.
    headers: Mapping[str, str]
    caller: Key
    #: The region the request was signed for; None for an old presigned URL, which is good in any.
    region: str | None
    #: What the signature says of the body: see `sigv4.Claim.payload`.
    payload: str
    #: The verified signature and its key, for bodies whose chunks are signed in its sequence.
    sequence: tuple[Claim, SigningKey] | None
    request_id: str
    #: Epoch seconds.
    now: float
    #: Why the caller may not do an action to a resource, or None when it may.
    why_not: Callable[[str, str], str | None]
    #: The whole body, for operations that take a document.
    body: bytes = b""
    #: Names and values that an operation on several objects says of each, for whoever keeps a record of the call.
    told: dict[str, list[str]] = field(default_factory=dict)

    def tell(self, name: str, value: str) -> None:
        """Have this in the record of the call."""
        self.told.setdefault(name, []).append(value)

    def require(self, action: str, resource: str) -> None:
        """Raise AccessDenied unless the caller may do this action to this resource."""
        if (reason := self.why_not(action, resource)) is not None:
            raise S3Error("AccessDenied", not_authorized(self.caller, action, f'"{resource}"', reason))

    def own_bucket(self, name: str | None = None) -> StoredBucket:
        """The bucket of the call, or the one named (a copy's source, which may be in another region).

        Raises NoSuchBucket, AccessDenied for another account's, AuthorizationHeaderMalformed for another region's.
        """
        bucket = self.store.bucket(name or self.bucket)
        if bucket.account != self.caller.account:
            raise S3Error("AccessDenied")
        if name is None:
            expected_owner = self.headers.get("x-amz-expected-bucket-owner", bucket.account)
            if expected_owner != bucket.account:
                raise S3Error("AccessDenied")
            if self.region not in (bucket.region, None):
                raise S3Error(
                    "AuthorizationHeaderMalformed",
                    f"The authorization header is malformed; the region '{self.region}' is wrong; "
                    f"expecting '{bucket.region}'",
                    details={"Region": bucket.region},
                    headers={"x-amz-bucket-region": bucket.region},
                )
        return bucket

    def document(self, root: str) -> Element:
        """The body as XML. Raises MalformedXML."""
        try:
            return parse(self.body, root)
        except BadXmlError as error:
            raise S3Error("MalformedXML", f"The XML you provided was not well-formed: {error}.") from error

    def number(self, name: str, default: int, *, least: int = 0, most: int = 2**31 - 1) -> int:
        """A number in the query. Raises InvalidArgument."""
        text = self.query.get(name, "")
        if not text:
            return default
        if not (text.isascii() and text.isdigit() and len(text) <= 10 and least <= int(text) <= most):
            raise S3Error(
                "InvalidArgument",
                f"Argument {name} must be an integer between {least} and {most}",
                details={"ArgumentName": name, "ArgumentValue": text},
            )
        return int(text)

    @property
    def owner(self) -> Content:
        """The account, as XML names it."""
        return [("ID", hashlib.sha256(self.caller.account.encode()).hexdigest()), ("DisplayName", self.caller.account)]


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of an object's content to send; whoever sends it closes the reading."""

    reading: Reading
    start: int
    size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What to send back, but for the headers every answer has."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | Slice = b""


class Receiver(Protocol):
    """Takes a request's body in as it comes. Its methods block; one thread at a time calls them."""

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the body as they were on the wire."""

    def finish(self) -> Answer:
        """The body has come whole: do what was asked."""

    def abandon(self) -> None:
        """Leave no trace. Called once when anything failed, `finish` included."""


def answer_xml(name: str, content: Content, headers: Mapping[str, str] | None = None) -> Answer:
    """An answer with a document."""
    return Answer(headers={"content-type": "application/xml", **(headers or {})}, body=document(name, content))


def version_header(bucket: StoredBucket, stored: StoredObject) -> dict[str, str]:
    """The header that names a version, in a bucket that has or had versions."""
    return {} if bucket.versioning is Versioning.NEVER else {"x-amz-version-id": stored.version_id}


def checksum_headers(stored: StoredObject) -> dict[str, str]:
    """The headers that give an object's checksum, if it has one."""
    if stored.checksum is None:
        return {}
    return {
        f"x-amz-checksum-{stored.checksum.algorithm.lower()}": stored.checksum.value,
        "x-amz-checksum-type": stored.checksum.kind,
    }


def iso_date(seconds: float) -> str:
    """A time as S3's documents have it."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def http_date(seconds: float) -> str:
    """A time as HTTP headers have it."""
    return formatdate(int(seconds), usegmt=True)
