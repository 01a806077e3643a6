"""Which bucket and key a request is about: from the path, or from the host name and the path."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from urllib.parse import parse_qsl, unquote_to_bytes

from longshore.onebox.services.s3.errors import S3Error

#: Bytes of UTF-8 a key may have.
_LONGEST_KEY = 1024
_SHORTEST_BUCKET_NAME = 3


def resource_of(host: str, raw_path: str, base_hosts: Collection[str]) -> str:
    """``/bucket/key``, ``/bucket/`` or ``/``, encoded as sent.

    The request may be for ``bucket.<base host>/key`` or ``anything else/bucket/key``.
    """
    path = raw_path.removeprefix("/")
    bucket = _bucket_in(host, base_hosts)
    if bucket is None:
        bucket, _, path = path.partition("/")
    return f"/{bucket}/{path}" if bucket or path else "/"


def bucket_and_key(resource: str) -> tuple[str, str]:
    """The bucket and key of a `resource_of`; "" where it names none. Raises InvalidURI or KeyTooLongError."""
    bucket, _, path = resource.removeprefix("/").partition("/")
    try:
        name = unquote_to_bytes(bucket).decode()
        key = unquote_to_bytes(path).decode()
    except UnicodeDecodeError:
        raise S3Error("InvalidURI") from None
    if key and not name:
        raise S3Error("InvalidBucketName", details={"BucketName": ""})
    if (size := len(key.encode())) > _LONGEST_KEY:
        raise S3Error("KeyTooLongError", details={"Size": str(size), "MaxSizeAllowed": str(_LONGEST_KEY)})
    return name, key


def query_of(raw_query: str) -> Mapping[str, str]:
    """The query decoded, the first value of each name. Raises InvalidURI."""
    query: dict[str, str] = {}
    try:
        for name, value in parse_qsl(raw_query, keep_blank_values=True, errors="strict", max_num_fields=100):
            query.setdefault(name, value)
    except ValueError:
        raise S3Error("InvalidURI") from None
    return query


def _bucket_in(host: str, base_hosts: Collection[str]) -> str | None:
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    name = name.lower()
    for base in base_hosts:
        bucket = name.removesuffix(f".{base}")
        # Shorter than any bucket's name is a service's: s3.localhost.
        if bucket != name and len(bucket) >= _SHORTEST_BUCKET_NAME:
            return bucket
    return None
