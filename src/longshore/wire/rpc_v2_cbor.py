"""Smithy RPC v2 CBOR, both ways: a request's body into an operation's input, its output into a response's body.

The operation is in the path, ``/service/<service>/operation/<operation>``; the service goes by the name that is the
prefix of its targets in AWS JSON.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, NoReturn

import cbor2
from botocore.model import OperationModel

from longshore.wire.documents import (
    COMMON_DECODERS,
    COMMON_ENCODERS,
    NUMBER,
    DocumentDecoders,
    DocumentEncoders,
    encode_timestamp,
    kind,
    refuse,
)
from longshore.wire.protocol import (
    MAX_DEPTH,
    Answer,
    Codec,
    MalformedError,
    PlansByService,
    Protocol,
    Request,
    in_our_years,
    operation_of,
    unknown_operation,
)
from longshore.wire.service import AwsError, Service

_CBOR: Final = "application/cbor"
_NAME: Final = "rpc-v2-cbor"
#: Every answer of this protocol, errors included, says that it is one.
_SPOKEN: Final = (b"smithy-protocol", _NAME.encode())
_HEADERS: Final = (_SPOKEN, (b"content-type", _CBOR.encode()))

_PATH = re.compile("/service/([^/]+)/operation/([^/]+)")


class RpcV2Cbor(Protocol):
    """Smithy RPC v2 with CBOR bodies, told by the header ``smithy-protocol``."""

    name = "smithy-rpc-v2-cbor"

    def __init__(self, services: Iterable[Service]) -> None:
        super().__init__(services)
        self._by_prefix = {prefix: service for service in self.services for prefix in service.target_prefixes}
        self._plans = PlansByService(self.services, Decoders, Encoders)

    def is_in(self, headers: Mapping[str, str], _query: str) -> bool:
        return "smithy-protocol" in headers

    def asks_for(self, request: Request) -> str:
        if request.headers["smithy-protocol"] != _NAME:
            raise AwsError("UnknownOperationException", f"Of Smithy's protocols, only {_NAME} is spoken here.", 404)
        if "x-amz-target" in request.headers:
            # Two names for one request: who reads the one must not be misled by the other (the protocol's own rule).
            raise AwsError("SerializationException", f"A request in {_NAME} has no X-Amz-Target header.", 400)
        return request.path

    def find(self, asked: str) -> tuple[Service, OperationModel]:
        named = _PATH.fullmatch(asked)
        service = self._by_prefix.get(named[1]) if named else None
        operation = operation_of(service, named[2]) if named and service is not None else None
        if service is None or operation is None:
            raise unknown_operation(asked)
        return service, operation

    def codec(self, service: Service, operation: OperationModel) -> Codec:
        decode, encode = self._plans.decoder(service, operation), self._plans.encoder(service, operation)
        has_output = operation.output_shape is not None
        return Codec(
            decode=lambda request: decode(parse(request.body)),
            encode=lambda output, _request_id: cbor2.dumps(encode(output)) if output or has_output else b"",
            content_types=frozenset({_CBOR}) if operation.input_shape is not None else frozenset(),
            headers=_HEADERS if has_output else (_SPOKEN,),
        )

    def error(self, error: AwsError, _request_id: str, _operation: OperationModel | None) -> Answer:
        message = error.message.encode("utf-8", "replace").decode()
        return Answer(error.status, _HEADERS, cbor2.dumps({"__type": error.code, "message": message}))


class Moment(float):
    """What stood under the tag for a time, in epoch seconds: no other member takes it for a number."""


def parse(body: bytes) -> dict[str, Any]:
    """The CBOR map of a body; an empty body is an empty map. Raises MalformedError.

    Times are Moments. Every other tag is refused before it can do what it stands for: large numbers, regular
    expressions, values that hold themselves. So are repeated keys, keys that are no text, and deep nesting.
    """
    if not body:
        return {}
    stream = io.BytesIO(body)
    decoder = cbor2.CBORDecoder(
        stream,
        tag_hook=_no_tag,
        semantic_decoders=_TAGS,
        max_depth=MAX_DEPTH,
        allow_duplicate_keys=False,
        strict_hashable_types=True,
    )
    try:
        document = decoder.decode()
    except (cbor2.CBORDecodeError, MalformedError) as problem:
        inner = problem if isinstance(problem, MalformedError) else problem.__cause__
        said = inner if isinstance(inner, MalformedError) else problem
        raise MalformedError(f"The body is not CBOR as this protocol has it: {str(said)[:200]}") from None
    if stream.tell() != len(body):
        raise MalformedError("The body is not CBOR as this protocol has it: something follows the value.")
    if b"\xf7" in body:
        document = _undefined_is_null(document)
    if type(document) is not dict:
        raise MalformedError(f"The body must be a CBOR map, not {kind(document)}.")
    return document


def _no_tag(_value: Any, _immutable: bool) -> NoReturn:
    raise MalformedError("the only tag here is that of a time")


def _moment(value: Any, _immutable: bool) -> Moment:
    if type(value) not in NUMBER:
        refuse("a number of epoch seconds", value)
    return Moment(in_our_years(value))


#: The tags that cbor2 knows; those it does not go to the hook.
_TAGS: Final = {
    **dict.fromkeys(
        (0, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004, 43000, 55799), _no_tag
    ),
    1: _moment,
}


def _undefined_is_null(node: Any) -> Any:
    if type(node) is dict:
        return {name: _undefined_is_null(item) for name, item in node.items()}
    if type(node) is list:
        return [_undefined_is_null(item) for item in node]
    return None if node is cbor2.undefined else node


def _decode_float(node: Any) -> float:
    if type(node) not in NUMBER:
        refuse("a number", node)
    return float(node)


def _decode_timestamp(node: Any) -> float:
    if type(node) is not Moment:
        refuse("a time, tagged as one", node)
    return float(node)


def _decode_blob(node: Any) -> bytes:
    if type(node) is not bytes:
        refuse("bytes", node)
    return node


class Decoders(DocumentDecoders):
    """Plans from parsed CBOR to Python values."""

    scalars = COMMON_DECODERS | {
        "float": _decode_float,
        "double": _decode_float,
        "timestamp": _decode_timestamp,
        "blob": _decode_blob,
    }


class Encoders(DocumentEncoders):
    """Plans from Python values to what cbor2 writes."""

    scalars = COMMON_ENCODERS | {
        "float": (float, NUMBER),
        "double": (float, NUMBER),
        "timestamp": (lambda value: cbor2.CBORTag(1, encode_timestamp(value)), NUMBER),
        "blob": (bytes, (bytes, bytearray, memoryview)),
    }
