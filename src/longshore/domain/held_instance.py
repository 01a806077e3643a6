"""What becomes of an instance that a deployment group's lifecycle hook holds up (server.md S9.2, S9.3, S9.8)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from re import sub

from longshore.domain.auto_scaling import HookResult, Transition
from longshore.domain.deployment import DeploymentStatus
from longshore.domain.lifecycle import LAUNCH, TERMINATION

#: How long a hook waits without a heartbeat, and how often there is one, seconds (S9.2).
HEARTBEAT_TIMEOUT = 600
BEAT_EVERY = 300.0
#: How long the agent of a launched instance has to take up its first event, seconds: it boots (S4.9).
BOOT_TIMEOUT = 3600.0
#: Who made the deployment to a launched, and to a terminating instance.
CREATORS = {Transition.LAUNCHING: "autoscaling", Transition.TERMINATING: "autoscalingTermination"}
#: The events of such a deployment (S3.13).
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

    @property
    def result(self) -> HookResult | None:
        """What Auto Scaling is told."""
        return HookResult(self.value.upper()) if self in (Step.CONTINUE, Step.ABANDON) else None


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


def hook_name(transition: Transition, group: str, suffix: str) -> str:
    """How a deployment group's hook is called (S9.1); Auto Scaling takes fewer characters in names than CodeDeploy."""
    plain = sub(r"[^A-Za-z0-9_-]", "-", group)
    return f"CodeDeploy-managed-automatic-{_HOOK_NAMES[transition]}-deployment-hook-{plain}-{suffix}"
