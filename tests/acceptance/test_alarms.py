"""An alarm of CloudWatch or an alert of a real Prometheus stops a deployment on real hosts, and it is rolled back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.acceptance.world import ControlPlane, Host, Revision, Shop, service_role, wait_until
from tests.prometheus import ALERT, firing_since, need_programs, prometheus
from tests.prometheus import Shop as Metric

#: From an alarm's firing to the end of the deployment that it stops, seconds; the script that runs then ends at once.
WITHIN = 10.0


@dataclass
class Source:
    """Where an alarm is, as a test has it."""

    name: str
    #: For the server.
    options: tuple[str, ...]
    #: Makes the alarm, where it is not there by itself.
    make: Callable[[ControlPlane], object]
    fire: Callable[[ControlPlane], object]
    #: Since when it has been firing, as its source tells, epoch seconds; None while it does not.
    fired_at: Callable[[ControlPlane], float | None]


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
            fired_at=lambda _: firing_since(url),
        )
    metric.close()


@contextmanager
def in_cloudwatch(_: Path) -> Iterator[Source]:
    """Of the server itself, by the aws CLI and a program that puts data."""
    yield Source(name="shop-errors", options=(), make=_make, fire=_put, fired_at=_in_alarm_since)


def _make(plane: ControlPlane) -> None:
    service_role(plane)
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


def _in_alarm_since(plane: ControlPlane) -> float | None:
    (alarm,) = plane.client("cloudwatch").describe_alarms(AlarmNames=["shop-errors"])["MetricAlarms"]
    since: float = alarm["StateUpdatedTimestamp"].timestamp()
    return since if alarm["StateValue"] == "ALARM" else None


def _waiting(hosts: list[Host]) -> list[Path]:
    """What lets each host go that waits."""
    places = [host.view.written("/tmp") for host in hosts if host.view]
    return [place / "go" for place in places if (place / "here").exists() and not (place / "go").exists()]


@pytest.mark.parametrize("source_of", [in_prometheus, in_cloudwatch])
def test_a_firing_alarm_stops_and_rolls_back(
    tmp_path: Path,
    hosts_of: Callable[..., list[Host]],
    shop_of: Callable[..., Shop],
    source_of: Callable[[Path], AbstractContextManager[Source]],
) -> None:
    """S7.22, S5.2: within ten seconds of the alarm, both by recorded time; with the group set up by the aws CLI."""
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
            assert shop.run(good)[1]["status"] == "Succeeded"

            # Each host waits to be let go, so the roll is under way when the shop breaks.
            waits = {"ValidateService": "touch /tmp/here; until [ -e /tmp/go ]; do sleep 0.1; done"}
            slow = Revision(files={"page": "second"}, install=install, hooks=waits)
            stopped = shop.start(slow, deploymentConfigName="CodeDeployDefault.OneAtATime")
            wait_until("the first host waits", lambda: _waiting(hosts))[0].touch()
            second = wait_until("the second host waits", lambda: _waiting(hosts))[0]
            source.fire(plane)
            fired_at = wait_until("it fires", lambda: source.fired_at(plane), seconds=60)
            wait_until("it is heard", lambda: "errorInformation" in shop.info(stopped))
            second.touch()
            ended = shop.ended(stopped)
            assert ended["status"] == "Stopped"
            assert ended["errorInformation"]["code"] == "ALARM_ACTIVE"
            assert source.name in ended["errorInformation"]["message"]
            assert ended["deploymentOverview"]["Skipped"] == 1
            assert fired_at <= ended["completeTime"].timestamp() <= fired_at + WITHIN

            rolled_back = shop.ended(ended["rollbackInfo"]["rollbackDeploymentId"])
            assert rolled_back["status"] == "Succeeded", "though the alarm still fires"
            pages = [host.view.written("/srv/shop/page").read_text() for host in hosts if host.view]
            assert pages == ["first"] * 3
        finally:
            plane.stop()


def test_an_alarm_that_nobody_knows(
    tmp_path: Path, hosts_of: Callable[..., list[Host]], shop_of: Callable[..., Shop]
) -> None:
    """S7.23: unreadable, so the deployment stops and says so; or goes on, where the group wants that.

    As an alarm is that the group's service role may not read.
    """
    plane = ControlPlane(tmp_path)
    plane.start()
    try:
        role = service_role(plane, rights=False)
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
        ended = shop.ended(shop.start(Revision()))
        assert (ended["status"], ended["errorInformation"]["code"]) == ("Stopped", "ALARM_ACTIVE")
        assert "assumed-role/deploy/codedeploy is not authorized" in ended["errorInformation"]["message"]
        assert "cloudwatch:DescribeAlarms" in ended["errorInformation"]["message"]
        plane.client("iam").attach_role_policy(
            RoleName=role.rpartition("/")[2], PolicyArn="arn:aws:iam::aws:policy/service-role/AWSCodeDeployRole"
        )
        ended = shop.ended(shop.start(Revision()), seconds=90)
        assert (ended["status"], ended["errorInformation"]["code"]) == ("Stopped", "ALARM_ACTIVE")
        assert "nobody-knows" in ended["errorInformation"]["message"]
    finally:
        plane.stop()
