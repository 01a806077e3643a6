"""What a deployment is: its statuses and the legal moves between them (server.md S3.1–S3.3)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class DeploymentStatus(StrEnum):
    """Where a deployment stands."""

    CREATED = "Created"
    QUEUED = "Queued"
    IN_PROGRESS = "InProgress"
    BAKING = "Baking"
    READY = "Ready"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    STOPPED = "Stopped"

    @property
    def is_final(self) -> bool:
        return self in FINAL_STATUSES


FINAL_STATUSES = frozenset({DeploymentStatus.SUCCEEDED, DeploymentStatus.FAILED, DeploymentStatus.STOPPED})
ACTIVE_STATUSES = frozenset(DeploymentStatus) - FINAL_STATUSES


class TargetStatus(StrEnum):
    """Where one target of a deployment stands."""

    PENDING = "Pending"
    IN_PROGRESS = "InProgress"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    SKIPPED = "Skipped"
    UNKNOWN = "Unknown"
    READY = "Ready"

    @property
    def is_final(self) -> bool:
        return self in {TargetStatus.SUCCEEDED, TargetStatus.FAILED, TargetStatus.SKIPPED}


class EventStatus(StrEnum):
    """Where one lifecycle event of a target stands."""

    PENDING = "Pending"
    IN_PROGRESS = "InProgress"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    SKIPPED = "Skipped"
    UNKNOWN = "Unknown"


class DeploymentMode(StrEnum):
    """Whether a deployment brings a revision or restarts the one that is there."""

    STANDARD = "STANDARD"
    RESTART = "RESTART"


class ErrorCode(StrEnum):
    """Why a deployment ended badly: the codes of `errorInformation` that this server sets (S11)."""

    ALARM_ACTIVE = "ALARM_ACTIVE"
    APPLICATION_MISSING = "APPLICATION_MISSING"
    AUTO_SCALING_CONFIGURATION = "AUTO_SCALING_CONFIGURATION"
    AUTO_SCALING_IAM_ROLE_PERMISSIONS = "AUTO_SCALING_IAM_ROLE_PERMISSIONS"
    DEPLOYMENT_GROUP_MISSING = "DEPLOYMENT_GROUP_MISSING"
    ELASTIC_LOAD_BALANCING_INVALID = "ELASTIC_LOAD_BALANCING_INVALID"
    ELB_INVALID_INSTANCE = "ELB_INVALID_INSTANCE"
    IAM_ROLE_MISSING = "IAM_ROLE_MISSING"
    IAM_ROLE_PERMISSIONS = "IAM_ROLE_PERMISSIONS"
    MISSING_ELB_INFORMATION = "MISSING_ELB_INFORMATION"
    REVISION_MISSING = "REVISION_MISSING"
    HEALTH_CONSTRAINTS = "HEALTH_CONSTRAINTS"
    HEALTH_CONSTRAINTS_INVALID = "HEALTH_CONSTRAINTS_INVALID"
    NO_INSTANCES = "NO_INSTANCES"
    OVER_MAX_INSTANCES = "OVER_MAX_INSTANCES"
    MANUAL_STOP = "MANUAL_STOP"
    THROTTLED = "THROTTLED"
    TIMEOUT = "TIMEOUT"
    INTERNAL_ERROR = "INTERNAL_ERROR"


@dataclass(frozen=True, kw_only=True, slots=True)
class Finish:
    """How a deployment ends."""

    status: DeploymentStatus
    code: ErrorCode | None = None
    message: str | None = None


class ScriptCode(StrEnum):
    """How a lifecycle event's scripts ended, as the API names it (S3.20)."""

    SUCCESS = "Success"
    SCRIPT_MISSING = "ScriptMissing"
    SCRIPT_NOT_EXECUTABLE = "ScriptNotExecutable"
    SCRIPT_TIMED_OUT = "ScriptTimedOut"
    SCRIPT_FAILED = "ScriptFailed"
    UNKNOWN_ERROR = "UnknownError"


#: A lifecycle event not started this long after it became due fails its target, seconds (S4.1).
START_TIMEOUT = 300.0
#: A lifecycle event that runs longer than this fails its target, seconds (S4.2).
RUN_TIMEOUT = 3600.0
#: How long a host that goes back into traffic may take to be registered, seconds.
RETURN_TIMEOUT = 600.0
#: An in-place deployment longer than this fails, seconds (S4.4).
DEPLOYMENT_TIMEOUT = 12 * 3600.0
