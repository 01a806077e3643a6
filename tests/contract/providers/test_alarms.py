"""Alarm states from a real Prometheus, a real Alertmanager, and CloudWatch's API as moto and onebox serve it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from longshore.domain.alarms import AlarmState
from longshore.domain.ids import Scope
from longshore.providers.alarms import AlertmanagerAlarms, CloudWatchAlarms, PrometheusAlarms, SeveralAlarms
from longshore.providers.clients import Clients
from longshore.providers.ports import TransientError
from tests.acceptance.world import wait_until
from tests.contract.providers.places import AWS
from tests.prometheus import ALERT, Shop, alertmanager, need_programs, prometheus

SCOPE = Scope("111122223333", "eu-central-1")
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def shop() -> Iterator[Shop]:
    made = Shop()
    yield made
    made.close()


def test_alerts_of_prometheus_and_alertmanager(tmp_path: Path, shop: Shop) -> None:
    need_programs()
    with (
        alertmanager(tmp_path / "alertmanager") as manager_url,
        prometheus(tmp_path / "prometheus", shop.address, alertmanager=manager_url.partition("//")[2]) as url,
    ):
        rules, alerts = PrometheusAlarms(f"{url}/"), AlertmanagerAlarms(manager_url)
        names = (ALERT, "ShopIsSlow", "NobodyKnows")

        def known() -> bool:
            return rules.states(SCOPE, names).get(ALERT) is AlarmState.OK

        wait_until("the rules were evaluated once", known)
        assert rules.states(SCOPE, names) == {ALERT: AlarmState.OK, "ShopIsSlow": AlarmState.OK}
        assert alerts.states(SCOPE, [ALERT]) == {ALERT: AlarmState.OK}

        shop.errors = 3
        wait_until("the alert fires", lambda: rules.states(SCOPE, names)[ALERT] is AlarmState.ALARM)
        assert rules.states(SCOPE, names)["ShopIsSlow"] is AlarmState.OK
        wait_until("and is told on", lambda: alerts.states(SCOPE, names)[ALERT] is AlarmState.ALARM)
        assert SeveralAlarms([PrometheusAlarms(NOWHERE), alerts]).states(SCOPE, names)[ALERT] is AlarmState.ALARM
        assert set(SeveralAlarms([rules, PrometheusAlarms(url)]).states(SCOPE, names)) == {ALERT, "ShopIsSlow"}


@pytest.fixture(params=["moto", "onebox"])
def aws(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Clients, Any]]:
    """What asks a CloudWatch, and its owner's client of it."""
    with AWS[request.param](tmp_path) as (url, keys):
        owner = {"aws_access_key_id": keys[0], "aws_secret_access_key": keys[1], "region_name": SCOPE.region}
        clients = Clients(endpoint_url=url, keys=lambda _: keys)
        yield clients, boto3.client("cloudwatch", endpoint_url=url, **owner)


def test_alarms_of_cloudwatch(aws: tuple[Clients, Any]) -> None:
    clients, cloudwatch = aws
    for name in ("errors", "latency"):
        cloudwatch.put_metric_alarm(
            AlarmName=name,
            Namespace="shop",
            MetricName=name,
            Statistic="Sum",
            Period=3600,
            EvaluationPeriods=1,
            Threshold=1,
            ComparisonOperator="GreaterThanThreshold",
            TreatMissingData="ignore",
        )
    cloudwatch.set_alarm_state(AlarmName="latency", StateValue="ALARM", StateReason="a test")
    found = CloudWatchAlarms(clients).states(SCOPE, ["errors", "latency", "unknown"])
    assert found["latency"] is AlarmState.ALARM
    assert found["errors"] is not AlarmState.ALARM
    assert "unknown" not in found
    assert CloudWatchAlarms(clients).states(Scope(SCOPE.account, "us-east-1"), ["latency"]) == {}


@pytest.mark.parametrize("source", [PrometheusAlarms(NOWHERE), AlertmanagerAlarms(NOWHERE)], ids=type)
def test_a_source_that_is_away_may_come_back(source: PrometheusAlarms | AlertmanagerAlarms) -> None:
    with pytest.raises(TransientError, match="gives no answer"):
        source.states(SCOPE, ["errors"])
    with pytest.raises(TransientError):
        SeveralAlarms([source]).states(SCOPE, ["errors"])
