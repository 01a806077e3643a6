"""CloudWatch's operations on alarms."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from longshore.onebox.machinery.records import Document, Owner, Records, Transaction
from longshore.onebox.services.calls import owner_of, page
from longshore.onebox.services.cloudwatch import errors
from longshore.onebox.services.cloudwatch.alarms import ALARM, Alarms, Found, kind_of, watched
from longshore.onebox.services.cloudwatch.evaluation import Missing, State
from longshore.onebox.services.cloudwatch.metric_operations import require_known
from longshore.onebox.services.cloudwatch.metrics import metric_of
from longshore.onebox.services.cloudwatch.rule import RuleError, parse
from longshore.onebox.services.cloudwatch.watching import Watching
from longshore.wire.service import AwsError, Call

#: Seconds that an alarm may look back, and the same for periods of an hour and more.
_BACK = 86400
_FAR_BACK = 7 * 86400
_MOST_ALARMS = 5000
_PAGE = 50
#: Of PutMetricAlarm: what onebox has no machinery for.
_NOT_HERE = (
    *("Metrics", "ThresholdMetricId", "EvaluationWindow", "WarmUpConfiguration", "EvaluationCriteria"),
    *("EvaluationInterval", "ActionConfiguration", "ActionsSuppressor"),
)

_COMPARISONS = (
    "GreaterThanOrEqualToThreshold",
    "GreaterThanThreshold",
    "LessThanThreshold",
    "LessThanOrEqualToThreshold",
)


class AlarmOperations:
    """Answers them."""

    def __init__(self, records: Records, alarms: Alarms, watching: Watching) -> None:
        self._records = records
        self._alarms = alarms
        self._watching = watching

    def put_metric_alarm(self, call: Call, given: dict[str, Any]) -> None:
        if refused := next((name for name in _NOT_HERE if name in given), None):
            raise errors.validation(f"{refused} is not supported by this server: an alarm here watches one metric.")
        for needed in ("MetricName", "Namespace", "Period", "Threshold"):
            if needed not in given:
                raise errors.missing(f"{needed} is required for an alarm on a metric.")
        if ("Statistic" in given) == ("ExtendedStatistic" in given):
            raise errors.validation("Give either Statistic or ExtendedStatistic.")
        require_known([given.get("Statistic") or given["ExtendedStatistic"]])
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
        owner = owner_of(call)
        with self._records.transaction() as tx:
            known = tx.all(ALARM, owner)
        names = {_plain(name) for name in rule.names}
        if unknown := sorted(names - set(known)):
            raise errors.validation(f"The AlarmRule names an alarm that is not there: {unknown[0]}.")
        if given["AlarmName"] in _reached(names, known):
            raise errors.validation(f"The AlarmRule of {given['AlarmName']} depends on itself.")
        self._put(call, given)

    def _put(self, call: Call, given: dict[str, Any]) -> None:
        owner, name = owner_of(call), given["AlarmName"]
        for actions in ("OKActions", "AlarmActions", "InsufficientDataActions"):
            for action in given.get(actions, ()):
                if not action.startswith("arn:aws:sns:"):
                    raise errors.validation(f"{action} is no topic of SNS: alarms act on those alone here.")
        with self._records.transaction() as tx:
            there = tx.get(ALARM, owner, name)
            if there is not None and kind_of(there["given"]) != kind_of(given):
                raise errors.validation(f"{name} is a {kind_of(there['given'])}; delete it first.")
            if there is None and tx.count(ALARM, owner) >= _MOST_ALARMS:
                raise errors.too_many(f"There are {_MOST_ALARMS} alarms in {owner.region}; delete some.")
            self._alarms.put(tx, owner, given, _arn(owner, name), call.now)
        self._watching.changed(owner, [name])

    def describe_alarms(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        kinds = given.get("AlarmTypes") or ["MetricAlarm"]
        names = given.get("AlarmNames")
        if names and given.get("AlarmNamePrefix"):
            raise errors.validation("Give either AlarmNames or AlarmNamePrefix.")
        owner = owner_of(call)
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
        size = given.get("MaxRecords", 100 if names else _PAGE)
        shown, token = page(found, given.get("NextToken"), size, refused="InvalidNextToken")
        described = [(kind_of(one["given"]), _described(one)) for _, one in shown]
        return {
            "MetricAlarms": [one for kind, one in described if kind == "MetricAlarm"],
            "CompositeAlarms": [one for kind, one in described if kind == "CompositeAlarm"],
            **token,
        }

    def describe_alarms_for_metric(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        metric = metric_of(given["Namespace"], given["MetricName"], given.get("Dimensions"))
        with self._records.transaction() as tx:
            known = tx.all(ALARM, owner_of(call)).values()
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
                for item in self._alarms.history(tx, owner_of(call))
                if given.get("AlarmName") in (None, item["AlarmName"])
                and item["AlarmType"] in kinds
                and given.get("HistoryItemType") in (None, item["HistoryItemType"])
                and given.get("StartDate", 0) <= item["Timestamp"] <= given.get("EndDate", call.now)
            ]
        items.sort(key=lambda item: item["Timestamp"])
        if given.get("ScanBy") != "TimestampAscending":
            items.reverse()
        shown, token = page(items, given.get("NextToken"), given.get("MaxRecords", _PAGE), refused="InvalidNextToken")
        return {"AlarmHistoryItems": shown, **token}

    def delete_alarms(self, call: Call, given: dict[str, Any]) -> None:
        owner, names = owner_of(call), list(dict.fromkeys(given["AlarmNames"]))
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
        owner = owner_of(call)
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
        owner = owner_of(call)
        with self._records.transaction() as tx:
            for name in given["AlarmNames"]:
                # As CloudWatch has it: names that nobody has are no error.
                if (document := tx.get(ALARM, owner, name)) is not None:
                    document["given"]["ActionsEnabled"] = is_enabled
                    tx.put(ALARM, owner, name, document)

    # Tags.

    def list_tags(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        with self._records.transaction() as tx:
            tags = _existing(tx, owner_of(call), _plain(given["ResourceARN"]))["tags"]
        return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}

    def tag(self, call: Call, given: dict[str, Any]) -> None:
        self._retag(call, given, lambda tags: tags | {tag["Key"]: tag["Value"] for tag in given["Tags"]})

    def untag(self, call: Call, given: dict[str, Any]) -> None:
        gone = set(given["TagKeys"])
        self._retag(call, given, lambda tags: {key: value for key, value in tags.items() if key not in gone})

    def _retag(self, call: Call, given: dict[str, Any], change: Callable[[dict[str, str]], dict[str, str]]) -> None:
        owner, name = owner_of(call), _plain(given["ResourceARN"])
        with self._records.transaction() as tx:
            document = _existing(tx, owner, name)
            document["tags"] = change(document["tags"])
            if len(document["tags"]) > 50:
                raise errors.validation("An alarm has at most 50 tags.")
            tx.put(ALARM, owner, name, document)


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
