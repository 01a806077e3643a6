"""The example of instances behind a load balancer, while customers come all the time: none of them notices."""

from __future__ import annotations

import shutil
from pathlib import Path

from bench.load import load, pace, read
from bench.shares import picture

from tests.acceptance.cloud import (
    EXAMPLES,
    asked_of,
    closed,
    cloud_in,
    customers_of,
    deployments_of,
    hosts_by_id,
    require_no_loss,
    require_nobody_at,
    run_example,
)
from tests.acceptance.world import ControlPlane, wait_until

NAME = "in-place-load-balanced"


def test_nobody_notices_a_roll_nor_a_rollback(tmp_path: Path) -> None:
    """Ten hosts, half of them at a time, more than 200 requests a second through the listener."""
    record = tmp_path / "record.csv"
    with cloud_in(tmp_path) as plane:
        said = run_example(plane, NAME, "1", INSTANCES="10")
        url = said.split()[-1]
        with load(url, record):
            run_example(plane, NAME, "2")
            _, rolled = deployments_of(plane, "shop")
            _roll_back(plane, tmp_path / "broken")
        every = deployments_of(plane, "shop")
        failed, hosts = every[-2], hosts_by_id(plane)
        shut = closed(plane, [one["deploymentId"] for one in every], hosts)
        seen = {hosts[one]: customers_of(plane, one) for one in hosts}
    samples = read(record)
    require_no_loss(samples)
    assert pace(samples) >= 200
    assert len(shut) >= 10 + 10 + 5, "before the first release, while the second was rolled, and the third failed"
    require_nobody_at(asked_of(samples), shut)
    require_nobody_at(seen, shut)
    assert all(len(moments) > 100 for moments in seen.values()), "and they keep their own record"
    assert {sample.release for sample in samples} == {"1", "2"}, "nobody saw the release that does not work"
    assert {sample.release for sample in samples if sample.at > rolled["completeTime"].timestamp()} == {"2"}
    assert len({sample.host for sample in samples}) == 10
    marks = [(failed["createTime"].timestamp(), "release 3 does not start")]
    (tmp_path / "shares.svg").write_text(picture(samples, "In place, ten hosts, half at a time", marks=marks))


def _roll_back(plane: ControlPlane, folder: Path) -> dict[str, object]:
    """Deploy a release that does not start; the rollback that comes of it, once that has ended."""
    deploy = plane.client("codedeploy")
    deploy.update_deployment_group(
        applicationName="shop",
        currentDeploymentGroupName="prod",
        autoRollbackConfiguration={"enabled": True, "events": ["DEPLOYMENT_FAILURE"]},
    )
    shutil.copytree(EXAMPLES / NAME, folder)
    (folder / "scripts" / "start.sh").write_text("#!/bin/sh\necho 'Release 3 does not start' >&2\nexit 1\n")
    to = ("--application-name", "shop", "--s3-location", "s3://shop-releases/broken.zip", "--source")
    plane.run("aws", "deploy", "push", *to, folder)
    location = {"bucket": "shop-releases", "key": "broken.zip", "bundleType": "zip"}
    deployment_id = deploy.create_deployment(
        applicationName="shop",
        deploymentGroupName="prod",
        revision={"revisionType": "S3", "s3Location": location},
    )["deploymentId"]

    def rolled_back() -> dict[str, object] | None:
        info = deploy.get_deployment(deploymentId=deployment_id)["deploymentInfo"]
        again = info.get("rollbackInfo", {}).get("rollbackDeploymentId")
        if again is None:
            return None
        found: dict[str, object] = deploy.get_deployment(deploymentId=again)["deploymentInfo"]
        return found if found["status"] in ("Succeeded", "Failed", "Stopped") else None

    found: dict[str, object] = wait_until("it is rolled back", rolled_back, seconds=120)
    assert found["status"] == "Succeeded"
    return found
