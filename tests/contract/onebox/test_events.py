"""EventBridge of a real server: rules by boto3 and the aws CLI, events that reach real web hooks."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.acceptance.world import ACCOUNT, REGION, ControlPlane, wait_until
from tests.webhook import Webhook

_numbers = itertools.count(1)
FAILURES = {"source": ["shop.till"], "detail": {"state": ["FAILURE"]}}


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    made = ControlPlane(tmp_path_factory.mktemp("events"))
    made.start()
    yield made
    made.stop()


@pytest.fixture
def events(plane: ControlPlane) -> Any:
    return plane.client("events")


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with Webhook() as made:
        yield made


def topic_of(plane: ControlPlane, hook: Webhook) -> str:
    """A topic that the hook is told of, as a text alone."""
    sns = plane.client("sns")
    topic = str(sns.create_topic(Name=f"events-{next(_numbers)}")["TopicArn"])
    asked = {"Protocol": "http", "Endpoint": f"http://127.0.0.1:{hook.port}/"}
    sns.subscribe(TopicArn=topic, **asked, Attributes={"RawMessageDelivery": "true"})
    token = wait_until("it is asked", lambda: hook.received).pop()["Token"]
    sns.confirm_subscription(TopicArn=topic, Token=token)
    return topic


def rule_of(events: Any, topic: str, wanted: Any = FAILURES, **target: Any) -> str:
    name = f"rule-{next(_numbers)}"
    arn = events.put_rule(Name=name, EventPattern=json.dumps(wanted))["RuleArn"]
    assert arn == f"arn:aws:events:{REGION}:{ACCOUNT}:rule/{name}"
    added = events.put_targets(Rule=name, Targets=[{"Id": "1", "Arn": topic, **target}])
    assert added["FailedEntryCount"] == 0
    return name


def entry(state: str, **more: Any) -> dict[str, Any]:
    return {"Source": "shop.till", "DetailType": "Till", "Detail": json.dumps({"state": state}), **more}


def code_of(refused: pytest.ExceptionInfo[ClientError]) -> str:
    return str(refused.value.response["Error"]["Code"])


def test_a_topic_is_told_what_a_rule_is_about(plane: ControlPlane, events: Any, hook: Webhook) -> None:
    name = rule_of(events, topic_of(plane, hook))
    answer = events.put_events(Entries=[entry("SUCCESS"), entry("FAILURE", Resources=["till-1"])])
    assert answer["FailedEntryCount"] == 0
    (told,) = wait_until("it is told", lambda: hook.received)
    assert told.pop("id") == answer["Entries"][1]["EventId"]
    assert told.pop("time").endswith("Z")
    assert told == {
        "version": "0",
        "detail-type": "Till",
        "source": "shop.till",
        "account": ACCOUNT,
        "region": REGION,
        "resources": ["till-1"],
        "detail": {"state": "FAILURE"},
    }
    events.disable_rule(Name=name)
    events.put_events(Entries=[entry("FAILURE")])
    events.enable_rule(Name=name)
    events.put_events(Entries=[entry("FAILURE", Resources=["again"])])
    wait_until("it is told again", lambda: len(hook.received) == 2)
    assert hook.received[1]["resources"] == ["again"], "and nothing while it was disabled"


def test_a_target_says_how_it_is_told(plane: ControlPlane, events: Any, hook: Webhook) -> None:
    transformer = {"InputPathsMap": {"state": "$.detail.state"}, "InputTemplate": '{"text": "the till: <state>"}'}
    rule_of(events, topic_of(plane, hook), InputTransformer=transformer)
    events.put_events(Entries=[entry("FAILURE")])
    assert wait_until("it is told", lambda: hook.received) == [{"text": "the till: FAILURE"}]


def test_rules_and_events_survive_a_kill(plane: ControlPlane, events: Any, hook: Webhook) -> None:
    name = rule_of(events, topic_of(plane, hook))
    plane.kill()
    plane.start()
    events = plane.client("events")
    assert json.loads(events.describe_rule(Name=name)["EventPattern"]) == FAILURES
    events.put_events(Entries=[entry("FAILURE")])
    wait_until("it is told", lambda: hook.received)


def test_entries_that_are_none(events: Any) -> None:
    good, bad = entry("SUCCESS"), {**entry("SUCCESS"), "Detail": "[]"}
    without = {name: value for name, value in good.items() if name != "Source"}
    elsewhere = {**good, "EventBusName": "other"}
    answer = events.put_events(Entries=[good, bad, without, elsewhere])
    codes = [one.get("ErrorCode") for one in answer["Entries"]]
    assert codes == [None, "MalformedDetail", "InvalidArgument", "ResourceNotFoundException"]
    assert answer["FailedEntryCount"] == 3
    with pytest.raises(ClientError) as refused:
        events.put_events(Entries=[good] * 11)
    assert code_of(refused) == "ValidationException"


def test_what_is_refused(plane: ControlPlane, events: Any) -> None:
    topic = plane.client("sns").create_topic(Name="refused")["TopicArn"]
    name = rule_of(events, topic)

    def target(**more: Any) -> dict[str, Any]:
        return {"Rule": name, "Targets": [{"Id": "2", "Arn": topic, **more}]}

    refusals: list[tuple[Any, dict[str, Any], str]] = [
        (events.put_rule, {"Name": "x", "EventPattern": "nonsense"}, "InvalidEventPatternException"),
        (events.put_rule, {"Name": "x", "ScheduleExpression": "rate(1 minute)"}, "ValidationException"),
        (events.put_rule, {"Name": "x"}, "ValidationException"),
        (events.put_rule, {"Name": "x y", "EventPattern": '{"a": ["b"]}'}, "ValidationException"),
        (events.list_rules, {"EventBusName": "other"}, "ResourceNotFoundException"),
        (events.put_targets, target(Arn="arn:aws:sqs:us-east-1:000000000000:q"), "ValidationException"),
        (events.put_targets, target(Arn="arn:aws:sns:us-east-1:999999999999:t"), "ValidationException"),
        (events.put_targets, target(RetryPolicy={"MaximumRetryAttempts": 1}), "ValidationException"),
        (events.put_targets, target(InputPath="detail"), "ValidationException"),
        (events.put_targets, target() | {"Rule": "no"}, "ResourceNotFoundException"),
        (events.describe_rule, {"Name": "no"}, "ResourceNotFoundException"),
        (events.enable_rule, {"Name": "no"}, "ResourceNotFoundException"),
        (events.delete_rule, {"Name": name}, "ValidationException"),
        (events.create_event_bus, {"Name": "other"}, "OperationNotSupportedException"),
    ]  # fmt: skip
    for operation, asked, code in refusals:
        with pytest.raises(ClientError) as refused:
            operation(**asked)
        assert code_of(refused) == code, asked
    six = [{"Id": str(number), "Arn": topic} for number in range(6)]
    with pytest.raises(ClientError) as refused:
        events.put_targets(Rule=name, Targets=six)
    assert code_of(refused) == "LimitExceededException"


def test_by_the_command_line(plane: ControlPlane) -> None:
    topic = plane.aws("sns", "create-topic", "--name", "by-hand")["TopicArn"]
    wanted = json.dumps(FAILURES)
    plane.aws("events", "put-rule", "--name", "by-hand", "--event-pattern", wanted, "--tags", "Key=team,Value=web")
    plane.aws("events", "put-targets", "--rule", "by-hand", "--targets", f"Id=1,Arn={topic}")
    (rule,) = plane.aws("events", "list-rules", "--name-prefix", "by-")["Rules"]
    assert (rule["State"], rule["EventBusName"]) == ("ENABLED", "default")
    (target,) = plane.aws("events", "list-targets-by-rule", "--rule", "by-hand")["Targets"]
    assert target == {"Id": "1", "Arn": topic}
    names = plane.aws("events", "list-rule-names-by-target", "--target-arn", topic)["RuleNames"]
    assert names == ["by-hand"]
    tags = plane.aws("events", "list-tags-for-resource", "--resource-arn", rule["Arn"])["Tags"]
    assert tags == [{"Key": "team", "Value": "web"}]
    event = {"id": "1", "account": ACCOUNT, "source": "shop.till", "time": "2026-11-26T09:00:00Z", "region": REGION}
    event |= {"resources": [], "detail-type": "Till", "detail": {"state": "FAILURE"}}
    tried = ("events", "test-event-pattern", "--event-pattern", wanted, "--event", json.dumps(event))
    assert plane.aws(*tried)["Result"] is True
    failed = plane.aws("events", "remove-targets", "--rule", "by-hand", "--ids", "1", "2")
    assert [one["TargetId"] for one in failed["FailedEntries"]] == ["2"]
    plane.aws("events", "delete-rule", "--name", "by-hand")
    plane.aws("events", "delete-rule", "--name", "by-hand")
    assert plane.aws("events", "list-rules", "--name-prefix", "by-")["Rules"] == []
    assert [one["Name"] for one in plane.aws("events", "list-event-buses")["EventBuses"]] == ["default"]
