"""Values of a service model's shapes, in our terms and in botocore's."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.model import ListShape, MapShape, Shape, StructureShape
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from longshore import models

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EXAMPLES = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])

ANY_TEXT = st.text(max_size=20)
#: XML has no way to say the other control characters.
XML_TEXT = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\ufffe\uffff").filter(
        lambda character: character >= " " or character in "\t\n\r"
    ),
    max_size=20,
)


def operations(services: Iterable[str]) -> list[Any]:
    """Every operation of these services, as parameters of a test."""
    return [
        pytest.param(models.load(service).operation_model(name), id=f"{service}.{name}")
        for service in services
        for name in models.load(service).operation_names
    ]


def values(
    shape: Shape | None, *, text: st.SearchStrategy[str] = ANY_TEXT, fill: bool = False
) -> st.SearchStrategy[Any]:
    """Values of a shape in our terms: timestamps are epoch seconds, to the millisecond.

    With `fill`, structures and maps inside others are not empty: some protocols cannot say that they are there.
    """
    if shape is None:
        return st.just({})
    if isinstance(shape, StructureShape):
        members = {name: _inner(member, text, fill) for name, member in shape.members.items()}
        return st.fixed_dictionaries({}, optional=members)
    if isinstance(shape, ListShape):
        return st.lists(_inner(shape.member, text, fill), max_size=3)
    if isinstance(shape, MapShape):
        return st.dictionaries(values(shape.key, text=text), _inner(shape.value, text, fill), max_size=3)
    return text if shape.type_name == "string" else SCALARS[shape.type_name]


def _inner(shape: Shape, text: st.SearchStrategy[str], fill: bool) -> st.SearchStrategy[Any]:
    inner = values(shape, text=text, fill=fill)
    return inner.filter(bool) if fill and isinstance(shape, (StructureShape, MapShape)) else inner


SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "boolean": st.booleans(),
    "integer": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1),
    "timestamp": st.integers(0, 4_000_000_000_000).map(lambda milliseconds: milliseconds / 1000),
    "blob": st.binary(max_size=20),
    "double": st.floats(allow_nan=False, allow_infinity=False),
    "float": st.floats(allow_nan=False, allow_infinity=False),
}


def unusual(shape: Shape | None, *, fill: bool = False) -> list[Any]:
    """Values with every member there: awkward ones, empty ones, huge ones. `fill` as in `values`."""
    if shape is None:
        return [{}]
    return [_everywhere(shape, scalars, length, fill) for scalars, length in ((_AWKWARD, 2), (_EMPTY, 0), (_HUGE, 2))]


def _everywhere(shape: Shape, scalars: dict[str, Any], length: int, fill: bool) -> Any:
    if isinstance(shape, StructureShape):
        return {name: _everywhere(member, scalars, length, fill) for name, member in shape.members.items()}
    if isinstance(shape, ListShape):
        return [_everywhere(shape.member, scalars, length, fill) for _ in range(length)]
    if isinstance(shape, MapShape):
        keys = shape.key.enum if getattr(shape.key, "enum", None) else ["a", "b.1", "\u00e4 b"]
        count = max(length, int(fill))
        return {key: _everywhere(shape.value, scalars, length, fill) for key in keys[:count]}
    return scalars[shape.type_name]


_AWKWARD: dict[str, Any] = {
    "string": " \u00e4\U0001f600 \u2028\x7f'\"\\<&>%00+=&#;,.\t\nnull ",
    "boolean": True,
    "integer": 2**31 - 1,
    "long": 2**63 - 1,
    "timestamp": 1446744188.711,
    "blob": bytes(range(256)),
    "double": 1e-300,
    "float": 1e-300,
}
_EMPTY: dict[str, Any] = {
    "string": "",
    "boolean": False,
    "integer": 0,
    "long": 0,
    "timestamp": 0.0,
    "blob": b"",
    "double": 0.0,
    "float": 0.0,
}
_HUGE: dict[str, Any] = {
    "string": "x\u00e4" * 20_000,
    "boolean": True,
    "integer": -(2**31),
    "long": -(2**63),
    # The last second of the year 9999.
    "timestamp": 253_402_300_799.0,
    "blob": b"\xff\x00" * 50_000,
    "double": 1.7976931348623157e308,
    "float": 1.7976931348623157e308,
}


def as_botocore_has_it(shape: Shape | None, value: Any) -> Any:
    """The same value in botocore's terms: timestamps are datetimes."""
    if isinstance(shape, StructureShape):
        return {name: as_botocore_has_it(shape.members[name], item) for name, item in value.items()}
    if isinstance(shape, ListShape):
        return [as_botocore_has_it(shape.member, item) for item in value]
    if isinstance(shape, MapShape):
        return {name: as_botocore_has_it(shape.value, item) for name, item in value.items()}
    if shape is not None and shape.type_name == "timestamp":
        return EPOCH + timedelta(milliseconds=round(value * 1000))
    return value
