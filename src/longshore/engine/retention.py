"""Forgets deployments that ended long ago, with their targets and logs; the audit keeps that they were."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial

import structlog

from longshore.store import deployments
from longshore.store.database import Store
from longshore.store.errors import NewerSchemaError, StoreClosedError, StoreUnavailableError

log = structlog.get_logger()

#: How often it is looked for what to forget, seconds.
_EVERY = 3600.0
#: Looked for at a time; each is forgotten in a transaction of its own, so that a large fleet's holds nobody up.
_BATCH = 100
_PAUSE_AFTER_ERROR = 60.0


class Retention:
    """Forgets until stopped."""

    def __init__(self, store: Store, keep: float, *, clock: Callable[[], float] = time.time) -> None:
        """`keep` is how long a deployment is kept after it has ended, seconds."""
        self._store = store
        self._keep = keep
        self._clock = clock
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="retention", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.sweep()
                self._stopping.wait(_EVERY)
            except (StoreClosedError, NewerSchemaError):
                return
            except StoreUnavailableError as error:
                log.warning("retention_waits", reason=str(error))
                self._stopping.wait(_PAUSE_AFTER_ERROR)
            except Exception:
                log.exception("retention_failed")
                self._stopping.wait(_PAUSE_AFTER_ERROR)

    def sweep(self) -> int:
        """Forget what has been kept long enough; returns how many deployments that were."""
        before = self._clock() - self._keep
        forgotten = 0
        while not self._stopping.is_set():
            old = self._store.read(lambda tx: deployments.ended_before(tx, before, _BATCH))
            if not old:
                break
            for deployment_id in old:
                # Looked at again in there: it may have become its group's last success meanwhile.
                forgotten += self._store.write(partial(deployments.forget, deployment_id=deployment_id, moment=before))
        if forgotten:
            log.info("deployments_forgotten", deployments=forgotten)
        return forgotten
