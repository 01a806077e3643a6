"""Hints that something changed.

A hint may be lost or come for nothing: whoever waits re-reads its rows, and has a time-out.
"""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import Callable, Collection

#: What a hint is about: ("host", who polls), ("deployment", id), ("key", access key id), ("principal", id)
#: or ("notification", "").
Topic = tuple[str, str]


def host(identifier: str) -> Topic:
    """A command became ready for this host."""
    return ("host", identifier)


def deployment(deployment_id: str) -> Topic:
    """The engine should look at this deployment."""
    return ("deployment", deployment_id)


def key(access_key_id: str) -> Topic:
    """An access key was made, changed or deleted."""
    return ("key", access_key_id)


def principal(principal_id: str) -> Topic:
    """What a user or role may do has changed, or how it is called."""
    return ("principal", principal_id)


def notification() -> Topic:
    """Something is to be told to a topic."""
    return ("notification", "")


class Wakeup:
    """Carries hints from whoever committed to parked polls (asyncio), to the engine (threads) and to listeners."""

    def __init__(self) -> None:
        self._waiting: dict[Topic, set[asyncio.Event]] = defaultdict(set)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._engine = threading.Event()
        self._listeners: dict[str, Callable[[str], None]] = {}
        self._forgetful: list[Callable[[], None]] = []

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Deliver hints to waiters of this loop; called once, before anyone waits."""
        self._loop = loop

    def listen(self, kind: str, listener: Callable[[str], None]) -> None:
        """Have `listener` called with what each hint of this kind is about, on the thread that heard of it."""
        self._listeners[kind] = listener

    def listen_for_gaps(self, listener: Callable[[], None]) -> None:
        """Have `listener` called when hints may have been missed, on the thread that noticed."""
        self._forgetful.append(listener)

    def publish(self, topics: Collection[Topic]) -> None:
        """Tell whoever waits for these topics; callable from any thread."""
        for kind, about in topics:
            if kind == "deployment":
                self._engine.set()
            elif listener := self._listeners.get(kind):
                listener(about)
        if self._loop is not None and self._waiting and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._deliver, topics)

    def _deliver(self, topics: Collection[Topic]) -> None:
        for topic in topics:
            for event in self._waiting.get(topic, ()):
                event.set()

    def missed(self) -> None:
        """Hints may have been lost: have everyone look for themselves. Callable from any thread."""
        self._engine.set()
        for listener in self._forgetful:
            listener()
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.wake_all)

    def wake_all(self) -> None:
        """Have every waiter of the loop look again; callable from the loop only."""
        self._deliver(list(self._waiting))

    def register(self, topic: Topic) -> asyncio.Event:
        """An event that a hint on this topic sets; give it back with `forget`."""
        event = asyncio.Event()
        self._waiting[topic].add(event)
        return event

    def forget(self, topic: Topic, event: asyncio.Event) -> None:
        waiting = self._waiting[topic]
        waiting.discard(event)
        if not waiting:
            del self._waiting[topic]

    def wait_for_engine_work(self, timeout: float) -> None:
        """Block until some deployment wants a look, at most `timeout` seconds."""
        self._engine.wait(timeout)
        self._engine.clear()

    def nudge_engine(self) -> None:
        """Wake the engine without a reason of its own, to stop it quickly."""
        self._engine.set()
