"""IAM's own errors, by the codes and statuses of its model."""

from __future__ import annotations

from botocore.model import OperationModel

from longshore.wire.constraints import Violation, describe
from longshore.wire.service import AwsError


def no_such_entity(message: str) -> AwsError:
    return AwsError("NoSuchEntity", message, 404)


def already_exists(message: str) -> AwsError:
    return AwsError("EntityAlreadyExists", message, 409)


def delete_conflict(message: str) -> AwsError:
    return AwsError("DeleteConflict", message, 409)


def limit_exceeded(message: str) -> AwsError:
    return AwsError("LimitExceeded", message, 409)


def invalid_input(message: str) -> AwsError:
    return AwsError("InvalidInput", message)


def malformed_policy(message: str) -> AwsError:
    return AwsError("MalformedPolicyDocument", message)


def validation_error(message: str) -> AwsError:
    return AwsError("ValidationError", message)


def explain(_operation: OperationModel, violation: Violation) -> AwsError:
    """IAM and STS have one error for every malformed input."""
    return validation_error(describe(violation))
