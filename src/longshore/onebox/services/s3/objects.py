"""Operations on objects, but for those that receive one."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace

from longshore.onebox.machinery.objects import (
    Description,
    Incoming,
    NoSuchVersion,
    NotAnObject,
    Reading,
    StoredChecksum,
    StoredObject,
    StoreRefusal,
)
from longshore.onebox.services.s3 import checksums
from longshore.onebox.services.s3.call import (
    Answer,
    Call,
    Slice,
    answer_xml,
    checksum_headers,
    http_date,
    iso_date,
    version_header,
)
from longshore.onebox.services.s3.conditions import check_copy, check_read, chosen_range
from longshore.onebox.services.s3.copy_source import copy_source
from longshore.onebox.services.s3.description import (
    checked_tags,
    described,
    description_headers,
    refuse_what_is_not_done,
    tags_in,
)
from longshore.onebox.services.s3.errors import S3Error, from_store
from longshore.onebox.services.s3.permissions import may_delete
from longshore.onebox.services.s3.receiving import MAX_PUT
from longshore.onebox.services.s3.xml import Content

#: Bytes copied at once.
_BLOCK = 2**20
_MOST_DELETED = 1000
_OVERRIDE = "response-"
_OVERRIDABLE = (
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "expires",
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def get_object(call: Call) -> Answer:
    """An object, or a range or part of it. The answer holds an open reading."""
    bucket = call.own_bucket()
    overrides = _overrides(call.query)
    reading = call.store.open(call.bucket, call.key, call.query.get("versionId"))
    try:
        stored = reading.object
        check_read(call.headers, stored)
        headers = {
            "accept-ranges": "bytes",
            "etag": f'"{stored.etag}"',
            "last-modified": http_date(stored.modified_at),
            **description_headers(stored.description),
            **version_header(bucket, stored),
            **overrides,
        }
        chosen = _chosen_part(call, reading, headers) or chosen_range(call.headers.get("range"), stored.size)
        # The checksum is the whole object's; beside a range a client would hold it against the range.
        if chosen is None and call.headers.get("x-amz-checksum-mode", "").upper() == "ENABLED":
            headers |= checksum_headers(stored)
        start, size = chosen or (0, stored.size)
        headers["content-length"] = str(size)
        if chosen is None:
            return Answer(headers=headers, body=Slice(reading, 0, size))
        headers["content-range"] = f"bytes {start}-{start + size - 1}/{stored.size}"
        return Answer(status=206, headers=headers, body=Slice(reading, start, size))
    except BaseException:
        reading.close()
        raise


def _chosen_part(call: Call, reading: Reading, headers: dict[str, str]) -> tuple[int, int] | None:
    if "partNumber" not in call.query:
        return None
    if "range" in call.headers:
        raise S3Error("InvalidRequest", "Cannot specify both Range header and partNumber query parameter")
    number = call.number("partNumber", 1, least=1, most=10_000)
    if number > len(reading.pieces):
        raise S3Error("InvalidPartNumber")
    if reading.object.parts:
        headers["x-amz-mp-parts-count"] = str(reading.object.parts)
    size = reading.pieces[number - 1].size
    # Nothing has a range of no bytes; an empty object is its own only part.
    return (sum(piece.size for piece in reading.pieces[: number - 1]), size) if size else None


def _overrides(query: Mapping[str, str]) -> dict[str, str]:
    overrides = {}
    for name in _OVERRIDABLE:
        value = query.get(_OVERRIDE + name)
        if value is None:
            continue
        if _CONTROL.search(value):
            # A line break here would write headers of its own.
            raise S3Error("InvalidArgument", f"{_OVERRIDE}{name} must not hold control characters.")
        overrides[name] = value
    return overrides


def delete_object(call: Call) -> Answer:
    """Delete the current object or one version; deleting what is not there succeeds, as in S3."""
    call.own_bucket()
    if "if-match" in call.headers:
        raise S3Error("NotImplemented", "Deleting under a condition is not implemented.")
    deleted = call.store.delete(call.bucket, call.key, call.query.get("versionId"), now=call.now)
    headers = {}
    if deleted and (deleted.is_marker or "versionId" in call.query):
        headers["x-amz-version-id"] = deleted.version_id
    if deleted and deleted.is_marker:
        headers["x-amz-delete-marker"] = "true"
    return Answer(status=204, headers=headers)


def delete_objects(call: Call) -> Answer:
    """Delete up to a thousand objects or versions, and tell of each."""
    call.own_bucket()
    asked = call.document("Delete")
    quiet = asked.get("Quiet") == "true"
    entries = list(asked.all("Object"))
    if not 1 <= len(entries) <= _MOST_DELETED:
        raise S3Error("MalformedXML")
    results: list[tuple[str, Content]] = []
    for entry in entries:
        key, version_id = entry.get("Key"), entry.get("VersionId") or None
        if not key:
            raise S3Error("MalformedXML", "Each Object needs a Key.")
        about: list[tuple[str, Content]] = [("Key", key)]
        if version_id:
            about.append(("VersionId", version_id))
        if others := [child.name for child in entry.children if child.name not in ("Key", "VersionId")]:
            error = S3Error("NotImplemented", f"Deleting with {others[0]} is not implemented.")
            results.append(("Error", [*about, ("Code", error.code), ("Message", error.message)]))
            continue
        if not may_delete(call, key, version=version_id is not None):
            error = S3Error("AccessDenied")
            call.tell("refusedNames", key)
            results.append(("Error", [*about, ("Code", error.code), ("Message", error.message)]))
            continue
        try:
            deleted = call.store.delete(call.bucket, key, version_id, now=call.now)
        except StoreRefusal as refusal:
            error = from_store(refusal)
            results.append(("Error", [*about, ("Code", error.code), ("Message", error.message)]))
            continue
        call.tell("key", key)
        if deleted and deleted.is_marker:
            about += [("DeleteMarker", "true"), ("DeleteMarkerVersionId", deleted.version_id)]
        if not quiet:
            results.append(("Deleted", about))
    return answer_xml("DeleteResult", results)


def copy_object(call: Call) -> Answer:
    """Store under another key what a key holds, described as before or anew."""
    bucket = call.own_bucket()
    refuse_what_is_not_done(call.headers)
    anew = _directive(call, "x-amz-metadata-directive")
    tags_anew = _directive(call, "x-amz-tagging-directive")
    algorithm_name = call.headers.get("x-amz-checksum-algorithm")
    algorithm = checksums.algorithm_named(algorithm_name) if algorithm_name else None
    reading = open_source(call)
    try:
        source = reading.object
        if source.size > MAX_PUT:
            raise S3Error(
                "InvalidRequest",
                "The specified copy source is larger than the maximum allowable size for a copy source: 5368709120",
            )
        if not (anew or tags_anew or algorithm or call_names_version(call)) and (source.bucket, source.key) == (
            call.bucket,
            call.key,
        ):
            raise S3Error(
                "InvalidRequest",
                "This copy request is illegal because it is trying to copy an object to itself without changing the "
                "object's metadata, storage class, website redirect location or encryption attributes.",
            )
        description = described(call.headers) if anew else source.description
        tags = tags_in(call.headers.get("x-amz-tagging", "")) if tags_anew else source.description.tags
        stored = _copy(call, reading, replace(description, tags=tags), algorithm)
        headers = version_header(bucket, stored)
        if source_version := version_header(call.store.bucket(source.bucket), source):
            headers["x-amz-copy-source-version-id"] = source_version["x-amz-version-id"]
        return answer_xml("CopyObjectResult", copy_result(stored.etag, stored.modified_at, stored.checksum), headers)
    finally:
        reading.close()


def _copy(
    call: Call, reading: Reading, description: Description, algorithm: checksums.Algorithm | None
) -> StoredObject:
    source = reading.object
    kept = source.checksum.algorithm if source.checksum else None
    if len(reading.pieces) == 1 and not source.parts and (algorithm is None or algorithm.name == kept):
        return call.store.put_same(call.bucket, call.key, reading, description=description, now=call.now)
    # An object of many parts becomes one of one, with the ETag and checksum of an object put at once.
    if algorithm is None and kept:
        algorithm = checksums.ALGORITHMS[kept]
    incoming = call.store.begin()
    try:
        etag, value = copy_bytes(reading, 0, source.size, incoming, algorithm)
        checksum = None
        if algorithm and value:
            checksum = StoredChecksum(algorithm=algorithm.name, value=value, kind=checksums.FULL_OBJECT)
        return call.store.put(
            call.bucket,
            call.key,
            incoming,
            etag=etag,
            checksum=checksum,
            description=description,
            now=call.now,
        )
    except BaseException:
        incoming.discard()
        raise


def open_source(call: Call) -> Reading:
    """The object a copy is made of, its conditions checked. Raises InvalidArgument, PreconditionFailed …"""
    source = copy_source(call)
    call.own_bucket(source.bucket)
    expected_owner = call.headers.get("x-amz-source-expected-bucket-owner", call.caller.account)
    if expected_owner != call.caller.account:
        raise S3Error("AccessDenied")
    try:
        reading = call.store.open(source.bucket, source.key, source.version_id)
    except NotAnObject:
        raise S3Error(
            "InvalidRequest",
            "The source of a copy request may not specifically refer to a delete marker by version id.",
        ) from None
    try:
        check_copy(call.headers, reading.object)
    except BaseException:
        reading.close()
        raise
    return reading


def call_names_version(call: Call) -> bool:
    """Whether a copy is of one version; copying an old one onto its own key brings it back."""
    return copy_source(call).version_id is not None


def copy_bytes(
    reading: Reading, start: int, size: int, incoming: Incoming, algorithm: checksums.Algorithm | None
) -> tuple[str, str | None]:
    """Copy a range into `incoming`; its MD5 in hexadecimal, and its checksum if one is wanted."""
    md5 = hashlib.md5(usedforsecurity=False)
    running = algorithm.begin() if algorithm else None
    end = start + size
    while start < end:
        data = reading.read(start, min(_BLOCK, end - start))
        md5.update(data)
        if running:
            running.update(data)
        incoming.write(data)
        start += len(data)
    return md5.hexdigest(), checksums.encoded(running.digest()) if running else None


def copy_result(etag: str, modified_at: float, checksum: StoredChecksum | None) -> list[tuple[str, Content]]:
    """The elements that tell of a copy."""
    result: list[tuple[str, Content]] = [("LastModified", iso_date(modified_at)), ("ETag", f'"{etag}"')]
    if checksum:
        result += [(f"Checksum{checksum.algorithm}", checksum.value), ("ChecksumType", checksum.kind)]
    return result


def _directive(call: Call, name: str) -> bool:
    """Whether the caller wants to say this part of the description anew."""
    match call.headers.get(name, "COPY"):
        case "COPY":
            return False
        case "REPLACE":
            return True
    raise S3Error("InvalidArgument", f"{name} must be COPY or REPLACE.")


def get_object_tagging(call: Call) -> Answer:
    """An object's tags."""
    bucket = call.own_bucket()
    stored = call.store.find(call.bucket, call.key, call.query.get("versionId"))
    tags: list[tuple[str, Content]] = [
        ("Tag", [("Key", name), ("Value", value)]) for name, value in stored.description.tags.items()
    ]
    return answer_xml("Tagging", [("TagSet", tags)], version_header(bucket, stored))


def put_object_tagging(call: Call) -> Answer:
    """Replace an object's tags."""
    sets = list(call.document("Tagging").all("TagSet"))
    if len(sets) != 1:
        raise S3Error("MalformedXML")
    pairs = [(tag.get("Key") or "", tag.get("Value") or "") for tag in sets[0].all("Tag")]
    return _tagged(call, checked_tags(pairs), status=200)


def delete_object_tagging(call: Call) -> Answer:
    """Take an object's tags away."""
    return _tagged(call, {}, status=204)


def _tagged(call: Call, tags: dict[str, str], *, status: int) -> Answer:
    bucket = call.own_bucket()
    stored = call.store.find(call.bucket, call.key, call.query.get("versionId"))
    try:
        call.store.tag(stored, replace(stored.description, tags=tags))
    except NoSuchVersion:
        # Overwritten this moment.
        raise S3Error("ConditionalRequestConflict") from None
    return Answer(status=status, headers=version_header(bucket, stored))
