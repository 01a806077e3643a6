"""Documents: bodies that are parsed into dicts, lists and scalars before a shape is looked at, as JSON and CBOR are.

What a structure, a list and a map are is the same in all of them; each brings its own scalars.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, NoReturn

from botocore.model import ListShape, MapShape, Shape, StructureShape

from longshore.wire.protocol import MalformedError, Plan, WrongOutputError, expected, whole
from longshore.wire.shapes import Plans


class DocumentDecoders(Plans[Any]):
    """Plans from a parsed document to Python values. They raise MalformedError with the path of what is wrong."""

    #: By type name of the model.
    scalars: ClassVar[Mapping[str, Plan]]

    def structure(self, shape: StructureShape, members: Mapping[str, Plan]) -> Plan:
        by_wire_name = {
            shape.members[name].serialization.get("name", name): (name, decode) for name, decode in members.items()
        }

        def decode_structure(node: Any) -> dict[str, Any]:
            if type(node) is not dict:
                refuse("an object", node)
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
                refuse("a list", node)
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
                refuse("an object", node)
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
        return self.scalars[shape.type_name]


class DocumentEncoders(Plans[Any]):
    """Plans from Python values to a document. They raise WrongOutputError."""

    #: By type name of the model: what writes a value, and the types that it may have.
    scalars: ClassVar[Mapping[str, tuple[Plan, type | tuple[type, ...]]]]

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

    def list(self, shape: ListShape, member: Plan) -> Plan:
        def encode_list(value: Any) -> Any:
            return [member(item) for item in value]

        def encode_texts(value: Any) -> Any:
            return value if type(value) is list and set(map(type, value)) <= _ONLY_TEXTS else encode_list(value)

        # A page of names is a hundred of them, and they are written as they are.
        is_of_texts = shape.member.type_name == "string" and self.scalars["string"][0] is as_it_is
        return encode_texts if is_of_texts else encode_list

    def map(self, _shape: MapShape, key: Plan, value: Plan) -> Plan:
        return lambda entries: {key(name): value(item) for name, item in entries.items() if item is not None}

    def scalar(self, shape: Shape) -> Plan:
        encode, types = self.scalars[shape.type_name]

        def encode_scalar(value: Any) -> Any:
            if not isinstance(value, types):
                raise WrongOutputError(f"{shape.name} is a {shape.type_name}, not {type(value).__name__}")
            return encode(value)

        def check_scalar(value: Any) -> Any:
            if not isinstance(value, types):
                raise WrongOutputError(f"{shape.name} is a {shape.type_name}, not {type(value).__name__}")
            return value

        return check_scalar if encode is as_it_is else encode_scalar


_ONLY_TEXTS = frozenset({str})


def refuse(what: str, node: Any) -> NoReturn:
    """Say what was expected, and what came."""
    expected(what, kind(node))


def kind(node: Any) -> str:
    """What a part of a document is, in words."""
    return _KINDS.get(type(node), "another kind of value")


_KINDS: Mapping[type, str] = {
    dict: "an object",
    list: "a list",
    str: "a string",
    bytes: "bytes",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    type(None): "null",
}


def decode_string(node: Any) -> str:
    if type(node) is not str:
        refuse("a string", node)
    return node


def decode_boolean(node: Any) -> bool:
    if type(node) is not bool:
        refuse("a boolean", node)
    return node


#: As far as floats hold every whole number.
_EXACT = 2.0**53


def _integer_decoder(bits: int) -> Plan:
    def decode_integer(node: Any) -> int:
        # 1e3, and clients that write every number as a float; a larger one is no longer what was written.
        if type(node) is float and node.is_integer() and abs(node) <= _EXACT:
            node = int(node)
        if type(node) is not int:
            refuse("an integer", node)
        return whole(node, bits)

    return decode_integer


def finite(node: Any) -> float:
    """A number that is one. Raises MalformedError."""
    if type(node) is not float and type(node) is not int:
        refuse("a number", node)
    try:
        number = float(node)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise MalformedError("the number is too large")
    return number


def as_it_is(value: Any) -> Any:
    """A text, or a document inside the document."""
    return value


def encode_timestamp(value: float) -> float:
    """Epoch seconds, to the millisecond as AWS gives them."""
    return round(value, 3)


NUMBER = (int, float)

#: What every kind of document reads alike.
COMMON_DECODERS: dict[str, Plan] = {
    "string": decode_string,
    "character": decode_string,
    "boolean": decode_boolean,
    "byte": _integer_decoder(8),
    "short": _integer_decoder(16),
    "integer": _integer_decoder(32),
    "long": _integer_decoder(64),
    "structure": as_it_is,
}

#: What every kind of document writes alike.
COMMON_ENCODERS: dict[str, tuple[Plan, type | tuple[type, ...]]] = {
    "string": (as_it_is, str),
    "character": (as_it_is, str),
    "boolean": (as_it_is, bool),
    "byte": (as_it_is, int),
    "short": (as_it_is, int),
    "integer": (as_it_is, int),
    "long": (as_it_is, int),
    "structure": (as_it_is, object),
}
