"""Keeps the hosts as the records say: what is pending is started, what shall end is ended, what ended is noticed.

Level-triggered: each look compares a record with what runs and takes one step, and the record of the step is written
after it. Whatever a killed server leaves half done, the next one's look goes on with.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

import structlog

from longshore.onebox.machinery.records import Owner, Records
from longshore.onebox.services.ec2 import rows
from longshore.onebox.services.ec2.values import Instance, State

log = structlog.stdlib.get_logger()

#: Seconds between two looks at what runs; a call that changes something has one at once.
_LOOK_EVERY = 1.0
#: Hosts that are started or ended at a time.
_AT_ONCE = 4
#: Seconds that a server which stops waits for what is under way.
_PATIENCE = 5.0
#: Seconds a terminated instance is shown.
_SHOWN_AFTER_END = 3600.0

_BY_ITSELF = ("Client.InstanceInitiatedShutdown", "Client.InstanceInitiatedShutdown: Instance initiated shutdown")


class HostFailedError(Exception):
    """A host cannot be started; the message says why."""


class Hosts(Protocol):
    """The real things behind instances. Each step may be repeated, and finds done what is done."""

    def why_not(self) -> str | None:
        """Why no host can be run here; None when one can."""

    def is_running(self, instance: Instance) -> bool: ...

    def is_attended(self, instance: Instance) -> bool:
        """Whether its questions about itself are answered."""

    def boot(self, owner: Owner, instance: Instance) -> None:
        """Start the host, or find it started, and attend it; raises HostFailedError."""

    def attend(self, owner: Owner, instance: Instance) -> None:
        """Answer the host's questions about itself from now on; raises HostFailedError."""

    def halt(self, instance: Instance) -> None:
        """End the host; its files stay."""

    def remove(self, owner: Owner, instance: Instance) -> None:
        """End the host, forget its files, and lock out who has its keys."""

    def sweep(self, known: Callable[[], set[str]]) -> None:
        """End hosts that no record knows; `known` gives the ids of those that have one."""

    def stop(self) -> None:
        """Attend nobody any more; what runs goes on running."""


class Keeper:
    """One thread that looks, and a few that do what takes time."""

    def __init__(self, records: Records, hosts: Hosts, *, now: Callable[[], float]) -> None:
        self.listeners: list[Callable[[Owner, Instance], None]] = []
        self._records = records
        self._hosts = hosts
        self._now = now
        self._news = threading.Event()
        self._is_stopping = False
        self._busy: set[str] = set()
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
            if instance.id not in self._busy and self._needs_work(instance):
                self._busy.add(instance.id)
                worker = threading.Thread(target=self._work, args=(owner, instance), name=instance.id, daemon=True)
                self._workers.append(worker)
                worker.start()
        return not everyones

    def _needs_work(self, instance: Instance) -> bool:
        match instance.state:
            case State.STOPPED:
                return False
            case State.TERMINATED:
                return self._now() - (instance.end_time or 0.0) > _SHOWN_AFTER_END
            case State.RUNNING:
                # A host that runs is attended at the first look; then it costs two reads of small files a look.
                return instance.is_to_reboot or not self._is_kept(instance)
            case _:
                return True

    def _is_kept(self, instance: Instance) -> bool:
        return self._hosts.is_running(instance) and self._hosts.is_attended(instance)

    def _work(self, owner: Owner, instance: Instance) -> None:
        try:
            self._step(owner, instance)
        except Exception:
            # The next look tries again.
            log.exception("ec2_step_failed", instance=instance.id, state=instance.state.value)
            self._busy.discard(instance.id)
        else:
            self._busy.discard(instance.id)
            self._news.set()

    def _step(self, owner: Owner, instance: Instance) -> None:
        """Take one step with an instance, then write it down."""
        match instance.state:
            case State.PENDING:
                self._boot(owner, instance)
            case State.RUNNING if instance.is_to_reboot:
                self._hosts.halt(instance)
                self._boot(owner, instance)
            case State.RUNNING if self._hosts.is_running(instance):
                self._hosts.attend(owner, instance)
            case State.RUNNING:
                self._ended_by_itself(owner, instance)
            case State.STOPPING:
                self._hosts.halt(instance)
                self._write(owner, instance, state=State.STOPPED)
            case State.SHUTTING_DOWN:
                self._hosts.remove(owner, instance)
                self._write(owner, instance, state=State.TERMINATED, end_time=self._now(), private_ip=None)
            case State.TERMINATED:
                with self._records.transaction() as tx:
                    tx.delete(rows.INSTANCE, owner, instance.id)

    def _boot(self, owner: Owner, instance: Instance) -> None:
        try:
            self._hosts.boot(owner, instance)
        except HostFailedError as error:
            log.error("ec2_instance_failed", instance=instance.id, reason=str(error))
            self._write(
                owner,
                instance,
                state=State.SHUTTING_DOWN,
                reason_code="Server.InternalError",
                reason=f"Server.InternalError: Internal error on launch: {error}",
            )
        else:
            self._write(owner, instance, state=State.RUNNING, is_to_reboot=False)

    def _ended_by_itself(self, owner: Owner, instance: Instance) -> None:
        code, reason = _BY_ITSELF
        state = State.SHUTTING_DOWN if instance.shutdown_behavior == "terminate" else State.STOPPING
        self._write(owner, instance, state=state, reason_code=code, reason=reason)

    def _write(self, owner: Owner, seen: Instance, **values: object) -> None:
        """Write down a step, unless a call has asked for something else meanwhile: then the next look sees to that."""
        with self._records.transaction() as tx:
            now = rows.instance(tx, owner, seen.id)
            if now is None or (now.state, now.is_to_reboot) != (seen.state, seen.is_to_reboot):
                return
            after = replace(now, **values)  # type: ignore[arg-type]  # its fields
            rows.put(tx, owner, [after])
        log.info("ec2_instance", instance=after.id, state=after.state.value, reason=after.reason_code or None)
        self._tell(owner, after)

    def _tell(self, owner: Owner, instance: Instance) -> None:
        for listener in self.listeners:
            try:
                listener(owner, instance)
            except Exception:
                log.exception("ec2_listener_failed", instance=instance.id)
