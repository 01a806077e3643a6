"""Operations on multipart uploads, but for receiving a part."""

from __future__ import annotations

import hashlib
import re

from longshore.onebox.machinery.objects import StoredChecksum, StoredPart, StoredUpload
from longshore.onebox.services.s3 import checksums
from longshore.onebox.services.s3.call import Answer, Call, answer_xml, iso_date, version_header
from longshore.onebox.services.s3.conditions import check_write
from longshore.onebox.services.s3.description import described, refuse_what_is_not_done
from longshore.onebox.services.s3.errors import S3Error
from longshore.onebox.services.s3.objects import copy_bytes, copy_result, open_source
from longshore.onebox.services.s3.receiving import MAX_PARTS, MAX_PUT, algorithm_of, part_number
from longshore.onebox.services.s3.xml import Content, Element

#: Bytes every part but the last must have: 5 MiB.
_SMALLEST_PART = 5 * 2**20
_MOST_LISTED = 1000
_RANGE = re.compile(r"bytes=(\d{1,20})-(\d{1,20})", re.ASCII)


def create_multipart_upload(call: Call) -> Answer:
    """Begin an upload."""
    call.own_bucket()
    description = described(call.headers)
    checksum = _wanted_checksum(call)
    upload = call.store.create_upload(call.bucket, call.key, checksum=checksum, description=description, now=call.now)
    headers = {}
    if checksum:
        headers = {"x-amz-checksum-algorithm": checksum.algorithm, "x-amz-checksum-type": checksum.kind}
    return answer_xml(
        "InitiateMultipartUploadResult",
        [("Bucket", call.bucket), ("Key", call.key), ("UploadId", upload.id)],
        headers,
    )


def _wanted_checksum(call: Call) -> StoredChecksum | None:
    name, kind = call.headers.get("x-amz-checksum-algorithm"), call.headers.get("x-amz-checksum-type", "").upper()
    if name is None:
        if kind:
            raise S3Error("InvalidRequest", "x-amz-checksum-type needs x-amz-checksum-algorithm.")
        return None
    algorithm = checksums.algorithm_named(name)
    if kind and kind not in algorithm.kinds:
        raise S3Error(
            "InvalidRequest",
            f"The {kind} checksum type cannot be used with the {algorithm.name.lower()} checksum algorithm.",
        )
    return StoredChecksum(algorithm=algorithm.name, value="", kind=kind or algorithm.default_kind)


def upload_part_copy(call: Call) -> Answer:
    """Make a part of an object, or of a range of one."""
    call.own_bucket()
    refuse_what_is_not_done(call.headers)
    number = part_number(call)
    upload = call.store.upload(call.bucket, call.key, call.query["uploadId"])
    algorithm = algorithm_of(upload)
    reading = open_source(call)
    try:
        start, size = _source_range(call, reading.object.size)
        if size > MAX_PUT:
            raise S3Error("EntityTooLarge", details={"ProposedSize": str(size), "MaxSizeAllowed": str(MAX_PUT)})
        incoming = call.store.begin()
        try:
            etag, checksum = copy_bytes(reading, start, size, incoming, algorithm)
            part = call.store.put_part(upload, number, incoming, etag=etag, checksum=checksum, now=call.now)
        except BaseException:
            incoming.discard()
            raise
    finally:
        reading.close()
    content = [("ETag", f'"{part.etag}"'), ("LastModified", iso_date(part.modified_at)), *_part_checksum(upload, part)]
    return answer_xml("CopyPartResult", content)


def _source_range(call: Call, size: int) -> tuple[int, int]:
    asked = call.headers.get("x-amz-copy-source-range")
    if asked is None:
        return 0, size
    match = _RANGE.fullmatch(asked)
    first, last = map(int, match.groups()) if match else (1, 0)
    if first > last:
        raise S3Error(
            "InvalidArgument",
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the "
            "zero-based offsets of the first and last bytes to copy",
        )
    if last >= size:
        raise S3Error("InvalidRange", f"Range specified is not valid for source object of size: {size}")
    return first, last - first + 1


def complete_multipart_upload(call: Call) -> Answer:
    """Make the parts one object."""
    bucket = call.own_bucket()
    upload = call.store.upload(call.bucket, call.key, call.query["uploadId"])
    named = list(call.document("CompleteMultipartUpload").all("Part"))
    if not 1 <= len(named) <= MAX_PARTS:
        raise S3Error("MalformedXML")
    chosen = _chosen_parts(upload, named, call.store.parts(upload))
    total = sum(part.size for part in chosen)
    if call.headers.get("x-amz-mp-object-size", str(total)) != str(total):
        raise S3Error("InvalidRequest", "The provided 'x-amz-mp-object-size' header does not match what was computed")
    digests = b"".join(bytes.fromhex(part.etag) for part in chosen)
    checksum = checksums.checksum_of_parts(upload.checksum, chosen) if upload.checksum else None
    _check_whole(call, checksum)
    stored = call.store.complete_upload(
        upload,
        chosen,
        etag=f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(chosen)}",
        checksum=checksum,
        now=call.now,
        allow=lambda current: check_write(call.headers, current),
    )
    content: list[tuple[str, Content]] = [
        ("Location", f"/{call.bucket}/{call.key}"),
        ("Bucket", call.bucket),
        ("Key", call.key),
        *copy_result(stored.etag, stored.modified_at, stored.checksum)[1:],
    ]
    return answer_xml("CompleteMultipartUploadResult", content, version_header(bucket, stored))


def _chosen_parts(upload: StoredUpload, named: list[Element], stored: list[StoredPart]) -> list[StoredPart]:
    by_number = {part.number: part for part in stored}
    chosen: list[StoredPart] = []
    for element in named:
        number, etag = element.get("PartNumber") or "", (element.get("ETag") or "").strip().strip('"')
        if not (number.isascii() and number.isdigit() and len(number) <= 5):
            raise S3Error("MalformedXML", "Each Part needs a PartNumber.")
        if chosen and int(number) <= chosen[-1].number:
            raise S3Error("InvalidPartOrder", details={"UploadId": upload.id})
        part = by_number.get(int(number))
        if part is None or part.etag != etag or _names_other_checksum(upload, element, part):
            raise S3Error("InvalidPart", details={"UploadId": upload.id, "PartNumber": number, "ETag": etag})
        chosen.append(part)
    for part in chosen[:-1]:
        if part.size < _SMALLEST_PART:
            raise S3Error(
                "EntityTooSmall",
                details={
                    "ProposedSize": str(part.size),
                    "MinSizeAllowed": str(_SMALLEST_PART),
                    "PartNumber": str(part.number),
                    "ETag": part.etag,
                },
            )
    return chosen


def _names_other_checksum(upload: StoredUpload, element: Element, part: StoredPart) -> bool:
    for algorithm in checksums.ALGORITHMS.values():
        named = element.get(algorithm.element)
        if named is None:
            continue
        if upload.checksum is None or upload.checksum.algorithm != algorithm.name or part.checksum != named.strip():
            return True
    return False


def _check_whole(call: Call, checksum: StoredChecksum | None) -> None:
    """Hold what the client says the whole object's checksum is against what it came to."""
    for header, algorithm in checksums.BY_HEADER.items():
        said = call.headers.get(header)
        if said is None:
            continue
        value = checksum.value if checksum and checksum.algorithm == algorithm.name else None
        if said != value:
            raise S3Error("BadDigest", f"The {algorithm.name} you specified did not match the calculated checksum.")


def abort_multipart_upload(call: Call) -> Answer:
    """Give an upload up."""
    call.own_bucket()
    call.store.abort_upload(call.bucket, call.key, call.query["uploadId"])
    return Answer(status=204)


def list_parts(call: Call) -> Answer:
    """The parts uploaded so far."""
    call.own_bucket()
    upload = call.store.upload(call.bucket, call.key, call.query["uploadId"])
    limit = min(call.number("max-parts", _MOST_LISTED), _MOST_LISTED)
    marker = call.number("part-number-marker", 0)
    parts = call.store.parts(upload, after=marker, limit=limit + 1)
    is_truncated = len(parts) > limit
    parts = parts[:limit]
    content: list[tuple[str, Content]] = [
        ("Bucket", call.bucket),
        ("Key", call.key),
        ("UploadId", upload.id),
        ("Initiator", call.owner),
        ("Owner", call.owner),
        ("StorageClass", "STANDARD"),
        ("PartNumberMarker", str(marker)),
        ("NextPartNumberMarker", str(parts[-1].number if parts else marker)),
        ("MaxParts", str(limit)),
        ("IsTruncated", str(is_truncated).lower()),
    ]
    if upload.checksum:
        content += [("ChecksumAlgorithm", upload.checksum.algorithm), ("ChecksumType", upload.checksum.kind)]
    for part in parts:
        content.append(
            (
                "Part",
                [
                    ("PartNumber", str(part.number)),
                    ("LastModified", iso_date(part.modified_at)),
                    ("ETag", f'"{part.etag}"'),
                    ("Size", str(part.size)),
                    *_part_checksum(upload, part),
                ],
            )
        )
    return answer_xml("ListPartsResult", content)


def _part_checksum(upload: StoredUpload, part: StoredPart) -> list[tuple[str, Content]]:
    return [(f"Checksum{upload.checksum.algorithm}", part.checksum)] if upload.checksum and part.checksum else []
