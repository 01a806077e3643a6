"""A deployment group's lifecycle hooks, and what becomes of an instance that one holds up (server.md S9)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from re import sub
from typing import Any

from longshore.domain.auto_scaling import HookResult, LifecycleHook, Transition
from longshore.domain.deployment import DeploymentStatus
from longshore.domain.lifecycle import LAUNCH, TERMINATION

#: How long a hook waits without a heartbeat, and how often there is one, seconds (S9.2).
HEARTBEAT_TIMEOUT = 600
BEAT_EVERY = 300.0
#: How long the agent of a launched instance has to take up its first event, seconds: it boots (S4.9).
BOOT_TIMEOUT = 3600.0
#: Who made the deployment to a launched, and to a terminating instance.
CREATORS = {Transition.LAUNCHING: "autoscaling", Transition.TERMINATING: "autoscalingTermination"}
#: The events of such a deployment (S3.13). Where there is no load balancer, its events do nothing.
EVENTS = {Transition.LAUNCHING: LAUNCH, Transition.TERMINATING: TERMINATION}
_HOOK_NAMES = {Transition.LAUNCHING: "launch", Transition.TERMINATING: "termination"}


class Step(StrEnum):
    """What is done next about an instance."""

    NOTHING = "nothing"
    #: Make its deployment, or note that none is needed.
    BEGIN = "begin"
    #: Ask Auto Scaling for more time.
    BEAT = "beat"
    CONTINUE = "continue"
    ABANDON = "abandon"
    #: It waits no longer: end a deployment that nobody needs any more, and forget it.
    FORGET = "forget"


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """What is known of a held-up instance."""

    transition: Transition
    #: Of its deployment; None: it has none, or no longer.
    status: DeploymentStatus | None
    #: Auto Scaling was told how it goes on. It may still wait, for another hook.
    is_answered: bool
    #: When Auto Scaling wants to hear of it again.
    beat_at: float


def transition_of(creator: str) -> Transition | None:
    """Whether a deployment made so is for an instance's launch or its termination; None: it is to a fleet."""
    return next((transition for transition, name in CREATORS.items() if name == creator), None)


def next_step(held: Held | None, *, is_waiting: bool, now: float) -> Step:
    """What is done about an instance that does or does not wait by what Auto Scaling says.

    Right when called twice, late, or after a crash half-way through the last step.
    """
    if not is_waiting:
        return Step.NOTHING if held is None else Step.FORGET
    if held is None:
        return Step.BEGIN
    if held.is_answered:
        return Step.NOTHING
    if held.status is None or held.status is DeploymentStatus.SUCCEEDED:
        return Step.CONTINUE
    if held.status.is_final:
        # Who terminates is not kept by what went wrong with it (S9.8).
        return Step.ABANDON if held.transition is Transition.LAUNCHING else Step.CONTINUE
    return Step.BEAT if now >= held.beat_at else Step.NOTHING


def wanted_hooks(group: Mapping[str, Any]) -> frozenset[tuple[str, Transition]]:
    """The hooks that a deployment group with this document has: Auto Scaling group, and what for (S9.1, S9.8)."""
    transitions = [Transition.LAUNCHING]
    if group.get("terminationHookEnabled"):
        transitions.append(Transition.TERMINATING)
    return frozenset((name, each) for name in group.get("autoScalingGroups") or () for each in transitions)


def managed_hook(name: str, transition: Transition) -> LifecycleHook:
    """A hook as Auto Scaling is given it (S9.2): nobody answers for a launch that failed, and terminations go on."""
    default = HookResult.ABANDON if transition is Transition.LAUNCHING else HookResult.CONTINUE
    return LifecycleHook(name=name, transition=transition, heartbeat_timeout=HEARTBEAT_TIMEOUT, default_result=default)


def hook_name(transition: Transition, group: str, suffix: str) -> str:
    """How a deployment group's hook is called (S9.1); Auto Scaling takes fewer characters in names than CodeDeploy."""
    plain = sub(r"[^A-Za-z0-9_-]", "-", group)
    return f"CodeDeploy-managed-automatic-{_HOOK_NAMES[transition]}-deployment-hook-{plain}-{suffix}"
