"""What EC2 answers when it will not (EC2 API reference, Error codes)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from botocore.model import OperationModel

from longshore.wire.constraints import Violation
from longshore.wire.service import AwsError

#: What an id may look like after its prefix: the short form of old and the long one of today.
_ID = "[0-9a-f]{8}(?:[0-9a-f]{9})?"


def invalid(message: str) -> AwsError:
    return AwsError("InvalidParameterValue", message)


def missing(parameter: str) -> AwsError:
    return AwsError("MissingParameter", f"The request must contain the parameter {parameter}")


def unknown(kind: str, what: str, ids: Iterable[str]) -> AwsError:
    """`kind` is the code before its dot, `what` a phrase like "instance ID"."""
    names = sorted(ids)
    if len(names) == 1:
        return AwsError(f"{kind}.NotFound", f"The {what} '{names[0]}' does not exist")
    return AwsError(f"{kind}.NotFound", f"The {what}s '{', '.join(names)}' do not exist")


def require_form(ids: Sequence[str], prefix: str, kind: str) -> None:
    """Refuse an id that could be none."""
    for one in ids:
        if not re.fullmatch(f"{prefix}-{_ID}", one):
            raise AwsError(f"{kind}.Malformed", f'Invalid id: "{one[:100]}" (expecting "{prefix}-...")')


def incorrect_state(instance_id: str, done: str) -> AwsError:
    return AwsError(
        "IncorrectInstanceState", f"The instance '{instance_id}' is not in a state from which it can be {done}."
    )


def explain(_operation: OperationModel, broken: Violation) -> AwsError:
    if broken.is_absence:
        return missing(broken.where)
    if broken.kind == "enum":
        return invalid(f"Value ({broken.value}) for parameter {broken.where} is invalid; it is one of {broken.limit}.")
    return invalid(f"Value ({broken.value}) for parameter {broken.where} is invalid: {broken.kind} {broken.limit}.")
