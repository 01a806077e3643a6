"""Which messages a subscriber wants."""

from __future__ import annotations

import json
from typing import Any

import pytest

from longshore.onebox.services.sns.filter_policy import FilterPolicyError, read, wants


def text(value: str, kind: str = "String") -> dict[str, str]:
    return {"DataType": kind, "StringValue": value}


MESSAGE = {"kind": text("failed"), "size": text("12.5", "Number"), "who": text('["ci", 7, true]', "String.Array")}


@pytest.mark.parametrize(
    ("policy", "wanted"),
    [
        ({}, True),
        ({"kind": ["failed", "stopped"]}, True),
        ({"kind": ["stopped"]}, False),
        ({"kind": ["failed"], "size": [1]}, False),
        ({"size": [12.5]}, True),
        ({"size": ["12.5"]}, False),
        ({"size": [{"numeric": [">=", 12, "<", 13]}]}, True),
        ({"size": [{"numeric": ["=", 12]}]}, False),
        ({"kind": [{"numeric": ["<", 3]}]}, False),
        ({"kind": [{"prefix": "fa"}]}, True),
        ({"kind": [{"suffix": "ed"}]}, True),
        ({"kind": [{"equals-ignore-case": "FAILED"}]}, True),
        ({"kind": [{"anything-but": ["failed"]}]}, False),
        ({"kind": [{"anything-but": {"prefix": "st"}}]}, True),
        ({"kind": [{"exists": True}], "other": [{"exists": False}]}, True),
        ({"other": [{"anything-but": "x"}]}, False),
        ({"who": ["ci"]}, True),
        ({"who": [7]}, True),
        ({"who": [1]}, False),
    ],
)
def test_what_is_wanted(policy: dict[str, Any], wanted: bool) -> None:
    assert wants(read(json.dumps(policy)), MESSAGE) is wanted


@pytest.mark.parametrize(
    "policy",
    [
        "[]",
        "{",
        '{"a": "b"}',
        '{"a": []}',
        '{"a": [{"like": "b"}]}',
        '{"a": [{"prefix": 1}]}',
        '{"a": [{"numeric": [">"]}]}',
        '{"a": [{"numeric": ["~", 1]}]}',
        '{"a": [{"anything-but": {"exists": true}}]}',
        '{"a": [{"prefix": "x", "suffix": "y"}]}',
        '{"a": [["b"]]}',
    ],
)
def test_what_is_no_policy(policy: str) -> None:
    with pytest.raises(FilterPolicyError):
        read(policy)
