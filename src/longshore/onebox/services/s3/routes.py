"""What is really done: for each kind of request the operation that does it. All else is NotImplemented."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Protocol

from longshore.onebox.services.s3 import buckets, listings, objects, uploads
from longshore.onebox.services.s3.call import Answer, Call, Receiver
from longshore.onebox.services.s3.errors import S3Error
from longshore.onebox.services.s3.payload import Document
from longshore.onebox.services.s3.permissions import require_permissions
from longshore.onebox.services.s3.receiving import PutObject, UploadPart

#: (method, what it is about, sub-resource in the query): the operation. A copy has the sub-resource ``copy``.
_OPERATIONS: Mapping[tuple[str, str, str], Callable[[Call], Answer]] = {
    ("GET", "service", ""): buckets.list_buckets,
    ("PUT", "bucket", ""): buckets.create_bucket,
    ("HEAD", "bucket", ""): buckets.head_bucket,
    ("DELETE", "bucket", ""): buckets.delete_bucket,
    ("GET", "bucket", "location"): buckets.get_bucket_location,
    ("GET", "bucket", "versioning"): buckets.get_bucket_versioning,
    ("PUT", "bucket", "versioning"): buckets.put_bucket_versioning,
    ("GET", "bucket", ""): listings.list_objects,
    ("GET", "bucket", "list-type"): listings.list_objects_v2,
    ("GET", "bucket", "versions"): listings.list_object_versions,
    ("GET", "bucket", "uploads"): listings.list_multipart_uploads,
    ("POST", "bucket", "delete"): objects.delete_objects,
    ("GET", "object", ""): objects.get_object,
    ("HEAD", "object", ""): objects.get_object,
    ("DELETE", "object", ""): objects.delete_object,
    ("PUT", "object", "copy"): objects.copy_object,
    ("GET", "object", "tagging"): objects.get_object_tagging,
    ("PUT", "object", "tagging"): objects.put_object_tagging,
    ("DELETE", "object", "tagging"): objects.delete_object_tagging,
    ("POST", "object", "uploads"): uploads.create_multipart_upload,
    ("PUT", "object", "uploadId copy"): uploads.upload_part_copy,
    ("POST", "object", "uploadId"): uploads.complete_multipart_upload,
    ("DELETE", "object", "uploadId"): uploads.abort_multipart_upload,
    ("GET", "object", "uploadId"): uploads.list_parts,
}
#: Those that take content in.
_RECEIVERS: Mapping[tuple[str, str, str], Callable[[Call], Receiver]] = {
    ("PUT", "object", ""): PutObject,
    ("PUT", "object", "uploadId"): UploadPart,
}
#: A part is not to be seen until its upload is completed.
_UNSEEN = frozenset({"UploadPart", "UploadPartCopy"})
_SUBRESOURCES = frozenset(subresource.split()[0] for *_, subresource in _OPERATIONS if subresource) - {"copy"}
#: Queries that refine an operation without making it another.
_REFINEMENTS = frozenset(
    {
        "bucket-region",
        "continuation-token",
        "delimiter",
        "encoding-type",
        "fetch-owner",
        "key-marker",
        "marker",
        "max-buckets",
        "max-keys",
        "max-parts",
        "max-uploads",
        "part-number-marker",
        "partNumber",
        "prefix",
        "start-after",
        "upload-id-marker",
        "version-id-marker",
        "versionId",
        # The SDKs name the operation in it, for the logs.
        "x-id",
        # Of URLs presigned with Signature Version 2, which may have headers in them.
        "AWSAccessKeyId",
        "Expires",
        "Signature",
        "content-md5",
        "content-type",
    }
)


def receiver_for(call: Call) -> Receiver:
    """What takes the call's body in and answers it. Raises AccessDenied, NotImplemented,
    MethodNotAllowed, or what is wrong."""
    route = _route(call)
    _, about, subresource = route
    if route in _RECEIVERS or route in _OPERATIONS:
        require_permissions(call, route)
    if receiver := _RECEIVERS.get(route):
        return receiver(call)
    if operation := _OPERATIONS.get(route):
        # Completing an upload, the headers give the checksum the object must come to.
        is_of_body = operation is not uploads.complete_multipart_upload
        return Document(call, operation, checksum_is_of_body=is_of_body)
    if subresource:
        raise _not_implemented(call.method, f"?{subresource}")
    raise S3Error("MethodNotAllowed", details={"Method": call.method, "ResourceType": about.upper()})


class Asked(Protocol):
    """As much of a request as says what it asks for, whoever signed it."""

    @property
    def method(self) -> str: ...
    @property
    def bucket(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def query(self) -> Mapping[str, str]: ...
    @property
    def headers(self) -> Mapping[str, str]: ...


def operation_name(asked: Asked) -> str:
    """The name of what is asked for, as S3's API reference has it; "" for what is not done here."""
    try:
        route = _route(asked)
    except S3Error:
        return ""
    operation = _OPERATIONS.get(route) or _RECEIVERS.get(route)
    return _named(route[0], operation) if operation is not None else ""


def _named(method: str, operation: Callable[[Call], object]) -> str:
    name: str = operation.__name__
    words = "".join(word.capitalize() for word in name.split("_")) if name.islower() or "_" in name else name
    return words.replace("Get", "Head", 1) if method == "HEAD" else words


def _route(call: Asked) -> tuple[str, str, str]:
    about = "object" if call.key else "bucket" if call.bucket else "service"
    subresource = _subresource(call)
    if "x-amz-copy-source" in call.headers and call.method == "PUT" and about == "object":
        subresource = f"{subresource} copy".strip()
    return call.method, about, subresource


def _subresource(call: Asked) -> str:
    found = ""
    for name in call.query:
        if name in _SUBRESOURCES and not found:
            found = name
        # An unknown one could turn creating a bucket into something else, so none is passed over.
        elif name not in _REFINEMENTS and not name.startswith(("X-Amz-", "x-amz-", "response-")):
            raise _not_implemented(call.method, f"?{name}")
    return found


def _not_implemented(method: str, what: str) -> S3Error:
    return S3Error("NotImplemented", f"{method} with {what} is not implemented by this S3.", details={"Header": what})


def operation_names(methods: Collection[str] = ("GET", "HEAD", "PUT", "POST", "DELETE")) -> frozenset[str]:
    """The names of what is really done by requests of these methods."""
    done = [*_OPERATIONS.items(), *_RECEIVERS.items()]
    return frozenset(_named(route[0], operation) for route, operation in done if route[0] in methods)


#: The operations that change what others see.
CHANGES = operation_names(("PUT", "POST", "DELETE")) - _UNSEEN
