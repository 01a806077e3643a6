"""SNS's errors, by the codes of its model."""

from __future__ import annotations

from botocore.model import OperationModel

from longshore.wire.constraints import Violation, describe
from longshore.wire.service import AwsError


def invalid(message: str) -> AwsError:
    return AwsError("InvalidParameter", message)


def not_found(message: str) -> AwsError:
    return AwsError("NotFound", message, 404)


def explain(_operation: OperationModel, violation: Violation) -> AwsError:
    """SNS has one error for every malformed input."""
    return invalid(describe(violation))
