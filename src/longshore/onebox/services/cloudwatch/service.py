"""CloudWatch's operations, as far as they are there: metrics that programs put, and alarms on them."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from longshore import models
from longshore.onebox.machinery.records import Document, Owner, Records, Transaction
from longshore.onebox.services.cloudwatch import errors
from longshore.onebox.services.cloudwatch.alarms import ALARM, Alarms, Found, kind_of, watched
from longshore.onebox.services.cloudwatch.evaluation import Missing, State
from longshore.onebox.services.cloudwatch.metrics import Metrics, metric_of
from longshore.onebox.services.cloudwatch.rule import RuleError, parse
from longshore.onebox.services.cloudwatch.statistics import STATISTICS, is_percentile, statistic
from longshore.onebox.services.cloudwatch.watching import Watching
from longshore.wire.service import AwsError, Call, Handler, Service

_T = TypeVar("_T")
_Operation = Callable[[Call, dict[str, Any]], Mapping[str, Any] | None]

#: Seconds that an alarm may look back, and the same for periods of an hour and more.
_BACK = 86400
_FAR_BACK = 7 * 86400
_MOST_ALARMS = 5000
_MOST_DATAPOINTS = 1440
_PAGE = 50
#: Of PutMetricAlarm: what onebox has no machinery for.
_NOT_HERE = (
    *("Metrics", "ThresholdMetricId", "EvaluationWindow", "WarmUpConfiguration", "EvaluationCriteria"),
    *("EvaluationInterval", "ActionConfiguration", "ActionsSuppressor"),
)


class CloudWatch:
    """Metrics and alarms of everybody."""

    def __init__(self, records: Records, metrics: Metrics, alarms: Alarms, watching: Watching) -> None:
        self._records = records
        self._metrics = metrics
        self._alarms = alarms
        self._watching = watching

    def service(self) -> Service:
        """CloudWatch behind the port."""
        reading: dict[str, _Operation] = {
            "GetMetricStatistics": self.get_metric_statistics,
            "GetMetricData": self.get_metric_data,
            "ListMetrics": self.list_metrics,
            "DescribeAlarms": self.describe_alarms,
            "DescribeAlarmsForMetric": self.describe_alarms_for_metric,
            "DescribeAlarmHistory": self.describe_alarm_history,
            "ListTagsForResource": self.list_tags,
        }
        changing: dict[str, _Operation] = {
            "PutMetricAlarm": self.put_metric_alarm,
            "PutCompositeAlarm": self.put_composite_alarm,
            "DeleteAlarms": self.delete_alarms,
            "SetAlarmState": self.set_alarm_state,
            "EnableAlarmActions": self.enable_alarm_actions,
            "DisableAlarmActions": self.disable_alarm_actions,
            "TagResource": self.tag,
            "UntagResource": self.untag,
        }
        # A datum a second of every program is no change that an auditor asks for.
        every = reading | changing | {"PutMetricData": self.put_metric_data}
        return Service(
            model=models.load_later("cloudwatch"),
            handlers={name: _in_thread(operation) for name, operation in every.items()},
            explain=errors.explain,
            signing_names=frozenset({"monitoring"}),
            target_prefixes=frozenset({"GraniteServiceVersion20100801"}),
            unrecorded=frozenset(changing),
            overlay={"AlarmName": {"pattern": r"[^\u0000-\u001f\u007f]*"}},
        )

    # Metrics.

    def put_metric_data(self, call: Call, given: dict[str, Any]) -> None:
        if given.get("EntityMetricData"):
            raise errors.invalid("EntityMetricData is not supported by this server; give MetricData.")
        data = given.get("MetricData") or ()
        if not 1 <= len(data) <= 1000:
            raise errors.invalid("MetricData must have from 1 to 1000 members.")
        owner = _owner(call)
        self._watching.late(owner, self._metrics.put(owner, given["Namespace"], data, call.now))

    def get_metric_statistics(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        names = [*given.get("Statistics", ()), *given.get("ExtendedStatistics", ())]
        if not names:
            raise errors.missing("Give Statistics or ExtendedStatistics.")
        _require_statistics(names)
        metric = metric_of(given["Namespace"], given["MetricName"], given.get("Dimensions"))
        points = []
        unit = given.get("Unit")
        span = _span(given["StartTime"], given["EndTime"], given["Period"])
        with self._records.transaction() as tx:
            found = self._metrics.read(tx, _owner(call), metric, *span, given["Period"], unit)
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
            _require_statistics([asked["Stat"]])
            metric = metric_of(
                asked["Metric"]["Namespace"], asked["Metric"]["MetricName"], asked["Metric"].get("Dimensions")
            )
            start, end = _span(given["StartTime"], given["EndTime"], asked["Period"])
            with self._records.transaction() as tx:
                found = self._metrics.read(tx, _owner(call), metric, start, end, asked["Period"], asked.get("Unit"))
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
            for metric in self._metrics.known(_owner(call))
            if given.get("Namespace") in (None, metric.namespace)
            and given.get("MetricName") in (None, metric.name)
            and all(any(name == key and value in (None, of) for key, of in metric.dimensions) for name, value in wanted)
        ]
        found.sort(key=lambda one: (one["Namespace"], one["MetricName"], json.dumps(one["Dimensions"])))
        page, token = _page(found, given.get("NextToken"), 500)
        return {"Metrics": page, **token}

    # Alarms.

    def put_metric_alarm(self, call: Call, given: dict[str, Any]) -> None:
        if refused := next((name for name in _NOT_HERE if name in given), None):
            raise errors.validation(f"{refused} is not supported by this server: an alarm here watches one metric.")
        for needed in ("MetricName", "Namespace", "Period", "Threshold"):
            if needed not in given:
                raise errors.missing(f"{needed} is required for an alarm on a metric.")
        if ("Statistic" in given) == ("ExtendedStatistic" in given):
            raise errors.validation("Give either Statistic or ExtendedStatistic.")
        _require_statistics([given.get("Statistic") or given["ExtendedStatistic"]])
        period, periods = given["Period"], given["EvaluationPeriods"]
        if period not in (10, 20, 30) and period % 60:
            raise errors.validation("Period must be 10, 20, 30 or a multiple of 60.")
        most = _FAR_BACK if period >= 3600 else _BACK
        if period * periods > most:
            raise errors.validation(f"Period times EvaluationPeriods must not be more than {most} seconds.")
        if given.get("DatapointsToAlarm", periods) > periods:
            raise errors.validation("DatapointsToAlarm must not be more than EvaluationPeriods.")
        if given.get("TreatMissingData", "missing") not in list(Missing):
            raise errors.validation(f"TreatMissingData must be one of {', '.join(Missing)}.")
        if given["ComparisonOperator"] not in _COMPARISONS:
            raise errors.validation(f"ComparisonOperator must be one of {', '.join(_COMPARISONS)}.")
        watched(given)
        self._put(call, given)

    def put_composite_alarm(self, call: Call, given: dict[str, Any]) -> None:
        if refused := next((name for name in _NOT_HERE if name in given), None):
            raise errors.validation(f"{refused} is not supported by this server.")
        try:
            rule = parse(given["AlarmRule"])
        except RuleError as error:
            raise errors.validation(f"The AlarmRule is not one: {error}.") from None
        owner = _owner(call)
        with self._records.transaction() as tx:
            known = tx.all(ALARM, owner)
        names = {_plain(name) for name in rule.names}
        if unknown := sorted(names - set(known)):
            raise errors.validation(f"The AlarmRule names an alarm that is not there: {unknown[0]}.")
        if given["AlarmName"] in _reached(names, known):
            raise errors.validation(f"The AlarmRule of {given['AlarmName']} depends on itself.")
        self._put(call, given)

    def _put(self, call: Call, given: dict[str, Any]) -> None:
        owner, name = _owner(call), given["AlarmName"]
        for actions in ("OKActions", "AlarmActions", "InsufficientDataActions"):
            for action in given.get(actions, ()):
                if not action.startswith("arn:aws:sns:"):
                    raise errors.validation(f"{action} is no topic of SNS: alarms act on those alone here.")
        with self._records.transaction() as tx:
            there = tx.get(ALARM, owner, name)
            if there is not None and kind_of(there["given"]) != kind_of(given):
                raise errors.validation(f"{name} is a {kind_of(there['given'])}; delete it first.")
            if there is None and len(tx.all(ALARM, owner)) >= _MOST_ALARMS:
                raise errors.too_many(f"There are {_MOST_ALARMS} alarms in {owner.region}; delete some.")
            self._alarms.put(tx, owner, given, _arn(owner, name), call.now)
        self._watching.changed(owner, [name])

    def describe_alarms(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        kinds = given.get("AlarmTypes") or ["MetricAlarm"]
        names = given.get("AlarmNames")
        if names and given.get("AlarmNamePrefix"):
            raise errors.validation("Give either AlarmNames or AlarmNamePrefix.")
        owner = _owner(call)
        with self._records.transaction() as tx:
            known = tx.all(ALARM, owner)
        if parents_of := given.get("ParentsOfAlarmName"):
            known = {name: one for name, one in known.items() if parents_of in _children(one)}
        if children_of := given.get("ChildrenOfAlarmName"):
            children = _children(known[children_of]) if children_of in known else set()
            known = {name: one for name, one in known.items() if name in children}
        found = [
            (name, one)
            for name, one in known.items()
            if (not names or name in names)
            and name.startswith(given.get("AlarmNamePrefix", ""))
            and kind_of(one["given"]) in kinds
            and given.get("StateValue") in (None, one["state"]["StateValue"])
            and _has_action(one, given.get("ActionPrefix"))
        ]
        page, token = _page(found, given.get("NextToken"), given.get("MaxRecords", 100 if names else _PAGE))
        described = [(kind_of(one["given"]), _described(one)) for _, one in page]
        return {
            "MetricAlarms": [one for kind, one in described if kind == "MetricAlarm"],
            "CompositeAlarms": [one for kind, one in described if kind == "CompositeAlarm"],
            **token,
        }

    def describe_alarms_for_metric(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        metric = metric_of(given["Namespace"], given["MetricName"], given.get("Dimensions"))
        with self._records.transaction() as tx:
            known = tx.all(ALARM, _owner(call)).values()
        same = ("Period", "Statistic", "ExtendedStatistic", "Unit")
        return {
            "MetricAlarms": [
                _described(one)
                for one in known
                if "AlarmRule" not in one["given"]
                and watched(one["given"]) == metric
                and all(given.get(name) in (None, one["given"].get(name)) for name in same)
            ]
        }

    def describe_alarm_history(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        kinds = given.get("AlarmTypes") or ["MetricAlarm"]
        with self._records.transaction() as tx:
            items = [
                item
                for item in self._alarms.history(tx, _owner(call))
                if given.get("AlarmName") in (None, item["AlarmName"])
                and item["AlarmType"] in kinds
                and given.get("HistoryItemType") in (None, item["HistoryItemType"])
                and given.get("StartDate", 0) <= item["Timestamp"] <= given.get("EndDate", call.now)
            ]
        items.sort(key=lambda item: item["Timestamp"])
        if given.get("ScanBy") != "TimestampAscending":
            items.reverse()
        page, token = _page(items, given.get("NextToken"), given.get("MaxRecords", _PAGE))
        return {"AlarmHistoryItems": page, **token}

    def delete_alarms(self, call: Call, given: dict[str, Any]) -> None:
        owner, names = _owner(call), list(dict.fromkeys(given["AlarmNames"]))
        with self._records.transaction() as tx:
            known = tx.all(ALARM, owner)
            if unknown := [name for name in names if name not in known]:
                raise errors.not_found(f"There is no alarm {unknown[0]}.")
            parents = [name for name, one in known.items() if name not in names and _children(one) & set(names)]
            if parents:
                raise errors.validation(f"The rule of {parents[0]} names one of them; delete that first.")
            for name in names:
                self._alarms.delete(tx, owner, known[name], call.now)
        self._watching.changed(owner, names)

    def set_alarm_state(self, call: Call, given: dict[str, Any]) -> None:
        owner = _owner(call)
        data = given.get("StateReasonData", "{}")
        try:
            json.loads(data)
        except ValueError:
            raise AwsError("InvalidFormat", "StateReasonData must be JSON.") from None
        with self._records.transaction() as tx:
            document = _existing(tx, owner, given["AlarmName"])
            found = Found(state=State(given["StateValue"]), reason=given["StateReason"], data=data)
            self._alarms.change(tx, owner, document, found, call.now)
        self._watching.told(owner, given["AlarmName"])

    def enable_alarm_actions(self, call: Call, given: dict[str, Any]) -> None:
        self._set_actions(call, given, is_enabled=True)

    def disable_alarm_actions(self, call: Call, given: dict[str, Any]) -> None:
        self._set_actions(call, given, is_enabled=False)

    def _set_actions(self, call: Call, given: dict[str, Any], *, is_enabled: bool) -> None:
        owner = _owner(call)
        with self._records.transaction() as tx:
            for name in given["AlarmNames"]:
                # As CloudWatch has it: names that nobody has are no error.
                if (document := tx.get(ALARM, owner, name)) is not None:
                    document["given"]["ActionsEnabled"] = is_enabled
                    tx.put(ALARM, owner, name, document)

    # Tags.

    def list_tags(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        with self._records.transaction() as tx:
            tags = _existing(tx, _owner(call), _plain(given["ResourceARN"]))["tags"]
        return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}

    def tag(self, call: Call, given: dict[str, Any]) -> None:
        self._retag(call, given, lambda tags: tags | {tag["Key"]: tag["Value"] for tag in given["Tags"]})

    def untag(self, call: Call, given: dict[str, Any]) -> None:
        gone = set(given["TagKeys"])
        self._retag(call, given, lambda tags: {key: value for key, value in tags.items() if key not in gone})

    def _retag(self, call: Call, given: dict[str, Any], change: Callable[[dict[str, str]], dict[str, str]]) -> None:
        owner, name = _owner(call), _plain(given["ResourceARN"])
        with self._records.transaction() as tx:
            document = _existing(tx, owner, name)
            document["tags"] = change(document["tags"])
            if len(document["tags"]) > 50:
                raise errors.validation("An alarm has at most 50 tags.")
            tx.put(ALARM, owner, name, document)


_COMPARISONS = (
    "GreaterThanOrEqualToThreshold",
    "GreaterThanThreshold",
    "LessThanThreshold",
    "LessThanOrEqualToThreshold",
)


def _in_thread(operation: _Operation) -> Handler:
    async def handler(call: Call, given: dict[str, Any]) -> Mapping[str, Any] | None:
        return await asyncio.to_thread(operation, call, given)

    return handler


def _owner(call: Call) -> Owner:
    return Owner(call.caller.account, call.caller.region)


def _arn(owner: Owner, name: str) -> str:
    return f"arn:aws:cloudwatch:{owner.region}:{owner.account}:alarm:{name}"


def _plain(name_or_arn: str) -> str:
    """The name of an alarm that is given by name or ARN."""
    return name_or_arn.partition(":alarm:")[2] if name_or_arn.startswith("arn:") else name_or_arn


def _existing(tx: Transaction, owner: Owner, name: str) -> Document:
    document = tx.get(ALARM, owner, name)
    if document is None:
        raise errors.not_found(f"There is no alarm {name}.")
    return document


def _described(document: Document) -> dict[str, Any]:
    given = document["given"]
    shown = {
        "AlarmArn": document["arn"],
        "ActionsEnabled": True,
        "OKActions": [],
        "AlarmActions": [],
        "InsufficientDataActions": [],
        "AlarmConfigurationUpdatedTimestamp": document["configured"],
        **given,
        **document["state"],
    }
    return shown if "AlarmRule" in given else {"Dimensions": [], **shown}


def _children(document: Document) -> set[str]:
    rule = document["given"].get("AlarmRule")
    return set() if rule is None else {_plain(name) for name in parse(rule).names}


def _reached(names: Iterable[str], known: Mapping[str, Document]) -> set[str]:
    """These alarms, and all that their rules name, and so on."""
    seen: set[str] = set()
    left = list(names)
    while left:
        name = left.pop()
        if name not in seen:
            seen.add(name)
            left += _children(known[name]) if name in known else ()
    return seen


def _has_action(document: Document, prefix: str | None) -> bool:
    given = document["given"]
    actions = [
        action for kind in ("OKActions", "AlarmActions", "InsufficientDataActions") for action in given.get(kind, ())
    ]
    return prefix is None or any(action.startswith(prefix) for action in actions)


def _require_statistics(names: Iterable[str]) -> None:
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


def _page(found: Sequence[_T], token: str | None, size: int) -> tuple[list[_T], dict[str, str]]:
    """A page of a list, and what asks for the next one."""
    try:
        start = int(base64.urlsafe_b64decode(token)) if token else 0
    except (ValueError, binascii.Error):
        raise AwsError("InvalidNextToken", "The NextToken is not one that this server gave.") from None
    end = start + size
    more = {"NextToken": base64.urlsafe_b64encode(b"%d" % end).decode()} if end < len(found) else {}
    return list(found[start:end]), more
