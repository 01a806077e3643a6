"""EventBridge's errors."""

from __future__ import annotations

from botocore.model import OperationModel

from longshore.wire.constraints import Violation, describe
from longshore.wire.service import AwsError


def validation(message: str) -> AwsError:
    return AwsError("ValidationException", message)


def not_found(message: str) -> AwsError:
    return AwsError("ResourceNotFoundException", message)


def explain(_operation: OperationModel, violation: Violation) -> AwsError:
    """EventBridge has one error for every malformed input."""
    return validation(describe(violation))
