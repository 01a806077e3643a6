"""Keeps the proxy in line with what is kept: one thread, which looks when something changed, and every second."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

import structlog

from longshore.onebox.machinery.proxy import Proxy, ProxyError
from longshore.onebox.machinery.proxy.health import EndpointState, Place
from longshore.onebox.machinery.proxy.plan import Plan
from longshore.onebox.machinery.records import Document, Owner, Records
from longshore.onebox.services.elbv2 import traffic
from longshore.onebox.services.elbv2.rows import TARGETS, short
from longshore.onebox.services.elbv2.targets import Instances, address, instances_in

log = structlog.stdlib.get_logger()

_LOOK_EVERY = 1.0
#: Nothing may have been under way at a drained target for so long before it is out: a request that was just being
#: handed to it as it was drained has shown by then.
_QUIET_SECONDS = 1.0


#: Targets of a group that are out, as they were seen.
Over = tuple[Owner, str, dict[str, Document]]


class Reconciler:
    """Looks at what is kept, and has the proxy do it."""

    def __init__(self, records: Records, proxy: Proxy, instances: Instances, *, now: Callable[[], float]) -> None:
        self._records = records
        self._proxy = proxy
        self._instances = instances
        self._now = now
        self._news = threading.Condition()
        self._asked = 0
        self._looked = 0
        self._is_stopping = False
        self._thread: threading.Thread | None = None
        self._last_problem = ""
        #: What there is to do as long as nothing changes; None while something is under way.
        self._settled: Plan | None = None
        #: Drained targets at which nothing is under way, and since when.
        self._quiet: dict[Place, float] = {}

    def start(self) -> None:
        """Have a look, and go on looking."""
        self._asked += 1
        self._thread = threading.Thread(target=self._run, name="elbv2", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Look no more; the proxy goes on by itself."""
        with self._news:
            self._is_stopping = True
            self._news.notify_all()
        if self._thread is not None:
            self._thread.join()

    def wake(self) -> None:
        """Something changed."""
        with self._news:
            self._asked += 1
            self._news.notify_all()

    def settle(self, seconds: float) -> None:
        """Something changed: wait until the proxy has heard of it, at most so long."""
        with self._news:
            self._asked += 1
            mine = self._asked
            self._news.notify_all()
            if self._thread is not None:
                self._news.wait_for(lambda: self._looked >= mine or self._is_stopping, seconds)

    def _run(self) -> None:
        pause: float | None = None
        while True:
            with self._news:
                self._news.wait_for(lambda: self._asked > self._looked or self._is_stopping, pause)
                if self._is_stopping:
                    return
                asked = self._asked
            try:
                pause = _LOOK_EVERY if self._look(is_asked=asked > self._looked) else None
            except ProxyError as error:
                pause = _LOOK_EVERY
                self._tell("proxy_failed", str(error))
            except Exception:
                pause = _LOOK_EVERY
                log.exception("elbv2_look_failed")
            with self._news:
                self._looked = asked
                self._news.notify_all()

    def _look(self, *, is_asked: bool) -> bool:
        """Whether there is something to look after."""
        if self._settled is not None and not is_asked:
            # Nothing changed: whether the proxy is still there.
            self._proxy.apply(self._settled)
            return True
        self._settled = None
        kept = traffic.read(self._records)
        running = traffic.running(kept, self._instances)
        plan = traffic.plan(kept, running)
        is_in_force = self._proxy.apply(plan)
        self._tell("proxy_waits", "" if is_in_force else self._proxy.last_words())
        # What else is not in force keeps nobody's target: that it is drained, the proxy itself says.
        over = self._ended_instances(kept, running) + self._ended_drains(kept, running)
        for owner, arn, some in over:
            self._forget(owner, arn, some)
        if over:
            self._proxy.apply(traffic.plan(traffic.read(self._records), running))
        elif is_in_force and plan.listeners and not any(_is_drained(one) for one in kept.targets.values()):
            self._settled = plan
        return bool(plan.listeners)

    def _tell(self, event: str, reason: str) -> None:
        """Log a problem once, as long as it is the same."""
        if reason and reason != self._last_problem:
            log.error(event, reason=reason)
        self._last_problem = reason

    def _ended_instances(self, kept: traffic.Kept, running: traffic.Running) -> list[Over]:
        """Targets whose instances are gone for good."""
        over = []
        for arn, (owner, _) in kept.groups.items():
            registered = kept.targets[arn]
            missing = [one for one in instances_in(registered.values()) if one not in running[owner]]
            gone = self._instances.ended(owner, missing) if missing else ()
            some = {key: one for key, one in registered.items() if one["Id"] in gone}
            if some:
                over.append((owner, arn, some))
        return over

    def _ended_drains(self, kept: traffic.Kept, running: traffic.Running) -> list[Over]:
        """Drained targets that are done, or whose time is up."""
        drained = {
            arn: {key: one for key, one in registered.items() if "DrainedUntil" in one}
            for arn, registered in kept.targets.items()
        }
        drained = {arn: some for arn, some in drained.items() if some}
        in_use = kept.used_groups & drained.keys()
        self._note_quiet(kept, self._proxy.states([short(arn) for arn in in_use]) if in_use else {})
        over = []
        for arn, some in drained.items():
            owner, group = kept.groups[arn]
            done = {
                key: one
                for key, one in some.items()
                if one["DrainedUntil"] <= self._now() or arn not in in_use or self._is_quiet(group, one, running[owner])
            }
            if done:
                over.append((owner, arn, done))
        return over

    def _note_quiet(self, kept: traffic.Kept, states: dict[Place, EndpointState]) -> None:
        protocols = {short(arn): group["Protocol"] for arn, (_, group) in kept.groups.items()}
        now = time.monotonic()
        self._quiet = {
            place: self._quiet.get(place, now)
            for place, state in states.items()
            # Between requests of HTTP a connection is nobody's.
            if state.is_drained and not (state.requests if protocols.get(place[0]) == "HTTP" else state.connections)
        }

    def _is_quiet(self, group: Document, target: Document, running: Mapping[str, str]) -> bool:
        where = address(group, target, running)
        if where is None:
            return True  # its instance does not run
        since = self._quiet.get((short(group["TargetGroupArn"]), where, target["Port"]))
        return since is not None and time.monotonic() - since >= _QUIET_SECONDS

    def _forget(self, owner: Owner, arn: str, over: dict[str, Document]) -> None:
        with self._records.transaction() as tx:
            registered = tx.get(TARGETS, owner, arn)
            if registered is not None:
                # One that was registered anew meanwhile is another.
                left = {key: one for key, one in registered.items() if over.get(key) != one}
                tx.put(TARGETS, owner, arn, left)


def _is_drained(registered: Document) -> bool:
    return any("DrainedUntil" in one for one in registered.values())
