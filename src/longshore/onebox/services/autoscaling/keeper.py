"""Looks after the groups: observe, decide, act, again and again. The service's only thread and only clock are here."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from uuid import uuid4

import structlog

from longshore.onebox.machinery.records import Owner
from longshore.onebox.services.autoscaling.decide import (
    Acts,
    Seen,
    acts,
    decide,
    launched,
    refused,
    settled,
)
from longshore.onebox.services.autoscaling.ground import Balancers, Machines, RefusedError
from longshore.onebox.services.autoscaling.group import Group, Member
from longshore.onebox.services.autoscaling.groups import Groups
from longshore.wire.service import AwsError

log = structlog.get_logger()

#: Seconds between two looks at groups where nothing happens: an instance may die, a load balancer find it unhealthy.
_LOOK_EVERY = 1.0
#: And where there are no groups.
_NOBODY = 60.0
_PAUSE_AFTER_ERROR = 2.0
#: How long a look that is under way gets to end when the server stops, seconds.
_STOP = 10.0
#: Looks one after another at a group that keeps changing.
_MOST_STEPS = 8
#: What EC2 marks an instance of a group with.
GROUP_TAG = "aws:autoscaling:groupName"


class Keeper:
    """Keeps every group as it should be."""

    def __init__(
        self,
        groups: Groups,
        machines: Machines,
        balancers: Balancers,
        *,
        clock: Callable[[], float] = time.time,
        look_every: float = _LOOK_EVERY,
    ) -> None:
        self._groups = groups
        self._machines = machines
        self._balancers = balancers
        self._clock = clock
        self._look_every = look_every
        self._nudged = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="auto-scaling", daemon=True)

    def start(self) -> None:
        """Go on with every group where the last server left it."""
        self._thread.start()

    def nudge(self) -> None:
        """Something has changed: look soon."""
        self._nudged.set()

    def stop(self) -> None:
        """Look no more. Instances go on running."""
        self._stopping.set()
        self._nudged.set()
        if self._thread.is_alive():
            self._thread.join(_STOP)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._nudged.clear()
            try:
                everyones = self._groups.everyones()
                pause = self._look_every if everyones else _NOBODY
                for owner, group in everyones:
                    self._look_well(owner, group.name)
                    if self._stopping.is_set():
                        return
            except Exception:
                log.exception("auto_scaling_failed")
                pause = _PAUSE_AFTER_ERROR
            self._nudged.wait(pause)

    def _look_well(self, owner: Owner, name: str) -> None:
        """One group's trouble is not the others'."""
        try:
            for _ in range(_MOST_STEPS):
                if not self.look(owner, name):
                    return
        except AwsError as error:
            # Its load balancers cannot be looked at, say: what is not known is not acted on.
            log.warning("auto_scaling_group_waits", group=name, reason=str(error))
        except Exception:
            log.exception("auto_scaling_group_failed", group=name, account=owner.account, region=owner.region)

    def look(self, owner: Owner, name: str) -> bool:
        """Take a group one step on; whether anything changed, so that another look is worth it now."""
        with self._groups.reading(owner) as rows:
            before = rows.find(name)
        if before is None:
            return False
        seen = self._observe(owner, before)
        after = self._groups.change(owner, name, lambda group: _decided(group, seen, self._clock()))
        if after is None:
            return False
        done = self._carry_out(owner, after, acts(after, seen))
        return done or after != before

    def _observe(self, owner: Owner, group: Group) -> Seen:
        ids = frozenset(one.instance_id for one in group.members if one.instance_id is not None)
        involved = dict.fromkeys((*group.target_groups, *(arn for one in group.members for arn in one.settled)))
        health = {arn: self._balancers.health(owner, arn) for arn in involved} if ids else {}
        return Seen(
            looked_for=ids,
            machines=self._machines.machines(owner, sorted(ids)) if ids else {},
            targets={arn: found for arn, found in health.items() if found is not None},
        )

    def _carry_out(self, owner: Owner, group: Group, todo: Acts) -> bool:
        for member in todo.launch:
            self._launch(owner, group, member)
        for arn, ids in todo.register.items():
            self._balance(owner, group, arn, ids, is_target=True)
        for arn, ids in todo.deregister.items():
            self._balance(owner, group, arn, ids, is_target=False)
        if todo.terminate:
            self._machines.terminate(owner, todo.terminate)
        return bool(todo.launch or todo.register)

    def _launch(self, owner: Owner, group: Group, member: Member) -> None:
        tags = {key: value for key, (value, at_launch) in group.tags.items() if at_launch}
        try:
            instance_id = self._machines.launch(
                owner,
                self._recipe(owner, member),
                zone=member.zone,
                subnet=group.subnets.get(member.zone),
                client_token=member.token,
                tags={**tags, GROUP_TAG: group.name},
            )
        except RefusedError as why:
            log.warning("launch_refused", group=group.name, reason=str(why))
            self._groups.change(
                owner, group.name, partial(refused, token=member.token, why=str(why), now=self._clock())
            )
            return
        log.info("instance_launched", group=group.name, instance=instance_id, zone=member.zone)
        self._groups.change(owner, group.name, partial(launched, token=member.token, instance_id=instance_id))

    def _recipe(self, owner: Owner, member: Member) -> dict[str, object]:
        name = member.launched_from.get("LaunchConfigurationName")
        if name is None:
            return dict(member.launched_from)
        with self._groups.reading(owner) as rows:
            found = rows.launch_configuration(name)
        if found is None:
            raise RefusedError(f"The launch configuration {name} is gone.")
        return found

    def _balance(self, owner: Owner, group: Group, arn: str, ids: Sequence[str], *, is_target: bool) -> None:
        change = self._balancers.register if is_target else self._balancers.deregister
        try:
            change(owner, arn, ids)
        except RefusedError as why:
            # Nothing that another try would mend: the target group is gone, or takes no such targets.
            log.warning("target_group_refused", group=group.name, target_group=arn, reason=str(why))
        self._groups.change(
            owner, group.name, lambda now: settled(now, target_group=arn, instance_ids=list(ids), is_target=is_target)
        )


def _decided(group: Group, seen: Seen, now: float) -> Group | None:
    after = decide(group, seen, now, lambda: str(uuid4()))
    return None if after.is_being_deleted and not after.members else after
