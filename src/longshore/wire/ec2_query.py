"""EC2's own variant of the query protocol: every list is flat, no result is wrapped, errors look like nobody else's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from botocore.model import ListShape, OperationModel, Shape

from longshore.wire.aws_query import AwsQuery, Decoders, Encoders, element, namespace
from longshore.wire.protocol import PlansByService, signing_name

#: What the endpoint and authentication raise, in EC2's words: code and HTTP status (EC2 API reference, Error codes).
_COMMON: Final[Mapping[str, tuple[str, int]]] = {
    "AccessDeniedException": ("UnauthorizedOperation", 403),
    "ExpiredTokenException": ("RequestExpired", 400),
    "IncompleteSignatureException": ("IncompleteSignature", 400),
    "InternalFailure": ("InternalError", 500),
    "InvalidSignatureException": ("AuthFailure", 401),
    "MissingAuthenticationTokenException": ("MissingAuthenticationToken", 403),
    "OperationNotSupportedException": ("UnsupportedOperation", 400),
    "SerializationException": ("InvalidParameterValue", 400),
    "ServiceUnavailable": ("Unavailable", 503),
    "ThrottlingException": ("RequestLimitExceeded", 503),
    "UnknownOperationException": ("InvalidAction", 400),
    "UnrecognizedClientException": ("AuthFailure", 401),
    "ValidationException": ("InvalidParameterValue", 400),
}


class Ec2Query(AwsQuery):
    """The protocol of requests signed for a service that speaks it."""

    name = "ec2"
    common = _COMMON

    def is_in(self, headers: Mapping[str, str], query: str) -> bool:
        signed_for = signing_name(headers.get("authorization", "").encode("latin-1"), query.encode("latin-1"))
        return signed_for in self._by_signing_name and super().is_in(headers, query)

    def plans(self) -> PlansByService:
        return PlansByService(self.services, _Decoders, Encoders)

    def document(self, operation: OperationModel, result: str, request_id: str) -> str:
        name = operation.name
        return f"<{name}Response{namespace(operation)}>{element('requestId', request_id)}{result}</{name}Response>\n"

    def error_document(self, inside: str, _status: int, request_id: str, _operation: OperationModel | None) -> str:
        return f"<Response>{element('Errors', element('Error', inside))}{element('RequestID', request_id)}</Response>\n"


class _Decoders(Decoders):
    """A list's items are numbered right after its name; a name that the model has for answers is capitalised."""

    def name_in(self, shape: Shape, member: str) -> str:
        if (name := shape.serialization.get("queryName")) is not None:
            return str(name)
        name = str(shape.serialization.get("name", member))
        return name[:1].upper() + name[1:]

    def between(self, _shape: ListShape) -> str | None:
        return None
