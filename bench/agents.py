"""How many hosts a second one server process takes through a deployment: 1,000 simulated agents, AllAtOnce."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import socket
import statistics
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import uvloop

from bench import bare, bundles, report, setting
from bench.report import Report
from bench.setting import BenchError, Server
from bench.swarm import COMMANDS, Agent, Link, Signer, Traffic

_HOSTS = 1000
_RUNS = 3
_LOOK_EVERY = 0.05
_LONGEST = 120.0
#: What the owner calls, and the prefix of its operations.
_TARGETS = {"codedeploy": "CodeDeploy_20141006", "longshore": "Longshore_20261123"}
#: Connections over which instances are registered, and opened at once.
_AT_ONCE = 16


@dataclass(frozen=True, kw_only=True)
class Run:
    """One deployment to all, or one replay of it."""

    seconds: float
    cpu_seconds: float
    requests: int
    client_cpu_seconds: float


def benchmark() -> Report:
    """Ours first, which also says what the bare application must answer."""
    with setting.ground() as ground:
        bundle = bundles.make(ground, files=1, size=100)
        with setting.server(ground) as server:
            revision = setting.upload(server, bundle.path, bundle_type="tgz")
            group = setting.make_group(server.client("codedeploy"), "swarm")
            ours, traffic = uvloop.run(_deployments(server, {**group, "revision": revision}))
            peak = server.peak_megabytes()
        report.note("agents: the bare application")
        theirs = uvloop.run(_replays(ground, traffic))
    return _report(ours, theirs, traffic, peak)


async def _deployments(server: Server, wish: dict[str, Any]) -> tuple[list[Run], Traffic]:
    traffic = Traffic()
    async with _owner(server) as owner:
        report.note(f"agents: registering {_HOSTS} instances")
        agents = await _agents(server, owner, traffic)
        runs = []
        for turn in range(_RUNS + 1):
            report.note(f"agents: deployment {turn + 1} of {_RUNS + 1}")
            for counter in (traffic.requests, traffic.asked, traffic.answered):
                counter.clear()
            runs.append(await _deployment(server, owner, agents, wish, traffic))
        for agent in agents:
            agent.close()
    return runs[1:], traffic


async def _deployment(
    server: Server, owner: Owner, agents: Sequence[Agent], wish: dict[str, Any], traffic: Traffic
) -> Run:
    cpu, own_cpu, began = server.cpu_seconds(), _own_cpu(), time.perf_counter()
    deployment_id = (await owner.call("codedeploy", "CreateDeployment", wish))["deploymentId"]
    while True:
        await asyncio.sleep(_LOOK_EVERY)
        seen = (await owner.call("codedeploy", "GetDeployment", {"deploymentId": deployment_id}))["deploymentInfo"]
        took = time.perf_counter() - began
        if seen["status"] == "Succeeded":
            break
        if seen["status"] in ("Failed", "Stopped") or took > _LONGEST:
            broken = next((agent.broken for agent in agents if agent.broken), None)
            raise BenchError(f"{deployment_id} is {seen['status']} {seen.get('errorInformation')}; {broken}")
    return Run(
        seconds=took,
        cpu_seconds=server.cpu_seconds() - cpu,
        requests=sum(traffic.requests.values()),
        client_cpu_seconds=_own_cpu() - own_cpu,
    )


class Owner:
    """Calls operations as the account's owner, over a few connections."""

    def __init__(self, server: Server, idle: asyncio.Queue[Link]) -> None:
        self._idle = idle
        self._signers = {
            service: Signer(
                host=urlsplit(server.url).netloc,
                region=server.region,
                service=service,
                key_id=server.access_key_id,
                secret=server.secret_access_key,
            )
            for service in _TARGETS
        }

    async def call(self, service: str, operation: str, asked: dict[str, Any]) -> dict[str, Any]:
        """The answer of one operation."""
        link = await self._idle.get()
        try:
            body = json.dumps(asked).encode()
            return await link.call(self._signers[service].request(f"{_TARGETS[service]}.{operation}", body))
        finally:
            self._idle.put_nowait(link)


@contextlib.asynccontextmanager
async def _owner(server: Server) -> AsyncIterator[Owner]:
    address = urlsplit(server.url)
    links = [await Link.to(str(address.hostname), int(address.port or 0)) for _ in range(_AT_ONCE)]
    idle: asyncio.Queue[Link] = asyncio.Queue()
    for link in links:
        idle.put_nowait(link)
    try:
        yield Owner(server, idle)
    finally:
        for link in links:
            link.close()


async def _agents(server: Server, owner: Owner, traffic: Traffic) -> list[Agent]:
    """Registered, tagged, and every one with a poll parked."""
    names = [f"swarm-{number:04}" for number in range(_HOSTS)]
    gate = asyncio.Semaphore(_AT_ONCE)

    async def agent(name: str) -> Agent:
        async with gate:
            key = (await owner.call("longshore", "CreateAccessKey", {"userName": name}))["accessKey"]
            arn = key["userArn"]
            await owner.call("codedeploy", "RegisterOnPremisesInstance", {"instanceName": name, "iamUserArn": arn})
            address = urlsplit(server.url)
            connect = functools.partial(Link.to, str(address.hostname), int(address.port or 0))
            signer = Signer(
                host=address.netloc,
                region=server.region,
                service=COMMANDS[0],
                key_id=key["accessKeyId"],
                secret=key["secretAccessKey"],
            )
            return Agent(await connect(), await connect(), signer, arn, traffic)

    made = await asyncio.gather(*(agent(name) for name in names))
    for start in range(0, _HOSTS, 100):
        await owner.call(
            "codedeploy",
            "AddTagsToOnPremisesInstances",
            {"instanceNames": names[start : start + 100], "tags": [{"Key": "role", "Value": "swarm"}]},
        )
    for one in made:
        one.poll()
    # Long enough for the last of them to be parked, and for the server to be idle again.
    await asyncio.sleep(2)
    return list(made)


async def _replays(ground: Path, traffic: Traffic) -> list[Run]:
    requests = _as_requests(traffic)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    runs = []
    with bare.server(ground, port) as process_id:
        links = await bare.links(port, _HOSTS)
        process = psutil.Process(process_id)
        for _ in range(_RUNS + 1):
            cpu, own_cpu, began = sum(process.cpu_times()[:2]), _own_cpu(), time.perf_counter()
            await bare.replay(links, requests)
            runs.append(
                Run(
                    seconds=time.perf_counter() - began,
                    cpu_seconds=sum(process.cpu_times()[:2]) - cpu,
                    requests=len(requests) * len(links),
                    client_cpu_seconds=_own_cpu() - own_cpu,
                )
            )
        for link in links:
            link.close()
    return runs[1:]


def _as_requests(traffic: Traffic) -> list[bytes]:
    """What one host sent, as requests that name the size of their answer."""
    signer = Signer(
        host="127.0.0.1", region="us-east-1", service=COMMANDS[0], key_id="AKIABENCHBENCHBENCH0", secret="-"
    )
    requests = []
    for operation, count in traffic.requests.items():
        body = b" " * (traffic.asked[operation] // count)
        size = traffic.answered[operation] // count
        signed = signer.request(f"{COMMANDS[1]}.{operation}", body).replace(b"POST / ", b"POST /%d " % size, 1)
        requests += [signed] * round(count / _HOSTS)
    return requests


def _own_cpu() -> float:
    return time.process_time()


def _report(ours: list[Run], theirs: list[Run], traffic: Traffic, peak: float) -> Report:
    per_host = {operation: round(count / _HOSTS, 1) for operation, count in traffic.requests.items()}
    client = statistics.median(run.client_cpu_seconds / run.seconds for run in ours)
    return Report(
        name=f"{_HOSTS:,} simulated agents, AllAtOnce: create-deployment until Succeeded",
        setting=(
            f"Medians of {_RUNS} deployments after one of warm-up, all on one server process; a signed request for "
            "everything, two kept connections a host, no disk work at the agents.",
            f"Requests a host: {', '.join(f'{count:g} {operation}' for operation, count in per_host.items())}.",
            f"The client, one process on the same two cores, was busy {client:.0%} of the time.",
            "Peer: a bare Starlette application under uvicorn (uvloop, httptools) that reads as many POSTs of the same "
            "sizes from the same client and answers as many bytes: the floor of a request. It checks and stores "
            "nothing.",
        ),
        figures=(
            report.of_runs(
                "hosts a second through all their events",
                "",
                [_HOSTS / run.seconds for run in ours],
                goal=lambda figure: ("at least 100", figure.ours >= 100),
            ),
            report.of_runs(
                "server CPU a request",
                "µs",
                [run.cpu_seconds / run.requests * 1e6 for run in ours],
                peer="bare Starlette",
                theirs=[run.cpu_seconds / run.requests * 1e6 for run in theirs],
            ),
            report.of_runs(
                "wall time a request",
                "µs",
                [run.seconds / run.requests * 1e6 for run in ours],
                peer="bare Starlette",
                theirs=[run.seconds / run.requests * 1e6 for run in theirs],
            ),
            report.of_runs("server CPU a deployment", "s", [run.cpu_seconds for run in ours]),
            report.Figure(what="server's peak memory", unit="MB", ours=peak, goal=("under 250 MB", peak < 250)),
        ),
    )


if __name__ == "__main__":
    report.main(benchmark)
