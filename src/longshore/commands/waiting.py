"""Long polls: each parked until a command for its host is ready, at the cost of memory only."""

from __future__ import annotations

import asyncio
import time

from longshore.commands import host_command
from longshore.commands.host_command import HostCommand
from longshore.store import targets, wakeup
from longshore.store.database import Store
from longshore.store.targets import OpenCommand

#: Longest a poll is held, seconds. Agents give up at 80; AWS answers at about 45 (agent.md 1.3.3).
HOLD = 45.0
#: A command that was offered and of which nothing was heard is offered again after this, seconds (agent.md 1.4.10).
GRACE = 10.0

_Offer = tuple[str, str, int]


class Waiting:
    """The polls at the door, and what was offered to them.

    Offers are remembered here and nowhere else: a server that dies forgets them and offers again, and the first
    acknowledgement decides.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._offered: dict[_Offer, float] = {}
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
        name = (command.deployment_id, command.target_id, command.position)
        offered = self._offered.get(name)
        if offered is not None and now < offered + GRACE:
            return False
        self._offered[name] = now
        return True

    def heard_of(self, command: HostCommand) -> None:
        """The agent answered: the offer needs no more watching."""
        self._offered.pop((command.deployment_id, command.target_id, command.position), None)

    def seen(self, deployment_id: str, host_targets: list[str]) -> None:
        """The agent asked for the specification: it has the command, and will answer for it (agent.md 1.4.10)."""
        far = time.monotonic() + 300.0
        for name in list(self._offered):
            if name[0] == deployment_id and name[1] in host_targets:
                self._offered[name] = far


async def _wait(hint: asyncio.Event, pause: float) -> None:
    try:
        async with asyncio.timeout(pause):
            await hint.wait()
    except TimeoutError:
        pass
