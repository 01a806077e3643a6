"""CloudWatch of a real server, by boto3 in each of its protocols."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.acceptance.world import REGION, ControlPlane, wait_until
from tests.contract.wire.clients import only_in
from tests.webhook import Webhook

PROTOCOLS = ("smithy-rpc-v2-cbor", "json", "query")
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    made = ControlPlane(tmp_path_factory.mktemp("cloudwatch"))
    made.start()
    yield made
    made.stop()


@pytest.fixture(params=PROTOCOLS)
def cloudwatch(request: pytest.FixtureRequest, plane: ControlPlane) -> Any:
    key_id, secret = plane.owner
    connection = {"endpoint_url": plane.url, "aws_access_key_id": key_id, "aws_secret_access_key": secret}
    return only_in(request.param, "cloudwatch", region_name=REGION, **connection)


@pytest.fixture
def name() -> str:
    return f"errors-{next(_numbers)}"


def alarm_on(name: str, **other: Any) -> dict[str, Any]:
    return {
        "AlarmName": name,
        "Namespace": "shop",
        "MetricName": name,
        "Statistic": "Sum",
        "Period": 10,
        "EvaluationPeriods": 1,
        "Threshold": 2.0,
        "ComparisonOperator": "GreaterThanThreshold",
        **other,
    }


def state_of(cloudwatch: Any, name: str) -> str:
    found = cloudwatch.describe_alarms(AlarmNames=[name], AlarmTypes=["MetricAlarm", "CompositeAlarm"])
    (alarm,) = [*found["MetricAlarms"], *found["CompositeAlarms"]]
    return str(alarm["StateValue"])


def lately(seconds: float = 11) -> datetime:
    """In a stretch of ten seconds that is over."""
    return datetime.fromtimestamp(time.time() - seconds, UTC)


def test_what_was_put_is_told(cloudwatch: Any, name: str) -> None:
    of = [{"Name": "host", "Value": "web-1"}]
    start = datetime.fromtimestamp(time.time() // 60 * 60 - 300, UTC)
    cloudwatch.put_metric_data(
        Namespace="shop",
        MetricData=[
            {"MetricName": name, "Dimensions": of, "Timestamp": start, "Value": 4.5, "Unit": "Count"},
            {"MetricName": name, "Dimensions": of, "Timestamp": start, "Values": [1, 2], "Counts": [3, 1]},
            {
                "MetricName": f"{name}-summed",
                "Timestamp": start,
                "StatisticValues": {"SampleCount": 4, "Sum": 10, "Minimum": 1, "Maximum": 4},
            },
        ],
    )
    asked = {"Namespace": "shop", "StartTime": start, "EndTime": datetime.now(UTC), "Period": 60}
    found = cloudwatch.get_metric_statistics(
        **asked,
        MetricName=name,
        Dimensions=of,
        Statistics=["Sum", "Average", "SampleCount"],
        ExtendedStatistics=["p90"],
    )
    (point,) = found["Datapoints"]
    assert (point["Sum"], point["SampleCount"], point["Average"]) == (9.5, 5, 1.9)
    assert point["ExtendedStatistics"] == {"p90": 4.5}
    assert point["Timestamp"] == start
    (point,) = cloudwatch.get_metric_statistics(
        **asked, MetricName=name, Dimensions=of, Statistics=["Sum"], Unit="Count"
    )["Datapoints"]
    assert (point["Sum"], point["Unit"]) == (4.5, "Count")
    (result,) = cloudwatch.get_metric_data(
        StartTime=start,
        EndTime=datetime.now(UTC),
        MetricDataQueries=[
            {
                "Id": "m1",
                "MetricStat": {
                    "Metric": {"Namespace": "shop", "MetricName": f"{name}-summed"},
                    "Period": 60,
                    "Stat": "Maximum",
                },
            }
        ],
    )["MetricDataResults"]
    assert (result["Values"], result["Timestamps"], result["StatusCode"]) == ([4.0], [start], "Complete")
    (metric,) = cloudwatch.list_metrics(Namespace="shop", MetricName=name)["Metrics"]
    assert metric["Dimensions"] == of
    assert cloudwatch.list_metrics(MetricName=name, Dimensions=[{"Name": "other"}])["Metrics"] == []


def test_an_alarm_is_evaluated(cloudwatch: Any, name: str) -> None:
    cloudwatch.put_metric_alarm(**alarm_on(name, TreatMissingData="ignore"))
    assert state_of(cloudwatch, name) == "INSUFFICIENT_DATA"
    cloudwatch.put_metric_data(
        Namespace="shop",
        MetricData=[{"MetricName": name, "Timestamp": lately(), "Value": 3, "StorageResolution": 1}],
    )
    wait_until("it fires", lambda: state_of(cloudwatch, name) == "ALARM")
    (alarm,) = cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"]
    assert "crossed the threshold" in alarm["StateReason"]
    assert json.loads(alarm["StateReasonData"])["recentDatapoints"] == [3.0]
    (same,) = cloudwatch.describe_alarms_for_metric(Namespace="shop", MetricName=name)["MetricAlarms"]
    assert same["AlarmArn"] == alarm["AlarmArn"] == f"arn:aws:cloudwatch:{REGION}:000000000000:alarm:{name}"
    history = cloudwatch.describe_alarm_history(AlarmName=name, ScanBy="TimestampAscending")["AlarmHistoryItems"]
    assert [one["HistoryItemType"] for one in history] == ["ConfigurationUpdate", "StateUpdate"]
    cloudwatch.delete_alarms(AlarmNames=[name])
    assert cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"] == []


def test_data_of_now_is_looked_at_when_its_stretch_is_over(plane: ControlPlane, name: str) -> None:
    cloudwatch = plane.client("cloudwatch")
    cloudwatch.put_metric_alarm(**alarm_on(name, TreatMissingData="notBreaching"))
    cloudwatch.put_metric_data(Namespace="shop", MetricData=[{"MetricName": name, "Value": 3, "StorageResolution": 1}])
    wait_until("it fires", lambda: state_of(cloudwatch, name) == "ALARM", seconds=30)


def test_a_composite_alarm_follows_others(cloudwatch: Any, name: str) -> None:
    parts = [f"{name}-a", f"{name}-b"]
    for part in parts:
        cloudwatch.put_metric_alarm(**alarm_on(part, Period=3600, TreatMissingData="ignore"))
    rule = f'ALARM("{parts[0]}") AND NOT ALARM({parts[1]})'
    cloudwatch.put_composite_alarm(AlarmName=name, AlarmRule=rule)
    wait_until("it is known", lambda: state_of(cloudwatch, name) == "OK")
    cloudwatch.set_alarm_state(AlarmName=parts[0], StateValue="ALARM", StateReason="a test")
    wait_until("it follows", lambda: state_of(cloudwatch, name) == "ALARM")
    cloudwatch.set_alarm_state(AlarmName=parts[1], StateValue="ALARM", StateReason="a test")
    wait_until("it follows", lambda: state_of(cloudwatch, name) == "OK")
    parents = cloudwatch.describe_alarms(ParentsOfAlarmName=parts[0], AlarmTypes=["CompositeAlarm"])
    assert [one["AlarmName"] for one in parents["CompositeAlarms"]] == [name]
    refuses(cloudwatch, "ValidationError", "names one of them", "delete_alarms", AlarmNames=[parts[0]])
    refuses(cloudwatch, "ValidationError", "itself", "put_composite_alarm", AlarmName=name, AlarmRule=f"OK({name})")
    cloudwatch.delete_alarms(AlarmNames=[name, *parts])


def test_an_alarm_tells_its_topics(plane: ControlPlane, cloudwatch: Any, name: str) -> None:
    sns = plane.client("sns")
    with Webhook() as hook:
        topic = sns.create_topic(Name=name)["TopicArn"]
        sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=f"http://127.0.0.1:{hook.port}/")
        asked = wait_until("it is asked", lambda: hook.received)[0]
        sns.confirm_subscription(TopicArn=topic, Token=asked["Token"])
        gone = topic.replace(name, "gone")
        cloudwatch.put_metric_alarm(
            **alarm_on(name, AlarmActions=[topic, gone], TreatMissingData="ignore", AlarmDescription="too many")
        )
        cloudwatch.disable_alarm_actions(AlarmNames=[name])
        cloudwatch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="nobody hears of it")
        cloudwatch.set_alarm_state(AlarmName=name, StateValue="OK", StateReason="a test")
        cloudwatch.enable_alarm_actions(AlarmNames=[name])
        cloudwatch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="a test")
        told = wait_until("it is told", lambda: hook.received[1:])[0]
        assert told["Subject"] == f'ALARM: "{name}" in {REGION}'
        message = json.loads(told["Message"])
        assert (message["NewStateValue"], message["OldStateValue"]) == ("ALARM", "OK")
        assert (message["NewStateReason"], message["AlarmDescription"]) == ("a test", "too many")
        assert message["Trigger"]["MetricName"] == name
        actions = cloudwatch.describe_alarm_history(AlarmName=name, HistoryItemType="Action")["AlarmHistoryItems"]
        assert sorted(one["HistorySummary"].split(" ")[0] for one in actions) == ["Failed", "Successfully"]
        cloudwatch.delete_alarms(AlarmNames=[name])


def refuses(cloudwatch: Any, code: str, words: str, operation: str, **given: Any) -> None:
    with pytest.raises(ClientError, match=words) as refused:
        getattr(cloudwatch, operation)(**given)
    assert refused.value.response["Error"]["Code"] == code


REFUSED: list[tuple[str, str, str, Callable[[str], dict[str, Any]]]] = [
    ("put_metric_alarm", "ValidationError", "Period", lambda name: alarm_on(name, Period=15)),
    ("put_metric_alarm", "ValidationError", "SNS", lambda name: alarm_on(name, OKActions=["arn:aws:lambda:x"])),
    ("put_metric_alarm", "ValidationError", "more than 86400", lambda name: alarm_on(name, EvaluationPeriods=9999)),
    ("put_metric_alarm", "ValidationError", "must be one of", lambda name: alarm_on(name) | {"Statistic": "Mode"}),
    ("put_metric_alarm", "ValidationError", "Metrics is not", lambda name: alarm_on(name, Metrics=[{"Id": "m1"}])),
    (
        "put_composite_alarm",
        "ValidationError",
        "not there",
        lambda name: {"AlarmName": name, "AlarmRule": "OK(nobody)"},
    ),
    ("put_composite_alarm", "ValidationError", "not one", lambda name: {"AlarmName": name, "AlarmRule": "OK("}),
    (
        "put_metric_data",
        "InvalidParameterValue",
        "Timestamp",
        lambda name: {"Namespace": "shop", "MetricData": [{"MetricName": name, "Timestamp": 1.0, "Value": 1}]},
    ),
    (
        "put_metric_data",
        "InvalidParameterValue",
        "either Value",
        lambda name: {"Namespace": "shop", "MetricData": [{"MetricName": name}]},
    ),
    (
        "set_alarm_state",
        "ResourceNotFound",
        "no alarm",
        lambda name: {"AlarmName": name, "StateValue": "OK", "StateReason": ""},
    ),
]


@pytest.mark.parametrize(("operation", "code", "words", "given"), REFUSED)
def test_what_is_refused(
    cloudwatch: Any, name: str, operation: str, code: str, words: str, given: Callable[[str], dict[str, Any]]
) -> None:
    refuses(cloudwatch, code, words, operation, **given(name))


def test_alarms_and_data_outlive_the_server(tmp_path: Path) -> None:
    plane = ControlPlane(tmp_path)
    plane.start()
    try:
        cloudwatch = plane.client("cloudwatch")
        cloudwatch.put_metric_alarm(**alarm_on("errors", Period=60, EvaluationPeriods=30, DatapointsToAlarm=1))
        cloudwatch.tag_resource(
            ResourceARN=f"arn:aws:cloudwatch:{REGION}:000000000000:alarm:errors", Tags=[{"Key": "team", "Value": "web"}]
        )
        cloudwatch.put_metric_data(
            Namespace="shop", MetricData=[{"MetricName": "errors", "Timestamp": lately(90), "Value": 3}]
        )
        plane.kill()
        plane.start()
        cloudwatch = plane.client("cloudwatch")
        wait_until("it fires", lambda: state_of(cloudwatch, "errors") == "ALARM")
        arn = cloudwatch.describe_alarms()["MetricAlarms"][0]["AlarmArn"]
        assert cloudwatch.list_tags_for_resource(ResourceARN=arn)["Tags"] == [{"Key": "team", "Value": "web"}]
    finally:
        plane.stop()


def test_the_aws_cli(plane: ControlPlane) -> None:
    plane.aws(
        *("cloudwatch", "put-metric-alarm", "--alarm-name", "cli", "--namespace", "shop", "--metric-name", "cli"),
        *("--statistic", "Maximum", "--period", "60", "--evaluation-periods", "1", "--threshold", "1"),
        # Without it, a look in between would find no data, and say so.
        *("--comparison-operator", "GreaterThanOrEqualToThreshold", "--treat-missing-data", "ignore"),
    )
    plane.aws("cloudwatch", "set-alarm-state", "--alarm-name", "cli", "--state-value", "ALARM", "--state-reason", "x")
    found = plane.aws("cloudwatch", "describe-alarms", "--state-value", "ALARM", "--alarm-name-prefix", "cl")
    assert [one["AlarmName"] for one in found["MetricAlarms"]] == ["cli"]


def test_who_may(plane: ControlPlane) -> None:
    """A user needs a policy, by the actions' names."""
    iam = plane.client("iam")
    iam.create_user(UserName="watcher")
    key = iam.create_access_key(UserName="watcher")["AccessKey"]
    keys = (key["AccessKeyId"], key["SecretAccessKey"])
    refuses(
        plane.client("cloudwatch", keys=keys), "AccessDeniedException", "cloudwatch:DescribeAlarms", "describe_alarms"
    )
    policy = {"Statement": [{"Effect": "Allow", "Action": "cloudwatch:Describe*", "Resource": "*"}]}
    iam.put_user_policy(UserName="watcher", PolicyName="see", PolicyDocument=json.dumps(policy))
    assert "MetricAlarms" in plane.client("cloudwatch", keys=keys).describe_alarms()
    refuses(
        *(plane.client("cloudwatch", keys=keys), "AccessDeniedException", "PutMetricAlarm", "put_metric_alarm"),
        **alarm_on("mine"),
    )
