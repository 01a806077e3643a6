"""Auto Scaling behind a real port, over machines and load balancers that a test holds in its hands."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import uvicorn
from botocore.config import Config

from longshore.onebox.machinery.records import Records
from longshore.onebox.services.autoscaling import AutoScaling
from longshore.wire.endpoint import Endpoint
from longshore.wire.service import Call, Caller
from tests.unit.onebox.small_ground import SmallBalancers, SmallMachines

WEB = "arn:aws:elasticloadbalancing:us-east-1:000000000000:targetgroup/web/0123456789abcdef"
REGION = "us-east-1"
#: Bounds every wait, seconds.
PATIENCE = 20.0


class Here:
    """A service that is up."""

    def __init__(self, url: str, machines: SmallMachines, balancers: SmallBalancers) -> None:
        self.url = url
        self.machines = machines
        self.balancers = balancers
        self.client = self.as_account("000000000000")

    def as_account(self, account: str) -> Any:
        return boto3.client(
            "autoscaling",
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=account,
            aws_secret_access_key="secret",
            config=Config(retries={"total_max_attempts": 1}),
        )

    def group(self, name: str) -> Any:
        (found,) = self.client.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
        return found

    def states(self, name: str) -> dict[str, str]:
        """Lifecycle state by instance id."""
        return {one["InstanceId"]: one["LifecycleState"] for one in self.group(name)["Instances"]}

    def until(self, name: str, wanted: Collection[str]) -> list[str]:
        """Wait for a group's instances to stand there; their ids, in order."""
        wait(lambda: sorted(self.states(name).values()) == sorted(wanted))
        return sorted(self.states(name))


def wait(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.02)


@contextmanager
def serving(folder: Path, machines: SmallMachines, balancers: SmallBalancers) -> Iterator[Here]:
    """A service over the records in `folder`, from its start to its stop."""
    records = Records(folder / "onebox.db")
    auto_scaling = AutoScaling(records, machines, balancers)
    endpoint = Endpoint([auto_scaling.service()], _who_signed, _anybody, now=time.time)
    server = uvicorn.Server(uvicorn.Config(endpoint, log_level="warning", lifespan="off"))
    listening = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    auto_scaling.start()
    try:
        yield Here(f"http://127.0.0.1:{listening.getsockname()[1]}", machines, balancers)
    finally:
        auto_scaling.stop()
        server.should_exit = True
        thread.join(PATIENCE)
        records.close()


async def _who_signed(
    method: str, path: str, query: str, headers: Mapping[str, str], body: bytes, services: Collection[str], source: str
) -> Caller:
    """Signatures are others' tests: here an account's key is its number."""
    found = re.search(r"Credential=(\d{12})/\d+/([a-z0-9-]+)/autoscaling/", headers["authorization"])
    assert found
    return Caller(account=found[1], region=found[2], arn=f"arn:aws:iam::{found[1]}:root", access_key_id=found[1])


async def _anybody(_call: Call, _asked: Mapping[str, Any]) -> None:
    """Everybody may."""
