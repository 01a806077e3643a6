"""A real server that is killed whenever a blue/green deployment has come a phase further: real hosts, real traffic.

`tests/integration/engine/test_blue_green_killed.py` dies at every call and every commit; here everything is real.
"""

from __future__ import annotations

import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.acceptance.cloud import EXAMPLES, cloud_in, run_example
from tests.acceptance.world import FINAL, ControlPlane

#: Phases that are long enough to be seen by who looks at the rows now and then.
_SEEN = {"provision", "install", "reroute", "block", "retire"}


def test_whenever_it_is_killed_the_replacements_serve_and_nothing_else_is_left(tmp_path: Path) -> None:
    with cloud_in(tmp_path) as plane:
        run_example(plane, "blue-green", "1", MINUTES="0", INSTANCES="1", PORT="8011")
        deployment_id = _bring_in(plane, tmp_path / "release-2")
        killed_in: list[str] = []
        deadline = time.monotonic() + 240
        while (seen := _row(plane, deployment_id))[0] not in FINAL:
            assert time.monotonic() < deadline, f"it does not end: {seen}, killed in {killed_in}"
            if seen[1] and seen[1] not in killed_in:
                killed_in.append(seen[1])
                plane.kill()
                plane.start()
            time.sleep(0.02)
        deploy, ec2, scaling = (plane.client(name) for name in ("codedeploy", "ec2", "autoscaling"))
        info = deploy.get_deployment(deploymentId=deployment_id)["deploymentInfo"]
        assert (info["status"], set(killed_in) >= _SEEN) == ("Succeeded", True), (killed_in, info)
        (group,) = scaling.describe_auto_scaling_groups()["AutoScalingGroups"]
        assert group["AutoScalingGroupName"] == f"CodeDeploy_prod_{deployment_id}"
        assert group["SuspendedProcesses"] == []
        found = ec2.describe_instances(Filters=[{"Name": "instance-state-name", "Values": ["pending", "running"]}])
        alive = [one["InstanceId"] for reserved in found["Reservations"] for one in reserved["Instances"]]
        assert alive == [one["InstanceId"] for one in group["Instances"]]
        assert _in_traffic(plane) == alive


def _bring_in(plane: ControlPlane, folder: Path) -> str:
    """Release 2, on its way."""
    shutil.copytree(EXAMPLES / "in-place-load-balanced", folder)
    (folder / "VERSION").write_text("2\n")
    to = ("--application-name", "green-shop", "--s3-location", "s3://green-shop-releases/2.zip", "--source")
    plane.run("aws", "deploy", "push", *to, folder)
    location = {"bucket": "green-shop-releases", "key": "2.zip", "bundleType": "zip"}
    made = plane.client("codedeploy").create_deployment(
        applicationName="green-shop",
        deploymentGroupName="prod",
        revision={"revisionType": "S3", "s3Location": location},
    )
    return str(made["deploymentId"])


def _row(plane: ControlPlane, deployment_id: str) -> tuple[str, str | None]:
    """Status and phase, looked up past the server, which may be dead."""
    with closing(sqlite3.connect(plane.data_dir / "longshore.db", timeout=10)) as database:
        row: Any = database.execute("SELECT status, phase FROM deployments WHERE id = ?", (deployment_id,)).fetchone()
    return row[0], row[1]


def _in_traffic(plane: ControlPlane) -> list[str]:
    elb = plane.client("elbv2")
    (group,) = elb.describe_target_groups(Names=["green-shop"])["TargetGroups"]
    told = elb.describe_target_health(TargetGroupArn=group["TargetGroupArn"])["TargetHealthDescriptions"]
    return sorted(one["Target"]["Id"] for one in told if one["TargetHealth"]["State"] == "healthy")
