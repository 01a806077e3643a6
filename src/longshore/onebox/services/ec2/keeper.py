"""Keeps the hosts as the records say: what is pending is started, what shall end is ended, what ended is noticed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import structlog

from longshore.onebox.machinery.records import Owner, Records
from longshore.onebox.services.ec2 import rows
from longshore.onebox.services.ec2.ports import Hosts
from longshore.onebox.services.ec2.steps import Steps
from longshore.onebox.services.ec2.values import Instance

log = structlog.stdlib.get_logger()

#: Seconds between two looks at what runs; a call that changes something has one at once.
_LOOK_EVERY = 1.0
#: Hosts that are started or ended at a time.
_AT_ONCE = 4
#: Seconds until a step that failed is tried again.
_AFTER_TROUBLE = 10.0
#: Seconds that a server which stops waits for what is under way.
_PATIENCE = 5.0


class Keeper:
    """One thread that looks, and a few that do what takes time."""

    def __init__(self, records: Records, hosts: Hosts, *, now: Callable[[], float]) -> None:
        self.listeners: list[Callable[[Owner, Instance], None]] = []
        self._records = records
        self._hosts = hosts
        self._steps = Steps(records, hosts, tell=self._tell, now=now)
        self._news = threading.Event()
        self._is_stopping = False
        self._busy: set[str] = set()
        #: When to try again with those with which a step failed, on the monotonic clock.
        self._not_before: dict[str, float] = {}
        self._thread: threading.Thread | None = None
        self._workers: list[threading.Thread] = []
        self._trial = threading.Lock()
        self._reason: str | None = None
        self._is_tried = False

    def why_not(self) -> str | None:
        """Why no instance can run on this machine; tried once, since it takes a moment."""
        with self._trial:
            if not self._is_tried:
                self._reason, self._is_tried = self._hosts.why_not(), True
            return self._reason

    def start(self) -> None:
        """Find again what ran, and keep it from now on."""
        self._hosts.sweep(self._known)
        self._thread = threading.Thread(target=self._keep, name="ec2-keeper", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Look no more, after what is under way, if that ends soon; the hosts go on running."""
        self._is_stopping = True
        self._news.set()
        if self._thread is not None:
            self._thread.join()
        deadline = time.monotonic() + _PATIENCE
        # What takes longer, such as copying an image, is begun again by the next server.
        for worker in self._workers:
            worker.join(max(0.0, deadline - time.monotonic()))
        self._hosts.stop()

    def changed(self, owner: Owner, instances: Sequence[Instance]) -> None:
        """Tell the listeners of instances that a call changed, and have a look at once."""
        for instance in instances:
            self._tell(owner, instance)
        self._news.set()

    def _known(self) -> set[str]:
        with self._records.transaction() as tx:
            return {instance.id for _, instance in rows.everyones(tx)}

    def _keep(self) -> None:
        while not self._is_stopping:
            self._news.clear()
            is_idle = True
            try:
                is_idle = self._look()
            except Exception:
                log.exception("ec2_look_failed")
            # With nothing to look after, nothing is looked at.
            self._news.wait(None if is_idle else _LOOK_EVERY)

    def _look(self) -> bool:
        """One look at every instance; whether there is none."""
        self._workers = [worker for worker in self._workers if worker.is_alive()]
        with self._records.transaction() as tx:
            everyones = rows.everyones(tx)
        for owner, instance in everyones:
            if len(self._busy) == _AT_ONCE:
                break
            if self._not_before.get(instance.id, 0.0) > time.monotonic():
                continue
            if instance.id not in self._busy and self._steps.is_needed(instance):
                self._busy.add(instance.id)
                worker = threading.Thread(target=self._work, args=(owner, instance.id), name=instance.id, daemon=True)
                self._workers.append(worker)
                worker.start()
        return not everyones

    def _work(self, owner: Owner, instance_id: str) -> None:
        try:
            self._steps.take(owner, instance_id)
        except Exception:
            log.exception("ec2_step_failed", instance=instance_id)
            # Tried again, but not at the cost of those with which nothing is wrong.
            self._not_before[instance_id] = time.monotonic() + _AFTER_TROUBLE
            self._busy.discard(instance_id)
        else:
            self._not_before.pop(instance_id, None)
            self._busy.discard(instance_id)
            self._news.set()

    def _tell(self, owner: Owner, instance: Instance) -> None:
        for listener in self.listeners:
            try:
                listener(owner, instance)
            except Exception:
                log.exception("ec2_listener_failed", instance=instance.id)
