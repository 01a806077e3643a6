"""What an instance is: a value, kept as a document and shown as EC2 shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Final


class State(StrEnum):
    """Where an instance is in its life, in EC2's words."""

    PENDING = "pending"
    RUNNING = "running"
    SHUTTING_DOWN = "shutting-down"
    TERMINATED = "terminated"
    STOPPING = "stopping"
    STOPPED = "stopped"

    @property
    def is_over(self) -> bool:
        """Whether it never comes back."""
        return self in (State.SHUTTING_DOWN, State.TERMINATED)

    @property
    def shown(self) -> dict[str, Any]:
        return {"Code": _CODES[self], "Name": self.value}


_CODES: Final = {
    State.PENDING: 0,
    State.RUNNING: 16,
    State.SHUTTING_DOWN: 32,
    State.TERMINATED: 48,
    State.STOPPING: 64,
    State.STOPPED: 80,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Instance:
    """An instance as the last call or the last look left it."""

    id: str
    state: State
    #: Why it is stopped or terminated: EC2's code and sentence; empty while nothing has happened.
    reason_code: str = ""
    reason: str = ""
    reservation: str
    #: Its place in the call that launched it, from 0.
    index: int
    #: Epoch seconds of its last start.
    launch_time: float
    #: Epoch seconds at which it was terminated.
    end_time: float | None = None
    image: str
    type: str
    #: Its loopback address; None when it is terminated: another may have it then.
    private_ip: str | None
    private_dns_name: str
    zone: str
    subnet: str
    vpc: str
    security_groups: tuple[str, ...]
    key_name: str | None = None
    #: ARN and id of its instance profile.
    profile: str | None = None
    profile_id: str | None = None
    #: As it was given: base64.
    user_data: str | None = None
    #: ``stop`` or ``terminate``: what becomes of it when it ends by itself.
    shutdown_behavior: str = "stop"
    has_metadata: bool = True
    metadata_has_tags: bool = False
    client_token: str | None = None
    #: What was asked for with that token, to tell another question with the same one.
    asked: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    #: A reboot is asked for and not done.
    is_to_reboot: bool = False

    @property
    def document(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def of(document: Mapping[str, Any]) -> Instance:
        """The instance that a document tells of."""
        values = dict(document)
        values["state"] = State(values["state"])
        values["security_groups"] = tuple(values["security_groups"])
        return Instance(**values)
