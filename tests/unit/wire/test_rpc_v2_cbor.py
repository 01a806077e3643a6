"""CBOR from anybody: what is read, and what is refused, and that neither costs more than it should."""

from __future__ import annotations

import struct
import tracemalloc
from typing import Any

import cbor2
import pytest
from botocore.model import ServiceModel

from longshore.wire import rpc_v2_cbor
from longshore.wire.protocol import MAX_DEPTH, MalformedError

SHAPES = ServiceModel(
    {
        "metadata": {"protocol": "smithy-rpc-v2-cbor"},
        "operations": {},
        "shapes": {
            "Everything": {
                "type": "structure",
                "members": {
                    "text": {"shape": "Text"},
                    "flag": {"shape": "Flag"},
                    "small": {"shape": "Small"},
                    "large": {"shape": "Large"},
                    "ratio": {"shape": "Ratio"},
                    "moment": {"shape": "Moment"},
                    "data": {"shape": "Data"},
                    "many": {"shape": "Many"},
                    "named": {"shape": "Named"},
                },
            },
            "Text": {"type": "string"},
            "Flag": {"type": "boolean"},
            "Small": {"type": "integer"},
            "Large": {"type": "long"},
            "Ratio": {"type": "double"},
            "Moment": {"type": "timestamp"},
            "Data": {"type": "blob"},
            "Many": {"type": "list", "member": {"shape": "Text"}},
            "Named": {"type": "map", "key": {"shape": "Text"}, "value": {"shape": "Small"}},
        },
    }
)
EVERYTHING = SHAPES.shape_for("Everything")
decoding = rpc_v2_cbor.Decoders().plan(EVERYTHING)


def decode(body: bytes) -> Any:
    return decoding(rpc_v2_cbor.parse(body))


def member(name: str, value: str) -> bytes:
    """A map of one member, whose value is given in hexadecimal."""
    return b"\xa1" + cbor2.dumps(name) + bytes.fromhex(value)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"", {}),
        (b"\xa0", {}),
        (b"\xbf\xff", {}),
        (member("text", "63c3a461"), {"text": "äa"}),
        (member("text", "7f61616162ff"), {"text": "ab"}),
        (member("text", "f6"), {}),
        (member("text", "f7"), {}),
        (member("flag", "f5"), {"flag": True}),
        (member("small", "3a7fffffff"), {"small": -(2**31)}),
        (member("small", "f93c00"), {"small": 1}),
        (member("large", "1b7fffffffffffffff"), {"large": 2**63 - 1}),
        (member("ratio", "f97c00"), {"ratio": float("inf")}),
        (member("ratio", "01"), {"ratio": 1.0}),
        (member("moment", "c11a563b8f8c"), {"moment": 1446743948.0}),
        (member("moment", "c1fb41d58ee3e32d8106"), {"moment": 1446743948.711}),
        (member("data", "420001"), {"data": b"\x00\x01"}),
        (member("data", "5f41004101ff"), {"data": b"\x00\x01"}),
        (member("many", "9f6161ff"), {"many": ["a"]}),
        (member("named", "a1616101"), {"named": {"a": 1}}),
        (member("unknown", "8101"), {}),
    ],
)
def test_a_body_becomes_an_input(body: bytes, value: Any) -> None:
    assert decode(body) == value


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"\x80", "must be a CBOR map, not a list"),
        (b"\xf6", "must be a CBOR map, not null"),
        (b"\xa0\xa0", "something follows"),
        (b"\xa1", "not CBOR"),
        (b"\xff", "not CBOR"),
        (b"{}", "not CBOR"),
        (b"\xa2\x61a\x01\x61a\x02", "Duplicate map key"),
        (b"\xa1\x01\x02", "map key must be a text"),
        (member("text", "01"), "text: expected a string, found a number"),
        (member("text", "4161"), "text: expected a string, found bytes"),
        (member("text", "61ff"), "not CBOR"),
        (member("text", "63eda080"), "not CBOR"),
        (member("text", "f8ff"), "text: expected a string, found another kind of value"),
        (member("flag", "01"), "flag: expected a boolean, found a number"),
        (member("small", "1a80000000"), "small: the number does not fit into 32 bits"),
        (member("small", "f97e00"), "small: expected an integer, found a number"),
        (member("small", "fb7ff0000000000000"), "small: expected an integer, found a number"),
        (member("large", "1bffffffffffffffff"), "large: the number does not fit into 64 bits"),
        (member("large", "c249010000000000000000"), "the only tag here is that of a time"),
        (member("ratio", "c11a563b8f8c"), "ratio: expected a number, found another kind of value"),
        (member("moment", "1a563b8f8c"), "moment: expected a time, tagged as one, found a number"),
        (member("moment", "c1613b"), "expected a number of epoch seconds, found a string"),
        (member("moment", "c1f97e00"), "outside the years 1 to 9999"),
        (member("moment", "c1f97c00"), "outside the years 1 to 9999"),
        (member("moment", "c11bffffffffffffffff"), "outside the years 1 to 9999"),
        (member("moment", "c1c11a563b8f8c"), "expected a number of epoch seconds"),
        (member("data", "6161"), "data: expected bytes, found a string"),
        (member("many", "82616101"), "many[1]: expected a string, found a number"),
        (member("many", "81f7"), "many[0]: expected a string, found null"),
        (member("named", "a1410101"), "named"),
        (member("text", "d81c81d81d00"), "the only tag here is that of a time"),
        (member("unknown", "d81c81d81d00"), "the only tag here is that of a time"),
        (member("unknown", "d823652861292b29"), "the only tag here is that of a time"),
        (member("unknown", "81" * 100_000), "nesting depth"),
        (member("unknown", "9f" * 100_000), "nesting depth"),
        (member("unknown", "c1" * 100_000), "nesting depth"),
        (member("unknown", "81" * MAX_DEPTH + "01"), "nesting depth"),
    ],
)
def test_what_is_no_input_is_refused_and_said(body: bytes, said: str) -> None:
    with pytest.raises(MalformedError, match=re_escaped(said)) as refused:
        decode(body)
    assert len(str(refused.value)) < 400


def re_escaped(text: str) -> str:
    return text.replace("[", r"\[").replace("]", r"\]")


def test_every_tag_but_that_of_a_time_is_refused() -> None:
    """cbor2 learns new tags from version to version: each does something when it is read."""
    values = ("00", "6161", "4161", "80", "820001", "a0")
    for tag in (*range(2000), 43000, 55799, 2**32, 2**64 - 1):
        head = b"\xdb" + struct.pack(">Q", tag)
        for value in values:
            if (tag, value) != (1, "00"):
                with pytest.raises(MalformedError):
                    rpc_v2_cbor.parse(b"\xa1\x61a" + head + bytes.fromhex(value))


@pytest.mark.parametrize("head", ["9b", "5b", "7b", "bb"])
@pytest.mark.parametrize("length", ["ffffffffffffffff", "7fffffffffffffff", "00000000ffffffff", "0000000010000000"])
def test_a_length_that_is_a_lie_costs_nothing(head: str, length: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(MalformedError):
            decode(member("unknown", head + length))
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
