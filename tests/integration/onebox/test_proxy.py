"""The proxy: a real Envoy, real servers behind it, and requests that must not be lost while it changes."""

from __future__ import annotations

import socket
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from longshore.onebox.machinery.proxy import Proxy, ProxyError
from longshore.onebox.machinery.proxy.envoy import Envoy
from longshore.onebox.machinery.proxy.health import Failure, Health
from longshore.onebox.machinery.proxy.plan import (
    Cluster,
    Endpoint,
    Forward,
    HealthCheck,
    Listener,
    Plan,
    Respond,
    Route,
    Speaks,
)
from tests import ports
from tests.load import Backend, load, until

ADDRESS = "127.128.255.7"
CHECK = HealthCheck(
    speaks=Speaks.HTTP,
    path="/health",
    port=None,
    codes=((200, 200),),
    interval=1,
    timeout=1,
    healthy_after=2,
    unhealthy_after=2,
)

Backends = Callable[..., Backend]


@pytest.fixture
def backends() -> Iterator[Backends]:
    made: list[Backend] = []

    def make(name: str, **more: object) -> Backend:
        made.append(Backend(name, **more))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """A long way down: sockets have short names."""
    directory = tmp_path / ("deep" * 30) / "proxy"
    yield directory
    Envoy(directory).stop()


@pytest.fixture
def proxy(directory: Path) -> Proxy:
    return Proxy(directory)


@pytest.fixture
def port() -> int:
    return ports.kept(ADDRESS)


def cluster(name: str, *backends: Backend, drained: tuple[Backend, ...] = (), check: HealthCheck = CHECK) -> Cluster:
    endpoints = [Endpoint(address=one.address, port=one.port, is_drained=one in drained) for one in backends]
    return Cluster(name=name, speaks=Speaks.HTTP, endpoints=endpoints, check=check)


def plan(port: int, *clusters: Cluster, shares: dict[str, int] | None = None, routes: tuple[Route, ...] = ()) -> Plan:
    """One listener, before clusters that share its requests alike if nothing else is said."""
    wanted = shares if shares is not None else {one.name: 1 for one in clusters}
    last = Route(action=Forward(shares=tuple(wanted.items())))
    listener = Listener(
        name="web", address=ADDRESS, port=port, speaks=Speaks.HTTP, routes=(*routes, last), idle_seconds=60
    )
    return Plan(listeners=[listener], clusters=clusters)


def apply(proxy: Proxy, given: Plan) -> None:
    """Have a plan in force; one look waits for that a few seconds only."""
    until(lambda: proxy.apply(given))


def get(port: int, path: str = "/") -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://{ADDRESS}:{port}{path}", timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_shares_change_while_requests_are_under_way_and_none_is_lost(
    proxy: Proxy, port: int, backends: Backends
) -> None:
    blue, green = backends("blue"), backends("green")
    clusters = cluster("blue", blue), cluster("green", green)
    apply(proxy, plan(port, clusters[0]))
    with load(ADDRESS, port) as seen:
        for share in range(0, 101, 10):
            apply(proxy, plan(port, *clusters, shares={"blue": 100 - share, "green": share}))
            seen.more(40)
        apply(proxy, plan(port, clusters[1]))
        # Requests that were just being handed over as it changed.
        seen.more()
        before = blue.asked
        seen.more()
    assert seen.failed == []
    assert seen.answered["blue"]
    assert seen.answered["green"]
    assert blue.asked == before


def test_one_that_is_drained_finishes_what_it_began_and_is_asked_no_more(
    proxy: Proxy, port: int, backends: Backends
) -> None:
    old, new = backends("old"), backends("new")
    apply(proxy, plan(port, cluster("web", old)))
    answers: list[tuple[int, str]] = []
    slow = threading.Thread(target=lambda: answers.append(get(port, "/slow")))
    slow.start()
    until(lambda: old.asked == 1)
    with load(ADDRESS, port) as seen:
        seen.more()
        apply(proxy, plan(port, cluster("web", old, new)))
        until(lambda: seen.answered["new"] > 0)
        apply(proxy, plan(port, cluster("web", old, new, drained=(old,))))
        state = proxy.states(["web"])["web", old.address, old.port]
        assert state.is_drained
        assert state.requests
        # Requests that were just being handed to it as it was drained.
        seen.more()
        asked = old.asked
        seen.more()
        apply(proxy, plan(port, cluster("web", new)))
        seen.more()
        assert old.asked == asked
    old.release()
    slow.join(20)
    assert answers == [(200, "old")]
    assert seen.failed == []


def test_one_that_is_not_well_is_not_asked_and_the_reason_is_known(proxy: Proxy, port: int, backends: Backends) -> None:
    well, ill, silent = backends("well"), backends("ill"), backends("silent")
    ill.health, silent.health = 418, 0
    gone = Backend("gone")
    gone.close()
    apply(proxy, plan(port, cluster("web", well, ill, silent, gone)))

    def state(of: Backend) -> tuple[Health, Failure | None, int]:
        one = proxy.states(["web"])["web", of.address, of.port]
        return one.health, one.failure, one.code

    until(lambda: state(silent)[1] is not None)
    assert state(well) == (Health.HEALTHY, None, 0)
    assert state(ill) == (Health.UNHEALTHY, Failure.CODE, 418)
    assert state(silent) == (Health.UNHEALTHY, Failure.TIMEOUT, 0)
    assert state(gone) == (Health.UNHEALTHY, Failure.NETWORK, 0)
    with load(ADDRESS, port) as seen:
        seen.more()
        ill.health = 200
        until(lambda: seen.answered["ill"] > 0)
    assert seen.failed == []
    assert seen.answered.keys() == {"well", "ill"}
    assert state(ill) == (Health.HEALTHY, None, 0)
    well.health = ill.health = 500
    until(lambda: get(port) == (503, "no healthy upstream"))


def test_a_check_on_another_port_decides(proxy: Proxy, port: int, backends: Backends) -> None:
    web, admin = backends("web"), backends("admin")
    web.health = 0
    admin.health = 503
    apply(proxy, plan(port, cluster("web", web, check=replace(CHECK, port=admin.port))))
    until(lambda: proxy.states(["web"])["web", web.address, web.port].code == 503)
    admin.health = 200
    until(lambda: get(port) == (200, "web"))


def test_what_is_checked_may_change_while_requests_are_under_way(proxy: Proxy, port: int, backends: Backends) -> None:
    one, two = backends("one"), backends("two")
    apply(proxy, plan(port, cluster("web", one, two)))
    with load(ADDRESS, port) as seen:
        for path in ("/health?a", "/health?b", "/health"):
            apply(proxy, plan(port, cluster("web", one, two, check=replace(CHECK, path=path))))
            seen.more()
    assert seen.failed == []


def test_the_process_is_found_again_and_goes_on_without_us(
    proxy: Proxy, directory: Path, port: int, backends: Backends
) -> None:
    one, two = backends("one"), backends("two")
    apply(proxy, plan(port, cluster("web", one)))
    process = (directory / "process").read_text()
    with load(ADDRESS, port) as seen:
        seen.more()
        again = Proxy(directory)
        apply(again, plan(port, cluster("web", one, two)))
        until(lambda: seen.answered["two"] > 0)
        apply(again, plan(port, cluster("web", two)))
        seen.more()
    assert (directory / "process").read_text() == process
    assert seen.failed == []
    assert seen.answered["two"]


def test_a_process_that_died_is_started_again(proxy: Proxy, directory: Path, port: int, backends: Backends) -> None:
    given = plan(port, cluster("web", backends("one")))
    apply(proxy, given)
    Envoy(directory).stop()
    # What a power cut may leave.
    (directory / "lds.json").write_text("")
    (directory / "cds.json").write_text('{"version')
    apply(proxy, given)
    assert get(port) == (200, "one")


def test_without_listeners_nothing_runs(proxy: Proxy, directory: Path, port: int, backends: Backends) -> None:
    apply(proxy, Plan(listeners=[], clusters=[]))
    assert not Envoy(directory).is_running()
    apply(proxy, plan(port, cluster("web", backends("one"))))
    apply(proxy, Plan(listeners=[], clusters=[]))
    assert not Envoy(directory).is_running()
    with pytest.raises(ProxyError, match="does not answer"):
        proxy.states(["web"])


def test_a_listener_whose_address_is_taken_is_not_in_force_and_the_others_are(
    proxy: Proxy, port: int, backends: Backends
) -> None:
    given = plan(port, cluster("web", backends("one")))
    other = replace(given.listeners[0], name="other", port=ports.kept(ADDRESS))
    with socket.create_server((ADDRESS, other.port)):
        both = replace(given, listeners=[*given.listeners, other])
        assert not proxy.apply(both)
        assert get(port) == (200, "one")
    until(lambda: proxy.apply(both))
    assert get(other.port) == (200, "one")


def test_a_cluster_is_taken_away_when_nothing_is_under_way_there(
    proxy: Proxy, directory: Path, port: int, backends: Backends
) -> None:
    old, new = backends("old"), backends("new")
    apply(proxy, plan(port, cluster("old", old)))
    answers: list[tuple[int, str]] = []
    slow = threading.Thread(target=lambda: answers.append(get(port, "/slow")))
    slow.start()
    until(lambda: old.asked == 1)
    given = plan(port, cluster("new", new))
    apply(proxy, given)
    assert get(port) == (200, "new")
    assert proxy.states(["old"])
    old.release()
    slow.join(20)
    assert answers == [(200, "old")]
    apply(proxy, given)
    until(lambda: not proxy.states(["old"]))


def test_a_cluster_that_is_long_in_coming_holds_up_nobody_elses_change(
    proxy: Proxy, port: int, backends: Backends
) -> None:
    one, two, silent = backends("one"), backends("two"), backends("silent")
    silent.health = 0
    first = plan(port, cluster("web", one))
    apply(proxy, first)
    # Envoy does not know a cluster before it has looked at each endpoint once: here in a minute.
    slow = cluster("slow", silent, check=replace(CHECK, timeout=60, interval=61))
    other = replace(first.listeners[0], name="other", port=ports.kept(ADDRESS))
    waiting = replace(first, listeners=[*first.listeners, other], clusters=[*first.clusters, slow])
    apply(proxy, waiting)
    moved = replace(other, routes=(Route(action=Forward(shares=[("slow", 1)])),))
    assert not proxy.apply(replace(waiting, listeners=[*first.listeners, moved]))
    assert get(other.port) == (200, "one")
    changed = cluster("web", two)
    listeners = [replace(first.listeners[0], routes=(Route(action=Respond(status=201)),)), moved]
    assert not proxy.apply(Plan(listeners=listeners, clusters=[changed, slow]))
    assert proxy.states(["slow"]) == {}
    assert get(port)[0] == 201
    until(lambda: get(other.port) == (200, "two"))


def test_without_envoy_it_is_said_what_to_do(proxy: Proxy, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "envoy", None)
    with pytest.raises(ProxyError, match=r"pip install 'longshore\[onebox\]'"):
        proxy.apply(plan(port))


def test_long_patterns_and_fixed_answers(proxy: Proxy, port: int, backends: Backends) -> None:
    pattern = "/" + "[^?]*x" * 60 + r"(?:\?.*)?"
    routes = (
        Route(headers=[(":path", pattern)], action=Respond(status=404, content_type="text/html", body="<p>no</p>")),
        Route(sources=["127.0.0.0/8"], headers=[(":path", "/here")], action=Respond(status=200, body="near")),
        Route(sources=["10.0.0.0/8"], action=Respond(status=200, body="far")),
    )
    apply(proxy, plan(port, cluster("web", backends("one")), routes=routes))
    assert get(port, "/" + "x" * 60 + "?q=1") == (404, "<p>no</p>")
    assert get(port, "/here") == (200, "near")
    assert get(port) == (200, "one")
