"""Delivers what triggers tell: at least once, with retries, and never in the way of a deployment (server.md S10.6)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import structlog

from longshore.providers.ports import (
    Access,
    PermanentError,
    ProviderError,
    RoleMissingError,
    RoleRightsError,
    Topics,
)
from longshore.store import notifications
from longshore.store.database import Store
from longshore.store.errors import NewerSchemaError, StoreClosedError, StoreUnavailableError
from longshore.store.notifications import Due

log = structlog.get_logger()

#: Delivered at once.
_AT_ONCE = 8
#: How long a delivery may take before it is somebody else's, seconds.
_CLAIM = 20.0
#: After the first failure, doubled with each further one, at most the last, seconds.
_FIRST_PAUSE = 2.0
_LONGEST_PAUSE = 15 * 60.0
#: After this no more is tried, seconds.
_GIVE_UP = 24 * 3600.0
_LONGEST_SLEEP = 30.0


class Messenger:
    """Delivers due notifications until stopped."""

    def __init__(self, store: Store, topics: Topics, *, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._topics = topics
        self._clock = clock
        self._news = threading.Event()
        self._stopping = False
        self._pool = ThreadPoolExecutor(max_workers=_AT_ONCE, thread_name_prefix="messenger")
        self._thread = threading.Thread(target=self._run, name="messenger", daemon=True)
        store.wakeup.listen("notification", lambda _: self._news.set())

    def start(self) -> None:
        self._thread.start()

    def stop(self, patience: float = 5.0) -> None:
        """Begin no more deliveries; what is under way and does not end in time is delivered again later."""
        self._stopping = True
        self._news.set()
        self._thread.join(timeout=patience)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _run(self) -> None:
        while not self._stopping:
            self._news.clear()
            try:
                self._news.wait(self._deliver_due())
            except (StoreClosedError, NewerSchemaError):
                return
            except StoreUnavailableError as error:
                log.warning("messenger_waits", reason=str(error))
                self._news.wait(_FIRST_PAUSE)
            except Exception:
                log.exception("messenger_failed")
                self._news.wait(_FIRST_PAUSE)

    def _deliver_due(self) -> float:
        """Deliver what is due; returns how long nothing else is, seconds."""
        now = self._clock()
        # Looked for without a lock first: nearly always there is nothing.
        due = self._store.read(notifications.next_try)
        if due is None or due > now:
            return _LONGEST_SLEEP if due is None else min(due - now, _LONGEST_SLEEP)
        claimed = self._store.write(lambda tx: notifications.claim(tx, now=now, until=now + _CLAIM, limit=_AT_ONCE))
        list(self._pool.map(self._deliver, claimed))
        return 0.0

    def _deliver(self, due: Due) -> None:
        said = due.notification
        try:
            access = Access(scope=due.scope, role_arn=due.role_arn)
            self._topics.publish(access, said.topic_arn, subject=said.subject, message=said.message)
        except ProviderError as error:
            self._failed(due, error)
            return
        except Exception as error:
            log.exception("notification_failed", topic=said.topic_arn)
            self._failed(due, error)
            return
        self._store.write(lambda tx: notifications.remove(tx, due.id))
        log.info("notification_delivered", topic=said.topic_arn, subject=said.subject, tries=due.tries)

    def _failed(self, due: Due, error: Exception) -> None:
        now = self._clock()
        topic, reason = due.notification.topic_arn, str(error)
        # A role is there, or may, as soon as somebody has mended it.
        is_final = isinstance(error, PermanentError) and not isinstance(error, (RoleMissingError, RoleRightsError))
        if is_final or now > due.create_time + _GIVE_UP:
            self._store.write(lambda tx: notifications.remove(tx, due.id))
            log.error("notification_dropped", topic=topic, tries=due.tries, reason=reason)
            return
        pause = min(_FIRST_PAUSE * 2 ** min(due.tries - 1, 16), _LONGEST_PAUSE)
        self._store.write(lambda tx: notifications.put_off(tx, due.id, now + pause))
        log.warning("notification_put_off", topic=topic, tries=due.tries, seconds=pause, reason=reason)
