"""Event patterns, by the examples and the words of EventBridge's user guide; and what targets are told."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.onebox.services.events import pattern, telling

EVENT: dict[str, Any] = {
    "version": "0",
    "id": "1",
    "detail-type": "CodeDeploy Deployment State-change Notification",
    "source": "aws.codedeploy",
    "account": "123456789012",
    "region": "eu-central-1",
    "time": "2026-11-26T09:00:00Z",
    "resources": ["arn:aws:codedeploy:eu-central-1:123456789012:application:shop"],
    "detail": {
        "state": "FAILURE",
        "application": "shop",
        "tries": 3,
        "parts": [{"name": "a"}],
        "none": None,
        "on": True,
    },
}


@pytest.mark.parametrize(
    "wanted",
    [
        {"source": ["aws.codedeploy"]},
        {"source": ["aws.ec2", "aws.codedeploy"], "detail": {"state": ["FAILURE", "STOP"]}},
        {"resources": ["arn:aws:codedeploy:eu-central-1:123456789012:application:shop"]},
        {"detail": {"application": [{"prefix": "sh"}]}},
        {"detail": {"application": [{"suffix": "op"}]}},
        {"detail": {"application": [{"equals-ignore-case": "SHOP"}]}},
        {"detail": {"application": [{"wildcard": "s*p"}]}},
        {"detail": {"application": [{"anything-but": ["till", "cellar"]}]}},
        {"detail": {"application": [{"anything-but": {"prefix": "till"}}]}},
        {"detail": {"tries": [{"numeric": [">", 0, "<=", 3]}]}},
        {"detail": {"tries": [3]}},
        {"detail": {"on": [True]}},
        {"detail": {"none": [None]}},
        {"detail": {"missing": [{"exists": False}], "state": [{"exists": True}]}},
        {"$or": [{"source": ["aws.ec2"]}, {"detail": {"state": ["FAILURE"]}}]},
    ],
)
def test_what_is_matched(wanted: dict[str, Any]) -> None:
    assert pattern.matches(pattern.read(json.dumps(wanted)), EVENT)


@pytest.mark.parametrize(
    "wanted",
    [
        {"source": ["aws.ec2"]},
        {"source": ["aws.codedeploy"], "detail": {"state": ["SUCCESS"]}},
        {"detail": {"state": ["failure"]}},
        {"detail": {"missing": ["FAILURE"]}},
        {"detail": {"missing": [{"anything-but": ["x"]}]}},
        {"detail": {"state": {"deeper": ["FAILURE"]}}},
        {"detail": {"state": [{"exists": False}]}},
        {"detail": {"application": [{"anything-but": ["shop"]}]}},
        {"detail": {"application": [{"wildcard": "s*x"}]}},
        {"detail": {"tries": ["3"]}},
        {"detail": {"tries": [{"numeric": [">", 3]}]}},
        {"detail": {"state": [{"numeric": [">", 3]}]}},
        {"detail": {"on": [1]}},
        {"$or": [{"source": ["aws.ec2"]}, {"detail": {"state": ["STOP"]}}]},
    ],
)
def test_what_is_not(wanted: dict[str, Any]) -> None:
    assert not pattern.matches(pattern.read(json.dumps(wanted)), EVENT)


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        "[]",
        "{}",
        '{"source": "aws.codedeploy"}',
        '{"source": []}',
        '{"source": [["aws.codedeploy"]]}',
        '{"source": [{"prefix": 1}]}',
        '{"source": [{"cidr": "10.0.0.0/8"}]}',
        '{"source": [{"prefix": "a", "suffix": "b"}]}',
        '{"a": [{"numeric": [">"]}]}',
        '{"a": [{"numeric": ["~", 1]}]}',
        '{"a": [{"exists": "yes"}]}',
        '{"a": [{"anything-but": {"prefix": 1}}]}',
        '{"$or": [{"a": ["b"]}]}',
        '{"detail": {}}',
        json.dumps({"a": ["x" * 5000]}),
    ],
)
def test_what_is_no_pattern(text: str) -> None:
    with pytest.raises(pattern.PatternError):
        pattern.read(text)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(event=st.dictionaries(st.text(max_size=5), _JSON, max_size=4), noise=_JSON)
def test_no_event_is_too_odd(event: dict[str, Any], noise: Any) -> None:
    """Whatever an event is, a rule is about it or is not."""
    for name in [*event, "detail"]:
        wanted = {name: [{"prefix": "a"}, {"numeric": ["=", 1]}, {"wildcard": "*"}, {"anything-but": "x"}]}
        pattern.matches(pattern.read(json.dumps({"$or": [wanted, {"b": {"c": [1]}}]})), {**event, "b": noise})


def test_a_target_is_told_all_a_part_or_a_text() -> None:
    assert json.loads(telling.told({}, EVENT)) == EVENT
    assert telling.told({"Input": '{"a": 1}'}, EVENT) == '{"a": 1}'
    assert json.loads(telling.told({"InputPath": "$.detail"}, EVENT)) == EVENT["detail"]
    assert telling.told({"InputPath": "$.detail.parts[0].name"}, EVENT) == '"a"'
    assert telling.told({"InputPath": "$.nowhere.at.all"}, EVENT) == "null"
    transformer = {
        "InputPathsMap": {"what": "$.detail.state", "tries": "$.detail.tries", "no": "$.detail.no"},
        "InputTemplate": '"<what> of the shop after <tries><no>"',
    }
    assert telling.told({"InputTransformer": transformer}, EVENT) == '"FAILURE of the shop after 3"'


@pytest.mark.parametrize(
    "target",
    [
        {"Input": "nonsense"},
        {"Input": "1", "InputPath": "$"},
        {"InputPath": "detail"},
        {"InputPath": "$..state"},
        {"InputTransformer": {"InputTemplate": "<what>"}},
        {"InputTransformer": {"InputPathsMap": {"what": "state"}, "InputTemplate": "<what>"}},
    ],
)
def test_what_no_target_can_be_told(target: dict[str, Any]) -> None:
    with pytest.raises(telling.TellingError):
        telling.require(target)
