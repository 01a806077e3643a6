"""What S3 answers when it will not: one exception, with S3's code, status and sentence."""

from __future__ import annotations

from collections.abc import Mapping

from longshore.auth import sigv4
from longshore.onebox.machinery import objects
from longshore.onebox.services.s3.xml import document

#: S3's code: HTTP status, and the sentence where a call has nothing better to say.
_KNOWN = {
    "AccessControlListNotSupported": (400, "The bucket does not allow ACLs"),
    "AccessDenied": (403, "Access Denied"),
    "AuthorizationHeaderMalformed": (400, "The authorization header is malformed."),
    "AuthorizationQueryParametersError": (400, "The query parameters of the signature are malformed."),
    "BadDigest": (400, "The Content-MD5 you specified did not match what we received."),
    "BucketAlreadyExists": (
        409,
        "The requested bucket name is not available. The bucket namespace is shared by all users of the system. "
        "Please select a different name and try again.",
    ),
    "BucketAlreadyOwnedByYou": (
        409,
        "Your previous request to create the named bucket succeeded and you already own it.",
    ),
    "BucketNotEmpty": (409, "The bucket you tried to delete is not empty"),
    "ConditionalRequestConflict": (409, "The object changed while the request was under way."),
    "EntityTooLarge": (400, "Your proposed upload exceeds the maximum allowed size"),
    "EntityTooSmall": (400, "Your proposed upload is smaller than the minimum allowed size"),
    "ExpiredToken": (400, "The provided token has expired."),
    "IllegalLocationConstraintException": (
        400,
        "The specified location constraint is incompatible for the region specific endpoint this request was sent to.",
    ),
    "IncompleteBody": (400, "You did not provide the number of bytes specified by the Content-Length HTTP header"),
    "InternalError": (500, "We encountered an internal error. Please try again."),
    "InvalidAccessKeyId": (403, "The AWS Access Key Id you provided does not exist in our records."),
    "InvalidArgument": (400, "Invalid Argument"),
    "InvalidBucketName": (400, "The specified bucket is not valid."),
    "InvalidDigest": (400, "The Content-MD5 you specified was invalid."),
    "InvalidPart": (
        400,
        "One or more of the specified parts could not be found. The part may not have been uploaded, or the "
        "specified entity tag may not match the part's entity tag.",
    ),
    "InvalidPartNumber": (416, "The requested partnumber is not satisfiable"),
    "InvalidPartOrder": (
        400,
        "The list of parts was not in ascending order. The parts list must be specified in order by part number.",
    ),
    "InvalidRange": (416, "The requested range is not satisfiable"),
    "InvalidRequest": (400, "Invalid Request"),
    "InvalidTag": (400, "The tag provided was not a valid tag."),
    "InvalidToken": (400, "The provided token is malformed or otherwise invalid."),
    "InvalidURI": (400, "Couldn't parse the specified URI."),
    "KeyTooLongError": (400, "Your key is too long"),
    "MalformedTrailerError": (400, "The request contained trailing data that was not well-formed."),
    "MalformedXML": (
        400,
        "The XML you provided was not well-formed or did not validate against our published schema",
    ),
    "MetadataTooLarge": (400, "Your metadata headers exceed the maximum allowed metadata size"),
    "MethodNotAllowed": (405, "The specified method is not allowed against this resource."),
    "MissingContentLength": (411, "You must provide the Content-Length HTTP header."),
    "MissingSecurityHeader": (400, "Your request was missing a required header"),
    "NoSuchBucket": (404, "The specified bucket does not exist"),
    "NoSuchKey": (404, "The specified key does not exist."),
    "NoSuchUpload": (
        404,
        "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or "
        "completed.",
    ),
    "NoSuchVersion": (404, "The specified version does not exist."),
    "NotImplemented": (501, "A header or query you provided requests functionality that is not implemented."),
    "NotModified": (304, "Not Modified"),
    "PreconditionFailed": (412, "At least one of the pre-conditions you specified did not hold"),
    "RequestTimeTooSkewed": (403, "The difference between the request time and the current time is too large."),
    "RequestTimeout": (
        400,
        "Your socket connection to the server was not read from or written to within the timeout period. Idle "
        "connections will be closed.",
    ),
    "SignatureDoesNotMatch": (
        403,
        "The request signature we calculated does not match the signature you provided. Check your key and signing "
        "method.",
    ),
    "XAmzContentSHA256Mismatch": (400, "The provided 'x-amz-content-sha256' header does not match what was computed."),
}


class S3Error(Exception):
    """An answer that is an error."""

    def __init__(
        self,
        code: str,
        message: str | None = None,
        *,
        details: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """`details` become elements of the XML, `headers` headers of the response."""
        self.status, sentence = _KNOWN[code]
        self.code = code
        self.message = message or sentence
        self.details = details or {}
        self.headers = headers or {}
        super().__init__(f"{code}: {self.message}")

    def as_xml(self, resource: str, request_id: str) -> bytes:
        """The body of the answer."""
        return document(
            "Error",
            [
                ("Code", self.code),
                ("Message", self.message),
                *self.details.items(),
                ("Resource", resource),
                ("RequestId", request_id),
            ],
            namespace=False,
        )


def from_signature(refused: sigv4.SignatureRefused, *, presigned: bool) -> S3Error:
    """S3's words for a refused signature; they differ from those of the JSON services."""
    match refused:
        case sigv4.MissingAuthenticationToken():
            return S3Error("AccessDenied")
        case sigv4.UnrecognizedClient():
            return S3Error("InvalidAccessKeyId")
        case sigv4.ExpiredToken():
            return S3Error("ExpiredToken")
        case sigv4.SignatureMismatch():
            return S3Error("SignatureDoesNotMatch")
        case sigv4.HeadersNotSigned():
            return S3Error(
                "AccessDenied",
                "There were headers present in the request which were not signed",
                details={"HeadersNotSigned": ", ".join(refused.names)},
            )
        case sigv4.SignatureExpired() if presigned:
            return S3Error("AccessDenied", "Request has expired")
        case sigv4.SignatureNotYetCurrent() if presigned:
            return S3Error("AccessDenied", "Request is not valid yet")
        case sigv4.SignatureExpired() | sigv4.SignatureNotYetCurrent():
            return S3Error("RequestTimeTooSkewed", details={"MaxAllowedSkewMilliseconds": str(sigv4.MAX_SKEW * 1000)})
        case _ if presigned:
            return S3Error("AuthorizationQueryParametersError", refused.message)
        case _:
            return S3Error("AuthorizationHeaderMalformed", f"The authorization header is malformed; {refused.message}")


def from_store(refusal: objects.StoreRefusal) -> S3Error:
    """S3's words for what the store could not do."""
    match refusal:
        case objects.NoSuchBucket():
            return S3Error("NoSuchBucket", details={"BucketName": str(refusal)})
        case objects.NoSuchKey():
            hidden_by = refusal.marker
            headers = {"x-amz-delete-marker": "true", "x-amz-version-id": hidden_by.version_id} if hidden_by else None
            return S3Error("NoSuchKey", details={"Key": str(refusal)}, headers=headers)
        case objects.NoSuchVersion():
            return S3Error("NoSuchVersion", details={"VersionId": str(refusal)})
        case objects.NotAnObject():
            return S3Error(
                "MethodNotAllowed",
                details={"ResourceType": "DeleteMarker"},
                headers={"x-amz-delete-marker": "true", "x-amz-version-id": refusal.marker.version_id},
            )
        case objects.NoSuchUpload():
            return S3Error("NoSuchUpload", details={"UploadId": str(refusal)})
        case objects.InvalidPart():
            return S3Error("InvalidPart")
        case objects.BucketNotEmpty():
            return S3Error("BucketNotEmpty")
        case _:
            return S3Error("InternalError")
