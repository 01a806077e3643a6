"""The AWS query protocol, both ways: form-encoded parameters into an operation's input, its output into XML.

A parameter's name is the path to its value: ``Tags.member.2.Key=stage``. A request says ``Action`` and ``Version``, and
which service is meant by what it is signed for.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, ClassVar, Final
from urllib.parse import parse_qsl, unquote_plus

from botocore.model import ListShape, MapShape, OperationModel, Shape, StructureShape

from longshore.wire.protocol import (
    LOOK_UP,
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
    signing_name,
    time_from_text,
    whole,
)
from longshore.wire.service import AwsError, Service
from longshore.wire.shapes import Plans

#: How many parameters a request may have.
MAX_PARAMETERS = 10_000

_FORM = "application/x-www-form-urlencoded"
_XML = ((b"content-type", b"text/xml"),)

#: What the endpoint and authentication raise, in this protocol's words: code and HTTP status (IAM API reference, Common
#: Errors; its own documents are JSON's).
_COMMON: Final[Mapping[str, tuple[str, int]]] = {
    "AccessDeniedException": ("AccessDenied", 403),
    "ExpiredTokenException": ("ExpiredToken", 403),
    "IncompleteSignatureException": ("IncompleteSignature", 400),
    "InvalidSignatureException": ("SignatureDoesNotMatch", 403),
    "MissingAuthenticationTokenException": ("MissingAuthenticationToken", 403),
    "SerializationException": ("MalformedInput", 400),
    "UnknownOperationException": ("InvalidAction", 400),
    "UnrecognizedClientException": ("InvalidClientTokenId", 403),
    "ValidationException": ("ValidationError", 400),
}


class AwsQuery(Protocol):
    """The query protocol, for the services that are asked for by the name in a signature's scope."""

    name = "query"
    methods = frozenset({"POST", "GET"})
    #: What the endpoint and authentication raise, in this protocol's words: code and HTTP status.
    common: ClassVar[Mapping[str, tuple[str, int]]] = _COMMON

    def __init__(self, services: Iterable[Service]) -> None:
        super().__init__(services)
        #: Several may share a name, and differ by version.
        self._by_signing_name: dict[str, list[Service]] = {}
        for service in self.services:
            for name in service.signing_names:
                self._by_signing_name.setdefault(name, []).append(service)
        self._plans = self.plans()

    def plans(self) -> PlansByService:
        """What reads the inputs and writes the outputs."""
        return PlansByService(self.services, Decoders, Encoders)

    def is_in(self, headers: Mapping[str, str], query: str) -> bool:
        return headers.get("content-type", "").startswith(_FORM) or _action(query) != ""

    def asks_for(self, request: Request) -> str:
        """``<signing name>/<version>/<action>``."""
        form = f"{request.query}&{request.body.decode('latin-1')}"
        scope = signing_name(
            request.headers.get("authorization", "").encode("latin-1"), request.query.encode("latin-1")
        )
        action = _action(form)
        return f"{scope or ''}/{_version(form)}/{action}" if action else ""

    def find(self, asked: str) -> tuple[Service, OperationModel]:
        if not asked:
            raise AwsError("MissingAction", "The request has no parameter Action, which names the operation.", 400)
        scope, version, action = asked.split("/", 2)
        # One that is not signed is still told so, rather than that there is no such service.
        for service in self._by_signing_name.get(scope, ()) if scope else self.services:
            if version != service.model.api_version:
                continue
            operation = operation_of(service, action)
            if operation is not None:
                return service, operation
        shown = version[:20] or "NO_VERSION_SPECIFIED"
        unknown = f"Could not find operation {action[:100]} for version {shown}. {LOOK_UP}"
        raise AwsError("UnknownOperationException", unknown, 400)

    def codec(self, service: Service, operation: OperationModel) -> Codec:
        decode = self._plans.decoder(service, operation)
        encode = self._plans.encoder(service, operation)

        def write(output: Mapping[str, Any], request_id: str) -> bytes:
            return self.document(operation, encode(output) or "", request_id).encode()

        return Codec(
            decode=lambda request: decode(parse(_parameters(request))),
            encode=write,
            content_types=frozenset(),  # what came here is a form, or has its parameters in the address
            headers=_XML,
        )

    def error(self, error: AwsError, request_id: str, operation: OperationModel | None) -> Answer:
        code, status = self._as_modelled(error, operation)
        inside = element("Code", escaped(code)) + element("Message", escaped(error.message))
        return Answer(status, _XML, self.error_document(inside, status, request_id, operation).encode())

    def document(self, operation: OperationModel, result: str, request_id: str) -> str:
        """The answer that says this result."""
        wrapper = operation.output_shape.serialization.get("resultWrapper") if operation.output_shape else None
        if wrapper:
            result = element(wrapper, result)
        name = operation.name
        metadata = element("ResponseMetadata", element("RequestId", request_id))
        return f"<{name}Response{namespace(operation)}>{result}{metadata}</{name}Response>\n"

    def error_document(self, inside: str, status: int, request_id: str, operation: OperationModel | None) -> str:
        """The answer that says an error; `inside` are its code and message."""
        blamed = element("Type", "Sender" if status < 500 else "Receiver")
        parts = element("Error", blamed + inside) + element("RequestId", request_id)
        space = namespace(operation) if operation is not None else ""
        return f"<ErrorResponse{space}>{parts}</ErrorResponse>\n"

    def _as_modelled(self, error: AwsError, operation: OperationModel | None) -> tuple[str, int]:
        """Code and status of an error: what the model says of an exception of that name, else what is common.

        Models of this protocol name an exception ``NoSuchEntityException`` and say that its code is ``NoSuchEntity``.
        """
        for shape in operation.error_shapes if operation is not None else ():
            said = shape.metadata.get("error", {})
            if error.code in (shape.name, said.get("code")):
                return said.get("code", shape.name), said.get("httpStatusCode", error.status)
        return self.common.get(error.code, (error.code, error.status))


def namespace(operation: OperationModel) -> str:
    """The attribute of the outermost element that names its namespace; "" for a service that has none."""
    return f' xmlns="{escaped(operation.metadata["xmlNamespace"])}"' if "xmlNamespace" in operation.metadata else ""


def _parameter(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?:^|&){name}=([^&]*)")


_ACTION, _VERSION = _parameter("Action"), _parameter("Version")


def _action(form: str) -> str:
    found = _ACTION.search(form)
    return unquote_plus(found[1]) if found else ""


def _version(form: str) -> str:
    found = _VERSION.search(form)
    return unquote_plus(found[1]) if found else ""


def _parameters(request: Request) -> str:
    try:
        body = request.body.decode("ascii")
    except UnicodeDecodeError:
        raise MalformedError("The body is not form-encoded: it has bytes that must be escaped.") from None
    return f"{request.query}&{body}" if request.query else body


def parse(form: str) -> dict[str, Any]:
    """The parameters as the tree that their names are paths into, with text at the leaves. Raises MalformedError."""
    try:
        pairs = parse_qsl(form, keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS)
    except UnicodeDecodeError:
        raise MalformedError("A parameter is not UTF-8.") from None
    except ValueError:
        raise MalformedError(f"The request has more than {MAX_PARAMETERS} parameters.") from None
    tree: dict[str, Any] = {}
    for name, value in pairs:
        *way, last = name.split(".", MAX_DEPTH)
        if "." in last:
            raise MalformedError(f"The parameter {name[:100]} is deeper than {MAX_DEPTH} levels.")
        node = tree
        for part in way:
            node = node.setdefault(part, {})
            if type(node) is not dict:
                break
        if type(node) is not dict or last in node:
            raise MalformedError(f"The parameter {name[:100]} is given twice, or both by itself and in parts.")
        node[last] = value
    return tree


class Decoders(Plans[Any]):
    """Plans from the tree of parameters to Python values. They raise MalformedError with the path of what is wrong."""

    def name_in(self, shape: Shape, member: str) -> str:
        """What a member is called in requests."""
        return _name_in(shape, member)

    def between(self, shape: ListShape) -> str | None:
        """What stands between the name of a list and the numbers of its items."""
        return None if _is_flat(shape) else shape.member.serialization.get("name", "member")

    def structure(self, shape: StructureShape, members: Mapping[str, Plan]) -> Plan:
        wanted = [(self.name_in(shape.members[name], name), name, decode) for name, decode in members.items()]

        def decode_structure(node: Any) -> dict[str, Any]:
            values = {}
            parts = _parts(node)
            for part, name, decode in wanted:
                if (item := parts.get(part)) is not None:
                    try:
                        values[name] = decode(item)
                    except MalformedError as problem:
                        problem.path.append(part)
                        raise
            return values

        return decode_structure

    def list(self, shape: ListShape, member: Plan) -> Plan:
        between = self.between(shape)

        def decode_list(node: Any) -> list[Any]:
            values: list[Any] = []
            for item in _numbered(node, between):
                try:
                    values.append(member(item))
                except MalformedError as problem:
                    problem.path.append(len(values))
                    raise
            return values

        return decode_list

    def map(self, shape: MapShape, key: Plan, value: Plan) -> Plan:
        between = None if _is_flat(shape) else "entry"
        key_name, value_name = _names_of_entry(shape)

        def decode_map(node: Any) -> dict[str, Any]:
            values: dict[str, Any] = {}
            for entry in _numbered(node, between):
                parts = _parts(entry)
                if key_name not in parts or value_name not in parts:
                    raise MalformedError(f"an entry has a {key_name} and a {value_name}; this one does not")
                name = key(parts[key_name])
                try:
                    values[name] = value(parts[value_name])
                except MalformedError as problem:
                    problem.path.append(name)
                    raise
            return values

        return decode_map

    def scalar(self, shape: Shape) -> Plan:
        read = _SCALAR_DECODERS[shape.type_name]

        def decode_scalar(node: Any) -> Any:
            if type(node) is not str:
                expected("a value", "parts of one")
            return read(node)

        return decode_scalar


def _parts(node: Any) -> dict[str, Any]:
    """What a structure, list or map is made of; an empty text is how the protocol writes an empty one."""
    if node == "":
        return {}
    if type(node) is not dict:
        expected("parts", "a value")
    return node


def _numbered(node: Any, between: str | None) -> list[Any]:
    """The items of a list or map, in the order of their numbers; there may be gaps."""
    parts = _parts(node)
    if between is not None and parts:
        if parts.keys() != {between}:
            raise MalformedError(f"expected {between}.1, {between}.2 and so on")
        parts = _parts(parts[between])
    if not all(_NUMBER.fullmatch(number) for number in parts):
        raise MalformedError("items are numbered from 1 on")
    return [parts[number] for number in sorted(parts, key=int)]


_NUMBER = re.compile("[1-9][0-9]{0,8}")


def _is_flat(shape: Shape) -> bool:
    return bool(shape.serialization.get("flattened"))


def _name_in(shape: Shape, member: str) -> str:
    """What a member is called in requests and answers; a flat list goes by the name of its items if they have one."""
    if isinstance(shape, ListShape) and _is_flat(shape) and (name := shape.member.serialization.get("name")):
        return str(name)
    return str(shape.serialization.get("name", member))


def _names_of_entry(shape: MapShape) -> tuple[str, str]:
    return shape.key.serialization.get("name", "key"), shape.value.serialization.get("name", "value")


def _decode_boolean(text: str) -> bool:
    if text not in ("true", "false"):
        expected("true or false", "another text")
    return text == "true"


def _integer_decoder(bits: int) -> Plan:
    def decode_integer(text: str) -> int:
        if not _INTEGER.fullmatch(text):
            expected("an integer", "another text")
        return whole(int(text), bits)

    return decode_integer


_INTEGER = re.compile("[-+]?[0-9]{1,20}")


def _decode_float(text: str) -> float:
    if text in ("NaN", "Infinity", "-Infinity"):
        return float(text)
    if not _FLOAT.fullmatch(text):
        expected("a number", "another text")
    number = float(text)
    if not math.isfinite(number):
        raise MalformedError("the number is too large")
    return number


_FLOAT = re.compile("[-+]?[0-9]{1,400}([.][0-9]{0,400})?([eE][-+]?[0-9]{1,4})?")


def _decode_timestamp(text: str) -> float:
    if _FLOAT.fullmatch(text):
        return in_our_years(_decode_float(text))
    try:
        return parsedate_to_datetime(text).timestamp()
    except ValueError:
        return time_from_text(text)


def _decode_blob(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        expected("a base64 text", "another text")


def _as_it_is(text: str) -> str:
    return text


_SCALAR_DECODERS: Mapping[str, Plan] = {
    "string": _as_it_is,
    "character": _as_it_is,
    "boolean": _decode_boolean,
    "byte": _integer_decoder(8),
    "short": _integer_decoder(16),
    "integer": _integer_decoder(32),
    "long": _integer_decoder(64),
    "float": _decode_float,
    "double": _decode_float,
    "timestamp": _decode_timestamp,
    "blob": _decode_blob,
}


class Encoders(Plans[Any]):
    """Plans from Python values to the XML inside the element they are in. They raise WrongOutputError."""

    def structure(self, shape: StructureShape, members: Mapping[str, Plan]) -> Plan:
        inside = {name: _within(shape.members[name], name, encode) for name, encode in members.items()}

        def encode_structure(value: Any) -> str:
            written = []
            for name, item in value.items():
                if item is not None:
                    if name not in inside:
                        raise WrongOutputError(f"{shape.name} has no member {name!r}")
                    written.append(inside[name](item))
            return "".join(written)

        return encode_structure

    def list(self, shape: ListShape, member: Plan) -> Plan:
        if _is_flat(shape):
            return lambda value: [member(item) for item in value]
        name = shape.member.serialization.get("name", "member")
        return lambda value: "".join(element(name, member(item)) for item in value)

    def map(self, shape: MapShape, key: Plan, value: Plan) -> Plan:
        key_name, value_name = _names_of_entry(shape)

        def entries(values: Any) -> list[str]:
            return [
                element(key_name, key(name)) + element(value_name, value(item))
                for name, item in values.items()
                if item is not None
            ]

        if _is_flat(shape):
            return entries
        return lambda values: "".join(element("entry", entry) for entry in entries(values))

    def scalar(self, shape: Shape) -> Plan:
        write, types = _SCALAR_ENCODERS[shape.type_name]

        def encode_scalar(value: Any) -> str:
            if not isinstance(value, types):
                raise WrongOutputError(f"{shape.name} is a {shape.type_name}, not {type(value).__name__}")
            written: str = write(value)
            return written

        return encode_scalar


def _within(shape: Shape, member: str, encode: Plan) -> Plan:
    """The plan of a member: its element around what is in it, or one around each item of a flat list or map."""
    name = _name_in(shape, member)
    if _is_flat(shape):
        return lambda value: "".join(element(name, item) for item in encode(value))
    return lambda value: element(name, encode(value))


def element(name: str, inside: str) -> str:
    """An element of XML; `inside` is XML too."""
    return f"<{name}>{inside}</{name}>" if inside else f"<{name}/>"


def escaped(text: str) -> str:
    """A text as XML has it. What XML cannot say becomes U+FFFD; a carriage return must be escaped to stay one."""
    if _SPECIAL.search(text) is None:
        return text
    return _SPECIAL.sub(lambda found: _ESCAPES.get(found[0], "\ufffd"), text)


_SPECIAL = re.compile('[\x00-\x08\x0b\x0c\r\x0e-\x1f<>&"\ud800-\udfff\ufffe\uffff]')
_ESCAPES = {"<": "&lt;", ">": "&gt;", "&": "&amp;", '"': "&quot;", "\r": "&#xD;"}


def _encode_boolean(value: bool) -> str:
    return "true" if value else "false"


def _encode_integer(value: int) -> str:
    return f"{value:d}"


def _encode_float(value: float) -> str:
    if math.isfinite(value):
        return repr(value)
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _encode_timestamp(value: float) -> str:
    """ISO 8601 in UTC, with milliseconds where there are any."""
    moment = datetime.fromtimestamp(round(value, 3), UTC)
    return moment.isoformat(timespec="milliseconds" if moment.microsecond else "seconds").replace("+00:00", "Z")


def _encode_blob(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


_NUMBERS = (int, float)

_SCALAR_ENCODERS: Mapping[str, tuple[Plan, type | tuple[type, ...]]] = {
    "string": (escaped, str),
    "character": (escaped, str),
    "boolean": (_encode_boolean, bool),
    "byte": (_encode_integer, int),
    "short": (_encode_integer, int),
    "integer": (_encode_integer, int),
    "long": (_encode_integer, int),
    "float": (_encode_float, _NUMBERS),
    "double": (_encode_float, _NUMBERS),
    "timestamp": (_encode_timestamp, _NUMBERS),
    "blob": (_encode_blob, (bytes, bytearray, memoryview)),
}
