"""ListDeployments where there are 100,000: what a page takes, and what the whole list does, beside moto's server."""

from __future__ import annotations

import contextlib
import json
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import uvloop
from sqlalchemy import insert
from sqlalchemy.engine import URL
from tests import postgresql

from bench import report, setting
from bench.report import Figure, Report, of_runs
from bench.setting import BenchError
from bench.swarm import Link, Signer
from longshore.domain.ids import Scope
from longshore.server import data_dir
from longshore.store import deployments, tables
from longshore.store.database import Store, Transaction, dialect_of, sqlite_url
from longshore.store.wakeup import Wakeup

REGION = "us-east-1"
_SCOPE = Scope("000000000000", REGION)
_THERE = 100_000
#: How often each contender is walked through, in its turn.
_TURNS = 3
#: Milliseconds that a page may take.
_GOAL = 50
_TARGET = "CodeDeploy_20141006.ListDeployments"
_SOME = ["Failed", "Stopped"]
_LISTS: dict[str, dict[str, Any]] = {"plain": {}, "by status": {"includeOnlyStatuses": _SOME}}
_SQLITE, _POSTGRESQL, _MOTO = "SQLite", "PostgreSQL", "moto's server"


@dataclass(frozen=True, kw_only=True)
class Contender:
    """Who lists deployments at this address."""

    host: str
    port: int
    signer: Signer
    #: By list: how its database finds a page in the middle.
    plans: Mapping[str, str] = field(default_factory=dict)


#: By list and contender, for each of its turns: the seconds that each page took.
Walks = dict[tuple[str, str], list[list[float]]]


def status(number: int) -> str:
    """That of the deployment which was made as this one: most succeed."""
    return {3: "Failed", 7: "Stopped"}.get(number % 10, "Succeeded")


def benchmark() -> Report:
    """Each list from its first page to its last, of one contender after the other."""
    with contextlib.ExitStack() as stack:
        ground = stack.enter_context(setting.ground())
        contenders = {_SQLITE: _longshore(stack, ground / "sqlite")}
        if reason := postgresql.why_not():
            report.note(f"listing: without PostgreSQL: {reason}")
        else:
            url = stack.enter_context(postgresql.cluster()).database()
            contenders[_POSTGRESQL] = _longshore(stack, ground / "postgresql", url)
        contenders[_MOTO] = _moto(stack, ground)
        walks = uvloop.run(_all_walks(contenders))
    return _report(walks, contenders)


async def _all_walks(contenders: Mapping[str, Contender]) -> Walks:
    walks: Walks = {}
    for what, asked in _LISTS.items():
        report.note(f"listing: {what}")
        expected = sum(not asked or status(number) in _SOME for number in range(_THERE))
        for _ in range(_TURNS):
            for name, contender in contenders.items():
                took, listed = await _walk(contender, asked)
                if not len(listed) == len(set(listed)) == expected:
                    raise BenchError(f"{name} lists {len(listed):,} deployments, and there are {expected:,}.")
                walks.setdefault((what, name), []).append(took)
    return walks


async def _walk(contender: Contender, asked: Mapping[str, Any]) -> tuple[list[float], list[str]]:
    link = await Link.to(contender.host, contender.port)
    took: list[float] = []
    listed: list[str] = []
    token: dict[str, str] | None = {}
    while token is not None:
        request = contender.signer.request(_TARGET, json.dumps({**asked, **token}).encode())
        sent = time.perf_counter()
        answer = await link.call(request)
        took.append(time.perf_counter() - sent)
        listed += answer["deployments"]
        token = {"nextToken": answer["nextToken"]} if "nextToken" in answer else None
    link.close()
    return took, listed


def _longshore(stack: contextlib.ExitStack, directory: Path, url: URL | None = None) -> Contender:
    """A server whose database was full before it started."""
    data = directory / "data"
    data.mkdir(parents=True)
    plans = _fill(url or sqlite_url(data / data_dir.DATABASE))
    options = () if url is None else ("--database-url", url.render_as_string(hide_password=False))
    server = stack.enter_context(setting.server(directory, *options, embedded=url is None))
    address = urlsplit(server.url)
    signer = Signer.of_owner(server, "codedeploy")
    return Contender(host=str(address.hostname), port=int(address.port or 0), signer=signer, plans=plans)


def _moto(stack: contextlib.ExitStack, ground: Path) -> Contender:
    report.note(f"listing: {_THERE:,} deployments for {_MOTO}")
    port = setting.free_port()
    argv = [sys.executable, "-m", "bench.full_moto", str(port), str(_THERE)]
    running = stack.enter_context(setting.process(argv, output=ground / "moto.out"))
    setting.wait_for_port(port, running)
    signer = Signer(host=f"127.0.0.1:{port}", region=REGION, service="codedeploy", key_id="bench", secret="bench")
    return Contender(host="127.0.0.1", port=port, signer=signer)


def _fill(url: URL) -> dict[str, str]:
    """Store the deployments; returns how a page in the middle is found, by list."""
    report.note(f"listing: {_THERE:,} deployments for {url.get_backend_name()}")
    store = Store(url, Wakeup())
    try:
        rows = [_row(number) for number in range(_THERE)]
        store.write(lambda tx: tx.execute(insert(tables.deployments), rows) and None)
        if url.get_backend_name() == "postgresql":
            # By itself it looks what a table has, and plans by that, a minute later.
            store.write(lambda tx: tx.hot("ANALYZE deployments") and None)
        return store.read(lambda tx: {what: _plan(tx, url, asked) for what, asked in _LISTS.items()})
    finally:
        store.close()


def _row(number: int) -> dict[str, Any]:
    return {
        "id": f"d-{number:09}",
        "account": _SCOPE.account,
        "region": _SCOPE.region,
        "application_id": "shop",
        "group_id": f"group-{number % 10}",
        "application_name": "shop",
        "group_name": f"group-{number % 10}",
        "compute_platform": "Server",
        "config_name": "CodeDeployDefault.OneAtATime",
        "status": status(number),
        "creator": "user",
        "create_time": float(number),
        "complete_time": float(number + 60),
        "revision": {"revisionType": "GitHub", "gitHubLocation": {"repository": "o/r", "commitId": "a" * 40}},
        "revision_identity": "r",
        "document": {},
    }


def _plan(tx: Transaction, url: URL, asked: Mapping[str, Any]) -> str:
    """What the database says of the statement that reads a page in the middle; there is one like it for each status."""
    explain, column = ("EXPLAIN QUERY PLAN", 3) if url.get_backend_name() == "sqlite" else ("EXPLAIN (COSTS OFF)", 0)
    plans: list[str] = []

    class Explaining(Transaction):
        def hot(self, sql: str, parameters: tuple[Any, ...] = ()) -> Any:
            steps = [row[column].strip() for row in super().hot(f"{explain} {sql}", parameters).fetchall()]
            plans.append("; ".join(steps))
            return super().hot(sql, parameters)

    middle = _row(_THERE // 2)
    deployments.page(
        Explaining(tx.connection, dialect_of(url)),
        _SCOPE,
        group_id=None,
        statuses=asked.get("includeOnlyStatuses", ()),
        since=None,
        until=None,
        before=(middle["create_time"], middle["id"]),
        limit=101,
    )
    return plans[0]


def _report(walks: Walks, contenders: Mapping[str, Contender]) -> Report:
    figures: list[Figure] = []
    for (what, name), turns in walks.items():
        if name == _MOTO:
            continue
        pages = [seconds * 1000 for seconds in chain.from_iterable(turns)]
        percentiles = statistics.quantiles(pages, n=100)
        who = f"{name}, {what}"
        figures += [
            Figure(what=f"{who}: a page, p50", unit="ms", ours=percentiles[49]),
            Figure(what=f"{who}: a page, p99", unit="ms", ours=percentiles[98]),
            Figure(
                what=f"{who}: the worst of {len(pages):,} pages",
                unit="ms",
                ours=max(pages),
                goal=(f"under {_GOAL} ms", max(pages) < _GOAL),
            ),
            of_runs(f"{who}: the whole list", "s", _whole(turns), peer=_MOTO, theirs=_whole(walks[what, _MOTO])),
        ]
    return Report(
        name=f"ListDeployments over {_THERE:,}",
        setting=(
            f"One client walks each list to its end, 100 ids a page, by a kept connection; {_TURNS} turns each. What a "
            "page takes is the client's: there and back, the request signed before.",
            "The deployments were put into each store before its server started. By status: "
            f"{' and '.join(_SOME)}, a tenth of them each.",
            "moto has no pages and answers with all at once: that stands beside the whole walk.",
            *(
                f"{name}, {what}: {plan}"
                for name, contender in contenders.items()
                for what, plan in contender.plans.items()
            ),
        ),
        figures=tuple(figures),
    )


def _whole(turns: Sequence[Sequence[float]]) -> list[float]:
    return [sum(pages) for pages in turns]


if __name__ == "__main__":
    report.main(benchmark)
