"""CloudWatch's operations on metrics: programs put them, and anybody may look."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from longshore.onebox.machinery.records import Records
from longshore.onebox.services.calls import owner_of, page
from longshore.onebox.services.cloudwatch import errors
from longshore.onebox.services.cloudwatch.metrics import Metrics, metric_of
from longshore.onebox.services.cloudwatch.statistics import STATISTICS, is_percentile, statistic
from longshore.onebox.services.cloudwatch.watching import Watching
from longshore.wire.service import Call

_MOST_DATAPOINTS = 1440
_PAGE = 500


class MetricOperations:
    """Answers them."""

    def __init__(self, records: Records, metrics: Metrics, watching: Watching) -> None:
        self._records = records
        self._metrics = metrics
        self._watching = watching

    def put_metric_data(self, call: Call, given: dict[str, Any]) -> None:
        if given.get("EntityMetricData"):
            raise errors.invalid("EntityMetricData is not supported by this server; give MetricData.")
        data = given.get("MetricData") or ()
        if not 1 <= len(data) <= 1000:
            raise errors.invalid("MetricData must have from 1 to 1000 members.")
        owner = owner_of(call)
        self._watching.late(owner, self._metrics.put(owner, given["Namespace"], data, call.now))

    def get_metric_statistics(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        names = [*given.get("Statistics", ()), *given.get("ExtendedStatistics", ())]
        if not names:
            raise errors.missing("Give Statistics or ExtendedStatistics.")
        require_known(names)
        metric = metric_of(given["Namespace"], given["MetricName"], given.get("Dimensions"))
        points = []
        unit = given.get("Unit")
        span = _span(given["StartTime"], given["EndTime"], given["Period"])
        with self._records.transaction() as tx:
            found = self._metrics.read(tx, owner_of(call), metric, *span, given["Period"], unit)
        for number, samples in enumerate(found):
            if samples is None:
                continue
            point: dict[str, Any] = {"Timestamp": span[0] + number * given["Period"], "Unit": unit or "None"}
            values = {name: value for name in names if (value := statistic(samples, name)) is not None}
            point |= {name: value for name, value in values.items() if name in STATISTICS}
            if extended := {name: value for name, value in values.items() if name not in STATISTICS}:
                point["ExtendedStatistics"] = extended
            points.append(point)
        return {"Label": metric.name, "Datapoints": points}

    def get_metric_data(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        results = []
        is_rising = given.get("ScanBy") == "TimestampAscending"
        for query in given["MetricDataQueries"]:
            if not query.get("ReturnData", True):
                continue
            if "MetricStat" not in query:
                raise errors.validation("Only MetricStat queries are there: this server knows no expressions.")
            asked = query["MetricStat"]
            require_known([asked["Stat"]])
            metric = metric_of(
                asked["Metric"]["Namespace"], asked["Metric"]["MetricName"], asked["Metric"].get("Dimensions")
            )
            start, end = _span(given["StartTime"], given["EndTime"], asked["Period"])
            with self._records.transaction() as tx:
                found = self._metrics.read(tx, owner_of(call), metric, start, end, asked["Period"], asked.get("Unit"))
            points = [
                (start + number * asked["Period"], value)
                for number, samples in enumerate(found)
                if samples is not None and (value := statistic(samples, asked["Stat"])) is not None
            ]
            points.sort(reverse=not is_rising)
            results.append(
                {
                    "Id": query["Id"],
                    "Label": query.get("Label") or metric.name,
                    "Timestamps": [moment for moment, _ in points],
                    "Values": [value for _, value in points],
                    "StatusCode": "Complete",
                }
            )
        return {"MetricDataResults": results, "Messages": []}

    def list_metrics(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        wanted = [(one["Name"], one.get("Value")) for one in given.get("Dimensions", ())]
        found = [
            metric.described()
            for metric in self._metrics.known(owner_of(call))
            if given.get("Namespace") in (None, metric.namespace)
            and given.get("MetricName") in (None, metric.name)
            and all(any(name == key and value in (None, of) for key, of in metric.dimensions) for name, value in wanted)
        ]
        found.sort(key=lambda one: (one["Namespace"], one["MetricName"], json.dumps(one["Dimensions"])))
        shown, token = page(found, given.get("NextToken"), _PAGE, refused="InvalidParameterValue")
        return {"Metrics": shown, **token}


def require_known(names: Iterable[str]) -> None:
    """Refuse what is no statistic here: raises AwsError."""
    for name in names:
        if name not in STATISTICS and not is_percentile(name):
            raise errors.validation(f"{name} is no statistic here: {', '.join(STATISTICS)}, or a percentile as p99.9.")


def _span(start: float, end: float, period: int) -> tuple[float, float]:
    """Where to read from and to: whole stretches. Raises AwsError."""
    if period not in (1, 5, 10, 20, 30) and period % 60:
        raise errors.validation("Period must be 1, 5, 10, 20, 30 or a multiple of 60.")
    first, last = start // period * period, -(-end // period) * period
    if last <= first:
        raise errors.validation("StartTime must be before EndTime.")
    if (last - first) / period > _MOST_DATAPOINTS:
        raise errors.validation(f"No more than {_MOST_DATAPOINTS} periods can be asked for; make the Period longer.")
    return first, last
