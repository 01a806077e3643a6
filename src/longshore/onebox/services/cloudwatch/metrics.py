"""What was put of metrics, by the stretch of time it is of; kept in the records, as long as alarms may look back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from longshore.onebox.machinery.records import Owner, Records, Transaction
from longshore.onebox.services.cloudwatch import errors
from longshore.onebox.services.cloudwatch.statistics import Samples, from_document, of_values, together

#: A metric's data of one second is kept in a stretch of its own this long, then with the rest of its minute; seconds.
KEEP_SECONDS = 3 * 3600
#: All data is kept this long: a day more than the longest that an alarm looks back. Seconds.
KEEP = 8 * 86400
#: Data may be this far ahead, seconds.
_AHEAD = 2 * 3600
#: Metrics of one account in one region, each with its dimensions.
MOST_METRICS = 1000
#: Characters of an id's time: sorted as text they are sorted as numbers.
_DIGITS = 11

_METRIC = "cloudwatch.metric"
_DATA = "cloudwatch.data"


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """One metric: a name, and what it is of."""

    namespace: str
    name: str
    #: Name and value, sorted.
    dimensions: tuple[tuple[str, str], ...]

    @property
    def id(self) -> str:
        said = json.dumps([self.namespace, self.name, self.dimensions])
        return hashlib.sha256(said.encode()).hexdigest()[:24]

    def described(self) -> dict[str, Any]:
        """As the API tells it."""
        return {
            "Namespace": self.namespace,
            "MetricName": self.name,
            "Dimensions": [{"Name": name, "Value": value} for name, value in self.dimensions],
        }


def metric_of(namespace: str, name: str, dimensions: Sequence[Mapping[str, str]] | None) -> Metric:
    """A metric as the API names it; raises AwsError."""
    pairs = tuple(sorted((one["Name"], one["Value"]) for one in dimensions or ()))
    if len({pair[0] for pair in pairs}) != len(pairs):
        raise errors.invalid(f"A dimension of {name} is given twice.")
    return Metric(namespace=namespace, name=name, dimensions=pairs)


class Metrics:
    """The metrics of everybody."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def put(self, owner: Owner, namespace: str, data: Sequence[Mapping[str, Any]], now: float) -> list[Metric]:
        """Keep what PutMetricData is given, all or nothing. Raises AwsError.

        Returns the metrics of whose past it tells something: alarms may have looked at that already.
        """
        read = [_read(namespace, datum, now) for datum in data]
        with self._records.transaction() as tx:
            for metric, start, length, unit, samples in read:
                if tx.get(_METRIC, owner, metric.id) is None:
                    if tx.count(_METRIC, owner) >= MOST_METRICS:
                        raise errors.too_many(
                            f"There are {MOST_METRICS} metrics in {owner.region}. They are forgotten {KEEP // 86400}"
                            " days after their last data."
                        )
                    tx.put(_METRIC, owner, metric.id, metric.described())
                _add(tx, owner, metric.id, start, length, {unit: samples})
        return list({metric: None for metric, start, length, *_ in read if start + length <= now})

    def known(self, owner: Owner) -> list[Metric]:
        """All that an owner has."""
        with self._records.transaction() as tx:
            return [_metric(document) for document in tx.all(_METRIC, owner).values()]

    def read(
        self, tx: Transaction, owner: Owner, metric: Metric, start: float, end: float, period: int, unit: str | None
    ) -> list[Samples | None]:
        """What was put from `start` on and before `end`, in stretches of `period`; data without any is None.

        `unit` leaves out what was put with another one.
        """
        found = tx.between(_DATA, owner, _at(metric.id, start), _at(metric.id, end - 1))
        parts: list[list[Samples]] = [[] for _ in range(round((end - start) / period))]
        for document in found.values():
            stretch = int((document["start"] - start) // period)
            if 0 <= stretch < len(parts):
                units = document["units"]
                parts[stretch] += [from_document(units[one]) for one in units if unit is None or one == unit]
        return [together(one) for one in parts]

    def sweep(self, now: float) -> None:
        """Join the seconds of old minutes, and forget what is older than anybody looks at."""
        with self._records.transaction() as tx:
            known = tx.everyones(_METRIC)
        for owner, metric_id, _ in known:
            with self._records.transaction() as tx:
                tx.delete_between(_DATA, owner, _at(metric_id, 0), _at(metric_id, now - KEEP))
                _join(tx, owner, metric_id, now - KEEP_SECONDS)
                if not tx.between(_DATA, owner, _at(metric_id, 0), _at(metric_id, now + KEEP)):
                    tx.delete(_METRIC, owner, metric_id)


def _at(metric_id: str, moment: float) -> str:
    return f"{metric_id}/{max(int(moment), 0):0{_DIGITS}d}"


def _metric(document: Mapping[str, Any]) -> Metric:
    return metric_of(document["Namespace"], document["MetricName"], document["Dimensions"])


def _add(tx: Transaction, owner: Owner, metric_id: str, start: int, length: int, units: Mapping[str, Samples]) -> None:
    identifier = _at(metric_id, start)
    document = tx.get(_DATA, owner, identifier) or {"start": start, "length": length, "units": {}}
    for unit, samples in units.items():
        there = document["units"].get(unit)
        whole = samples if there is None else together([from_document(there), samples])
        assert whole is not None
        document["units"][unit] = whole.document()
    document["length"] = max(document["length"], length)
    tx.put(_DATA, owner, identifier, document)


def _join(tx: Transaction, owner: Owner, metric_id: str, before: float) -> None:
    # What was joined already is looked at again: eight days at most, once an hour.
    for identifier, document in tx.between(_DATA, owner, _at(metric_id, 0), _at(metric_id, before)).items():
        if document["length"] < 60:
            tx.delete(_DATA, owner, identifier)
            units = {unit: from_document(samples) for unit, samples in document["units"].items()}
            _add(tx, owner, metric_id, document["start"] // 60 * 60, 60, units)


def _read(namespace: str, datum: Mapping[str, Any], now: float) -> tuple[Metric, int, int, str, Samples]:
    """A datum: its metric, the stretch of time, its unit and samples. Raises AwsError."""
    metric = metric_of(namespace, datum["MetricName"], datum.get("Dimensions"))
    length = datum.get("StorageResolution", 60)
    if length not in (1, 60):
        raise errors.invalid("StorageResolution must be 1 or 60.")
    moment = datum.get("Timestamp", now)
    if not now - KEEP < moment < now + _AHEAD:
        raise errors.invalid(
            f"The Timestamp of {metric.name} must be within the last {KEEP // 86400} days and the next"
            f" {_AHEAD // 3600} hours."
        )
    start = int(moment) // length * length
    return metric, start, length, datum.get("Unit", "None"), _samples(datum)


def _samples(datum: Mapping[str, Any]) -> Samples:
    given = [name for name in ("Value", "Values", "StatisticValues") if name in datum]
    if len(given) != 1:
        raise errors.invalid("A datum has either Value, Values or StatisticValues.")
    if given == ["StatisticValues"]:
        said = datum["StatisticValues"]
        if said["SampleCount"] <= 0 or said["Minimum"] > said["Maximum"]:
            raise errors.invalid("StatisticValues want a SampleCount above 0 and no Minimum above the Maximum.")
        _require_numbers(said.values())
        return Samples(count=said["SampleCount"], total=said["Sum"], least=said["Minimum"], most=said["Maximum"])
    values = datum.get("Values") or [datum.get("Value")]
    counts = datum.get("Counts") or [1.0] * len(values)
    if len(values) > 150 or len(counts) != len(values) or min(counts) <= 0:
        raise errors.invalid("Values has at most 150 members, and Counts one number above 0 for each.")
    _require_numbers([*values, *counts])
    return of_values(zip(values, counts, strict=True))


def _require_numbers(values: Any) -> None:
    # As CloudWatch has it; NaN fails the comparison too.
    if not all(value is not None and abs(value) <= 2.0**360 for value in values):
        raise errors.invalid("Every value must be a number from -2^360 to 2^360.")
