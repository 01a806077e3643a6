"""Constraints of a model: which are broken, in which order, and the sentence that says so."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.model import ServiceModel

from longshore import models
from longshore.wire.constraints import Checks, Overlay, Violation, compiled_pattern, describe, first_error
from longshore.wire.service import AwsError

MODEL = ServiceModel(
    {
        "metadata": {"protocol": "json"},
        "operations": {
            "Order": {
                "name": "Order",
                "input": {"shape": "OrderInput"},
                "errors": [{"shape": "BadColour"}, {"shape": "BadName"}, {"shape": "NameRequired"}],
            }
        },
        "shapes": {
            "OrderInput": {
                "type": "structure",
                "required": ["name"],
                "members": {
                    "name": {"shape": "Name"},
                    "colour": {"shape": "Colour"},
                    "count": {"shape": "Count"},
                    "parts": {"shape": "Parts"},
                    "labels": {"shape": "Labels"},
                    "note": {"shape": "Note"},
                },
            },
            "Part": {"type": "structure", "required": ["name"], "members": {"name": {"shape": "Name"}}},
            "Parts": {"type": "list", "member": {"shape": "Part"}, "max": 2},
            "Labels": {"type": "map", "key": {"shape": "Colour"}, "value": {"shape": "Name"}},
            "Name": {"type": "string", "min": 1, "max": 5, "pattern": "[a-z]*"},
            "Colour": {"type": "string", "enum": ["red", "green"]},
            "Count": {"type": "integer", "min": 0, "max": 9},
            "Note": {"type": "string"},
            "BadName": {"type": "structure", "members": {}, "exception": True},
            "BadColour": {"type": "structure", "members": {}, "exception": True},
            "NameRequired": {"type": "structure", "members": {}, "exception": True},
        },
    }
)
ORDER = MODEL.operation_model("Order")


def broken(value: dict[str, Any], overlay: Overlay | None = None) -> list[Violation]:
    return list(Checks(overlay or {}).plan(MODEL.shape_for("OrderInput"))(value))


def seen(value: dict[str, Any], overlay: Overlay | None = None) -> list[tuple[str, str]]:
    return [(violation.where, violation.kind) for violation in broken(value, overlay)]


@pytest.mark.parametrize(
    ("value", "violations"),
    [
        ({"name": "a"}, []),
        ({"name": "abcde", "colour": "red", "count": 0, "parts": [], "labels": {}}, []),
        ({}, [("name", "required")]),
        ({"name": ""}, [("name", "min")]),
        ({"name": "abcdef"}, [("name", "max")]),
        ({"name": "A"}, [("name", "pattern")]),
        ({"name": "a\n"}, [("name", "pattern")]),
        ({"name": "a", "colour": "blue"}, [("colour", "enum")]),
        ({"name": "a", "count": -1}, [("count", "min")]),
        ({"name": "a", "count": 10}, [("count", "max")]),
        ({"name": "a", "parts": [{"name": "a"}, {}]}, [("parts[1].name", "required")]),
        ({"name": "a", "parts": [{"name": "a"}] * 3}, [("parts", "max")]),
        ({"name": "a", "labels": {"blue": "A"}}, [("labels.blue", "enum"), ("labels.blue", "pattern")]),
        ({"count": 10, "colour": "blue"}, [("name", "required"), ("colour", "enum"), ("count", "max")]),
    ],
)
def test_violations_come_in_the_order_of_the_shape(value: dict[str, Any], violations: list[tuple[str, str]]) -> None:
    assert seen(value) == violations


def test_a_violation_knows_the_shape_the_member_and_the_limit() -> None:
    (violation,) = broken({"name": "a", "parts": [{"name": "TOO LONG"}]})
    assert violation == Violation(
        path=("parts", 0, "name"), kind="max", shape="Name", member="name", value="'TOO LONG'", limit=5
    )


@pytest.mark.parametrize(
    ("overlay", "value", "violations"),
    [
        ({"Note": {"max": 3}}, {"name": "a", "note": "long"}, [("note", "max")]),
        ({"Name": {"pattern": "[A-Z]*"}}, {"name": "A"}, []),
        ({"OrderInput.note": {"enum": ["x"]}}, {"name": "a", "note": "y"}, [("note", "enum")]),
        ({"OrderInput.parts": {"min": 1}}, {"name": "a", "parts": []}, [("parts", "min")]),
        ({"OrderInput": {"required": ["note"]}}, {"name": "a"}, [("note", "required")]),
        ({"Part": {"required": []}}, {"name": "a", "parts": [{}]}, [("parts[0].name", "required")]),
    ],
)
def test_a_service_can_add_what_its_model_leaves_out(
    overlay: Overlay, value: dict[str, Any], violations: list[tuple[str, str]]
) -> None:
    assert seen(value, overlay) == violations


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ({}, "name is required."),
        ({"name": ""}, "name must not be empty."),
        ({"name": "abcdef"}, "name is 'abcdef'; it must have at most 5 characters."),
        ({"name": "A"}, "name is 'A', which does not match [a-z]*."),
        ({"name": "a", "colour": "blue"}, "colour is 'blue'; it must be one of red, green."),
        ({"name": "a", "count": -1}, "count is -1; it must be at least 0."),
        ({"name": "a", "parts": [{"name": "a"}] * 3}, "parts has 3 items; it must have at most 2."),
    ],
)
def test_a_violation_reads_as_a_sentence(value: dict[str, Any], sentence: str) -> None:
    assert describe(broken(value)[0]) == sentence


def test_a_sentence_stays_short_whatever_was_sent() -> None:
    assert len(describe(broken({"name": "x" * 1_000_000})[0])) < 200


def explain(_operation: Any, violation: Violation) -> AwsError:
    codes = {"name": "NameRequired" if violation.is_absence else "BadName", "colour": "BadColour"}
    return AwsError(codes.get(violation.member, "ValidationException"), describe(violation))


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ({"colour": "blue"}, "NameRequired"),
        ({"name": "", "colour": "blue"}, "NameRequired"),
        ({"name": "A", "colour": "blue"}, "BadColour"),
        ({"name": "A", "count": 10}, "BadName"),
        ({"name": "A", "parts": [{}]}, "BadName"),
        ({"name": "a", "count": 10}, "ValidationException"),
    ],
)
def test_presence_comes_first_then_the_order_of_the_operations_errors(value: dict[str, Any], code: str) -> None:
    assert first_error(ORDER, broken(value), explain).code == code


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        (r"[A-Za-z0-9+=,.@_-]*", "web-1", True),
        (r"^[a-z]+$", "abc\n", False),
        (r"\w+", "ä", False),
        (r"[\p{L}\p{Z}\p{N}_.:/=+\-@]*", "Größe 5 Ⅷ", True),
        (r"[\p{L}\p{Z}\p{N}_.:/=+\-@]*", "a;b", False),
        (r"\p{L}+", "é", True),
        (r"[\w-\/.]+", "a-b/c", True),
        (r"[\u0020-\uD7FF\uE000-\uFFFD\uD800\uDC00-\uDBFF\uDFFF\r\n\t]*", "a😀\n", True),
        (r"[\u0020-\uD7FF\uE000-\uFFFD\uD800\uDC00-\uDBFF\uDFFF\r\n\t]*", "\x00", False),
    ],
)
def test_patterns_mean_what_they_mean_in_java(pattern: str, text: str, fits: bool) -> None:
    assert (compiled_pattern(pattern).fullmatch(text) is not None) is fits


SERVED = "autoscaling cloudwatch codedeploy codedeploy-commands ecs elbv2 iam lambda longshore s3 sns sts"


@pytest.mark.parametrize("service", SERVED.split())
def test_every_pattern_of_the_services_we_serve_can_be_read(service: str) -> None:
    model = models.load(service)
    for name in model.shape_names:
        if pattern := model.shape_for(name).metadata.get("pattern"):
            compiled_pattern(pattern)
