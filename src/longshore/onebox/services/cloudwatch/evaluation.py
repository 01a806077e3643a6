"""When an alarm is in which state: pure (CloudWatch's user guide, "How alarm state is evaluated")."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum


class State(StrEnum):
    """Of an alarm."""

    OK = "OK"
    ALARM = "ALARM"
    INSUFFICIENT_DATA = "INSUFFICIENT_DATA"


class Missing(StrEnum):
    """How periods without data count."""

    MISSING = "missing"
    IGNORE = "ignore"
    BREACHING = "breaching"
    NOT_BREACHING = "notBreaching"


#: Periods looked at beyond those evaluated: data may be late, and older data then counts in its place.
FURTHER_BACK = 2


def is_breaching(value: float, comparison: str, threshold: float) -> bool:
    """Whether a value is on the wrong side of the threshold."""
    match comparison:
        case "GreaterThanOrEqualToThreshold":
            return value >= threshold
        case "GreaterThanThreshold":
            return value > threshold
        case "LessThanThreshold":
            return value < threshold
        case "LessThanOrEqualToThreshold":
            return value <= threshold
    raise ValueError(comparison)


def judge(seen: Sequence[bool | None], *, periods: int, to_alarm: int, missing: Missing, state: State) -> State:
    """The state of an alarm that was in `state`.

    `seen` says of each period, the oldest first, whether it is breaching, or None without data; it goes `FURTHER_BACK`
    beyond the `periods` that count. `to_alarm` breaching ones make an alarm.

    As many periods as are missing are filled in, and no more: where there is enough data further back, that counts.
    """
    known = [one for one in seen if one is not None][-periods:]
    breaching = sum(known)
    absent = periods - len(known)
    if absent and missing is Missing.BREACHING:
        breaching += absent
    elif absent and missing is not Missing.NOT_BREACHING:
        if not known:
            return state if missing is Missing.IGNORE else State.INSUFFICIENT_DATA
        if all(known) and breaching < to_alarm:
            # What there is breaches, and is not much: it is enough once it began as long ago as an alarm takes.
            age = len(seen) - seen.index(True)
            return State.ALARM if age >= to_alarm and missing is Missing.MISSING else state
    return State.ALARM if breaching >= to_alarm else State.OK
