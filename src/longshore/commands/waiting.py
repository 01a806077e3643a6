"""Long polls: each parked until a command for its host is ready, at the cost of memory only."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from longshore.commands import host_command
from longshore.commands.host_command import HostCommand
from longshore.domain.deployment import START_TIMEOUT
from longshore.store import targets, wakeup
from longshore.store.database import Store
from longshore.store.targets import OpenCommand

#: Longest a poll is held, seconds. Agents give up at 80; AWS answers at about 45 (agent.md 1.3.3).
HOLD = 45.0
#: A command that was offered and of which nothing was heard is offered again after this, seconds (agent.md 1.4.10).
GRACE = 10.0

#: A host in a deployment; it has one open command at most.
_Target = tuple[str, str]


class Waiting:
    """The polls at the door, and what was offered to them.

    Offers are remembered here and nowhere else: a server that dies forgets them and offers again, and the first
    acknowledgement decides.
    """

    def __init__(self, store: Store, *, offered: Callable[[float], None] = lambda _ready_since: None) -> None:
        """`offered` is told of each command given out for the first time: since when it was ready, epoch seconds."""
        self._store = store
        self._tell_offered = offered
        #: The position of the command offered last, and until when it is not offered again.
        self._offered: dict[_Target, tuple[int, float]] = {}
        self._closing = False
        #: Polls held at this moment.
        self.parked = 0

    async def next_command(self, host: str, *, hold: float = HOLD) -> tuple[HostCommand, OpenCommand] | None:
        """The next command for this host, waiting for one at most `hold` seconds."""
        topic = wakeup.host(host)
        hint = self._store.wakeup.register(topic)
        end = time.monotonic() + hold
        self.parked += 1
        try:
            while True:
                # Cleared before the look: what becomes ready during it sets it again.
                hint.clear()
                commands = await self._store.peek(lambda tx: targets.open_commands(tx, host))
                now = time.monotonic()
                for command in commands:
                    if self._may_offer(command, now):
                        return host_command.offer(command), command
                if now >= end or self._closing:
                    return None
                # With an offer out, look again when its grace ends.
                pause = min(end - now, GRACE) if commands else end - now
                await _wait(hint, pause)
        finally:
            self.parked -= 1
            self._store.wakeup.forget(topic, hint)

    def close(self) -> None:
        """Answer every held poll with nothing: the server is stopping, and another may be coming up."""
        self._closing = True
        self._store.wakeup.wake_all()

    def _may_offer(self, command: OpenCommand, now: float) -> bool:
        target = (command.deployment_id, command.target_id)
        position, held_back_until = self._offered.get(target, (-1, 0.0))
        if position == command.position and now < held_back_until:
            return False
        self._offered[target] = (command.position, now + GRACE)
        if position != command.position:
            self._tell_offered(command.ready_since)
        return True

    def heard_of(self, command: HostCommand) -> None:
        """The agent answered: the offer needs no more watching."""
        target = (command.deployment_id, command.target_id)
        # The host's next command may have been offered already.
        if (offer := self._offered.get(target)) and offer[0] == command.position:
            del self._offered[target]

    def seen(self, deployment_id: str, target_ids: list[str]) -> None:
        """The agent asked for the specification: it has the command, and will answer for it (agent.md 1.4.10)."""
        for target_id in target_ids:
            if offer := self._offered.get((deployment_id, target_id)):
                self._offered[deployment_id, target_id] = (offer[0], time.monotonic() + START_TIMEOUT)


async def _wait(hint: asyncio.Event, pause: float) -> None:
    try:
        async with asyncio.timeout(pause):
            await hint.wait()
    except TimeoutError:
        pass
