"""Hints across replicas, by PostgreSQL's NOTIFY: sent with the commit they are about, heard on a thread of its own."""

from __future__ import annotations

import json
import random
import select
import socket
import threading
from collections.abc import Collection, Iterator
from typing import Any

import psycopg
import structlog

from longshore.store.wakeup import Topic, Wakeup

log = structlog.get_logger()

#: PostgreSQL takes less than 8,000 bytes of payload.
_LARGEST = 7900
#: A connection over which nothing came for so long is tried, seconds.
_QUIET = 30.0
#: Pauses between attempts to connect, seconds: the first, and the longest.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0


def payloads(sender: str, topics: Collection[Topic]) -> list[str]:
    """These topics in as few messages as they fit in. A topic too long for any is left out: a hint may be lost."""
    return list(_packed(sender, topics))


def _packed(sender: str, topics: Collection[Topic]) -> Iterator[str]:
    head = f'["{sender}"'
    held, size = [head], len(head)
    for topic in topics:
        text = json.dumps(topic, separators=(",", ":"))
        if size + len(text) + 2 > _LARGEST:
            if len(held) > 1:
                yield ",".join(held) + "]"
            held, size = [head], len(head)
        if size + len(text) + 2 <= _LARGEST:
            held.append(text)
            size += len(text) + 1
    if len(held) > 1:
        yield ",".join(held) + "]"


class NotifyRelay:
    """Listens, and publishes what other replicas say; after every gap, has everyone look for themselves."""

    def __init__(self, connecting: dict[str, Any], name: str, wakeup: Wakeup) -> None:
        """`connecting` are psycopg's arguments; `name` is ours, by which we know our own messages."""
        self._connecting = connecting
        self._name = name
        self._wakeup = wakeup
        self._closed = threading.Event()
        self._listening = threading.Event()
        self._bell, self._rope = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="store-relay", daemon=True)
        self._thread.start()
        # Whoever opens a store right after another hears the other from the start.
        self._listening.wait(_LONGEST_PAUSE)

    def close(self) -> None:
        if self._closed.is_set():
            return
        self._closed.set()
        self._rope.send(b"!")
        self._thread.join(timeout=10)
        self._bell.close()
        self._rope.close()

    def _run(self) -> None:
        pause = _FIRST_PAUSE
        while not self._closed.is_set():
            try:
                with psycopg.connect(autocommit=True, **self._connecting) as connection:
                    connection.execute("LISTEN longshore")
                    # Whatever was said before this moment was not heard.
                    self._wakeup.missed()
                    self._listening.set()
                    pause = _FIRST_PAUSE
                    self._listen(connection)
            except Exception as error:
                log.warning("hints_interrupted", reason=str(error).strip())
                self._closed.wait(pause * random.uniform(0.5, 1.0))  # noqa: S311  # spreads replicas out
                pause = min(pause * 2, _LONGEST_PAUSE)

    def _listen(self, connection: psycopg.Connection[Any]) -> None:
        waiting = select.poll()
        for readable in (connection, self._bell):
            waiting.register(readable, select.POLLIN)
        while not self._closed.is_set():
            if not waiting.poll(_QUIET * 1000):
                connection.execute("SELECT 1")
            for heard in connection.notifies(timeout=0):
                self._publish(heard.payload)

    def _publish(self, payload: str) -> None:
        try:
            sender, *topics = json.loads(payload)
            heard = [(str(kind), str(about)) for kind, about in topics]
        except ValueError:
            log.warning("hint_not_understood", payload=payload[:100])
            return
        if sender != self._name:
            self._wakeup.publish(heard)
