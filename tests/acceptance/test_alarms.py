"""An alert of a real Prometheus stops a deployment on real hosts, and it is rolled back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.acceptance.world import ControlPlane, Host, Revision, Shop, wait_until
from tests.prometheus import ALERT, need_programs, prometheus
from tests.prometheus import Shop as Metric


def test_a_firing_alert_stops_and_rolls_back(
    tmp_path: Path, hosts_of: Callable[..., list[Host]], shop_of: Callable[..., Shop]
) -> None:
    """S7.22, S5.2: within ten seconds of the alert, with the group set up by the aws CLI."""
    need_programs()
    metric = Metric()
    with prometheus(tmp_path / "prometheus", metric.address) as url:
        plane = ControlPlane(tmp_path, options=("--alarms", f"prometheus={url}"))
        plane.start()
        try:
            hosts = hosts_of(plane, 3, views=True)
            shop = shop_of(plane, hosts)
            plane.aws(
                *("deploy", "update-deployment-group"),
                *("--application-name", shop.name, "--current-deployment-group-name", "prod"),
                *("--alarm-configuration", f"enabled=true,alarms=[{{name={ALERT}}}]"),
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
            metric.errors = 5
            ended = shop.ended(stopped, seconds=20)
            assert ended["status"] == "Stopped"
            assert ended["errorInformation"]["code"] == "ALARM_ACTIVE"
            assert ALERT in ended["errorInformation"]["message"]
            assert ended["deploymentOverview"]["Skipped"] >= 1

            rolled_back = shop.ended(ended["rollbackInfo"]["rollbackDeploymentId"])
            assert rolled_back["status"] == "Succeeded", "though the alert still fires"
            pages = [host.view.written("/srv/shop/page").read_text() for host in hosts if host.view]
            assert pages == ["first"] * 3
        finally:
            plane.stop()
            metric.close()
