"""AWS JSON 1.x, both ways: a request's body into an operation's input, its output into a response's body."""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from botocore.model import ListShape, MapShape, OperationModel, Shape, StructureShape

from longshore.wire.protocol import (
    MAX_DEPTH,
    Answer,
    Codec,
    MalformedError,
    Plan,
    PlansByService,
    Protocol,
    Request,
    WrongOutputError,
    expected,
    in_our_years,
    operation_of,
    time_from_text,
    whole,
)
from longshore.wire.service import AwsError, Service
from longshore.wire.shapes import Plans


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
            raise AwsError("MissingAction", "The request names no operation: it has no X-Amz-Target header.", 400)
        prefix, _, name = asked.partition(".")
        service = self._by_prefix.get(prefix)
        operation = operation_of(service, name) if service is not None else None
        if service is None or operation is None:
            raise AwsError("UnknownOperationException", f"No operation {asked[:200]!r} is known here.", 404)
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
        document = _parsed(body.decode("utf-8"))
    except UnicodeDecodeError:
        raise MalformedError("The body is not UTF-8.") from None
    except RecursionError:
        raise MalformedError(f"The body nests deeper than {MAX_DEPTH} levels.") from None
    except ValueError as problem:  # JSONDecodeError is one, and so is an integer of too many digits
        raise MalformedError(f"The body is not JSON: {str(problem)[:200]}") from None
    if type(document) is not dict:
        raise MalformedError(f"The body must be a JSON object, not {_kind(document)}.")
    if body.count(b"{") + body.count(b"[") > MAX_DEPTH and _is_deeper(document, MAX_DEPTH):
        raise MalformedError(f"The body nests deeper than {MAX_DEPTH} levels.")
    if _surrogate(body) and _has_lone_surrogates(document):
        raise MalformedError("The body holds half of a surrogate pair, which is no character.")
    return document


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


_decoder = json.JSONDecoder(parse_constant=_no_constant)


def _parsed(text: str) -> Any:
    """The document in a text. `decode` alone would do; it spends half its time looking for white space around it."""
    try:
        document, end = _decoder.raw_decode(text)
    except json.JSONDecodeError:
        end = -1
    return document if end == len(text) else _decoder.decode(text)


#: Finds what may be an escaped half of a surrogate pair.
_surrogate = re.compile(rb"\\u[dD]").search


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


def _has_lone_surrogates(document: Any) -> bool:
    try:
        json.dumps(document, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


class Decoders(Plans[Any]):
    """Plans from parsed JSON to Python values. They raise MalformedError with the path of what is wrong."""

    def structure(self, shape: StructureShape, members: Mapping[str, Plan]) -> Plan:
        by_wire_name = {
            shape.members[name].serialization.get("name", name): (name, decode) for name, decode in members.items()
        }

        def decode_structure(node: Any) -> dict[str, Any]:
            if type(node) is not dict:
                _expected("an object", node)
            values = {}
            wire_name = ""
            try:
                for wire_name, item in node.items():
                    if item is not None and (known := by_wire_name.get(wire_name)) is not None:
                        name, decode = known
                        values[name] = decode(item)
            except MalformedError as problem:
                problem.path.append(wire_name)
                raise
            return values

        return decode_structure

    def list(self, _shape: ListShape, member: Plan) -> Plan:
        def decode_list(node: Any) -> list[Any]:
            if type(node) is not list:
                _expected("a list", node)
            values: list[Any] = []
            try:
                values.extend(map(member, node))
            except MalformedError as problem:
                problem.path.append(len(values))  # what came before the wrong item was kept
                raise
            return values

        return decode_list

    def map(self, _shape: MapShape, key: Plan, value: Plan) -> Plan:
        def decode_map(node: Any) -> dict[str, Any]:
            if type(node) is not dict:
                _expected("an object", node)
            values = {}
            name = ""
            try:
                for name, item in node.items():
                    values[key(name)] = value(item)
            except MalformedError as problem:
                problem.path.append(name)
                raise
            return values

        return decode_map

    def scalar(self, shape: Shape) -> Plan:
        return _SCALAR_DECODERS[shape.type_name]


def _expected(what: str, node: Any) -> NoReturn:
    expected(what, _kind(node))


def _kind(node: Any) -> str:
    return {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}.get(
        type(node), "a number"
    )


def _decode_string(node: Any) -> str:
    if type(node) is not str:
        _expected("a string", node)
    return node


def _decode_boolean(node: Any) -> bool:
    if type(node) is not bool:
        _expected("a boolean", node)
    return node


def _integer_decoder(bits: int) -> Plan:
    def decode_integer(node: Any) -> int:
        if type(node) is float and node.is_integer():  # 1e3, and clients that write every number as a float
            node = int(node)
        if type(node) is not int:
            _expected("an integer", node)
        return whole(node, bits)

    return decode_integer


def _decode_float(node: Any) -> float:
    if node in ("NaN", "Infinity", "-Infinity"):  # how the protocol spells what JSON cannot
        return float(node)
    return _finite(node)


def _decode_timestamp(node: Any) -> float:
    return time_from_text(node) if type(node) is str else in_our_years(_finite(node))


def _finite(node: Any) -> float:
    if type(node) is not float and type(node) is not int:
        _expected("a number", node)
    try:
        number = float(node)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise MalformedError("the number is too large")
    return number


def _decode_blob(node: Any) -> bytes:
    if type(node) is not str:
        _expected("a base64 string", node)
    try:
        return base64.b64decode(node, validate=True)
    except (binascii.Error, ValueError):
        raise MalformedError("expected a base64 string") from None


def _as_it_is(value: Any) -> Any:
    """A document: whatever JSON it is."""
    return value


_SCALAR_DECODERS: Mapping[str, Plan] = {
    "string": _decode_string,
    "character": _decode_string,
    "boolean": _decode_boolean,
    "byte": _integer_decoder(8),
    "short": _integer_decoder(16),
    "integer": _integer_decoder(32),
    "long": _integer_decoder(64),
    "float": _decode_float,
    "double": _decode_float,
    "timestamp": _decode_timestamp,
    "blob": _decode_blob,
    "structure": _as_it_is,
}


class Encoders(Plans[Any]):
    """Plans from Python values to what ``render`` writes. They raise WrongOutputError."""

    def structure(self, shape: StructureShape, members: Mapping[str, Plan]) -> Plan:
        wire_names = {
            name: (shape.members[name].serialization.get("name", name), encode) for name, encode in members.items()
        }

        def encode_structure(value: Any) -> dict[str, Any]:
            node = {}
            for name, item in value.items():
                if item is not None:
                    try:
                        wire_name, encode = wire_names[name]
                    except KeyError:
                        raise WrongOutputError(f"{shape.name} has no member {name!r}") from None
                    node[wire_name] = encode(item)
            return node

        return encode_structure

    def list(self, _shape: ListShape, member: Plan) -> Plan:
        return lambda value: [member(item) for item in value]

    def map(self, _shape: MapShape, key: Plan, value: Plan) -> Plan:
        return lambda entries: {key(name): value(item) for name, item in entries.items() if item is not None}

    def scalar(self, shape: Shape) -> Plan:
        encode, types = _SCALAR_ENCODERS[shape.type_name]

        def encode_scalar(value: Any) -> Any:
            if not isinstance(value, types):
                raise WrongOutputError(f"{shape.name} is a {shape.type_name}, not {type(value).__name__}")
            return encode(value)

        return encode_scalar


def _encode_float(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _encode_timestamp(value: float) -> float:
    """Epoch seconds, to the millisecond as AWS gives them."""
    return round(value, 3)


def _encode_blob(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


_NUMBER = (int, float)

_SCALAR_ENCODERS: Mapping[str, tuple[Plan, type | tuple[type, ...]]] = {
    "string": (_as_it_is, str),
    "character": (_as_it_is, str),
    "boolean": (_as_it_is, bool),
    "byte": (_as_it_is, int),
    "short": (_as_it_is, int),
    "integer": (_as_it_is, int),
    "long": (_as_it_is, int),
    "float": (_encode_float, _NUMBER),
    "double": (_encode_float, _NUMBER),
    "timestamp": (_encode_timestamp, _NUMBER),
    "blob": (_encode_blob, (bytes, bytearray, memoryview)),
    "structure": (_as_it_is, object),
}


def render(document: Any) -> bytes:
    """A document as the body of a response. ASCII only, so that no text a client once sent can fail to be written."""
    return _render(document).encode("ascii")


_render = json.JSONEncoder(separators=(",", ":"), allow_nan=False, check_circular=False).encode


def render_error(code: str, message: str) -> bytes:
    return render({"__type": code, "message": message})
