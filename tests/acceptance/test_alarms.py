"""An alarm of CloudWatch or an alert of a real Prometheus stops a deployment on real hosts, and it is rolled back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.acceptance.world import ControlPlane, Host, Revision, Shop, wait_until
from tests.prometheus import ALERT, need_programs, prometheus
from tests.prometheus import Shop as Metric


@dataclass
class Source:
    """Where an alarm is, as a test has it."""

    name: str
    #: For the server.
    options: tuple[str, ...]
    #: Makes the alarm, where it is not there by itself.
    make: Callable[[ControlPlane], object]
    fire: Callable[[ControlPlane], object]
    #: Whether it is in ALARM.
    fires: Callable[[ControlPlane], bool]


@contextmanager
def in_prometheus(folder: Path) -> Iterator[Source]:
    need_programs()
    metric = Metric()

    def fire(_: ControlPlane) -> None:
        metric.errors = 5

    with prometheus(folder / "prometheus", metric.address) as url:
        yield Source(
            name=ALERT,
            options=("--alarms", f"prometheus={url}"),
            make=lambda _: None,
            fire=fire,
            fires=lambda _: metric.errors > 0,
        )
    metric.close()


@contextmanager
def in_cloudwatch(_: Path) -> Iterator[Source]:
    """Of the server itself, by the aws CLI and a program that puts data."""
    yield Source(name="shop-errors", options=(), make=_make, fire=_put, fires=_is_in_alarm)


def _make(plane: ControlPlane) -> None:
    plane.aws(
        *("cloudwatch", "put-metric-alarm", "--alarm-name", "shop-errors", "--namespace", "shop"),
        *("--metric-name", "errors", "--statistic", "Sum", "--period", "10", "--evaluation-periods", "1"),
        *("--threshold", "0", "--comparison-operator", "GreaterThanThreshold", "--treat-missing-data", "ignore"),
    )


def _put(plane: ControlPlane) -> None:
    # Of ten seconds that are over: what is put of now counts when they are.
    moment = datetime.fromtimestamp(time.time() - 11, UTC)
    datum = {"MetricName": "errors", "Timestamp": moment, "Value": 5, "StorageResolution": 1}
    plane.client("cloudwatch").put_metric_data(Namespace="shop", MetricData=[datum])


def _is_in_alarm(plane: ControlPlane) -> bool:
    found = plane.client("cloudwatch").describe_alarms(AlarmNames=["shop-errors"])["MetricAlarms"]
    return bool(found[0]["StateValue"] == "ALARM")


@pytest.mark.parametrize("source_of", [in_prometheus, in_cloudwatch])
def test_a_firing_alarm_stops_and_rolls_back(
    tmp_path: Path,
    hosts_of: Callable[..., list[Host]],
    shop_of: Callable[..., Shop],
    source_of: Callable[[Path], AbstractContextManager[Source]],
) -> None:
    """S7.22, S5.2: within ten seconds of the alarm, with the group set up by the aws CLI."""
    with source_of(tmp_path) as source:
        plane = ControlPlane(tmp_path, options=source.options)
        plane.start()
        try:
            source.make(plane)
            hosts = hosts_of(plane, 3, views=True)
            shop = shop_of(plane, hosts)
            plane.aws(
                *("deploy", "update-deployment-group"),
                *("--application-name", shop.name, "--current-deployment-group-name", "prod"),
                *("--alarm-configuration", f"enabled=true,alarms=[{{name={source.name}}}]"),
                *("--auto-rollback-configuration", "enabled=true,events=DEPLOYMENT_STOP_ON_ALARM"),
            )
            install = {"page": "/srv/shop"}
            good = Revision(files={"page": "first"}, install=install)
            assert shop.run(good, deploymentConfigName="CodeDeployDefault.OneAtATime")[1]["status"] == "Succeeded"

            # Each host takes three seconds, so the roll is under way when the shop breaks.
            slow = Revision(files={"page": "second"}, install=install, hooks={"ValidateService": "sleep 3"})
            stopped = shop.start(slow, deploymentConfigName="CodeDeployDefault.OneAtATime")
            first = wait_until("a host is done", lambda: shop.info(stopped)["deploymentOverview"].get("Succeeded"))
            assert first == 1
            source.fire(plane)
            wait_until("it fires", lambda: source.fires(plane))
            ended = shop.ended(stopped, seconds=20)
            assert ended["status"] == "Stopped"
            assert ended["errorInformation"]["code"] == "ALARM_ACTIVE"
            assert source.name in ended["errorInformation"]["message"]
            assert ended["deploymentOverview"]["Skipped"] >= 1

            rolled_back = shop.ended(ended["rollbackInfo"]["rollbackDeploymentId"])
            assert rolled_back["status"] == "Succeeded", "though the alarm still fires"
            pages = [host.view.written("/srv/shop/page").read_text() for host in hosts if host.view]
            assert pages == ["first"] * 3
        finally:
            plane.stop()


def test_an_alarm_that_nobody_knows(
    tmp_path: Path, hosts_of: Callable[..., list[Host]], shop_of: Callable[..., Shop]
) -> None:
    """S7.23: unreadable, so the deployment stops and says so; or goes on, where the group wants that."""
    plane = ControlPlane(tmp_path)
    plane.start()
    try:
        shop = shop_of(plane, hosts_of(plane, 1))

        def watch(**more: bool) -> None:
            shop.deploy.update_deployment_group(
                applicationName=shop.name,
                currentDeploymentGroupName="prod",
                alarmConfiguration={"enabled": True, "alarms": [{"name": "nobody-knows"}], **more},
            )

        watch(ignorePollAlarmFailure=True)
        assert shop.run(Revision())[1]["status"] == "Succeeded"
        watch(ignorePollAlarmFailure=False)
        ended = shop.ended(shop.start(Revision()), seconds=90)
        assert (ended["status"], ended["errorInformation"]["code"]) == ("Stopped", "ALARM_ACTIVE")
        assert "nobody-knows" in ended["errorInformation"]["message"]
    finally:
        plane.stop()
