"""Operations that list what is in a bucket."""

from __future__ import annotations

import base64
from collections.abc import Callable
from urllib.parse import quote

from longshore.onebox.machinery.objects import StoredObject, StoredUpload
from longshore.onebox.services.s3.call import Answer, Call, answer_xml, iso_date
from longshore.onebox.services.s3.errors import S3Error
from longshore.onebox.services.s3.xml import Content

_MOST = 1000
_ID_DIGITS = 16

Elements = list[tuple[str, Content]]


def list_objects(call: Call) -> Answer:
    """ListObjects, the first version: goes on after a key."""
    call.own_bucket()
    text = _encoder(call)
    limit = min(call.number("max-keys", _MOST), _MOST)
    prefix, delimiter, marker = (call.query.get(name, "") for name in ("prefix", "delimiter", "marker"))
    page = call.store.current_objects(call.bucket, prefix=prefix, delimiter=delimiter, after=marker, limit=limit)
    content: Elements = [
        ("Name", call.bucket),
        ("Prefix", text(prefix)),
        ("Marker", text(marker)),
        ("MaxKeys", str(limit)),
    ]
    if page.next is not None and delimiter:
        # Without a delimiter clients take the last key themselves.
        content.append(("NextMarker", text(page.next if isinstance(page.next, str) else page.next.key)))
    content += _folding(call, text, delimiter, is_truncated=page.next is not None)
    owner = call.owner
    content += [("Contents", _entry(stored, text, owner)) for stored in page.items]
    content += _common_prefixes(page.prefixes, text)
    return answer_xml("ListBucketResult", content)


def list_objects_v2(call: Call) -> Answer:
    """ListObjectsV2: goes on with a token."""
    call.own_bucket()
    text = _encoder(call)
    limit = min(call.number("max-keys", _MOST), _MOST)
    prefix, delimiter, start_after = (call.query.get(name, "") for name in ("prefix", "delimiter", "start-after"))
    token = call.query.get("continuation-token")
    after = start_after if token is None else _from_token(token)
    page = call.store.current_objects(call.bucket, prefix=prefix, delimiter=delimiter, after=after, limit=limit)
    owner = call.owner if call.query.get("fetch-owner") == "true" else None
    content: Elements = [
        ("Name", call.bucket),
        ("Prefix", text(prefix)),
        ("MaxKeys", str(limit)),
        ("KeyCount", str(len(page.items) + len(page.prefixes))),
    ]
    if start_after:
        content.append(("StartAfter", text(start_after)))
    if token is not None:
        content.append(("ContinuationToken", token))
    if page.next is not None:
        last = page.next if isinstance(page.next, str) else page.next.key
        content.append(("NextContinuationToken", _as_token(last)))
    content += _folding(call, text, delimiter, is_truncated=page.next is not None)
    content += [("Contents", _entry(stored, text, owner)) for stored in page.items]
    content += _common_prefixes(page.prefixes, text)
    return answer_xml("ListBucketResult", content)


def list_object_versions(call: Call) -> Answer:
    """Every version and delete marker, newest first within a key."""
    call.own_bucket()
    text = _encoder(call)
    limit = min(call.number("max-keys", _MOST), _MOST)
    prefix, delimiter, key_marker = (call.query.get(name, "") for name in ("prefix", "delimiter", "key-marker"))
    version_marker = call.query.get("version-id-marker", "")
    if version_marker and not key_marker:
        raise S3Error("InvalidArgument", "A version-id marker cannot be specified without a key marker.")
    page = call.store.versions(
        call.bucket,
        prefix=prefix,
        delimiter=delimiter,
        after=key_marker,
        after_id=_place(version_marker) if version_marker else None,
        limit=limit,
    )
    content: Elements = [
        ("Name", call.bucket),
        ("Prefix", text(prefix)),
        ("KeyMarker", text(key_marker)),
        ("VersionIdMarker", version_marker),
        ("MaxKeys", str(limit)),
    ]
    if isinstance(page.next, str):
        content.append(("NextKeyMarker", text(page.next)))
    elif page.next is not None:
        # Not the version id itself: the version may be deleted before the next page is asked for.
        marker = f"{page.next.id:0{_ID_DIGITS}x}"
        content += [("NextKeyMarker", text(page.next.key)), ("NextVersionIdMarker", marker)]
    content += _folding(call, text, delimiter, is_truncated=page.next is not None)
    owner = call.owner
    content += [_version(stored, text, owner) for stored in page.items]
    content += _common_prefixes(page.prefixes, text)
    return answer_xml("ListVersionsResult", content)


def list_multipart_uploads(call: Call) -> Answer:
    """Multipart uploads neither completed nor aborted."""
    call.own_bucket()
    text = _encoder(call)
    limit = min(call.number("max-uploads", _MOST), _MOST)
    prefix, delimiter, key_marker = (call.query.get(name, "") for name in ("prefix", "delimiter", "key-marker"))
    id_marker = call.query.get("upload-id-marker", "") if key_marker else ""
    page = call.store.uploads(
        call.bucket, prefix=prefix, delimiter=delimiter, after=key_marker, after_id=id_marker or None, limit=limit
    )
    content: Elements = [
        ("Bucket", call.bucket),
        ("KeyMarker", text(key_marker)),
        ("UploadIdMarker", id_marker),
        ("Prefix", text(prefix)),
        ("MaxUploads", str(limit)),
    ]
    if isinstance(page.next, str):
        content.append(("NextKeyMarker", text(page.next)))
    elif page.next is not None:
        content += [("NextKeyMarker", text(page.next.key)), ("NextUploadIdMarker", page.next.id)]
    content += _folding(call, text, delimiter, is_truncated=page.next is not None)
    owner = call.owner
    content += [("Upload", _upload(upload, text, owner)) for upload in page.items]
    content += _common_prefixes(page.prefixes, text)
    return answer_xml("ListMultipartUploadsResult", content)


def _encoder(call: Call) -> Callable[[str], str]:
    """How this client wants keys written: some keys cannot stand in XML as they are."""
    match call.query.get("encoding-type", ""):
        case "":
            return str
        case "url":
            return lambda text: quote(text, safe="/")
    raise S3Error("InvalidArgument", "Invalid Encoding Method specified in Request")


def _folding(call: Call, text: Callable[[str], str], delimiter: str, *, is_truncated: bool) -> Elements:
    content: Elements = []
    if delimiter:
        content.append(("Delimiter", text(delimiter)))
    if encoding := call.query.get("encoding-type"):
        content.append(("EncodingType", encoding))
    content.append(("IsTruncated", str(is_truncated).lower()))
    return content


def _common_prefixes(prefixes: list[str], text: Callable[[str], str]) -> Elements:
    return [("CommonPrefixes", [("Prefix", text(prefix))]) for prefix in prefixes]


def _entry(stored: StoredObject, text: Callable[[str], str], owner: Content | None) -> Elements:
    content: Elements = [
        ("Key", text(stored.key)),
        ("LastModified", iso_date(stored.modified_at)),
        ("ETag", f'"{stored.etag}"'),
    ]
    if stored.checksum:
        content += [("ChecksumAlgorithm", stored.checksum.algorithm), ("ChecksumType", stored.checksum.kind)]
    content.append(("Size", str(stored.size)))
    if owner is not None:
        content.append(("Owner", owner))
    content.append(("StorageClass", "STANDARD"))
    return content


def _version(stored: StoredObject, text: Callable[[str], str], owner: Content) -> tuple[str, Content]:
    about: Elements = [("VersionId", stored.version_id), ("IsLatest", str(stored.is_latest).lower())]
    if stored.is_marker:
        key_and_date: Elements = [("Key", text(stored.key)), ("LastModified", iso_date(stored.modified_at))]
        return "DeleteMarker", [*about, *key_and_date, ("Owner", owner)]
    return "Version", [*about, *_entry(stored, text, owner)]


def _upload(upload: StoredUpload, text: Callable[[str], str], owner: Content) -> Elements:
    content: Elements = [
        ("Key", text(upload.key)),
        ("UploadId", upload.id),
        ("Initiator", owner),
        ("Owner", owner),
        ("StorageClass", "STANDARD"),
        ("Initiated", iso_date(upload.started_at)),
    ]
    if upload.checksum:
        content += [("ChecksumAlgorithm", upload.checksum.algorithm), ("ChecksumType", upload.checksum.kind)]
    return content


def _place(version_marker: str) -> int:
    """Where a version stands among those of its key; the first digits of its id say so."""
    try:
        return int(version_marker[:_ID_DIGITS], 16)
    except ValueError:
        raise S3Error("InvalidArgument", "Invalid version id specified") from None


def _as_token(after: str) -> str:
    return base64.urlsafe_b64encode(after.encode()).decode()


def _from_token(token: str) -> str:
    try:
        return base64.urlsafe_b64decode(token.encode()).decode()
    except ValueError:
        raise S3Error("InvalidArgument", "The continuation token provided is incorrect") from None
