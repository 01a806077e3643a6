"""CloudWatch's errors, by the codes of its query protocol: botocore's `error_code` in all three."""

from __future__ import annotations

from botocore.model import OperationModel

from longshore.wire.constraints import Violation, describe
from longshore.wire.service import AwsError


def invalid(message: str) -> AwsError:
    """A value that cannot be."""
    return AwsError("InvalidParameterValue", message)


def validation(message: str) -> AwsError:
    """A value that breaks a rule of its operation, where that has no error for it."""
    return AwsError("ValidationError", message)


def missing(message: str) -> AwsError:
    return AwsError("MissingParameter", message)


def not_found(message: str) -> AwsError:
    return AwsError("ResourceNotFound", message, 404)


def too_many(message: str) -> AwsError:
    return AwsError("LimitExceeded", message)


def explain(_operation: OperationModel, violation: Violation) -> AwsError:
    """What breaks a constraint of the model."""
    return missing(describe(violation)) if violation.is_absence else validation(describe(violation))
