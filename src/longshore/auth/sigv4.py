"""Checks AWS Signature Version 4, in the Authorization header or in a presigned URL.

Pure: no clock, no I/O. botocore's signers are the oracle of its tests.

What it refuses, each with the code, status and text an AWS JSON service would use:

SignatureRefused
├── MissingAuthenticationToken       not signed at all
├── IncompleteSignature              signed, but a part is missing or unreadable
├── UnrecognizedClient               no such key, or a session token that is not the key's
├── ExpiredToken                     a temporary key whose time is over
└── InvalidSignature
    ├── SignatureExpired             signed too long ago
    ├── SignatureNotYetCurrent       signed in the future
    ├── WrongScope                   the credential scope is for another date, region or service
    ├── HeadersNotSigned             a header that carries meaning is outside the signature
    └── SignatureMismatch            the signature is not the one we calculate
"""

from __future__ import annotations

import hmac
import re
from calendar import timegm
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from hashlib import sha256
from typing import ClassVar, NamedTuple
from urllib.parse import quote, unquote_to_bytes

from longshore.auth.keyring import Keyring, SigningKey
from longshore.auth.keys import Key, PrincipalKind

ALGORITHM = "AWS4-HMAC-SHA256"
TERMINATOR = "aws4_request"
UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"

#: Seconds a signer's clock may differ from ours, either way.
MAX_SKEW = 300
#: Seconds a presigned URL may be good for: seven days.
MAX_EXPIRES = 604_800

#: Headers whose repetition would let a reader and the signature see different values.
_SINGLE_HEADERS = frozenset(
    {"authorization", "host", "date", "x-amz-date", "x-amz-target", "x-amz-security-token", "x-amz-content-sha256"}
)
#: Services that sign the path as it is sent, and whose bodies may be checked while they stream.
_S3 = "s3"


class SignatureRefused(Exception):  # noqa: N818, its subclasses are named for what AWS calls them
    """A request whose sender could not be established; it must touch nothing."""

    #: The error code of AWS's JSON services.
    code: ClassVar[str]
    #: The HTTP status that goes with it.
    status: ClassVar[int] = 400

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class MissingAuthenticationToken(SignatureRefused):
    """The request carries no SigV4 signature."""

    code = "MissingAuthenticationTokenException"

    def __init__(self) -> None:
        super().__init__("Missing Authentication Token")


class IncompleteSignature(SignatureRefused):
    """A part of the signature is missing, repeated or unreadable."""

    code = "IncompleteSignatureException"


class UnrecognizedClient(SignatureRefused):
    """The access key is unknown, or the session token is not the one issued with it."""

    code = "UnrecognizedClientException"

    def __init__(self) -> None:
        super().__init__("The security token included in the request is invalid.")


class ExpiredToken(SignatureRefused):
    """The temporary key has ended; its holder needs a fresh one."""

    code = "ExpiredTokenException"

    def __init__(self) -> None:
        super().__init__("The security token included in the request is expired")


class InvalidSignature(SignatureRefused):
    """A readable signature that does not hold for this request."""

    code = "InvalidSignatureException"


class SignatureExpired(InvalidSignature):
    """Signed longer ago than the skew allows, or a presigned URL past its end."""


class SignatureNotYetCurrent(InvalidSignature):
    """Signed further in the future than the skew allows."""


class WrongScope(InvalidSignature):
    """The credential scope names another date, service or terminator, or no region."""


class HeadersNotSigned(InvalidSignature):
    """Headers that carry meaning were left outside the signature."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(f"These headers must be signed and are not: {', '.join(names)}.")
        self.names = tuple(names)


class SignatureMismatch(InvalidSignature):
    """The secret key, or what was signed, is not what the signer used."""

    def __init__(self) -> None:
        super().__init__(
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
            "Access Key and signing method. Consult the service documentation for details."
        )


# The three below are tuples because a frozen dataclass costs three times as much to make, on every request.


class SignedRequest(NamedTuple):
    """What of a request a signature can cover, exactly as it came over the wire."""

    #: Upper case.
    method: str
    #: Undecoded, without the query; "" counts as "/".
    path: str
    #: Undecoded, without the "?".
    query: str
    #: (lower-case name, value as latin-1) in order, repeated names allowed.
    headers: Sequence[tuple[str, str]]


class Claim(NamedTuple):
    """What a request says about its own signature; nothing in it is proven yet."""

    access_key_id: str
    #: The scope's date, ``YYYYMMDD``.
    date: str
    region: str
    service: str
    #: Lower case, in the order the signer gave.
    signed_headers: tuple[str, ...]
    #: Sixty-four hexadecimal digits, if the client is honest.
    signature: str
    #: The date as the signer wrote it into the string to sign, ``YYYYMMDDTHHMMSSZ``.
    timestamp: str
    #: The same in epoch seconds.
    signed_at: float
    #: Seconds a presigned URL is good for from `signed_at`; None for a signature in the header.
    expires_in: int | None
    #: The token of a temporary key, if one was sent.
    session_token: str | None
    #: The signature is in the query.
    presigned: bool
    #: What the request says its body is: a SHA-256 in hexadecimal, ``UNSIGNED-PAYLOAD`` or a ``STREAMING-…``
    #: name. None when a header-signed request says nothing. Trusted for S3 alone, which checks the bytes as
    #: they stream.
    payload: str | None
    #: The request's headers by name, repeated ones joined by ",".
    headers: Mapping[str, str]


class Identity(NamedTuple):
    """Who signed a request, proven."""

    key: Key
    region: str
    service: str


#: Stands in for an unknown key, so that refusing one takes the work of refusing a wrong signature.
NOBODY = Key(
    access_key_id="",
    secret_access_key="0" * 40,
    account="",
    principal_arn="",
    kind=PrincipalKind.USER,
)


def authenticate(
    request: SignedRequest,
    keyring: Keyring,
    *,
    body_sha256: str | None,
    now: float,
    services: Collection[str],
) -> Identity:
    """Who sent `request`, or SignatureRefused.

    `body_sha256` is the hexadecimal hash of the body as received. None is for S3 alone: there the body still
    streams, and the caller must hold it against `read_claim(request).payload` as it passes. `now` is in epoch
    seconds. `services` are the scope names this endpoint answers to. Loading a key not seen lately may block.
    """
    claim = read_claim(request)
    key = keyring.find(claim.access_key_id, now)
    return identify(request, claim, key, keyring, body_sha256=body_sha256, now=now, services=services)


def identify(
    request: SignedRequest,
    claim: Claim,
    key: Key | None,
    keyring: Keyring,
    *,
    body_sha256: str | None,
    now: float,
    services: Collection[str],
) -> Identity:
    """`authenticate` for who has read the claim and found the key that it names."""
    if claim.service not in services:
        raise WrongScope(f"Credential should be scoped to correct service: {_one_of(services)}.")
    signer = key or NOBODY
    signing_key = keyring.signing_key(signer, claim.date, claim.region, claim.service)
    try:
        verify(request, claim, signing_key, body_sha256=body_sha256, now=now)
    except SignatureMismatch:
        if key is None:
            raise UnrecognizedClient from None
        raise
    if key is None or not is_token_of(key, claim.session_token):
        raise UnrecognizedClient
    if has_ended(key, now):
        raise ExpiredToken
    return Identity(key, claim.region, claim.service)


def read_claim(request: SignedRequest) -> Claim:
    """Read the signature of `request`, from its Authorization header or its query; prove nothing.

    Raises MissingAuthenticationToken, IncompleteSignature or WrongScope.
    """
    headers = folded(request.headers)
    authorization = headers.get("authorization")
    in_query = "X-Amz-Algorithm=" in request.query
    if authorization is None:
        if in_query:
            return _read_presigned(request.query, headers)
        raise MissingAuthenticationToken
    if in_query:
        raise IncompleteSignature("Sign either in the Authorization header or in the query, not in both.")
    usual, _, signature = authorization.rpartition(", Signature=")
    if usual and "," not in signature:
        access_key_id, date, region, service, signed_headers = _read_usual_authorization(usual)
    else:
        access_key_id, date, region, service, signed_headers, signature = _read_authorization(authorization)
    timestamp = headers.get("x-amz-date")
    if timestamp is None:
        timestamp = _timestamp_of_http_date(headers.get("date"))
    signed_at = _epoch_seconds(timestamp)
    if date != timestamp[:8]:
        raise _wrong_date(date, timestamp)
    return Claim(
        access_key_id,
        date,
        region,
        service,
        signed_headers,
        signature,
        timestamp,
        signed_at,
        None,
        headers.get("x-amz-security-token"),
        False,
        headers.get("x-amz-content-sha256"),
        headers,
    )


def verify(
    request: SignedRequest, claim: Claim, signing_key: SigningKey, *, body_sha256: str | None, now: float
) -> None:
    """Prove that the holder of `signing_key` signed `request` as `claim` says, and lately; or raise InvalidSignature.

    `claim` must be read from this very request. `body_sha256` and `now` as for `authenticate`.
    """
    _check_time(claim, now)
    _check_coverage(claim)
    if body_sha256 is None:
        if claim.service != _S3:
            raise ValueError("only S3 may leave the body to be checked later")
        if claim.payload is None:
            raise IncompleteSignature("Missing required header for this request: x-amz-content-sha256")
        body_sha256 = claim.payload
    hashed = sha256(_canonical_request(request, claim, body_sha256)).hexdigest()
    to_sign = f"AWS4-HMAC-SHA256\n{claim.timestamp}\n{claim.date}/{claim.region}/{claim.service}/aws4_request\n{hashed}"
    expected = signing_key.sign(to_sign.encode("latin-1"))
    if not (claim.signature.isascii() and hmac.compare_digest(expected, claim.signature)):
        raise SignatureMismatch


def _check_time(claim: Claim, now: float) -> None:
    signed_at = claim.signed_at
    if signed_at > now + MAX_SKEW:
        latest = _amz_date(now + MAX_SKEW)
        raise SignatureNotYetCurrent(
            f"Signature not yet current: {claim.timestamp} is still later than {latest} ({_amz_date(now)} + 5 min.)"
        )
    if claim.expires_in is not None:
        if now > signed_at + claim.expires_in:
            end = _amz_date(signed_at + claim.expires_in)
            raise SignatureExpired(f"Signature expired: {end} is now earlier than {_amz_date(now)}")
    elif signed_at < now - MAX_SKEW:
        earliest = _amz_date(now - MAX_SKEW)
        raise SignatureExpired(
            f"Signature expired: {claim.timestamp} is now earlier than {earliest} ({_amz_date(now)} - 5 min.)"
        )


def _check_coverage(claim: Claim) -> None:
    headers = claim.headers
    signed = claim.signed_headers
    unsigned = []
    if "host" not in signed:
        unsigned.append("host")
    if not claim.presigned:
        dated_by = "x-amz-date" if "x-amz-date" in headers else "date"
        if dated_by not in signed:
            unsigned.append(dated_by)
    if claim.service == _S3:
        # One more x-amz- header can turn an upload into a copy, so S3 wants them all. The content hash is
        # covered by entering the canonical request itself.
        unsigned += [
            name
            for name in headers
            if name.startswith("x-amz-") and name not in signed and name not in ("x-amz-content-sha256", "x-amz-date")
        ]
    else:
        # The operation's name is in a header: unsigned, a captured request could be made to mean another.
        unsigned += [
            name for name in ("x-amz-target", "x-amz-security-token") if name in headers and name not in signed
        ]
    if unsigned:
        raise HeadersNotSigned(unsigned)


def _canonical_request(request: SignedRequest, claim: Claim, payload: str) -> bytes:
    headers = claim.headers
    try:
        lines = "\n".join([f"{name}:{headers[name]}" for name in claim.signed_headers])
        if "  " in lines or "\t" in lines or ": " in lines or " \n" in lines or lines[-1:] == " ":
            lines = "\n".join([f"{name}:{_trimmed(headers[name])}" for name in claim.signed_headers])
    except KeyError:
        # Signed, then lost on the way: what arrived is not what was signed.
        raise SignatureMismatch from None
    method, path, query, _ = request
    if path != "/":
        path = _path_of_s3(path) if claim.service == _S3 else _path_of_others(path)
    if query:
        query = _canonical_query(query)
    # latin-1 gives the very bytes of the wire back.
    return f"{method}\n{path}\n{query}\n{lines}\n\n{';'.join(claim.signed_headers)}\n{payload}".encode("latin-1")


_PLAIN_PATH = re.compile(r"[A-Za-z0-9\-._~/]+")


def _path_of_s3(path: str) -> str:
    if _PLAIN_PATH.fullmatch(path):
        return path
    return quote(unquote_to_bytes(path), safe="/~") or "/"


def _path_of_others(path: str) -> str:
    """Normalised, then encoded once more on top of the wire's own encoding."""
    if path in ("/", ""):
        return "/"
    kept: list[str] = []
    for part in path.split("/"):
        if part == "..":
            if kept:
                kept.pop()
        elif part and part != ".":
            kept.append(part)
    end = "/" if path[-1] == "/" and kept else ""
    return quote(f"/{'/'.join(kept)}{end}", safe="/~")


def _canonical_query(query: str) -> str:
    """Every pair but the signature, decoded, encoded the one right way, and sorted."""
    pairs = []
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        if pair and name != "X-Amz-Signature":
            pairs.append((_encoded(name), _encoded(value)))
    pairs.sort()
    return "&".join([f"{name}={value}" for name, value in pairs])


def _encoded(text: str) -> str:
    # A "+" is a space to every reader of a query, so it must be one to the signature too.
    return quote(unquote_to_bytes(text.replace("+", " ")), safe="~")


def _trimmed(value: str) -> str:
    # ASCII white space only: str.split() would also eat bytes of UTF-8 that look like some.
    return b" ".join(value.encode("latin-1").split()).decode("latin-1")


def folded(headers: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Headers by name, repeated ones joined by ","; IncompleteSignature where repetition would be ambiguous."""
    by_name = dict(headers)
    if len(by_name) == len(headers):
        return by_name
    by_name.clear()
    for name, value in headers:
        if name in by_name:
            if name in _SINGLE_HEADERS:
                raise IncompleteSignature(f"The header {name} may be given once only.")
            by_name[name] += f",{_trimmed(value)}"
        else:
            by_name[name] = _trimmed(value)
    return by_name


def _read_presigned(raw_query: str, headers: Mapping[str, str]) -> Claim:
    query: dict[str, str] = {}
    for pair in raw_query.split("&"):
        name, _, value = pair.partition("=")
        if name.startswith("X-Amz-"):
            if name in query:
                raise IncompleteSignature(f"The query parameter {name} may be given once only.")
            query[name] = unquote_to_bytes(value.replace("+", " ")).decode("latin-1")
    missing = [
        name
        for name in ("Algorithm", "Credential", "Date", "Expires", "SignedHeaders", "Signature")
        if not query.get(f"X-Amz-{name}")
    ]
    if missing:
        needed = ", ".join(f"X-Amz-{name}" for name in missing)
        raise IncompleteSignature(f"A presigned URL needs the query parameters {needed}.")
    if query["X-Amz-Algorithm"] != ALGORITHM:
        raise IncompleteSignature(f"X-Amz-Algorithm must be {ALGORITHM}.")
    expires = query["X-Amz-Expires"]
    if not (expires.isascii() and expires.isdigit() and len(expires) <= 6 and int(expires) <= MAX_EXPIRES):
        raise IncompleteSignature("X-Amz-Expires must be a number of seconds, and no more than a week (604800).")
    access_key_id, date, region, service = _read_credential(query["X-Amz-Credential"])
    timestamp = query["X-Amz-Date"]
    signed_at = _epoch_seconds(timestamp)
    if date != timestamp[:8]:
        raise _wrong_date(date, timestamp)
    return Claim(
        access_key_id,
        date,
        region,
        service,
        tuple(query["X-Amz-SignedHeaders"].split(";")),
        query["X-Amz-Signature"],
        timestamp,
        signed_at,
        int(expires),
        query.get("X-Amz-Security-Token") or headers.get("x-amz-security-token"),
        True,
        headers.get("x-amz-content-sha256") or query.get("X-Amz-Content-Sha256") or UNSIGNED_PAYLOAD,
        headers,
    )


@lru_cache(maxsize=1024)
def _read_usual_authorization(usual: str) -> tuple[str, str, str, str, tuple[str, ...]]:
    """All before the signature, which stays the same from one request of a client to the next."""
    access_key_id, date, region, service, signed_headers, _ = _read_authorization(f"{usual}, Signature=-")
    return access_key_id, date, region, service, signed_headers


def _read_authorization(authorization: str) -> tuple[str, str, str, str, tuple[str, ...], str]:
    """Access key id, date, region, service, signed headers and signature, in whatever order they stand."""
    algorithm, _, rest = authorization.partition(" ")
    if algorithm != ALGORITHM:
        raise IncompleteSignature(f"The Authorization header must begin with {ALGORITHM}.")
    given: dict[str, str] = {}
    for part in rest.split(","):
        name, _, value = part.strip().partition("=")
        if name in given:
            raise IncompleteSignature(f"Authorization header has more than one '{name}' parameter.")
        given[name] = value
    missing = [name for name in ("Credential", "Signature", "SignedHeaders") if not given.get(name)]
    if missing:
        raise IncompleteSignature(" ".join(f"Authorization header requires '{name}' parameter." for name in missing))
    access_key_id, date, region, service = _read_credential(given["Credential"])
    return access_key_id, date, region, service, tuple(given["SignedHeaders"].split(";")), given["Signature"]


def _read_credential(credential: str) -> tuple[str, str, str, str]:
    parts = credential.split("/")
    if len(parts) != 5 or not all(parts[:4]):
        raise IncompleteSignature(
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term."
        )
    access_key_id, date, region, service, terminator = parts
    if not _SCOPE.fullmatch(f"{access_key_id}/{region}"):
        # What the control characters of a presigned URL would do in a database, nobody needs to know.
        raise IncompleteSignature("Credential must be made of letters, digits, dashes and underscores.")
    if terminator != TERMINATOR:
        raise WrongScope(f"Credential should be scoped with a valid terminator: '{TERMINATOR}', not '{terminator}'.")
    return access_key_id, date, region, service


_SCOPE = re.compile(r"[\w.+=@:-]{1,128}/[\w-]{1,64}", re.ASCII)


def _timestamp_of_http_date(date: str | None) -> str:
    """A Date header as the timestamp a signer makes of it."""
    if date is None:
        raise IncompleteSignature("The request requires either an 'X-Amz-Date' or a 'Date' header.")
    if _AMZ_DATE.fullmatch(date):
        return date
    try:
        return parsedate_to_datetime(date).astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    except (ValueError, OverflowError):
        raise _unreadable_date(date) from None


_AMZ_DATE = re.compile(r"\d{8}T\d{6}Z", re.ASCII)


@lru_cache(maxsize=256)
def _epoch_seconds(timestamp: str) -> float:
    if not _AMZ_DATE.fullmatch(timestamp):
        raise _unreadable_date(timestamp)
    try:
        return float(timegm(datetime.strptime(timestamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timetuple()))
    except ValueError:
        raise _unreadable_date(timestamp) from None


def _unreadable_date(date: str) -> IncompleteSignature:
    return IncompleteSignature(
        f"Date must be in ISO-8601 'basic format'. Got '{date}'. See http://en.wikipedia.org/wiki/ISO_8601"
    )


def _wrong_date(date: str, timestamp: str) -> WrongScope:
    return WrongScope(
        "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
        f"'{date}' != '{timestamp[:8]}', from '{timestamp}'."
    )


def _amz_date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%dT%H%M%SZ")


def is_token_of(key: Key, session_token: str | None) -> bool:
    """Whether this token, or none, belongs beside signatures of `key`."""
    if key.session_token is None or session_token is None:
        return key.session_token is None and session_token is None
    return hmac.compare_digest(key.session_token.encode(), session_token.encode())


def has_ended(key: Key, now: float) -> bool:
    """Whether this is a temporary key whose time is over."""
    return key.expires_at is not None and now >= key.expires_at


def _one_of(services: Collection[str]) -> str:
    return ", ".join(f"'{service}'" for service in sorted(services))
