"""What headers say of an object: kept when it is stored, given back when it is read."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl

from longshore.onebox.machinery.objects import Description
from longshore.onebox.services.s3.errors import S3Error

_KEPT = ("cache-control", "content-disposition", "content-encoding", "content-language", "content-type", "expires")
_META = "x-amz-meta-"
_MAX_METADATA = 2048
_MAX_TAGS = 10

#: What a client could ask for beside storing, and we do not do: better refused than quietly left out.
_NOT_DONE = {
    "x-amz-server-side-encryption": "Objects are kept as they are sent; encrypt the disk instead.",
    "x-amz-object-lock": "Objects cannot be locked here.",
    "x-amz-website-redirect-location": "Buckets are no web sites here.",
    "x-amz-copy-source-server-side-encryption": "No object is encrypted here.",
    "x-amz-write-offset-bytes": "Objects cannot be appended to.",
}
#: The owner has full control and nobody else any: what a bucket without ACLs means.
_PRIVATE_ACLS = ("private", "bucket-owner-full-control")


def described(headers: Mapping[str, str]) -> Description:
    """The description in a request's headers. Raises MetadataTooLarge, InvalidTag, NotImplemented …"""
    refuse_what_is_not_done(headers)
    kept = {name: headers[name] for name in _KEPT if headers.get(name)}
    # aws-chunked tells how the body travelled, not what it is.
    encodings = [part.strip() for part in kept.pop("content-encoding", "").split(",")]
    if encoding := ",".join(part for part in encodings if part and part != "aws-chunked"):
        kept["content-encoding"] = encoding
    kept.setdefault("content-type", "binary/octet-stream")
    metadata = {name.removeprefix(_META): value for name, value in headers.items() if name.startswith(_META)}
    if sum(len(name) + len(value) for name, value in metadata.items()) > _MAX_METADATA:
        raise S3Error("MetadataTooLarge", details={"MaxSizeAllowed": str(_MAX_METADATA)})
    return Description(headers=kept, metadata=metadata, tags=tags_in(headers.get("x-amz-tagging", "")))


def refuse_what_is_not_done(headers: Mapping[str, str]) -> None:
    """Raises for headers that ask for what storing here cannot give."""
    for name, value in headers.items():
        if not name.startswith("x-amz-"):
            continue
        for not_done, why in _NOT_DONE.items():
            if name.startswith(not_done):
                raise S3Error("NotImplemented", f"{name} is not implemented. {why}")
        if name.startswith("x-amz-grant-") or (name == "x-amz-acl" and value not in _PRIVATE_ACLS):
            raise S3Error("AccessControlListNotSupported")
        if name == "x-amz-storage-class" and value != "STANDARD":
            raise S3Error("NotImplemented", "There is one storage class here, STANDARD.")


def tags_in(query: str) -> dict[str, str]:
    """Tags as a query string has them."""
    return checked_tags(parse_qsl(query, keep_blank_values=True)) if query else {}


def checked_tags(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """Tags within S3's limits. Raises InvalidTag."""
    tags = dict(pairs)
    if len(tags) != len(pairs):
        raise S3Error("InvalidTag", "Cannot provide multiple Tags with the same key")
    if len(tags) > _MAX_TAGS:
        raise S3Error("InvalidTag", "Object tags cannot be greater than 10")
    for name, value in tags.items():
        if not 1 <= len(name) <= 128:
            raise S3Error("InvalidTag", "The TagKey you have provided is invalid")
        if len(value) > 256:
            raise S3Error("InvalidTag", "The TagValue you have provided is invalid")
    return tags


def description_headers(description: Description) -> dict[str, str]:
    """The headers that give a description back."""
    headers = dict(description.headers)
    headers.update({_META + name: value for name, value in description.metadata.items()})
    if description.tags:
        headers["x-amz-tagging-count"] = str(len(description.tags))
    return headers
