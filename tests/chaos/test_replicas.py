"""Two servers on one PostgreSQL, and what becomes of a deployment when one of them, or the database, is struck."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.test_probes import metrics
from tests.acceptance.world import Host, Revision, wait_until
from tests.chaos.notes import SCRIPTED, Notes, each_once
from tests.chaos.replicas import Replicas, pass_on

Hosts = Callable[..., list[Host]]


class Gate:
    """A port before the object storage, at which the first bundle that is asked for waits until it is opened."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self.is_asked = threading.Event()
        self.opened = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self.opened.set()
        self._listening.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                server = socket.create_connection(("127.0.0.1", self._to))
                threading.Thread(target=self._ask, args=(client, server), daemon=True).start()
                threading.Thread(target=pass_on, args=(server, client), daemon=True).start()

    def _ask(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                if data.startswith(b"GET") and not self.is_asked.is_set():
                    self.is_asked.set()
                    self.opened.wait(60)
                server.sendall(data)
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def notes(tmp_path: Path) -> Notes:
    return Notes(tmp_path / "notes")


def test_what_one_commits_wakes_the_poll_that_the_other_holds(
    replicas: Replicas, hosts_of: Hosts, notes: Notes
) -> None:
    """A poll that nobody wakes is held for 45 seconds, seven times in a deployment."""
    replicas.start(replicas.one, replicas.two)
    replicas.front.ports = [replicas.ports[replicas.two]]
    hosts = hosts_of(replicas.two)
    shop = replicas.shop(hosts)
    shop.deploy = replicas.client("codedeploy", f"http://127.0.0.1:{replicas.ports[replicas.one]}")
    deployment_id = shop.start(Revision(hooks=dict.fromkeys(SCRIPTED, notes.line)))
    assert shop.ended(deployment_id, seconds=30)["status"] == "Succeeded"
    assert notes.of(deployment_id) == each_once(hosts, SCRIPTED[1:])
    replicas.check_history()


def test_a_server_killed_in_mid_deployment_is_not_missed(
    tmp_path: Path, replicas: Replicas, hosts_of: Hosts, notes: Notes
) -> None:
    """The one that holds the polls is killed while hooks run, comes back, and the other is killed."""
    replicas.start(replicas.one, replicas.two)
    hosts = hosts_of(replicas.one, 3)
    shop = replicas.shop(hosts)
    at_work, go_on = tmp_path / "at-work", tmp_path / "go-on"
    wait = f"echo >> {at_work}; while [ ! -e {go_on} ]; do sleep 0.05; done"
    hooks = dict.fromkeys(SCRIPTED, notes.line) | {"BeforeInstall": f"{notes.line}; {wait}"}
    deployment_id = shop.start(Revision(hooks=hooks), deploymentConfigName="CodeDeployDefault.OneAtATime")
    wait_until("the first host is in its hook", at_work.exists)
    replicas.one.kill()
    go_on.touch()
    wait_until("the second host is at it", lambda: len(at_work.read_text()) >= 2, seconds=60)
    replicas.start(replicas.one)
    replicas.two.kill()
    assert shop.ended(deployment_id, seconds=120)["status"] == "Succeeded"
    assert notes.of(deployment_id) == each_once(hosts, SCRIPTED[1:])
    replicas.check_history()


def test_a_leader_that_slept_through_its_lease_writes_nothing(
    replicas: Replicas, hosts_of: Hosts, notes: Notes
) -> None:
    """Frozen (SIGSTOP) as it reads the bundle; the other takes over; thawed, it finds out before it writes."""
    gate = Gate(int(replicas.s3_url.rpartition(":")[2]))
    replicas.one.options = tuple(gate.url if word == replicas.s3_url else word for word in replicas.one.options)
    replicas.start(replicas.one)
    hosts = hosts_of(replicas.one, 2)
    shop = replicas.shop(hosts)
    location = shop.push(Revision(hooks={"AfterInstall": notes.line}))
    deployment_id = shop.start(location)
    assert gate.is_asked.wait(30)
    frozen = replicas.one.process
    frozen.suspend()
    gate.opened.set()
    assert replicas.rows("SELECT status FROM deployments WHERE lease_until IS NOT NULL") == [("Created",)]
    # Its lease ends: a minute, without waiting for it.
    replicas.rows("UPDATE deployments SET lease_until = 1, wake_at = 1 WHERE id = %s", deployment_id)
    replicas.front.ports = [replicas.ports[replicas.two]]
    replicas.front.hang_up()
    replicas.start(replicas.two)
    assert shop.ended(deployment_id, seconds=120)["status"] == "Succeeded"
    before = replicas.rows("SELECT * FROM deployments"), replicas.rows("SELECT * FROM targets ORDER BY target_id")

    frozen.resume()
    wait_until("it finds that it has lost", lambda: "tick_lost" in replicas.one.log.read_text(), seconds=60)
    after = replicas.rows("SELECT * FROM deployments"), replicas.rows("SELECT * FROM targets ORDER BY target_id")
    assert after == before
    assert notes.of(deployment_id) == each_once(hosts, ["AfterInstall"])
    replicas.check_history()
    # And it is good for the next.
    replicas.front.ports = [replicas.ports[replicas.one]]
    replicas.front.hang_up()
    replicas.two.kill()
    assert shop.ended(shop.start(location), seconds=120)["status"] == "Succeeded"
    gate.close()


def test_a_database_restarted_in_mid_deployment_is_come_back_to(
    tmp_path: Path, replicas: Replicas, hosts_of: Hosts, notes: Notes
) -> None:
    """`pg_ctl restart -m immediate`, twice: every connection ends, what was not committed is gone."""
    replicas.start(replicas.one, replicas.two)
    hosts = hosts_of(replicas.one, 3)
    shop = replicas.shop(hosts)
    at_work, go_on = tmp_path / "at-work", tmp_path / "go-on"
    wait = f"echo >> {at_work}; while [ ! -e {go_on} ]; do sleep 0.05; done"
    hooks = dict.fromkeys(SCRIPTED, notes.line) | {"BeforeInstall": f"{notes.line}; {wait}"}
    deployment_id = shop.start(Revision(hooks=hooks), deploymentConfigName="CodeDeployDefault.OneAtATime")
    wait_until("the first host is in its hook", at_work.exists)
    replicas.cluster.restart()
    go_on.touch()
    wait_until("the second host is at it", lambda: len(at_work.read_text()) >= 2, seconds=60)
    replicas.cluster.stop()
    assert readiness(replicas.ports[replicas.one]) == 503
    told = {name for name, *_ in metrics(replicas.one)}
    assert "longshore_queued_writes" in told, "what the server knows by itself is needed most now"
    assert "longshore_due_deployments" not in told
    replicas.cluster.start()
    assert shop.ended(deployment_id, seconds=120)["status"] == "Succeeded"
    assert notes.of(deployment_id) == each_once(hosts, SCRIPTED[1:])
    for port in replicas.ports.values():
        wait_until("it is ready again", lambda port=port: readiness(port) == 200)
    replicas.check_history()


def readiness(port: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/readyz")
    status = connection.getresponse().status
    connection.close()
    return status
