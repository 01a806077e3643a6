"""When an alarm is in which state: the tables of CloudWatch's user guide, and what must always hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.onebox.services.cloudwatch.evaluation import FURTHER_BACK, Missing, State, is_breaching, judge

KEPT = None
OK, ALARM, NONE = State.OK, State.ALARM, State.INSUFFICIENT_DATA

#: X breaches, 0 does not, - is missing; then what comes of it by missing, ignore, breaching, notBreaching.
ALL_OF_THREE = {
    "0 - X - X": (OK, OK, OK, OK),
    "0 - - - -": (OK, OK, OK, OK),
    "- - - - -": (NONE, KEPT, ALARM, OK),
    "0 X X - X": (ALARM, ALARM, ALARM, ALARM),
    "- - X - -": (ALARM, KEPT, ALARM, OK),
}
TWO_OF_THREE = {
    "0 - X - X": (ALARM, ALARM, ALARM, ALARM),
    "0 0 X 0 X": (ALARM, ALARM, ALARM, ALARM),
    "0 - X - -": (OK, OK, ALARM, OK),
    "- - - - 0": (OK, OK, ALARM, OK),
    "- - - X -": (ALARM, KEPT, ALARM, OK),
    # One fresh breach is not yet two, and nothing else is known.
    "- - - - X": (KEPT, KEPT, ALARM, OK),
}
MISSING = (Missing.MISSING, Missing.IGNORE, Missing.BREACHING, Missing.NOT_BREACHING)
CASES = [
    (to_alarm, seen, missing, wanted)
    for to_alarm, table in ((3, ALL_OF_THREE), (2, TWO_OF_THREE))
    for seen, row in table.items()
    for missing, wanted in zip(MISSING, row, strict=True)
]


@pytest.mark.parametrize(("to_alarm", "seen", "missing", "wanted"), CASES)
@pytest.mark.parametrize("state", State)
def test_the_tables(to_alarm: int, seen: str, missing: Missing, wanted: State | None, state: State) -> None:
    points = [{"X": True, "0": False, "-": None}[one] for one in seen.split()]
    found = judge(points, periods=3, to_alarm=to_alarm, missing=missing, state=state)
    assert found is (wanted or state)


@st.composite
def windows(draw: st.DrawFn) -> tuple[int, int, list[bool | None]]:
    periods = draw(st.integers(1, 6))
    to_alarm = draw(st.integers(1, periods))
    point = st.sampled_from([True, False, None])
    length = periods + FURTHER_BACK
    return periods, to_alarm, draw(st.lists(point, min_size=length, max_size=length))


@given(windows(), st.sampled_from(Missing), st.sampled_from(State))
def test_what_always_holds(window: tuple[int, int, list[bool | None]], missing: Missing, state: State) -> None:
    periods, to_alarm, seen = window
    found = judge(seen, periods=periods, to_alarm=to_alarm, missing=missing, state=state)
    known = [one for one in seen if one is not None]
    if len(known) >= periods:
        assert found is (ALARM if sum(known[-periods:]) >= to_alarm else OK), "enough data: nothing else counts"
    if not any(known) and known and missing is not Missing.BREACHING:
        assert found is OK
    if found is NONE:
        assert not known or state is NONE
    if found is ALARM and state is not ALARM:
        assert any(known) or missing is Missing.BREACHING
    again = judge(seen, periods=periods, to_alarm=to_alarm, missing=missing, state=found)
    assert again is found, "a second look at the same data changes nothing"


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_nan=False, allow_infinity=False))
def test_comparisons_are_each_others_opposites(value: float, limit: float) -> None:
    assert is_breaching(value, "GreaterThanThreshold", limit) != is_breaching(
        value, "LessThanOrEqualToThreshold", limit
    )
    assert is_breaching(value, "LessThanThreshold", limit) != is_breaching(
        value, "GreaterThanOrEqualToThreshold", limit
    )
