"""What is known of a metric in one stretch of time, and the statistics of it: pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

#: Different values kept of one stretch. Beyond it their sum, count and extremes are right, and percentiles unknown.
MOST_VALUES = 500

STATISTICS = ("SampleCount", "Average", "Sum", "Minimum", "Maximum")
_PERCENTILE = re.compile(r"p(100|\d{1,2}(\.\d{1,10})?)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Samples:
    """Values of a metric, counted."""

    count: float
    total: float
    least: float
    most: float
    #: How often each value was seen; None when they are not known one by one.
    values: Mapping[float, float] | None = field(default=None)

    def document(self) -> dict[str, Any]:
        """As JSON keeps it."""
        return {
            "count": self.count,
            "total": self.total,
            "least": self.least,
            "most": self.most,
            "values": None if self.values is None else sorted(self.values.items()),
        }


def from_document(document: Mapping[str, Any]) -> Samples:
    values = document["values"]
    return Samples(**{**document, "values": None if values is None else dict(values)})


def of_values(values: Iterable[tuple[float, float]]) -> Samples:
    """Samples of values, each so many times; there must be one."""
    counts: dict[float, float] = {}
    for value, times in values:
        counts[value] = counts.get(value, 0.0) + times
    return Samples(
        count=math.fsum(counts.values()),
        total=math.fsum(value * times for value, times in counts.items()),
        least=min(counts),
        most=max(counts),
        values=counts if len(counts) <= MOST_VALUES else None,
    )


def together(parts: Iterable[Samples]) -> Samples | None:
    """All samples of several stretches of time; None of none."""
    known = list(parts)
    if not known:
        return None
    values: dict[float, float] | None = {}
    for one in known:
        if one.values is None or values is None:
            values = None
            break
        for value, times in one.values.items():
            values[value] = values.get(value, 0.0) + times
    return Samples(
        count=math.fsum(one.count for one in known),
        total=math.fsum(one.total for one in known),
        least=min(one.least for one in known),
        most=max(one.most for one in known),
        values=values if values is not None and len(values) <= MOST_VALUES else None,
    )


def is_percentile(name: str) -> bool:
    """Whether this is an extended statistic that we know: p0 to p100, as in p99.9."""
    return _PERCENTILE.fullmatch(name) is not None


def statistic(samples: Samples, name: str) -> float | None:
    """A statistic by CloudWatch's name for it; None where these samples do not have it."""
    match name:
        case "SampleCount":
            return samples.count
        case "Sum":
            return samples.total
        case "Average":
            return samples.total / samples.count if samples.count else None
        case "Minimum":
            return samples.least
        case "Maximum":
            return samples.most
        case _:
            return _percentile(samples, float(name.removeprefix("p")))


def _percentile(samples: Samples, percent: float) -> float | None:
    """The least value at or below which so many of hundred samples are."""
    if samples.least == samples.most:
        return samples.least
    if samples.values is None:
        return None
    wanted = samples.count * percent / 100
    seen = 0.0
    for value, times in sorted(samples.values.items()):
        seen += times
        if seen >= wanted:
            return value
    return samples.most
