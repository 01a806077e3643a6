"""Alarm states from a real Prometheus, a real Alertmanager, and CloudWatch's API as moto and onebox serve it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from longshore.domain.alarms import AlarmState
from longshore.domain.ids import Scope
from longshore.providers.alarms import AlertmanagerAlarms, CloudWatchAlarms, PrometheusAlarms, SeveralAlarms
from longshore.providers.ports import Access, RoleMissingError, RoleRightsError, TransientError
from tests.acceptance.world import wait_until
from tests.contract.providers.places import REGION, Place, service_role
from tests.prometheus import ALERT, Shop, alertmanager, need_programs, prometheus

#: Prometheus and Alertmanager know neither accounts nor roles.
ACCESS = Access(scope=Scope("111122223333", "eu-central-1"), role_arn="arn:aws:iam::111122223333:role/nobody")
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
            return rules.states(ACCESS, names).get(ALERT) is AlarmState.OK

        wait_until("the rules were evaluated once", known)
        assert rules.states(ACCESS, names) == {ALERT: AlarmState.OK, "ShopIsSlow": AlarmState.OK}
        assert alerts.states(ACCESS, [ALERT]) == {ALERT: AlarmState.OK}

        shop.errors = 3
        wait_until("the alert fires", lambda: rules.states(ACCESS, names)[ALERT] is AlarmState.ALARM)
        assert rules.states(ACCESS, names)["ShopIsSlow"] is AlarmState.OK
        wait_until("and is told on", lambda: alerts.states(ACCESS, names)[ALERT] is AlarmState.ALARM)
        assert SeveralAlarms([PrometheusAlarms(NOWHERE), alerts]).states(ACCESS, names)[ALERT] is AlarmState.ALARM
        assert set(SeveralAlarms([rules, PrometheusAlarms(url)]).states(ACCESS, names)) == {ALERT, "ShopIsSlow"}


@pytest.mark.parametrize("place", ["moto", "onebox"], indirect=True)
def test_alarms_of_cloudwatch(place: Place) -> None:
    cloudwatch = place.owner("cloudwatch")
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
    alarms = CloudWatchAlarms(place.roles)
    found = alarms.states(place.access, ["errors", "latency", "unknown"])
    assert found["latency"] is AlarmState.ALARM
    assert found["errors"] is not AlarmState.ALARM
    assert "unknown" not in found
    elsewhere = replace(place.access, scope=Scope(place.access.scope.account, "us-east-1"))
    assert alarms.states(elsewhere, ["latency"]) == {}


@pytest.mark.parametrize("place", ["onebox"], indirect=True)
def test_alarms_are_the_service_roles_to_read(place: Place) -> None:
    """Not the server's own key's; and of those that its policies name."""
    iam, alarms = place.owner("iam"), CloudWatchAlarms(place.roles)
    blind = replace(place.access, role_arn=service_role(iam, "blind"))
    with pytest.raises(RoleRightsError, match=r"assumed-role/blind/codedeploy is not authorized.*DescribeAlarms"):
        alarms.states(blind, ["errors"])
    one = f"arn:aws:cloudwatch:{REGION}:{place.access.scope.account}:alarm:errors"
    may = {"Effect": "Allow", "Action": "cloudwatch:DescribeAlarms", "Resource": one}
    document = json.dumps({"Version": "2012-10-17", "Statement": [may]})
    iam.put_role_policy(RoleName="blind", PolicyName="looks", PolicyDocument=document)
    wait_until("its rights are known", lambda: _may(alarms, blind, "errors"))
    with pytest.raises(RoleRightsError, match="alarm:latency"):
        alarms.states(blind, ["errors", "latency"])
    with pytest.raises(RoleMissingError, match="no role"):
        alarms.states(replace(place.access, role_arn=f"{blind.role_arn}-not"), ["errors"])
    own = place.own("cloudwatch")
    with pytest.raises(ClientError, match="not authorized"):
        own.describe_alarms(AlarmNames=["errors"])


def _may(alarms: CloudWatchAlarms, access: Access, name: str) -> bool:
    try:
        return alarms.states(access, [name]) == {}
    except RoleRightsError:
        return False


@pytest.mark.parametrize("source", [PrometheusAlarms(NOWHERE), AlertmanagerAlarms(NOWHERE)], ids=type)
def test_a_source_that_is_away_may_come_back(source: PrometheusAlarms | AlertmanagerAlarms) -> None:
    with pytest.raises(TransientError, match="gives no answer"):
        source.states(ACCESS, ["errors"])
    with pytest.raises(TransientError):
        SeveralAlarms([source]).states(ACCESS, ["errors"])
