"""Auto Scaling's own errors, by the codes of its model."""

from __future__ import annotations

from botocore.model import OperationModel

from longshore.wire.constraints import Violation, describe
from longshore.wire.service import AwsError


def validation_error(message: str) -> AwsError:
    return AwsError("ValidationError", message)


def already_exists(message: str) -> AwsError:
    return AwsError("AlreadyExists", message)


def limit_exceeded(message: str) -> AwsError:
    return AwsError("LimitExceeded", message)


def resource_in_use(message: str) -> AwsError:
    return AwsError("ResourceInUse", message)


def scaling_activity_in_progress(message: str) -> AwsError:
    return AwsError("ScalingActivityInProgress", message)


def explain(_operation: OperationModel, violation: Violation) -> AwsError:
    """Auto Scaling has one error for every malformed input."""
    return validation_error(describe(violation))
