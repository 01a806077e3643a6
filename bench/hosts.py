"""Hosts for the benchmarks: a real agent process each, with a destination directory of its own."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.bundles import DESTINATION
from bench.setting import BenchError, Server, cpu_of_tree, environment, program, stop

_START_SECONDS = 120.0
#: The file system of this machine, but for the destination. A view of everything (onebox/machinery/host_view.py)
#: would also work; a single bind mount leaves the file system as fast as it is for the floor and for the peer.
_ENTER = 'mount --bind "$0" "$1" && shift && exec "$@"'


@dataclass(frozen=True, kw_only=True)
class Host:
    """A running agent."""

    name: str
    process: subprocess.Popen[bytes]
    #: What it says before it has a log.
    output: Path

    def cpu_seconds(self) -> float:
        """Of the agent, its workers and their scripts."""
        return cpu_of_tree(self.process.pid)


@contextlib.contextmanager
def running(server: Server, directory: Path, *, count: int, role: str) -> Iterator[list[Host]]:
    """Hosts with the tag role=`role`, every one of them polling."""
    codedeploy, longshore = server.client("codedeploy"), server.client("longshore")
    DESTINATION.mkdir(parents=True, exist_ok=True)
    hosts: list[Host] = []
    try:
        names = [f"{role}-{number:03}" for number in range(count)]
        for name in names:
            key = longshore.create_access_key(userName=name)["accessKey"]
            codedeploy.register_on_premises_instance(instanceName=name, iamUserArn=key["userArn"])
            hosts.append(_start(server, directory / name, name, key))
        for start in range(0, count, 100):
            codedeploy.add_tags_to_on_premises_instances(
                instanceNames=names[start : start + 100], tags=[{"Key": "role", "Value": role}]
            )
        _wait_until_polling(hosts, int(server.url.rpartition(":")[2]))
        yield hosts
    finally:
        for host in hosts:
            with contextlib.suppress(ProcessLookupError):
                host.process.terminate()
        for host in hosts:
            stop(host.process)
        with contextlib.suppress(OSError):
            DESTINATION.rmdir()


def _start(server: Server, directory: Path, name: str, key: dict[str, str]) -> Host:
    view = directory / "opt"
    view.mkdir(parents=True)
    config = directory / "agent.yml"
    settings = {
        "region": server.region,
        "iam_user_arn": key["userArn"],
        "aws_access_key_id": key["accessKeyId"],
        "aws_secret_access_key": key["secretAccessKey"],
        "specification_signer": key["specificationSigner"],
        "deploy_control_endpoint": server.url,
        "root_dir": str(directory / "deployment-root"),
        "log_dir": str(directory / "log"),
    }
    config.touch(mode=0o600)
    config.write_text("".join(f"{name}: {value}\n" for name, value in settings.items()))
    own_user = [] if os.geteuid() == 0 else ["--map-root-user"]
    argv = [
        *("unshare", *own_user, "--mount", "--propagation", "private", "sh", "-c", _ENTER, str(view), str(DESTINATION)),
        *(program("longshore"), "agent", "run", "--config", str(config)),
    ]
    said = directory / "agent.out"
    with said.open("wb") as output:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment(), start_new_session=True
        )
    return Host(name=name, process=process, output=said)


def _wait_until_polling(hosts: list[Host], port: int) -> None:
    deadline = time.monotonic() + _START_SECONDS
    waiting = list(hosts)
    while waiting:
        for host in waiting:
            if host.process.poll() is not None:
                raise BenchError(f"The agent of {host.name} has died: {host.output.read_text()[-500:]}")
        waiting = [host for host in waiting if not _is_connected(host, port)]
        if time.monotonic() > deadline:
            raise BenchError(f"{len(waiting)} agents do not poll after {_START_SECONDS:.0f} s.")
        time.sleep(0.1)
    # A connection is opened for a poll, which is sent a moment later.
    time.sleep(0.5)


def _is_connected(host: Host, port: int) -> bool:
    with contextlib.suppress(psutil.Error):
        connections = psutil.Process(host.process.pid).net_connections("tcp")
        return any(one.status == "ESTABLISHED" and one.raddr.port == port for one in connections)
    return False
