"""Several stores on one PostgreSQL, and a PostgreSQL that goes away."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy.engine import URL

from longshore.store import postgresql, server_secrets, wakeup
from longshore.store.database import Store, Transaction
from longshore.store.errors import StoreUnavailableError
from longshore.store.relay import payloads
from longshore.store.wakeup import Wakeup
from tests.acceptance.world import wait_until
from tests.postgresql import Cluster

#: A hint that is lost is made up for after 45 seconds; one that comes, comes long before this.
SOON = 20.0


@pytest.fixture
def url(cluster: Cluster, migrated: URL) -> Iterator[URL]:
    made = cluster.database(like=migrated)
    yield made
    cluster.drop(made)


@pytest.fixture
def pair(url: URL) -> Iterator[tuple[Store, Store]]:
    stores = Store(url, Wakeup()), Store(url, Wakeup())
    yield stores
    for store in stores:
        store.close()


def keep(tx: Transaction, name: str) -> str:
    return server_secrets.get_or_make(tx, name, lambda: "kept")


def kept(store: Store, name: str) -> str | None:
    return store.read(lambda tx: server_secrets.find(tx, name))


def terminate_all(url: URL) -> None:
    """End every session of this database, as a restart of PostgreSQL would."""
    with psycopg.connect(url.render_as_string(hide_password=False), autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def test_a_commit_on_one_wakes_who_waits_on_the_other(pair: tuple[Store, Store]) -> None:
    one, other = pair
    topic = wakeup.host("us-east-1/web-1")
    told: list[str] = []
    other.wakeup.listen("key", told.append)

    async def wait() -> None:
        other.wakeup.attach(asyncio.get_running_loop())
        hint = other.wakeup.register(topic)
        await asyncio.to_thread(one.write, lambda tx: [tx.tell(topic), tx.tell(wakeup.key("AKIA1"))])
        await asyncio.wait_for(hint.wait(), SOON)

    asyncio.run(wait())
    assert told == ["AKIA1"]


def test_a_write_that_fails_on_one_says_nothing_to_the_other(pair: tuple[Store, Store]) -> None:
    one, other = pair
    told: list[str] = []
    other.wakeup.listen("key", told.append)

    def fail(tx: Transaction) -> None:
        tx.tell(wakeup.key("undone"))
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        one.write(fail)
    one.write(lambda tx: tx.tell(wakeup.key("done")))
    wait_until("the later hint has come", lambda: told)
    assert told == ["done"]


def test_hints_of_a_large_fleet_fit_their_messages() -> None:
    hosts = [wakeup.host(f"us-east-1/arn:aws:iam::000000000000:user/hosts/web-{number}") for number in range(10_000)]
    messages = payloads("sender", [*hosts, wakeup.host("x" * 9000)])
    assert all(len(message.encode()) < 8000 for message in messages)
    assert sum(message.count('"host"') for message in messages) == 10_000
    assert len(messages) < 120


def test_a_lost_connection_heals_and_everybody_looks_again(url: URL, pair: tuple[Store, Store]) -> None:
    """Hints may have been missed meanwhile: caches are forgotten and polls look for themselves."""
    one, _ = pair
    one.write(lambda tx: keep(tx, "before"))
    gaps: list[None] = []
    one.wakeup.listen_for_gaps(lambda: gaps.append(None))
    terminate_all(url)
    assert kept(one, "before") == "kept"
    # The writer notices by its next write, whose caller is told to try again.
    with contextlib.suppress(StoreUnavailableError):
        one.write(lambda tx: keep(tx, "first"))
    one.write(lambda tx: keep(tx, "second"))
    assert kept(one, "second") == "kept"
    wait_until("the gap is noticed", lambda: gaps)


def test_a_write_whose_connection_breaks_in_the_middle_is_not_made(url: URL, pair: tuple[Store, Store]) -> None:
    one, other = pair

    def interrupted(tx: Transaction) -> None:
        keep(tx, "half")
        terminate_all(url)

    with pytest.raises(StoreUnavailableError):
        one.write(interrupted)
    assert kept(one, "half") is None
    one.write(lambda tx: keep(tx, "whole"))
    assert kept(other, "whole") == "kept"


def test_a_frozen_writer_loses_its_turn_and_its_change(url: URL, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that stops in the middle of a transaction must not stop the others."""
    monkeypatch.setitem(postgresql._SESSION, "idle_in_transaction_session_timeout", 500)
    frozen, alive = Store(url, Wakeup()), Store(url, Wakeup())
    thawed = threading.Event()
    failures: list[BaseException] = []

    def freeze(tx: Transaction) -> None:
        keep(tx, "frozen")
        thawed.wait(30)
        keep(tx, "too late")

    def write() -> None:
        try:
            frozen.write(freeze)
        except StoreUnavailableError as error:
            failures.append(error)

    thread = threading.Thread(target=write)
    thread.start()
    wait_until("it holds the lock", lambda: _locks(url))
    alive.write(lambda tx: keep(tx, "alive"))
    thawed.set()
    thread.join()
    assert len(failures) == 1
    assert [kept(alive, name) for name in ("frozen", "too late", "alive")] == [None, None, "kept"]
    frozen.write(lambda tx: keep(tx, "again"))
    assert kept(alive, "again") == "kept"
    frozen.close()
    alive.close()


def _locks(url: URL) -> bool:
    with psycopg.connect(url.render_as_string(hide_password=False)) as connection:
        row = connection.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted").fetchone()
    return row is not None and row[0] > 0


class Cut:
    """A port before PostgreSQL's that can break a connection when it hears COMMIT, before or after passing it on."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        #: "before" or "after"; done once.
        self.cut = ""
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listening.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                server = socket.create_connection(("127.0.0.1", self._to))
                threading.Thread(target=self._up, args=(client, server), daemon=True).start()
                threading.Thread(target=self._down, args=(server, client), daemon=True).start()

    def _up(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                cut = self.cut if b"COMMIT" in data else ""
                if cut:
                    self.cut = ""
                    # No answer comes back from here on.
                    client.shutdown(socket.SHUT_RDWR)
                if cut != "before":
                    server.sendall(data)
                if cut == "after":
                    time.sleep(0.2)
        # A close would wait for the other thread's reading.
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)

    def _down(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                client.sendall(data)
        client.close()


@pytest.mark.parametrize("cut", ["before", "after"])
def test_a_commit_whose_answer_is_lost_is_asked_after(url: URL, cut: str) -> None:
    """Made or not, the caller is told which."""
    assert url.port is not None
    between = Cut(url.port)
    store, other = Store(url.set(port=between.port), Wakeup()), Store(url, Wakeup())
    told: list[str] = []
    other.wakeup.listen("key", told.append)
    store.write(lambda tx: keep(tx, "before"))
    between.cut = cut

    def work(tx: Transaction) -> str:
        tx.tell(wakeup.key("AKIA1"))
        return keep(tx, "cut")

    if cut == "after":
        assert store.write(work) == "kept"
        wait_until("the other is told", lambda: told)
    else:
        with pytest.raises(StoreUnavailableError):
            store.write(work)
    assert kept(other, "cut") == ("kept" if cut == "after" else None)
    store.write(lambda tx: keep(tx, "later"))
    assert kept(other, "later") == "kept"
    store.close()
    other.close()
    between.close()


def test_a_database_in_the_wrong_encoding_is_refused(cluster: Cluster) -> None:
    with psycopg.connect(cluster.address(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE latin TEMPLATE template0 ENCODING LATIN1 LOCALE_PROVIDER libc LOCALE 'C'")
    with pytest.raises(Exception, match="encoding is LATIN1, and Longshore needs UTF8"):
        Store(cluster.url("latin"), Wakeup())
    cluster.drop(cluster.url("latin"))
