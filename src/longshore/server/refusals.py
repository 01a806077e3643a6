"""Refused calls on their way into the audit: each by itself while they are few, counted together in a flood."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import structlog

from longshore.api import recording
from longshore.domain.audit import Entry
from longshore.store import audit
from longshore.store.database import Store
from longshore.store.errors import StoreUnavailableError
from longshore.wire.service import Answered

log = structlog.get_logger()

#: So many refusals of one caller are recorded each by itself at once, and then so many more a second; all the callers
#: that nobody could identify are one. A flood of a day comes to some 90,000 records, about 50 MB.
BURST = 100
RATE = 1.0
#: The others are counted by caller and error, and the counts recorded this often, seconds.
GATHER = 10.0
#: Callers remembered.
_CALLERS = 4096
#: An answer waits no longer for its record than this, seconds.
_PATIENCE = 5.0


class Allowance:
    """So many at once, and so many more a second."""

    __slots__ = ("_at", "_left")

    def __init__(self, now: float) -> None:
        self._left = float(BURST)
        self._at = now

    def take(self, now: float) -> bool:
        """Whether there is one left."""
        self._left = min(float(BURST), self._left + max(0.0, now - self._at) * RATE)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


@dataclass(slots=True)
class _Flood:
    first: Entry
    count: int = 0


class Refusals:
    """Records refused calls, and never more of them than a disk can bear. For the event loop alone."""

    def __init__(self, store: Store, account: str) -> None:
        """`account` is whose chain has the calls of callers that nobody could identify."""
        self._store = store
        self._account = account
        self._allowances: dict[str | None, Allowance] = {}
        self._floods: dict[tuple[str | None, str], _Flood] = {}

    def are_few(self, refused: Answered) -> bool:
        """Whether this refusal is to be recorded by itself; it takes one from its caller's allowance."""
        who = refused.caller.arn if refused.caller is not None else None
        return self._allowance(who, refused.now).take(refused.now)

    async def record(self, refused: Answered) -> None:
        """Record this refusal."""
        async with asyncio.timeout(_PATIENCE):
            await self._append(recording.refusal(refused, self._account))

    def count(self, refused: Answered) -> None:
        """Count this refusal, to be recorded together with others alike."""
        entry = recording.refusal(refused, self._account)
        # Whatever differs from call to call is left out of a count.
        alike = replace(
            entry, access_key_id=None, source=None, request_id=None, service=None, operation=None, resources=()
        )
        self._floods.setdefault((entry.principal_arn, refused.code), _Flood(alike)).count += 1

    async def tell_of_floods(self) -> None:
        """Record what was only counted so far."""
        floods, self._floods = self._floods, {}
        for flood in floods.values():
            entry = replace(flood.first, count=flood.count)
            log.warning("requests_refused", code=entry.error_code, principal=entry.principal_arn, count=entry.count)
            await self._append(entry)

    @contextlib.asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Tell of floods from time to time, and once more at the end."""
        task = asyncio.create_task(self._keep_telling())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            await self.tell_of_floods()

    async def _keep_telling(self) -> None:
        while True:
            await asyncio.sleep(GATHER)
            try:
                await self.tell_of_floods()
            except Exception:
                log.exception("refusals_not_recorded")

    async def _append(self, entry: Entry) -> None:
        try:
            await self._store.submit(lambda tx: audit.append(tx, entry))
        except StoreUnavailableError as error:
            # It is in the log; the audit is where the database is.
            log.warning("refusal_not_recorded", request_id=entry.request_id, code=entry.error_code, reason=str(error))

    def _allowance(self, who: str | None, now: float) -> Allowance:
        allowance = self._allowances.get(who)
        if allowance is None:
            if len(self._allowances) >= _CALLERS:
                self._allowances.clear()
            allowance = self._allowances[who] = Allowance(now)
        return allowance
