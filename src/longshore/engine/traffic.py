"""Takes hosts out of their load balancers and puts them back: BlockTraffic and AllowTraffic (server.md S3.15, S7.10).

All hosts of a deployment that are at such an event go together: a look at each balancer, and a call for all who are to
be moved. Nothing is remembered of what was asked: the next look tells.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import structlog

from longshore.domain.balancing import (
    ADDRESS_TAG,
    BadAddressError,
    Balancer,
    Look,
    Moves,
    Takes,
    Wish,
    balancers_of,
    moves,
    place_of,
)
from longshore.domain.deployment import ErrorCode, ScriptCode
from longshore.domain.lifecycle import BLOCK_TRAFFIC
from longshore.domain.target import Diagnostics, Target, returned, settle
from longshore.providers.ports import Access, LoadBalancers, PermanentError, TransientError
from longshore.store import deployment_groups, deployments, instances, targets
from longshore.store.database import Store, Transaction
from longshore.store.deployments import Claim, Deployment
from longshore.store.targets import Errand

log = structlog.get_logger()

#: How often balancers are looked at while hosts wait for them, seconds. Others come meanwhile, and share the next call.
LOOK_EVERY = 1.0
#: After balancers that gave no answer, seconds.
_RETRY_AFTER = 2.0
_REMEMBERED = 4096
_SHARED = "another host has its address, and is on its way out"

Outcome = Callable[[Target, float], Target]


class Traffic:
    """The load balancers of deployments."""

    def __init__(self, balancers: LoadBalancers) -> None:
        self._balancers = balancers
        #: When each deployment's balancers are to be looked at again. A loss costs a look.
        self._next: dict[str, float] = {}
        self._lock = threading.Lock()

    def check(self, access: Access, wanted: Iterable[Balancer]) -> None:
        """Ask each of these balancers for who is in it. Raises what `ports.LoadBalancers` raises."""
        for balancer in wanted:
            self._balancers.backends(access, balancer)

    def attend(self, store: Store, claim: Claim, deployment: Deployment, now: float) -> float | None:
        """Do what can be done now for the hosts that are at their load balancers, and write down what is done.

        Returns when to look again, None when no host is there.

        Raises:
            LeaseLostError: another tick has taken over.
        """
        errands = store.read(lambda tx: targets.errands(tx, deployment.id))
        if not errands:
            return None
        due = self._next.get(deployment.id, 0.0)
        if now < due <= now + LOOK_EVERY + _RETRY_AFTER:
            return due
        pause = LOOK_EVERY
        places, outcomes = store.read(lambda tx: _places(tx, deployment, errands))
        balanced = [one for one in errands if one.target_id in places]
        try:
            if balanced:
                outcomes |= self._carry_out(store, claim, deployment, balanced, places, now)
        except TransientError as error:
            log.warning("balancers_waited_for", deployment=deployment.id, reason=str(error))
            outcomes |= _overdue(balanced, {one.target_id: str(error) for one in balanced}, now)
            pause = _RETRY_AFTER
        except PermanentError as error:
            log.warning("balancers_failed", deployment=deployment.id, reason=str(error))
            outcomes |= {one.target_id: _failure(one, f"{error.code}: {error}") for one in balanced}
        if outcomes:
            store.write(lambda tx: _write(tx, claim, outcomes, now))
        with self._lock:
            if len(self._next) >= _REMEMBERED:
                self._next.clear()
            self._next[deployment.id] = now + pause
        return now + pause

    def _carry_out(
        self,
        store: Store,
        claim: Claim,
        deployment: Deployment,
        errands: Sequence[Errand],
        places: Mapping[str, str],
        now: float,
    ) -> dict[str, Outcome]:
        """Move the hosts; what came of it, by host, for those of whom that is known already."""
        access = store.read(lambda tx: _access(tx, deployment))
        if access is None:
            raise PermanentError("the deployment group was deleted, and its service role is not known any more")
        wishes = _wishes(errands, places)
        looks = self._look(access, balancers_of(deployment.document))
        plan = moves(wishes, looks)
        if plan.deregister:
            # First, so that nobody stays out whom a crash, or a stop, finds here.
            out = frozenset[str]().union(*plan.deregister.values())
            names = [one.target_id for one in errands if places[one.target_id] in out]
            store.write(lambda tx: _write(tx, claim, dict.fromkeys(names, _about_to_be_taken_out), now))
        refused = self._act(access, plan)
        waiting = {one.target_id: plan.waiting.get(places[one.target_id], _SHARED) for one in errands}
        outcomes = _overdue(errands, waiting, now)
        for one in errands:
            place = places[one.target_id]
            if deployment.is_blue_green and not any(look.takes.is_one(place) for look in looks.values()):
                outcomes[one.target_id] = _failure(one, f"{ErrorCode.ELB_INVALID_INSTANCE}: {_takes_none(place)}")
            elif place in refused:
                outcomes[one.target_id] = _failure(one, f"{ErrorCode.ELB_INVALID_INSTANCE}: {refused[place]}")
            elif place in plan.done and _wish(one) is wishes[place]:
                outcomes[one.target_id] = _success(one)
        return outcomes

    def _look(self, access: Access, balancers: Iterable[Balancer]) -> dict[Balancer, Look]:
        return {
            one: Look(takes=self._balancers.takes(access, one), backends=self._balancers.backends(access, one))
            for one in balancers
        }

    def _act(self, access: Access, plan: Moves) -> dict[str, str]:
        """Carry the moves out; who cannot be registered, and why."""
        for balancer, hosts in plan.deregister.items():
            self._balancers.deregister(access, balancer, hosts)
        refused: dict[str, str] = {}
        for balancer, hosts in plan.register.items():
            refused |= self._balancers.register(access, balancer, hosts)
        return refused


def _places(
    tx: Transaction, deployment: Deployment, errands: Iterable[Errand]
) -> tuple[dict[str, str], dict[str, Outcome]]:
    """Where load balancers find each host, and what comes of those that they find nowhere.

    An on-premises host passes these events without anything being done (S7.7), unless its tag says where it is. In a
    blue/green deployment it does not: there all goes by who has the traffic.
    """
    places = {one.target_id: one.target_id for one in errands}
    others = [one for one in errands if not Takes.INSTANCES.is_one(one.target_id)]
    known = instances.several(tx, deployment.scope, [one.target_id for one in others]) if others else {}
    outcomes: dict[str, Outcome] = {}
    for one in others:
        try:
            place = place_of(known[one.target_id].tags if one.target_id in known else ())
        except BadAddressError as problem:
            outcomes[one.target_id] = _failure(one, f"{ErrorCode.ELB_INVALID_INSTANCE}: {problem}")
            place = None
        if place is not None:
            places[one.target_id] = place
        else:
            del places[one.target_id]
            lost = f"{ErrorCode.ELB_INVALID_INSTANCE}: it has no tag {ADDRESS_TAG}, so no load balancer finds it"
            outcomes.setdefault(one.target_id, _failure(one, lost) if deployment.is_blue_green else _nothing_to_do)
    return places, outcomes


def _wishes(errands: Iterable[Errand], places: Mapping[str, str]) -> dict[str, Wish]:
    """What is to become of each place. Of hosts that share one, who goes out is heard first."""
    found: dict[str, Wish] = {}
    for one in errands:
        place = places[one.target_id]
        if found.get(place) is not Wish.OUT:
            found[place] = _wish(one)
    return found


def _takes_none(place: str) -> str:
    kind = "instance" if Takes.INSTANCES.is_one(place) else "ip"
    return f"no load balancer of the deployment group takes {place}: name a target group of type {kind} in it"


def _wish(errand: Errand) -> Wish:
    if errand.is_return:
        return Wish.BACK
    return Wish.OUT if errand.event == BLOCK_TRAFFIC[1] else Wish.IN


def _access(tx: Transaction, deployment: Deployment) -> Access | None:
    """By the group's role; by the one that it had, if it was deleted: its hosts are out all the same."""
    group = deployment_groups.by_id(tx, deployment.group_id)
    role = deployment.service_role_arn if group is None else group.service_role_arn
    return None if role is None else Access(scope=deployment.scope, role_arn=role)


def _write(tx: Transaction, claim: Claim, outcomes: Mapping[str, Outcome], now: float) -> None:
    """Apply each outcome to its host as it is now: who has moved on meanwhile is left alone."""
    deployments.check_claim(tx, claim)
    for host, outcome in outcomes.items():
        target = targets.progress(tx, claim.deployment_id, host)
        if target is not None and (moved := outcome(target, now)) is not target:
            targets.save_progress(tx, claim.deployment_id, host, moved, now)


def _about_to_be_taken_out(target: Target, _now: float) -> Target:
    return target if target.taken_out else replace(target, taken_out=True)


def _nothing_to_do(target: Target, now: float) -> Target:
    return settle(returned(target), _said(ScriptCode.SUCCESS, "Succeeded"), now)


def _success(errand: Errand) -> Outcome:
    if errand.is_return:
        return lambda target, _now: returned(target)
    return lambda target, now: settle(target, _said(ScriptCode.SUCCESS, "Succeeded"), now)


def _failure(errand: Errand, why: str) -> Outcome:
    if errand.is_return:
        return lambda target, _now: returned(target, f"It was not put back, and gets no traffic. {why}")
    return lambda target, now: settle(target, _said(ScriptCode.UNKNOWN_ERROR, why), now)


def _overdue(errands: Iterable[Errand], waiting: Mapping[str, str], now: float) -> dict[str, Outcome]:
    """Those whose time is up: they fail, and say what they waited for (S4.8, S14.5)."""
    return {
        one.target_id: _failure(one, f"The time is up: {waiting.get(one.target_id, 'nothing was heard of it')}.")
        for one in errands
        if one.deadline <= now
    }


def _said(code: ScriptCode, message: str) -> Diagnostics:
    return Diagnostics(error_code=code, script_name="", message=message, log_tail="")
