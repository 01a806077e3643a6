"""The blue/green example, while customers come all the time: none of them is lost."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

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
from tests.acceptance.world import FINAL, ControlPlane, wait_until


def test_customers_are_moved_over_and_back_and_none_is_lost(tmp_path: Path) -> None:
    record = tmp_path / "record.csv"
    with cloud_in(tmp_path) as plane:
        said = run_example(plane, "blue-green", "1", MINUTES="0")
        blue, hosts = _running(plane.client("ec2")), hosts_by_id(plane)
        with load(said.split()[-1], record):
            run_example(plane, "blue-green", "2")
            _, moved = deployments_of(plane, "green-shop")
            green = _running(plane.client("ec2"))
            hosts |= hosts_by_id(plane)
            stopped, back = _change_of_mind(plane, tmp_path / "release-3")
        ec2 = plane.client("ec2")
        assert not blue & green, "the first fleet went when its time was over"
        assert green <= _running(ec2), "the second one serves again"
        late = _running(ec2) - green
        hosts |= hosts_by_id(plane)
        every = [one["deploymentId"] for one in deployments_of(plane, "green-shop")]
        shut = closed(plane, every, hosts)
        # The first fleet is gone, and its records with it.
        seen = {hosts[one]: customers_of(plane, one) for one in green | late}
    samples = read(record)
    require_no_loss(samples)
    assert {sample.host for sample in samples} == {hosts[one] for one in blue | green | late}
    assert {one.host for one in shut if one.start == 0.0} >= {hosts[one] for one in blue | green | late}
    assert {one.host for one in shut if one.start > 0.0} >= {hosts[one] for one in blue | green | late}
    require_nobody_at(asked_of(samples), shut)
    require_nobody_at(seen, shut)
    assert all(len(moments) > 100 for moments in seen.values()), "hosts keep their own record"
    assert pace(samples) >= 200
    assert {sample.release for sample in samples} == {"1", "2", "3"}
    between = moved["completeTime"].timestamp(), stopped["createTime"].timestamp()
    assert {sample.release for sample in samples if between[0] < sample.at < between[1]} <= {"2"}
    assert {sample.release for sample in samples if sample.at > back["completeTime"].timestamp()} <= {"2"}
    marks = [(back["createTime"].timestamp(), "a change of mind")]
    (tmp_path / "shares.svg").write_text(
        picture(samples, "Blue/green: a fleet of its own, then everybody at once", marks=marks)
    )


def _change_of_mind(plane: ControlPlane, folder: Path) -> tuple[Any, Any]:
    """Bring release 3 in, and go back as soon as customers see it; that deployment, and the one that goes back."""
    deploy = plane.client("codedeploy")
    group = deploy.get_deployment_group(applicationName="green-shop", deploymentGroupName="prod")
    wish = group["deploymentGroupInfo"]["blueGreenDeploymentConfiguration"]
    wish["terminateBlueInstancesOnDeploymentSuccess"]["terminationWaitTimeInMinutes"] = 30
    deploy.update_deployment_group(
        applicationName="green-shop", currentDeploymentGroupName="prod", blueGreenDeploymentConfiguration=wish
    )
    shutil.copytree(EXAMPLES / "in-place-load-balanced", folder)
    (folder / "VERSION").write_text("3\n")
    to = ("--application-name", "green-shop", "--s3-location", "s3://green-shop-releases/3.zip", "--source")
    plane.run("aws", "deploy", "push", *to, folder)
    location = {"bucket": "green-shop-releases", "key": "3.zip", "bundleType": "zip"}
    deployment_id = deploy.create_deployment(
        applicationName="green-shop",
        deploymentGroupName="prod",
        revision={"revisionType": "S3", "s3Location": location},
    )["deploymentId"]

    def info(one: str) -> Any:
        return deploy.get_deployment(deploymentId=one)["deploymentInfo"]

    def is_waiting() -> bool:
        return bool(info(deployment_id)["instanceTerminationWaitTimeStarted"])

    def ended(one: str) -> Any:
        found = info(one)
        return found if found["status"] in FINAL else None

    wait_until("the fleet of before waits for its end", is_waiting, seconds=120)
    deploy.stop_deployment(deploymentId=deployment_id, autoRollbackEnabled=True)
    stopped = wait_until("it is stopped", lambda: ended(deployment_id), seconds=60)
    again = stopped["rollbackInfo"]["rollbackDeploymentId"]
    back = wait_until("it is rolled back", lambda: ended(again), seconds=120)
    assert (stopped["status"], back["status"]) == ("Stopped", "Succeeded")
    return stopped, back


def _running(ec2: Any) -> set[str]:
    found = ec2.describe_instances(Filters=[{"Name": "instance-state-name", "Values": ["running"]}])
    return {one["InstanceId"] for reservation in found["Reservations"] for one in reservation["Instances"]}
