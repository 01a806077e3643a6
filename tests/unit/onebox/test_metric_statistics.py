"""Statistics of metrics do not depend on how the values came in."""

from __future__ import annotations

import json
import math

from hypothesis import given
from hypothesis import strategies as st

from longshore.onebox.services.cloudwatch.statistics import (
    MOST_VALUES,
    Samples,
    from_document,
    is_percentile,
    of_values,
    statistic,
    together,
)

VALUES = st.lists(st.integers(-1000, 1000).map(float), min_size=1, max_size=60)


@given(st.lists(VALUES, min_size=1, max_size=5), st.floats(0, 100))
def test_parts_are_the_whole(parts: list[list[float]], percent: float) -> None:
    everything = sorted(value for part in parts for value in part)
    stored = [json.loads(json.dumps(of_values((value, 1.0) for value in part).document())) for part in parts]
    whole = together(map(from_document, stored))
    assert whole is not None
    assert statistic(whole, "SampleCount") == len(everything)
    assert statistic(whole, "Sum") == sum(everything)
    assert statistic(whole, "Average") == sum(everything) / len(everything)
    assert statistic(whole, "Minimum") == everything[0]
    assert statistic(whole, "Maximum") == everything[-1]
    # Not more than so many of hundred are below it, and not less at or below.
    found = statistic(whole, f"p{percent:.3f}")
    assert found in everything
    share = math.floor(float(f"{percent:.3f}") / 100 * len(everything) * 1e6) / 1e6
    assert sum(value <= found for value in everything) >= share
    assert sum(value < found for value in everything) <= share


def test_too_many_different_values_have_no_percentiles() -> None:
    many = of_values((float(number), 1.0) for number in range(MOST_VALUES + 1))
    assert statistic(many, "p50") is None
    assert (statistic(many, "Maximum"), statistic(many, "SampleCount")) == (MOST_VALUES, MOST_VALUES + 1)
    assert statistic(Samples(count=3, total=6, least=2, most=2), "p99") == 2, "they are all the same"
    assert together([]) is None


def test_which_are_percentiles() -> None:
    assert [name for name in ("p50", "p99.9", "p100", "p0", "p101", "q50", "p", "tm90") if is_percentile(name)] == [
        "p50",
        "p99.9",
        "p100",
        "p0",
    ]
