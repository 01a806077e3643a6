"""CodeDeploy's API: GetDeployment, ListDeployments and CreateDeployment a second, beside moto's server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import uvloop
from botocore.config import Config
from tests import postgresql

from bench import bare, report, setting
from bench.report import Figure, Report, of_runs
from bench.setting import BenchError
from bench.swarm import Link, Signer

_TARGET = "CodeDeploy_20141006"
_CLIENTS = (1, 16, 64)
#: How often each contender has its turn with each operation and number of clients, and how long a turn is.
_TURNS = 3
_SECONDS = 1.0
_WARM_UP_SECONDS = 0.3
#: Deployments that are there when they are got and listed: one page of a list.
_THERE = 100
#: Groups for CreateDeployment, each deployed to once.
_APPLICATIONS = 10
_GROUPS = 1000
#: Most deployments of one turn.
_MOST = 900
_REVISION = {"revisionType": "GitHub", "gitHubLocation": {"repository": "o/r", "commitId": "a" * 40}}
_ROLE = "arn:aws:iam::000000000000:role/bench"
_MOTO = "moto's server"
_SQLITE, _POSTGRESQL = "SQLite", "PostgreSQL"

#: What a client sends, one request after the other; it ends when there are no more.
Requests = Iterator[bytes]


@dataclass(frozen=True, kw_only=True)
class Run:
    """One operation, called by so many clients at once."""

    seconds: float
    #: Of each call.
    took: Sequence[float]
    #: CPU seconds that the server took for them, until what they began had ended.
    cpu: float = 0.0

    @property
    def rate(self) -> float:
        """Calls a second."""
        return len(self.took) / self.seconds


def milliseconds(turns: Sequence[Run], percent: int) -> float:
    """A percentile of what the calls of all turns took."""
    return statistics.quantiles([took for run in turns for took in run.took], n=100)[percent - 1] * 1000


def processor_milliseconds(turns: Sequence[Run]) -> float:
    """What the server's CPU had to do for one call."""
    return sum(run.cpu for run in turns) / sum(len(run.took) for run in turns) * 1000


@dataclass(frozen=True, kw_only=True)
class Peer:
    """Something that answers CodeDeploy's operations at this address: one of our servers, or moto's."""

    host: str
    port: int
    signer: Signer
    #: The deployment that is got, and the groups that are deployed to.
    deployment_id: str = ""
    groups: Iterator[tuple[str, str]] = field(default_factory=lambda: iter(()))
    #: Whether it answers a second request on a connection.
    keeps_connections: bool = True
    #: As the owner sees it.
    codedeploy: Any = None
    process_id: int = 0

    def request(self, operation: str, asked: dict[str, Any]) -> bytes:
        """A whole signed request."""
        return self.signer.request(f"{_TARGET}.{operation}", json.dumps(asked).encode())

    def same(self, operation: str, asked: dict[str, Any]) -> Requests:
        """The same request, signed once, for ever: a signature is good for minutes."""
        request = self.request(operation, asked)
        while True:
            yield request

    def requests(self, operation: str, most: int) -> Requests:
        """What one turn sends."""
        if operation == "CreateDeployment":
            return self._deployments(most)
        return self.same(operation, {"deploymentId": self.deployment_id} if operation == "GetDeployment" else {})

    def _deployments(self, count: int) -> Requests:
        """As many requests for CreateDeployment, each to a group of its own, signed before the clock starts."""
        made = []
        for (application, group), _ in zip(self.groups, range(count), strict=False):
            wish = {"applicationName": application, "deploymentGroupName": group, "revision": _REVISION}
            made.append(self.request("CreateDeployment", wish))
        if len(made) < count:
            raise BenchError("There are too few groups to deploy to.")
        return iter(made)


def benchmark() -> Report:
    """All contenders at once, each in its turn; then what the client could have driven."""
    with contextlib.ExitStack() as stack:
        ground = stack.enter_context(setting.ground())
        peers = {_SQLITE: _longshore(stack, ground / "sqlite")}
        if reason := postgresql.why_not():
            report.note(f"api: without PostgreSQL: {reason}")
        else:
            url = stack.enter_context(postgresql.cluster()).database().render_as_string(hide_password=False)
            peers[_POSTGRESQL] = _longshore(stack, ground / "postgresql", "--database-url", url)
        peers[_MOTO] = stack.enter_context(_moto(ground))
        runs = uvloop.run(_all_runs(peers))
        memory = {name: setting.peak_megabytes(peer.process_id) for name, peer in peers.items()}
        ceiling = uvloop.run(_ceilings(ground))
    return _report(runs, ceiling, memory)


#: By operation, clients and contender: its turns.
Runs = dict[tuple[str, int, str], list[Run]]


async def _all_runs(peers: dict[str, Peer]) -> Runs:
    runs: Runs = {}
    # Creating comes last: whoever lists all of what it makes has more to say.
    for operation in ("GetDeployment", "ListDeployments", "CreateDeployment"):
        for clients in _CLIENTS:
            report.note(f"api: {operation}, {clients} client(s)")
            for peer in peers.values():
                await _run(peer, clients, peer.requests(operation, 50), _WARM_UP_SECONDS)
            for _ in range(_TURNS):
                for name, peer in peers.items():
                    requests = peer.requests(operation, _MOST)
                    before = setting.cpu_of_tree(peer.process_id)
                    turn = await _run(peer, clients, requests, _SECONDS)
                    if operation == "CreateDeployment" and name != _MOTO:
                        await asyncio.to_thread(_settle, peer)
                    turn = replace(turn, cpu=setting.cpu_of_tree(peer.process_id) - before)
                    runs.setdefault((operation, clients, name), []).append(turn)
    return runs


def _settle(peer: Peer) -> None:
    """Until the engine has ended what was created, so that it is not at work in somebody else's turn."""
    deadline = time.monotonic() + 120
    while peer.codedeploy.list_deployments(includeOnlyStatuses=["Created", "InProgress"])["deployments"]:
        if time.monotonic() > deadline:
            raise BenchError("The deployments do not end.")
        time.sleep(0.05)


async def _run(peer: Peer, clients: int, requests: Requests, seconds: float) -> Run:
    """Call from so many clients at once, each after its last answer, until the time or the requests are over."""
    took: list[float] = []
    clock = time.perf_counter
    began = clock()
    end = began + seconds

    async def client() -> None:
        link = await Link.to(peer.host, peer.port) if peer.keeps_connections else None
        for request in requests:
            sent = clock()
            if link is not None:
                await _answer_on(link, request)
            else:
                await _answer_once(peer, request)
            now = clock()
            took.append(now - sent)
            if now >= end:
                break
        if link is not None:
            link.close()

    async with asyncio.timeout(seconds + 60):
        await asyncio.gather(*(client() for _ in range(clients)))
    return Run(seconds=clock() - began, took=took)


async def _answer_on(link: Link, request: bytes) -> None:
    answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    link.send(request, answer.set_result)
    link.on_break = lambda: answer.done() or answer.set_exception(BenchError(f"A call was answered {link.broken}"))
    await answer


async def _answer_once(peer: Peer, request: bytes) -> None:
    """moto hangs up after each answer."""
    link = await Link.to(peer.host, peer.port)
    await _answer_on(link, request)
    link.close()


def _longshore(stack: contextlib.ExitStack, directory: Path, *options: str) -> Peer:
    directory.mkdir()
    limits = ("--limit", "active-deployments=1000000")
    server = stack.enter_context(setting.server(directory, *limits, *options, embedded=not options))
    address = urlsplit(server.url)
    signer = Signer.of_owner(server, "codedeploy")
    return _peer(
        Peer(
            host=str(address.hostname),
            port=int(address.port or 0),
            signer=signer,
            codedeploy=server.client("codedeploy"),
            process_id=server.process.pid,
        )
    )


@contextlib.contextmanager
def _moto(directory: Path) -> Iterator[Peer]:
    """moto's server, as `moto_server` runs it."""
    port = setting.free_port()
    argv = [setting.program("moto_server"), "--host", "127.0.0.1", "--port", str(port)]
    with setting.process(argv, output=directory / "moto.out") as running:
        setting.wait_for_port(port, running)
        client = boto3.client(
            "codedeploy",
            endpoint_url=f"http://127.0.0.1:{port}",
            region_name="us-east-1",
            aws_access_key_id="bench",
            aws_secret_access_key="bench",
            config=Config(proxies={}),
        )
        host = f"127.0.0.1:{port}"
        signer = Signer(host=host, region="us-east-1", service="codedeploy", key_id="bench", secret="bench")
        yield _peer(
            Peer(
                host="127.0.0.1",
                port=port,
                signer=signer,
                keeps_connections=False,
                codedeploy=client,
                process_id=running.pid,
            )
        )


def _peer(peer: Peer) -> Peer:
    """With as many groups as will be deployed to, and a page of deployments."""
    names = [f"bench-{number}" for number in range(_APPLICATIONS)]
    groups = iter([(name, f"group-{number:04}") for name in names for number in range(_GROUPS)])
    for name in names:
        peer.codedeploy.create_application(applicationName=name)
    report.note(f"api: making {_APPLICATIONS * _GROUPS:,} groups")
    uvloop.run(_make_groups(peer, names))
    last = ""
    for _, (name, group) in zip(range(_THERE), groups, strict=False):
        wish = {"applicationName": name, "deploymentGroupName": group, "revision": _REVISION}
        last = peer.codedeploy.create_deployment(**wish)["deploymentId"]
    return replace(peer, deployment_id=last, groups=groups)


async def _make_groups(peer: Peer, names: Sequence[str]) -> None:
    requests = [
        peer.request(
            "CreateDeploymentGroup",
            {"applicationName": name, "deploymentGroupName": f"group-{number:04}", "serviceRoleArn": _ROLE},
        )
        for name in names
        for number in range(_GROUPS)
    ]
    await _run(peer, 16, iter(requests), 600)


async def _ceilings(ground: Path) -> dict[int, Run]:
    """What this client drives out of an application that does nothing."""
    port = setting.free_port()
    runs = {}
    with bare.server(ground, port):
        for link in await bare.links(port, 1):
            link.close()
        request = f"POST /1000 HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-length: 40\r\n\r\n".encode() + b" " * 40
        nobody = Signer(host="", region="", service="", key_id="", secret="")
        for clients in _CLIENTS:
            report.note(f"api: the bare application, {clients} client(s)")
            peer = Peer(host="127.0.0.1", port=port, signer=nobody)
            runs[clients] = await _run(peer, clients, iter(lambda: request, None), _SECONDS)
    return runs


def _report(runs: Runs, ceiling: dict[int, Run], memory: dict[str, float]) -> Report:
    figures = []
    for (operation, clients, name), turns in runs.items():
        if name == _MOTO:
            continue
        theirs = runs[operation, clients, _MOTO]
        who = f"{name}: {operation}, {clients} client{'s' if clients > 1 else ''}"
        least = 3 if operation == "CreateDeployment" else 5

        def goal(figure: Figure, least: int = least) -> tuple[str, bool]:
            return f"at least {least} times moto's", (figure.ratio or 0) >= least

        rates, their_rates = [run.rate for run in turns], [run.rate for run in theirs]
        figures.append(of_runs(f"{who}", "/s", rates, peer=_MOTO, theirs=their_rates, goal=goal))
        figures += [
            Figure(
                what=f"{who}: p{percent}",
                unit="ms",
                ours=milliseconds(turns, percent),
                peer=_MOTO,
                theirs=milliseconds(theirs, percent),
            )
            for percent in (50, 99)
        ]
        figures.append(
            Figure(
                what=f"{who}: server's CPU a call",
                unit="ms",
                ours=processor_milliseconds(turns),
                peer=_MOTO,
                theirs=processor_milliseconds(theirs),
            )
        )
    figures += [
        Figure(what=f"what {clients} client(s) could drive", unit="/s", ours=run.rate)
        for clients, run in ceiling.items()
    ]
    figures += [
        Figure(what=f"{name}: peak memory", unit="MB", ours=megabytes, peer=_MOTO, theirs=memory[_MOTO])
        for name, megabytes in memory.items()
        if name != _MOTO
    ]
    return Report(
        name="CodeDeploy's API: calls a second",
        setting=(
            f"Each client makes one call after the other. Contenders take turns of {_SECONDS:.0f} s, {_TURNS} each; "
            "medians of the turns, percentiles of all their calls. Every request was signed before the clock starts.",
            "Ours are one server process each; they check every signature and authorise every call, moto neither. "
            "Connections are kept where the server keeps them: moto hangs up after each answer.",
            f"{_THERE} deployments are there to be got and listed. Each CreateDeployment is to a group of its own that "
            "matches no instance: our engine ends each deployment while the calls go on, moto's stay as they are.",
            "CPU is the server process's, with the engine's work until the deployments had ended; PostgreSQL's is not.",
            "The client is one process. What it could drive is what it gets out of a bare Starlette application.",
        ),
        figures=tuple(figures),
    )


if __name__ == "__main__":
    report.main(benchmark)
