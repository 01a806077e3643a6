"""A server of one's own on a free loopback port, clients for it, and what a process costs."""

from __future__ import annotations

import configparser
import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import psutil
from botocore.config import Config

from longshore import models

#: Everything a benchmark writes is below a directory of this prefix, and goes away with it.
_PREFIX = "longshore-bench-"
_START_SECONDS = 30.0
_STOP_SECONDS = 15.0
_DATABASE = "LONGSHORE_DATABASE_URL"
BUCKET = "bench"
#: ext4 gives no inode away again for 35 s, and each new file is looked for behind all of those: what ten deployments a
#: minute would pay, and no host has them. Before each turn, seconds.
SETTLE = 36.0


class BenchError(Exception):
    """A benchmark cannot be carried out; the message says why."""


@contextlib.contextmanager
def ground() -> Iterator[Path]:
    """An empty directory on disk, removed at the end."""
    directory = Path(tempfile.mkdtemp(prefix=_PREFIX))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def settle() -> None:
    """Have nobody's turn pay for what was written or deleted in the last one."""
    os.sync()
    time.sleep(SETTLE)


def make_unrelated(directory: Path) -> None:
    """Make a directory in which ext4 places what is below each subdirectory apart, as on machines of their own.

    Otherwise all of them share a few groups of inodes, and each file made there is looked for behind every file that
    any has deleted in the last minute: most of the time would be that search. Other file systems know no such flag.
    """
    directory.mkdir()
    subprocess.run(["chattr", "+T", str(directory)], check=False, stderr=subprocess.DEVNULL, timeout=10)


@dataclass(frozen=True, kw_only=True)
class Server:
    """A running `longshore server`."""

    process: subprocess.Popen[bytes]
    url: str
    region: str
    access_key_id: str
    secret_access_key: str

    def client(self, service: str) -> Any:
        """A boto3 client, as the owner would have it; also for our own services."""
        core = botocore.session.Session()
        core.get_component("data_loader").search_paths.insert(0, models.DATA_PATH)
        return boto3.session.Session(
            aws_access_key_id=self.access_key_id,
            aws_secret_access_key=self.secret_access_key,
            region_name=self.region,
            botocore_session=core,
        ).client(
            service,
            endpoint_url=self.url,
            config=Config(connect_timeout=5, read_timeout=60, proxies={}, s3={"addressing_style": "path"}),
        )

    def cpu_seconds(self) -> float:
        """User and system time so far."""
        times = psutil.Process(self.process.pid).cpu_times()
        return float(times.user + times.system)

    def peak_megabytes(self) -> float:
        """The most memory it ever had resident."""
        return peak_megabytes(self.process.pid)


@contextlib.contextmanager
def server(directory: Path, *options: str, embedded: bool = False) -> Iterator[Server]:
    """A server whose data is in `directory`; `options` are further words of its command line.

    LONGSHORE_DATABASE_URL, where it is set, names its database, unless it is to be the `embedded` one.
    """
    argv = [
        program("longshore"),
        "server",
        "--data-dir",
        str(directory / "data"),
        "--listen",
        "127.0.0.1:0",
        "--log-level",
        "warning",
        *options,
    ]
    said = directory / "server.out"
    database = {} if embedded else {name: os.environ[name] for name in (_DATABASE,) if name in os.environ}
    with process(argv, output=said, environ=environment() | database) as running:
        exports = _exports(running, said)
        owner = configparser.ConfigParser(interpolation=None)
        owner.read(exports["AWS_SHARED_CREDENTIALS_FILE"])
        yield Server(
            process=running,
            url=exports["AWS_ENDPOINT_URL"],
            region=exports["AWS_REGION"],
            access_key_id=owner["default"]["aws_access_key_id"],
            secret_access_key=owner["default"]["aws_secret_access_key"],
        )


@contextlib.contextmanager
def process(
    argv: list[str], *, output: Path, environ: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is stopped at the end; what it says is in `output`, and beside it with the ending `.err`."""
    with output.open("wb") as out, output.with_suffix(".err").open("wb") as err:
        running = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env=environment() if environ is None else environ,
            start_new_session=True,
        )
    try:
        yield running
    finally:
        stop(running)


def stop(running: subprocess.Popen[bytes]) -> None:
    """Ask a process and its group to end; make them, if they do not."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        if running.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(running.pid, sign)
            with contextlib.suppress(subprocess.TimeoutExpired):
                running.wait(_STOP_SECONDS)


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def wait_for_port(port: int, running: subprocess.Popen[bytes]) -> None:
    """Until this process listens there."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and running.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise BenchError(f"{running.args!r} does not start.")


def program(name: str) -> str:
    """A command of the environment that runs the benchmark."""
    path = Path(sys.executable).parent / name
    if not path.exists():
        raise BenchError(f"The command {name} is missing beside {sys.executable}. Run `make setup` first.")
    return str(path)


def environment() -> dict[str, str]:
    """What a service would get: nothing of the user's own AWS settings, and code that is compiled once."""
    return {
        "PATH": f"{Path(sys.executable).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": os.environ.get("HOME", "/"),
        "LANG": "C.UTF-8",
        "LONGSHORE_LOG_LEVEL": "warning",
    }


def upload(server: Server, bundle: Path, *, bundle_type: str) -> dict[str, Any]:
    """Put a bundle into the server's own S3; returns the revision's location."""
    s3 = server.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key=bundle.name, Body=bundle.read_bytes())
    return {"revisionType": "S3", "s3Location": {"bucket": BUCKET, "key": bundle.name, "bundleType": bundle_type}}


def make_group(codedeploy: Any, name: str) -> dict[str, str]:
    """An application and a group of every instance with the tag role=`name`; returns what create-deployment wants."""
    codedeploy.create_application(applicationName=name)
    codedeploy.create_deployment_group(
        applicationName=name,
        deploymentGroupName=name,
        serviceRoleArn="arn:aws:iam::000000000000:role/bench",
        onPremisesInstanceTagFilters=[{"Key": "role", "Value": name, "Type": "KEY_AND_VALUE"}],
    )
    return {
        "applicationName": name,
        "deploymentGroupName": name,
        "deploymentConfigName": "CodeDeployDefault.AllAtOnce",
    }


def deploy(codedeploy: Any, group: Mapping[str, str], revision: Mapping[str, Any], *, look_every: float) -> float:
    """Deploy, and wait until it has succeeded; returns the seconds from the call on."""
    began = time.perf_counter()
    deployment_id = codedeploy.create_deployment(**group, revision=revision)["deploymentId"]
    deadline = began + 300
    while True:
        time.sleep(look_every)
        seen = codedeploy.get_deployment(deploymentId=deployment_id)["deploymentInfo"]
        if seen["status"] == "Succeeded":
            return time.perf_counter() - began
        if seen["status"] in ("Failed", "Stopped"):
            raise BenchError(f"Deployment {deployment_id} {seen['status']}: {_why(codedeploy, deployment_id, seen)}")
        if time.perf_counter() > deadline:
            raise BenchError(f"Deployment {deployment_id} is still {seen['status']}: {seen.get('deploymentOverview')}")


def cpu_of_tree(process_id: int) -> float:
    """CPU seconds of a process, of what it started, and of what those have already buried."""
    try:
        root = psutil.Process(process_id)
        family = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0.0
    total = 0.0
    for member in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            total += sum(member.cpu_times()[:4])
    return total


def peak_megabytes(process_id: int) -> float:
    """VmHWM: the most memory a process ever had resident."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process_id}/status").read_text())
    assert found
    return int(found[1]) / 1024


def _exports(running: subprocess.Popen[bytes], said: Path) -> Mapping[str, str]:
    """The settings that a server prints once it listens."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        exports = dict(re.findall(r"^export (\w+)=(.+)$", said.read_text(), re.MULTILINE))
        if "AWS_REGION" in exports:
            return exports
        if running.poll() is not None:
            break
        time.sleep(0.02)
    raise BenchError(f"The server does not start. {said.with_suffix('.err').read_text()[-2000:]}")


def _why(codedeploy: Any, deployment_id: str, seen: Mapping[str, Any]) -> str:
    for target_id in codedeploy.list_deployment_targets(deploymentId=deployment_id)["targetIds"]:
        target = codedeploy.get_deployment_target(deploymentId=deployment_id, targetId=target_id)["deploymentTarget"]
        for event in target["instanceTarget"]["lifecycleEvents"]:
            if event["status"] == "Failed":
                return f"{target_id} {event['lifecycleEventName']}: {event['diagnostics']}"
    return str(seen.get("errorInformation"))
