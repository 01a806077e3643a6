"""Which permissions each kind of request needs, on which bucket or object.

https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from longshore.onebox.services.s3.call import Call
from longshore.onebox.services.s3.copy_source import copy_source

#: (method, what it is about, sub-resource), as in `routes`: the action. Those about a version have it in their name.
_ACTIONS: Final[Mapping[tuple[str, str, str], str]] = {
    ("GET", "service", ""): "ListAllMyBuckets",
    ("PUT", "bucket", ""): "CreateBucket",
    ("HEAD", "bucket", ""): "ListBucket",
    ("DELETE", "bucket", ""): "DeleteBucket",
    ("GET", "bucket", "location"): "GetBucketLocation",
    ("GET", "bucket", "versioning"): "GetBucketVersioning",
    ("PUT", "bucket", "versioning"): "PutBucketVersioning",
    ("GET", "bucket", ""): "ListBucket",
    ("GET", "bucket", "list-type"): "ListBucket",
    ("GET", "bucket", "versions"): "ListBucketVersions",
    ("GET", "bucket", "uploads"): "ListBucketMultipartUploads",
    ("GET", "object", ""): "GetObject{Version}",
    ("HEAD", "object", ""): "GetObject{Version}",
    ("DELETE", "object", ""): "DeleteObject{Version}",
    ("PUT", "object", ""): "PutObject",
    ("PUT", "object", "copy"): "PutObject",
    ("GET", "object", "tagging"): "GetObject{Version}Tagging",
    ("PUT", "object", "tagging"): "PutObject{Version}Tagging",
    ("DELETE", "object", "tagging"): "DeleteObject{Version}Tagging",
    ("POST", "object", "uploads"): "PutObject",
    ("PUT", "object", "uploadId"): "PutObject",
    ("PUT", "object", "uploadId copy"): "PutObject",
    ("POST", "object", "uploadId"): "PutObject",
    ("DELETE", "object", "uploadId"): "AbortMultipartUpload",
    ("GET", "object", "uploadId"): "ListMultipartUploadParts",
}
#: Deletes many at once; the operation asks for each object.
_BY_OBJECT: Final = ("POST", "bucket", "delete")


def require_permissions(call: Call, route: tuple[str, str, str]) -> None:
    """Raise AccessDenied unless the caller may do what `route` is."""
    if route == _BY_OBJECT:
        return
    call.require(_action(_ACTIONS[route], "versionId" in call.query), _arn(call.bucket, call.key))
    if route[2].endswith("copy"):
        source = copy_source(call)
        call.require(_action("GetObject{Version}", source.version_id is not None), _arn(source.bucket, source.key))
    if "x-amz-tagging" in call.headers and call.method in ("PUT", "POST"):
        call.require("s3:PutObjectTagging", _arn(call.bucket, call.key))


def may_delete(call: Call, key: str, *, version: bool) -> bool:
    """Whether the caller may delete this object of the call's bucket."""
    return call.why_not(_action("DeleteObject{Version}", version), _arn(call.bucket, key)) is None


def _action(name: str, of_version: bool) -> str:
    return "s3:" + name.replace("{Version}", "Version" if of_version else "")


def _arn(bucket: str, key: str) -> str:
    if not bucket:
        return "*"
    return f"arn:aws:s3:::{bucket}/{key}" if key else f"arn:aws:s3:::{bucket}"
