"""What hosts say of their hooks while they run: taken as it comes, written once a second for all of them."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from longshore.commands import host_command
from longshore.commands.host_command import HostCommand, host_of
from longshore.domain.target import Target
from longshore.store import hook_logs, targets
from longshore.store.database import Store, Transaction
from longshore.store.hook_logs import ROW_CHARACTERS, Chunk
from longshore.wire.service import AwsError, Call, Handler

#: Characters kept of one event on one host; what comes after is counted.
KEPT_CHARACTERS = 1024 * 1024
#: How long lines wait to be written together, seconds.
PAUSE = 1.0
#: Characters that may wait to be written, of all hosts together; beyond, hosts are asked to slow down.
MOST_UNWRITTEN = 8 * 1024 * 1024
#: Characters written at once: reports of agents wait no longer than that takes.
_GROUP = 512 * 1024
#: Events under way that are remembered; of one that was forgotten the rows tell.
_REMEMBERED = 20_000

#: Deployment, target and position: an event on a host.
_Event = tuple[str, str, int]


@dataclass(slots=True)
class _Kept:
    """How far the log of an event has come."""

    next_sequence: int
    characters: int
    is_full: bool = False


class HookLogs:
    """Takes what hosts say. The last second of it is in memory only: a server that is killed loses that."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: OrderedDict[_Event, _Kept] = OrderedDict()
        self._waiting: dict[_Event, list[Chunk]] = {}
        self._timer: asyncio.TimerHandle | None = None
        # Two counters, as each has one thread that counts: the event loop and the store's writer.
        self._taken = 0
        self._written = 0

    def handlers(self) -> Mapping[str, Handler]:
        return {"PutHookLog": self.put}

    async def put(self, call: Call, asked: dict[str, Any]) -> dict[str, Any]:
        """Lines of a hook that runs. They are kept when its event ends, or within a second or so."""
        command = host_command.read(asked["hostCommandIdentifier"])
        target = command and await self._target(call, command)
        if not command or not target:
            raise AwsError("InvalidInputException", f"hostCommandIdentifier names no command for {call.caller.arn}.")
        if not command.is_run_by(target):
            return {"isWanted": False}
        if self._taken - self._written > MOST_UNWRITTEN:
            raise AwsError("ThrottlingException", "Hosts tell more than can be written. Slow down.", 429)
        kept = await self._state(command)
        if asked["sequence"] >= kept.next_sequence:
            self._keep(command, kept, target.event.name, asked, call.now)
        return {"isWanted": not kept.is_full}

    def finish(self, command: HostCommand) -> bool:
        """Write what waits of an event, which is about to end: before whatever is submitted after this.

        False: nothing was told of the event here, so what its report says is all there is.
        """
        event = _event(command)
        was_told = self._kept.pop(event, None) is not None
        if chunks := self._waiting.pop(event, None):
            self._write(chunks)
        return was_told

    def close(self) -> None:
        """Write what waits, for the server is stopping."""
        if self._timer is not None:
            self._timer.cancel()
            self._write_all()

    def _keep(self, command: HostCommand, kept: _Kept, name: str, asked: dict[str, Any], now: float) -> None:
        # No database of ours stores a NUL.
        text, dropped = asked["text"].replace("\0", "\N{REPLACEMENT CHARACTER}"), asked.get("droppedLines", 0)
        kept.next_sequence = asked["sequence"] + 1
        if kept.is_full:
            if text or not dropped:
                return
            # The one thing that is still wanted, once: how much there was beside what is kept.
            kept.next_sequence = 2**31
        elif kept.characters + len(text) + ROW_CHARACTERS > KEPT_CHARACTERS:
            kept.is_full = True
            text, dropped = "", dropped + text.count("\n")
        kept.characters += len(text) + ROW_CHARACTERS
        chunk = Chunk(
            deployment_id=command.deployment_id,
            target_id=command.target_id,
            position=command.position,
            sequence=asked["sequence"],
            event=name,
            time=now,
            text=text,
            dropped_lines=dropped,
        )
        self._waiting.setdefault(_event(command), []).append(chunk)
        self._taken += len(text) + ROW_CHARACTERS
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(PAUSE, self._write_all)

    async def _target(self, call: Call, command: HostCommand) -> Target | None:
        return await self._store.peek(
            lambda tx: targets.progress(tx, command.deployment_id, command.target_id, host=host_of(call))
        )

    async def _state(self, command: HostCommand) -> _Kept:
        event = _event(command)
        kept = self._kept.get(event)
        if kept is None:
            # Begun with another server, or before this one was started again.
            following, characters = await self._store.peek(lambda tx: hook_logs.kept(tx, *event))
            kept = self._kept.setdefault(event, _Kept(following, characters, characters >= KEPT_CHARACTERS))
            if len(self._kept) > _REMEMBERED:
                self._kept.popitem(last=False)
        return kept

    def _write_all(self) -> None:
        self._timer = None
        waiting, self._waiting = self._waiting, {}
        group: list[Chunk] = []
        size = 0
        for chunks in waiting.values():
            for chunk in chunks:
                group.append(chunk)
                size += len(chunk.text)
                if size >= _GROUP:
                    self._write(group)
                    group, size = [], 0
        if group:
            self._write(group)

    def _write(self, chunks: list[Chunk]) -> None:
        def work(tx: Transaction) -> None:
            self._written += sum(len(chunk.text) + ROW_CHARACTERS for chunk in chunks)
            hook_logs.add(tx, chunks)

        self._store.later(work)


def keep_end(tx: Transaction, command: HostCommand, event: str, log_tail: str, now: float) -> None:
    """Keep the end of a log, as it was reported with the event, where nothing was told before."""
    hook_logs.add_end(
        tx,
        Chunk(
            deployment_id=command.deployment_id,
            target_id=command.target_id,
            position=command.position,
            sequence=hook_logs.END,
            event=event,
            time=now,
            text=log_tail if log_tail.endswith("\n") else f"{log_tail}\n",
            dropped_lines=0,
        ),
    )


def _event(command: HostCommand) -> _Event:
    return command.deployment_id, command.target_id, command.position
