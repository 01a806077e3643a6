"""What one tick decided: a value that `apply` carries out in one transaction."""

from __future__ import annotations

from dataclasses import dataclass

from longshore.domain.blue_green import Phase
from longshore.domain.bundle import BundleFacts
from longshore.domain.deployment import DeploymentStatus, ErrorCode, Finish
from longshore.store.targets import NewTarget


@dataclass(frozen=True, kw_only=True, slots=True)
class Begin:
    """Start the deployment with these hosts."""

    targets: tuple[NewTarget, ...]
    #: How many must stay healthy.
    required: int
    bundle: BundleFacts | None
    #: How many hosts all deployments of the account may have at once, these among them.
    account_limit: int
    #: Where a blue/green deployment begins; one without targets has yet to get them.
    phase: Phase | None = None
    #: The Auto Scaling groups whose place its replacements take, and the one made for them.
    replaced_groups: tuple[str, ...] = ()
    copied_group: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Everything a tick wants done, in the order of the fields, and when to look again."""

    begin: Begin | None = None
    #: Hosts whose agent gave no answer in time.
    lose: tuple[str, ...] = ()
    #: Hosts that will not be attempted any more.
    skip: tuple[str, ...] = ()
    #: Let no host start another event.
    halt: bool = False
    #: Hosts to start now.
    start: tuple[str, ...] = ()
    #: Move a blue/green deployment on, with originals that have come since it began.
    enter: Phase | None = None
    late: tuple[NewTarget, ...] = ()
    finish: Finish | None = None
    #: End even while hosts are still to be put back into traffic.
    leaves_out: bool = False
    #: Epoch seconds; meaningless with `finish`.
    wake_at: float
    #: One sentence for the log: why.
    reason: str


def fail(code: ErrorCode, message: str, now: float) -> Plan:
    """End the deployment at once."""
    finish = Finish(status=DeploymentStatus.FAILED, code=code, message=message)
    return Plan(finish=finish, wake_at=now, reason=message)
