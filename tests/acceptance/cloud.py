"""A control plane with instances and load balancers, the examples as their users run them, and what customers saw."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import botocore
import pytest
from bench.load import Sample

from longshore.onebox.machinery.host_view import HostView, why_not
from longshore.onebox.machinery.proxy.envoy import Envoy
from tests.acceptance.world import BIN, ControlPlane

EXAMPLES = Path(__file__).parents[2] / "examples"


@contextmanager
def cloud_in(folder: Path) -> Iterator[ControlPlane]:
    """A fresh server; what it leaves running is ended with it."""
    if reason := why_not(folder):
        assert not os.environ.get("CI"), reason
        pytest.skip(reason)
    plane = ControlPlane(folder)
    plane.start()
    try:
        yield plane
    finally:
        plane.stop()
        for directory in (plane.data_dir / "onebox" / "ec2" / "instances").glob("*"):
            HostView(directory=directory, name=directory.name).remove()
        Envoy(plane.data_dir / "onebox" / "proxy").stop()


def run_example(plane: ControlPlane, name: str, *words: str, **environ: str) -> str:
    """What an example's script said; it knows the server by the three export lines alone."""
    done = subprocess.run(
        [str(EXAMPLES / name / "run.sh"), *words],
        env={
            **{key: value for key, value in os.environ.items() if not key.startswith("AWS_")},
            **plane.environ,
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "AWS_DATA_PATH": str(Path(botocore.__file__).parent / "data"),
            **environ,
        },
        text=True,
        capture_output=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout


@dataclass(frozen=True)
class Away:
    """A host is being deployed to, and nobody may be sent there."""

    host: str
    start: float
    end: float


def away(plane: ControlPlane, deployment_id: str) -> list[Away]:
    """When each host of a deployment was out of traffic: from the end of BlockTraffic to the start of AllowTraffic."""
    deploy = plane.client("codedeploy")
    names = {
        one["InstanceId"]: one["PrivateDnsName"]
        for reservation in plane.client("ec2").describe_instances()["Reservations"]
        for one in reservation["Instances"]
    }
    found = []
    for target_id in deploy.list_deployment_targets(deploymentId=deployment_id)["targetIds"]:
        answer = deploy.get_deployment_target(deploymentId=deployment_id, targetId=target_id)
        target = answer["deploymentTarget"]["instanceTarget"]
        events = {one["lifecycleEventName"]: one for one in target["lifecycleEvents"]}
        left, back = events["BlockTraffic"].get("endTime"), events["AllowTraffic"].get("startTime")
        if left is None:
            continue
        # One whose deployment failed does not come back by it.
        end = back.timestamp() if back is not None else target["lastUpdatedAt"].timestamp()
        found.append(Away(names[target_id], left.timestamp(), end))
    return found


def require_no_loss(samples: Sequence[Sample]) -> None:
    """Everybody was served."""
    failed = [sample for sample in samples if not sample.is_good]
    assert not failed, f"{len(failed)} of {len(samples)} requests failed, as {failed[:5]}"


def require_nobody_at(samples: Sequence[Sample], closed: Sequence[Away]) -> None:
    """Nobody was sent to a host that was being deployed to."""
    for one in closed:
        there = [sample for sample in samples if sample.host == one.host and one.start <= sample.at < one.end]
        assert not there, f"{len(there)} requests went to {one}, as {there[:3]}"


def deployments_of(plane: ControlPlane, application: str) -> list[Any]:
    """The deployments of its group prod, the newest last."""
    deploy = plane.client("codedeploy")
    ids = deploy.list_deployments(applicationName=application, deploymentGroupName="prod")["deployments"]
    infos = [deploy.get_deployment(deploymentId=one)["deploymentInfo"] for one in ids]
    return sorted(infos, key=lambda info: info["createTime"])
