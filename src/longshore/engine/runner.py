"""Finds deployments that are due and ticks them. The engine's only clock and only threads are here."""

from __future__ import annotations

import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import structlog

from longshore.engine.outages import SIGN_EVERY, note_presence
from longshore.engine.tick import abandon, tick, tick_by_rows
from longshore.engine.world import World
from longshore.store import deployments
from longshore.store.database import Transaction
from longshore.store.deployments import Claim, LeaseLostError
from longshore.store.errors import DatabaseError, NewerSchemaError, StoreClosedError, StoreUnavailableError

log = structlog.get_logger()

#: How long one tick may hold a deployment, seconds: after that another may take over.
_LEASE = 60.0
#: How long the ticks at work get to end when the server stops, seconds.
_STOP = 20.0
#: Deployments ticked at once that must ask outside.
_AT_ONCE = 4
#: Deployments claimed at once. The last of those that must ask outside waits until others have, within its lease.
_TOGETHER = 16
#: Failed ticks, one after another, before a deployment is abandoned.
_PATIENCE = 5
#: Longest the runner sleeps without looking: a hint may be lost, seconds.
_LONGEST_SLEEP = 15.0
#: After a failed look at the database, seconds; doubled with each failed tick of a deployment.
_PAUSE_AFTER_ERROR = 1.0
#: Hosts that end in a crowd are counted together: a woken deployment waits this long for company, seconds, and longer
#: when there was other company the last time.
_GATHER = 0.005
_GATHER_MORE = 0.02


class Runner:
    """Ticks due deployments until stopped."""

    def __init__(self, world: World, *, clock: Callable[[], float] = time.time) -> None:
        self._world = world
        self._clock = clock
        self._owner = secrets.token_hex(8)
        self._stopping = threading.Event()
        #: Ticks of a deployment that failed one after another.
        self._failures: Counter[str] = Counter()
        #: Whether several deployments were due at once.
        self._has_company = False
        #: When this server last said that it is at work.
        self._noted_at = 0.0
        self._free = threading.Semaphore(_AT_ONCE)
        self._pool = ThreadPoolExecutor(max_workers=_AT_ONCE, thread_name_prefix="tick")
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    @property
    def is_running(self) -> bool:
        """Whether due deployments are being ticked."""
        return self._thread.is_alive() and not self._stopping.is_set()

    def let_go(self) -> None:
        """Begin nothing more; returns at once."""
        self._stopping.set()
        self._world.store.wakeup.nudge_engine()

    def stop(self, patience: float = _STOP) -> bool:
        """Let the ticks at work end, at most `patience` seconds, and give back what is left; whether all have ended.

        A tick that goes on later can write nothing: what it held is somebody else's.
        """
        self.let_go()
        end = time.monotonic() + patience
        self._thread.join(timeout=patience)
        ended = all(self._free.acquire(timeout=max(0.0, end - time.monotonic())) for _ in range(_AT_ONCE))
        self._pool.shutdown(wait=ended, cancel_futures=True)
        try:
            for deployment_id in self._world.store.write(lambda tx: deployments.hand_back(tx, self._owner)):
                log.warning("tick_given_up", deployment=deployment_id, reason=f"it did not end within {patience:g} s")
        except DatabaseError as error:
            # Leases run out by themselves.
            log.warning("leases_kept", reason=str(error))
        return ended

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                idle = self._start_due()
            except StoreClosedError:
                return
            except NewerSchemaError as error:
                log.error("engine_stopped", reason=str(error))
                return
            except StoreUnavailableError as error:
                log.warning("engine_waits", reason=str(error))
                idle = _PAUSE_AFTER_ERROR
            except Exception:
                log.exception("engine_failed")
                idle = _PAUSE_AFTER_ERROR
            if idle > 0:
                self._world.store.wakeup.wait_for_engine_work(idle)
                self._stopping.wait(_GATHER_MORE if self._has_company else _GATHER)

    def _start_due(self) -> float:
        """Tick what is due, alone what must ask outside; returns how long nothing else is due."""
        now = self._clock()
        is_to_be_noted = abs(now - self._noted_at) >= SIGN_EVERY
        claims, wake_at = self._world.store.write(lambda tx: self._claim(tx, now, is_to_be_noted=is_to_be_noted))
        if is_to_be_noted:
            self._noted_at = now
        self._has_company = len(claims) > 1
        others, released = self._tick_by_rows(claims, now)
        for claim in others:
            self._free.acquire()
            if self._stopping.is_set():
                self._free.release()
                return 0.0
            self._pool.submit(self._tick, claim)
        if len(claims) == _TOGETHER:
            return 0.0
        due = min((one for one in (wake_at, released) if one is not None), default=None)
        return _LONGEST_SLEEP if due is None else min(max(due - self._clock(), 0.001), _LONGEST_SLEEP)

    def _claim(self, tx: Transaction, now: float, *, is_to_be_noted: bool) -> tuple[list[Claim], float | None]:
        """What is due, and when the next is."""
        if is_to_be_noted:
            # In the transaction of the claims: no tick may find a host overdue before it was given time.
            note_presence(tx, now)
        claiming = deployments.claiming_due(tx, owner=self._owner, now=now, lease=_LEASE, limit=_TOGETHER)
        first = deployments.finding_first_wake_at(tx, now)
        return claiming(), first()

    def _tick_by_rows(self, claims: list[Claim], now: float) -> tuple[list[Claim], float | None]:
        """Tick those whose next step the rows alone decide; returns the others, and when the first of them is due."""
        together = [claim for claim in claims if not self._failures[claim.deployment_id]]
        if not together:
            return claims, None
        try:
            outcomes = tick_by_rows(self._world, together, now)
        except Exception as error:
            # Each by itself, which tells whose fault it is.
            log.warning("ticks_failed", reason=str(error))
            return claims, None
        for claim, outcome in outcomes.items():
            if isinstance(outcome, Exception):
                self._pool.submit(self._settle, claim, outcome)
        released = min((one for one in outcomes.values() if isinstance(one, float)), default=None)
        return [claim for claim in claims if claim not in outcomes], released

    def _tick(self, claim: Claim) -> None:
        error: Exception | None = None
        now = self._clock()
        try:
            if now >= claim.lease_until:
                raise LeaseLostError(claim.deployment_id)  # it waited too long for its thread
            if self._failures[claim.deployment_id] < _PATIENCE:
                tick(self._world, claim, now)
            else:
                abandon(self._world, claim, now)
            self._failures.pop(claim.deployment_id, None)
        except Exception as problem:
            error = problem
        try:
            if error is not None:
                self._settle(claim, error)
        finally:
            self._free.release()
            self._world.store.wakeup.nudge_engine()

    def _settle(self, claim: Claim, error: Exception) -> None:
        """See to a deployment whose tick failed."""
        match error:
            case LeaseLostError() | StoreClosedError():
                log.info("tick_lost", deployment=claim.deployment_id)
            case StoreUnavailableError():
                # No fault of the deployment's, and whatever was written or not, the rows say it to the next tick.
                log.warning("tick_interrupted", deployment=claim.deployment_id, reason=str(error))
                self._give_back(claim, after=_PAUSE_AFTER_ERROR)
            case _:
                self._failures[claim.deployment_id] += 1
                log.error("tick_failed", deployment=claim.deployment_id, exc_info=error)
                self._give_back(claim, after=_PAUSE_AFTER_ERROR * 2 ** self._failures[claim.deployment_id])
        self._world.store.wakeup.nudge_engine()

    def _give_back(self, claim: Claim, *, after: float) -> None:
        """Have a deployment looked at again after so many seconds. Where even that fails, its lease runs out."""

        def work(tx: Transaction) -> None:
            deployments.check_claim(tx, claim)
            deployments.release(tx, claim, wake_at=self._clock() + after)

        while self._clock() < claim.lease_until:
            try:
                return self._world.store.write(work)
            except StoreUnavailableError:
                if self._stopping.wait(_PAUSE_AFTER_ERROR):
                    return
            except Exception:
                return
