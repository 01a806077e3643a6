"""What a copy is made of, read in one place: what is permitted is then what is copied."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qs, unquote_to_bytes

from longshore.onebox.services.s3.call import Call
from longshore.onebox.services.s3.errors import S3Error


@dataclass(frozen=True, slots=True)
class CopySource:
    bucket: str
    key: str
    version_id: str | None


def copy_source(call: Call) -> CopySource:
    """The source that the header of a copy names. Raises InvalidArgument."""
    path, _, query = call.headers["x-amz-copy-source"].partition("?")
    bucket, _, key = path.removeprefix("/").partition("/")
    version_id = parse_qs(query).get("versionId", [None])[0]
    try:
        # Clients may or may not have encoded it; the text of a header is the bytes it came as.
        key = unquote_to_bytes(key.encode("latin-1")).decode()
        bucket = unquote_to_bytes(bucket).decode()
    except UnicodeError:
        key = ""
    if not bucket or not key:
        raise S3Error("InvalidArgument", "Copy Source must mention the source bucket and key: sourcebucket/sourcekey")
    return CopySource(bucket, key, version_id)
