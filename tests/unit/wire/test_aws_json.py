"""Bodies of AWS JSON: what is accepted, what is refused and how it is said."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from botocore.model import ServiceModel, Shape

from longshore.wire import aws_json
from longshore.wire.protocol import MAX_DEPTH, MalformedError, WrongOutputError

SHAPES = ServiceModel(
    {
        "metadata": {"protocol": "json"},
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
                    "inner": {"shape": "Inner"},
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
            "Inner": {"type": "structure", "members": {"text": {"shape": "Text"}}},
            # A shape that holds itself.
            "Tree": {"type": "structure", "members": {"name": {"shape": "Text"}, "below": {"shape": "Trees"}}},
            "Trees": {"type": "list", "member": {"shape": "Tree"}},
        },
    }
)
EVERYTHING = SHAPES.shape_for("Everything")
TREE = SHAPES.shape_for("Tree")


def decode(body: bytes | str, shape: Shape = EVERYTHING) -> dict[str, Any]:
    body = body if isinstance(body, bytes) else body.encode()
    decoded: dict[str, Any] = aws_json.Decoders().plan(shape)(aws_json.parse(body))
    return decoded


def encode(value: dict[str, Any], shape: Shape = EVERYTHING) -> Any:
    return json.loads(aws_json.render(aws_json.Encoders().plan(shape)(value)))


@pytest.mark.parametrize(
    ("body", "value"),
    [
        ("", {}),
        ("{}", {}),
        ('{"text": "ä"}', {"text": "ä"}),
        ('{"text": "\\ud83d\\ude00"}', {"text": "😀"}),
        ('{"text": "\\\\ud800"}', {"text": "\\ud800"}),
        ('{"text": null, "flag": false}', {"flag": False}),
        ('{"unknown": {"text": 1}}', {}),
        ('{"text": "first", "text": "last"}', {"text": "last"}),
        ('{"small": 1e3}', {"small": 1000}),
        ('{"large": 9223372036854775807}', {"large": 2**63 - 1}),
        ('{"ratio": 1}', {"ratio": 1.0}),
        ('{"ratio": "-Infinity"}', {"ratio": -math.inf}),
        ('{"moment": 1446744188.711}', {"moment": 1446744188.711}),
        ('{"moment": "2015-11-05T17:23:08.711Z"}', {"moment": 1446744188.711}),
        ('{"moment": "2015-11-05T17:23:08"}', {"moment": 1446744188.0}),
        ('{"data": "AAE="}', {"data": b"\x00\x01"}),
        ('{"many": []}', {"many": []}),
        ('{"named": {"one": 1}}', {"named": {"one": 1}}),
        ('{"inner": {}}', {"inner": {}}),
    ],
)
def test_a_body_becomes_an_input(body: str, value: dict[str, Any]) -> None:
    assert decode(body) == value


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("{", "The body is not JSON: "),
        ("[]", "The body must be a JSON object, not a list."),
        ("null", "The body must be a JSON object, not null."),
        ('"text"', "The body must be a JSON object, not a string."),
        (b"\xff{}", "The body is not JSON: str is not valid UTF-8"),
        ("{}".encode("utf-16"), "The body is not JSON: str is not valid UTF-8"),
        (b"\xef\xbb\xbf{}", "The body is not JSON: "),
        ('{"ratio": NaN}', "The body is not JSON: unexpected character"),
        ('{"ratio": -Infinity}', "The body is not JSON: "),
        ('{"ratio": 1e999}', "The body is not JSON: number is infinity"),
        ('{"ratio": %s}' % ("9" * 400), "The body is not JSON: number is infinity"),
        ('{"small": %s}' % ("9" * 5000), "The body is not JSON: "),
        ('{"small": 2147483648}', "small: the number does not fit into 32 bits"),
        ('{"large": -9223372036854775809}', "large: expected an integer, found a number"),
        ('{"small": 1.5}', "small: expected an integer, found a number"),
        ('{"small": true}', "small: expected an integer, found a boolean"),
        ('{"flag": 1}', "flag: expected a boolean, found a number"),
        ('{"flag": "true"}', "flag: expected a boolean, found a string"),
        ('{"text": 1}', "text: expected a string, found a number"),
        ('{"text": {}}', "text: expected a string, found an object"),
        ('{"inner": []}', "inner: expected an object, found a list"),
        ('{"inner": {"text": []}}', "inner.text: expected a string, found a list"),
        ('{"many": "a"}', "many: expected a list, found a string"),
        ('{"many": ["a", 2]}', "many[1]: expected a string, found a number"),
        ('{"many": ["a", "b", null]}', "many[2]: expected a string, found null"),
        ('{"named": [1]}', "named: expected an object, found a list"),
        ('{"named": {"one": "1"}}', "named.one: expected an integer, found a string"),
        ('{"named": {"one": null}}', "named.one: expected an integer, found null"),
        ('{"moment": "yesterday"}', "moment: expected a time, in epoch seconds or ISO 8601"),
        ('{"moment": true}', "moment: expected a number, found a boolean"),
        ('{"moment": 1446744188711}', "moment: the time is outside the years 1 to 9999; it must be in epoch seconds"),
        ('{"data": "*"}', "data: expected a base64 string"),
        ('{"data": "ä"}', "data: expected a base64 string"),
        ('{"text": "\\ud800"}', "The body is not JSON: "),
        ('{"\\uDC00": 1}', "The body is not JSON: "),
        ('{"unknown": ' + "[" * 100_000, "The body is not JSON: depth limit exceeded"),
        ('{"unknown": ' + "[" * 64 + "]" * 64 + "}", "The body nests deeper than 64 levels."),
    ],
)
def test_what_is_no_input_is_refused_with_its_place(body: str | bytes, message: str) -> None:
    with pytest.raises(MalformedError) as refused:
        decode(body)
    assert str(refused.value).startswith(message)


def test_a_body_of_many_brackets_that_nests_little_is_accepted() -> None:
    assert decode(json.dumps({"many": ["[" * 100] * 3, "unknown": [[]] * 100}))["many"] == ["[" * 100] * 3


def test_a_message_quotes_no_more_than_a_little_of_a_long_name() -> None:
    with pytest.raises(MalformedError) as refused:
        decode(json.dumps({"named": {"x" * 10_000: "1"}}))
    assert len(str(refused.value)) < 300


def test_a_shape_inside_itself_is_walked_as_deep_as_the_body_goes() -> None:
    deepest = (MAX_DEPTH - 2) // 2
    tree: dict[str, Any] = {"name": "leaf"}
    for level in range(deepest):
        tree = {"name": str(level), "below": [tree]}
    assert decode(json.dumps(tree), TREE) == tree
    assert encode(tree, TREE) == tree


@pytest.mark.parametrize(
    ("value", "document"),
    [
        ({"text": "ä", "flag": None}, {"text": "ä"}),
        ({"moment": 1446744188.7114}, {"moment": 1446744188.711}),
        ({"moment": 1446744188}, {"moment": 1446744188}),
        ({"data": b"\x00\x01"}, {"data": "AAE="}),
        ({"ratio": math.inf}, {"ratio": "Infinity"}),
        ({"many": ("a",), "named": {"one": 1, "none": None}}, {"many": ["a"], "named": {"one": 1}}),
        ({"text": "\ud800"}, {"text": "\ud800"}),
    ],
)
def test_an_output_becomes_a_document(value: dict[str, Any], document: Any) -> None:
    assert encode(value) == document


@pytest.mark.parametrize(
    "value",
    [
        {"tekst": "a member the shape does not have"},
        {"inner": {"tekst": "the same further down"}},
        {"text": 1},
        {"small": "1"},
        {"moment": "2015-11-05"},
        {"data": "text"},
    ],
)
def test_an_output_the_model_does_not_have_is_our_bug(value: dict[str, Any]) -> None:
    with pytest.raises(WrongOutputError):
        encode(value)
