"""What is done with an instance next: a look at its record and at what runs, one step, and the step written down.

Level-triggered: whatever a killed server leaves half done, the next look goes on with. Each step may be repeated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import structlog

from longshore.onebox.machinery.records import Owner, Records
from longshore.onebox.services.ec2 import rows
from longshore.onebox.services.ec2.ports import HostFailedError, Hosts
from longshore.onebox.services.ec2.values import Instance, State

log = structlog.stdlib.get_logger()

#: Seconds a terminated instance is shown.
_SHOWN_AFTER_END = 3600.0

_BY_ITSELF = ("Client.InstanceInitiatedShutdown", "Client.InstanceInitiatedShutdown: Instance initiated shutdown")


class Steps:
    """Knows what an instance needs, and does it. Of one instance, one step at a time."""

    def __init__(
        self, records: Records, hosts: Hosts, *, tell: Callable[[Owner, Instance], None], now: Callable[[], float]
    ) -> None:
        """`tell` is called after a change of state is written down."""
        self._records = records
        self._hosts = hosts
        self._tell = tell
        self._now = now

    def is_needed(self, instance: Instance) -> bool:
        """Whether there is something to do for an instance."""
        match instance.state:
            case State.STOPPED:
                return False
            case State.TERMINATED:
                return self._now() - (instance.end_time or 0.0) > _SHOWN_AFTER_END
            case State.RUNNING:
                # A host that runs is attended at the first look; then it costs a read of two small files a look.
                is_kept = self._hosts.is_running(instance) and self._hosts.is_attended(instance)
                return instance.is_to_reboot or not is_kept
            case _:
                return True

    def take(self, owner: Owner, instance_id: str) -> None:
        """Take the next step with an instance, if there is one."""
        with self._records.transaction() as tx:
            instance = rows.instance(tx, owner, instance_id)
        if instance is None or not self.is_needed(instance):
            return
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
