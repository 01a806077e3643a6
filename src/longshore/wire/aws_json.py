"""AWS JSON 1.x, both ways: a request's body into an operation's input, its output into a response's body."""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from botocore.model import OperationModel

from longshore.wire.documents import (
    COMMON_DECODERS,
    COMMON_ENCODERS,
    NUMBER,
    DocumentDecoders,
    DocumentEncoders,
    encode_timestamp,
    finite,
    kind,
    refuse,
)
from longshore.wire.protocol import (
    LOOK_UP,
    MAX_DEPTH,
    Answer,
    Codec,
    MalformedError,
    PlansByService,
    Protocol,
    Request,
    in_our_years,
    operation_of,
    time_from_text,
    unknown_operation,
)
from longshore.wire.service import AwsError, Service


class AwsJson(Protocol):
    """AWS JSON: the operation in the header ``X-Amz-Target``, the input in the body."""

    name = "json"

    def __init__(self, services: Iterable[Service]) -> None:
        super().__init__(services)
        self._by_prefix = {prefix: service for service in self.services for prefix in service.target_prefixes}
        self._plans = PlansByService(self.services, Decoders, Encoders)

    def serves(self, target: str) -> bool:
        """Does this X-Amz-Target name one of the services here?"""
        return target.partition(".")[0] in self._by_prefix

    def is_in(self, headers: Mapping[str, str], _query: str) -> bool:
        return "x-amz-target" in headers

    def asks_for(self, request: Request) -> str:
        return request.headers.get("x-amz-target", "")

    def find(self, asked: str) -> tuple[Service, OperationModel]:
        if not asked:
            raise AwsError(
                "MissingAction", f"The request names no operation: it has no X-Amz-Target header. {LOOK_UP}", 400
            )
        prefix, _, name = asked.partition(".")
        service = self._by_prefix.get(prefix)
        operation = operation_of(service, name) if service is not None else None
        if service is None or operation is None:
            raise unknown_operation(asked)
        return service, operation

    def codec(self, service: Service, operation: OperationModel) -> Codec:
        decode, encode = self._plans.decoder(service, operation), self._plans.encoder(service, operation)
        media_type = _media_type(operation)
        return Codec(
            decode=lambda request: decode(parse(request.body)),
            encode=lambda output, _request_id: render(encode(output)) if output else b"{}",
            content_types=frozenset({media_type, "application/json"}),
            headers=((b"content-type", media_type.encode()),),
        )

    def error(self, error: AwsError, _request_id: str, operation: OperationModel | None) -> Answer:
        headers = (
            (b"content-type", _media_type(operation).encode()),
            (b"x-amzn-errortype", error.code.encode("latin-1", "replace")),
        )
        return Answer(error.status, headers, render_error(error.code, error.message))


def _media_type(operation: OperationModel | None) -> str:
    version = operation.metadata.get("jsonVersion", "1.1") if operation is not None else "1.1"
    return f"application/x-amz-json-{version}"


def parse(body: bytes) -> dict[str, Any]:
    """The JSON object of a body; an empty body is an empty object. Raises MalformedError.

    Refuses what JSON leaves open and later stages could not store or answer: NaN, lone surrogates, deep nesting.
    """
    if not body:
        return {}
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as problem:
        raise MalformedError(f"The body is not JSON: {str(problem)[:200]}") from None
    if type(document) is not dict:
        raise MalformedError(f"The body must be a JSON object, not {kind(document)}.")
    if body.count(b"{") + body.count(b"[") > MAX_DEPTH and _is_deeper(document, MAX_DEPTH):
        raise MalformedError(f"The body nests deeper than {MAX_DEPTH} levels.")
    return document


def _is_deeper(document: Any, limit: int) -> bool:
    level = [document]
    for _ in range(limit):
        below: list[Any] = []
        for value in level:
            if type(value) is dict:
                below += [item for item in value.values() if type(item) in (dict, list)]
            else:
                below += [item for item in value if type(item) in (dict, list)]
        if not below:
            return False
        level = below
    return True


def _decode_float(node: Any) -> float:
    if node in ("NaN", "Infinity", "-Infinity"):  # how the protocol spells what JSON cannot
        return float(node)
    return finite(node)


def _decode_timestamp(node: Any) -> float:
    return time_from_text(node) if type(node) is str else in_our_years(finite(node))


def _decode_blob(node: Any) -> bytes:
    if type(node) is not str:
        refuse("a base64 string", node)
    try:
        return base64.b64decode(node, validate=True)
    except (binascii.Error, ValueError):
        raise MalformedError("expected a base64 string") from None


class Decoders(DocumentDecoders):
    """Plans from parsed JSON to Python values."""

    scalars = COMMON_DECODERS | {
        "float": _decode_float,
        "double": _decode_float,
        "timestamp": _decode_timestamp,
        "blob": _decode_blob,
    }


def _encode_float(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _encode_blob(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


class Encoders(DocumentEncoders):
    """Plans from Python values to what ``render`` writes."""

    scalars = COMMON_ENCODERS | {
        "float": (_encode_float, NUMBER),
        "double": (_encode_float, NUMBER),
        "timestamp": (encode_timestamp, NUMBER),
        "blob": (_encode_blob, (bytes, bytearray, memoryview)),
    }


def render(document: Any) -> bytes:
    """A document as the body of a response. No text that has come as far as here can fail to be written."""
    try:
        return orjson.dumps(document)
    except TypeError:  # the name of a file, say, that is no UTF-8
        return json.dumps(document, separators=(",", ":"), allow_nan=False).encode()


def render_error(code: str, message: str) -> bytes:
    return render({"__type": code, "message": message})
