"""Preconditions and ranges: what a request wants of an object before it wants its bytes. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from longshore.onebox.machinery.objects import StoredObject
from longshore.onebox.services.s3.errors import S3Error

_RANGE = re.compile(r"bytes=(\d{0,20})-(\d{0,20})", re.ASCII)


def check_read(headers: Mapping[str, str], stored: StoredObject) -> None:
    """The If- headers of a GET or HEAD, by RFC 9110 13.2.2. Raises PreconditionFailed or NotModified."""
    modified = int(stored.modified_at)
    if (wanted := headers.get("if-match")) is not None:
        if not _names(wanted, stored.etag):
            raise _failed("If-Match")
    elif (since := _seconds(headers.get("if-unmodified-since"))) is not None and modified > since:
        raise _failed("If-Unmodified-Since")
    unchanged = S3Error("NotModified", headers={"etag": f'"{stored.etag}"'})
    if (known := headers.get("if-none-match")) is not None:
        if _names(known, stored.etag):
            raise unchanged
    elif (since := _seconds(headers.get("if-modified-since"))) is not None and modified <= since:
        raise unchanged


def check_copy(headers: Mapping[str, str], source: StoredObject) -> None:
    """The x-amz-copy-source-if- headers; here every failure is PreconditionFailed."""
    begin = "x-amz-copy-source-"
    conditions = {name.removeprefix(begin): value for name, value in headers.items() if name.startswith(begin)}
    try:
        check_read(conditions, source)
    except S3Error as error:
        if error.code == "NotModified":
            raise _failed("x-amz-copy-source-If") from None
        raise


def check_write(headers: Mapping[str, str], current: StoredObject | None) -> None:
    """The If- headers of a PUT: only where nothing is yet, or only over what the client saw.

    Raises PreconditionFailed or NoSuchKey.
    """
    if (known := headers.get("if-none-match")) is not None:
        if known.strip() != "*":
            raise S3Error("NotImplemented", "A write may say If-None-Match: * only.")
        if current is not None:
            raise _failed("If-None-Match")
    if (wanted := headers.get("if-match")) is not None:
        if current is None:
            raise S3Error("NoSuchKey")
        if not _names(wanted, current.etag):
            raise _failed("If-Match")


def chosen_range(asked: str | None, size: int) -> tuple[int, int] | None:
    """The start and length of a Range, or None for the whole object. Raises InvalidRange.

    Several ranges, or what is none at all, mean the whole object, as they do for S3.
    """
    match = _RANGE.fullmatch(asked.strip()) if asked else None
    if match is None or not any(match.groups()):
        return None
    first, last = match.groups()
    if first:
        start = int(first)
        end = min(int(last), size - 1) if last else size - 1
        if last and int(last) < start:
            return None
    else:
        start = max(size - int(last), 0)
        end = size - 1
    if start > end:
        raise S3Error(
            "InvalidRange",
            details={"RangeRequested": asked or "", "ActualObjectSize": str(size)},
            headers={"content-range": f"bytes */{size}"},
        )
    return start, end - start + 1


def _names(header: str, etag: str) -> bool:
    tags = [tag.strip().removeprefix("W/").strip('"') for tag in header.split(",")]
    return "*" in tags or etag in tags


def _seconds(date: str | None) -> float | None:
    if date is None:
        return None
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError):
        # RFC 9110: a date that is none is no condition.
        return None


def _failed(condition: str) -> S3Error:
    return S3Error("PreconditionFailed", details={"Condition": condition})
