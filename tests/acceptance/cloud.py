"""A control plane with instances and load balancers, the examples as their users run them, and what customers saw."""

from __future__ import annotations

import math
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
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
class Closed:
    """When nobody may be sent to a host: before it is ready, while it is deployed to, and when it has been let go."""

    host: str
    start: float
    end: float


def hosts_by_id(plane: ControlPlane) -> dict[str, str]:
    """The host names of the instances that are there."""
    found = plane.client("ec2").describe_instances()["Reservations"]
    every = (one for reservation in found for one in reservation["Instances"])
    return {one["InstanceId"]: one["PrivateDnsName"] for one in every if one["PrivateDnsName"]}


def closed(plane: ControlPlane, deployments: Sequence[str], hosts: Mapping[str, str]) -> list[Closed]:
    """When each of these hosts was closed, as deployments recorded it: the first to them, and all that followed.

    A host opens when its AllowTraffic begins, or it is given up, and has closed when its BlockTraffic has ended.
    The name of one that is
    gone may be another one's later; one that `hosts` does not know goes by its id.
    """
    deploy = plane.client("codedeploy")
    moves: dict[str, list[tuple[float, bool]]] = {}
    for deployment_id in deployments:
        for target_id in deploy.list_deployment_targets(deploymentId=deployment_id)["targetIds"]:
            answer = deploy.get_deployment_target(deploymentId=deployment_id, targetId=target_id)
            events = answer["deploymentTarget"]["instanceTarget"]["lifecycleEvents"]
            by_name = {one["lifecycleEventName"]: one for one in events}
            opened = by_name.get("AllowTraffic", {}).get("startTime")
            has_closed = by_name.get("BlockTraffic", {}).get("endTime")
            stop = by_name.get("ApplicationStop", {})
            if opened is None and has_closed and stop.get("status") == "Skipped":
                # It turned back before anything was done to it.
                opened = stop["endTime"]
            known = moves.setdefault(hosts.get(target_id, target_id), [])
            known += [(opened.timestamp(), True)] if opened else []
            known += [(has_closed.timestamp(), False)] if has_closed else []
    found = []
    for name, known in moves.items():
        since: float | None = 0.0
        for moment, opens in sorted(known):
            if opens and since is not None:
                found.append(Closed(name, since, moment))
            since = None if opens else moment if since is None else since
        if since is not None:
            found.append(Closed(name, since, math.inf))
    return found


def customers_of(plane: ControlPlane, instance_id: str) -> list[float]:
    """When an instance was asked for its page through a load balancer, by its own record."""
    directory = plane.data_dir / "onebox" / "ec2" / "instances" / instance_id
    log = HostView(directory=directory, name=instance_id).written("/var/log/shop.log")
    lines = [line.split() for line in log.read_text().splitlines()]
    return [float(line[0]) for line in lines if line[2:] == ["/", "200"] and line[1] != "-"]


def require_no_loss(samples: Sequence[Sample]) -> None:
    """Everybody was served."""
    failed = [sample for sample in samples if not sample.is_good]
    assert not failed, f"{len(failed)} of {len(samples)} requests failed, as {failed[:5]}"


def require_nobody_at(asked: Mapping[str, Sequence[float]], closed: Sequence[Closed]) -> None:
    """Nobody was sent to a host that was closed; `asked` says when each was asked."""
    for one in closed:
        there = [moment for moment in asked.get(one.host, ()) if one.start <= moment < one.end]
        assert not there, f"{len(there)} requests went to {one}, as at {there[:3]}"


def asked_of(samples: Sequence[Sample]) -> dict[str, list[float]]:
    """When each host was asked, by the record of those who asked."""
    found: dict[str, list[float]] = {}
    for sample in samples:
        found.setdefault(sample.host, []).append(sample.at)
    return found


def deployments_of(plane: ControlPlane, application: str) -> list[Any]:
    """The deployments of its group prod, the newest last."""
    deploy = plane.client("codedeploy")
    ids = deploy.list_deployments(applicationName=application, deploymentGroupName="prod")["deployments"]
    infos = [deploy.get_deployment(deploymentId=one)["deploymentInfo"] for one in ids]
    return sorted(infos, key=lambda info: info["createTime"])
