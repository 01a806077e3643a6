"""Alarms: what they watch, the state they are in, and what came of it, in the records."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from longshore.onebox.machinery.records import Document, Owner, Records, Transaction
from longshore.onebox.services.cloudwatch.evaluation import FURTHER_BACK, Missing, State, is_breaching, judge
from longshore.onebox.services.cloudwatch.metrics import Metric, Metrics, metric_of
from longshore.onebox.services.cloudwatch.rule import parse
from longshore.onebox.services.cloudwatch.statistics import statistic

ALARM = "cloudwatch.alarm"
_HISTORY = "cloudwatch.history"
#: History is kept this long, seconds, and of no alarm more than so many items.
KEEP_HISTORY = 30 * 86400
_MOST_ITEMS = 500
_ACTIONS = {State.OK: "OKActions", State.ALARM: "AlarmActions", State.INSUFFICIENT_DATA: "InsufficientDataActions"}


class Telling(Protocol):
    """Where the actions of alarms go."""

    def publish_in(
        self, tx: Transaction, owner: Owner, topic_arn: str, *, subject: str, message: str, now: float
    ) -> str | None:
        """Have it told to a topic's subscribers, once the transaction is committed; why not, if it cannot be."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What a look at an alarm found."""

    state: State
    reason: str
    #: JSON.
    data: str


class Alarms:
    """The alarms of everybody."""

    def __init__(self, records: Records, metrics: Metrics, topics: Telling) -> None:
        self._records = records
        self._metrics = metrics
        self._topics = topics

    def put(self, tx: Transaction, owner: Owner, given: Mapping[str, Any], arn: str, now: float) -> None:
        """Make an alarm, or give one of this name another definition and leave its state."""
        name = given["AlarmName"]
        before = tx.get(ALARM, owner, name)
        state = before["state"] if before else _fresh(now)
        tags = before["tags"] if before else {tag["Key"]: tag["Value"] for tag in given.get("Tags", ())}
        definition = {key: value for key, value in given.items() if key != "Tags"}
        tx.put(ALARM, owner, name, {"arn": arn, "given": definition, "configured": now, "state": state, "tags": tags})
        said = f'Alarm "{name}" {"updated" if before else "created"}'
        data = {"type": "Update" if before else "Create"}
        self._remember(tx, owner, given, "ConfigurationUpdate", said, data, now)

    def delete(self, tx: Transaction, owner: Owner, document: Document, now: float) -> None:
        """Forget an alarm; its history stays."""
        name = document["given"]["AlarmName"]
        tx.delete(ALARM, owner, name)
        said = f'Alarm "{name}" deleted'
        self._remember(tx, owner, document["given"], "ConfigurationUpdate", said, {"type": "Delete"}, now)

    def look(self, owner: Owner, name: str, now: float) -> bool:
        """Bring an alarm's state in line with what it watches, with all that comes of it; whether it is another now."""
        with self._records.transaction() as tx:
            document = tx.get(ALARM, owner, name)
            if document is None:
                return False
            found = self._found(tx, owner, document, now)
            if found.state.value == document["state"]["StateValue"]:
                return False
            self.change(tx, owner, document, found, now)
            return True

    def change(self, tx: Transaction, owner: Owner, document: Document, found: Found, now: float) -> None:
        """Put an alarm into a state; its actions go out when the state is another than it was."""
        before = document["state"]
        is_other = before["StateValue"] != found.state.value
        document["state"] = {
            "StateValue": found.state.value,
            "StateReason": found.reason,
            "StateReasonData": found.data,
            "StateUpdatedTimestamp": now,
            "StateTransitionedTimestamp": now if is_other else before["StateTransitionedTimestamp"],
        }
        name = document["given"]["AlarmName"]
        tx.put(ALARM, owner, name, document)
        if not is_other:
            return
        said = f"Alarm updated from {before['StateValue']} to {found.state}"
        data = {"oldState": {"stateValue": before["StateValue"]}, "newState": {"stateValue": found.state.value}}
        data["newState"]["stateReason"] = found.reason
        self._remember(tx, owner, document["given"], "StateUpdate", said, data, now)
        if document["given"].get("ActionsEnabled", True):
            for topic in document["given"].get(_ACTIONS[found.state], ()):
                self._act(tx, owner, document, before["StateValue"], topic, now)

    def _act(self, tx: Transaction, owner: Owner, document: Document, before: str, topic: str, now: float) -> None:
        given, state = document["given"], document["state"]["StateValue"]
        message = json.dumps(_told(owner, document, before))
        subject = _line(f'{state}: "{given["AlarmName"]}" in {owner.region}')
        why_not = self._topics.publish_in(tx, owner, topic, subject=subject, message=message, now=now)
        outcome = "Successfully executed" if why_not is None else f"Failed to execute ({why_not})"
        data = {"actionState": "Succeeded" if why_not is None else "Failed", "notificationResource": topic}
        self._remember(tx, owner, given, "Action", f"{outcome} action {topic}", data, now)

    def _found(self, tx: Transaction, owner: Owner, document: Document, now: float) -> Found:
        given = document["given"]
        if "AlarmRule" in given:
            return _by_rule(tx, owner, given)
        metric = watched(given)
        period: int = given["Period"]
        periods, to_alarm = given["EvaluationPeriods"], given.get("DatapointsToAlarm", given["EvaluationPeriods"])
        # Only stretches that are over: half a stretch's sum is no sum.
        end = now // min(period, 60) * min(period, 60)
        start = end - period * (periods + FURTHER_BACK)
        samples = self._metrics.read(tx, owner, metric, start, end, period, given.get("Unit"))
        name = given.get("Statistic") or given["ExtendedStatistic"]
        values = [None if one is None else statistic(one, name) for one in samples]
        threshold, comparison = given["Threshold"], given["ComparisonOperator"]
        seen = [None if value is None else is_breaching(value, comparison, threshold) for value in values]
        state = judge(
            seen,
            periods=periods,
            to_alarm=to_alarm,
            missing=Missing(given.get("TreatMissingData", "missing")),
            state=State(document["state"]["StateValue"]),
        )
        recent = [value for value in values if value is not None][-periods:]
        data = {
            "version": "1.0",
            "queryDate": _iso(now),
            "statistic": name,
            "period": period,
            "recentDatapoints": recent,
            "threshold": threshold,
        }
        return Found(state=state, reason=_reason(state, recent, seen, given, to_alarm), data=json.dumps(data))

    def history(self, tx: Transaction, owner: Owner) -> Iterator[Document]:
        """Everything that is remembered of an owner's alarms, each alarm's by time."""
        yield from tx.all(_HISTORY, owner).values()

    def forget_old(self, now: float) -> None:
        """Forget history that is older than it is kept."""
        with self._records.transaction() as tx:
            for owner, identifier, item in tx.everyones(_HISTORY):
                if item["Timestamp"] < now - KEEP_HISTORY:
                    tx.delete(_HISTORY, owner, identifier)

    def _remember(
        self,
        tx: Transaction,
        owner: Owner,
        given: Mapping[str, Any],
        kind: str,
        said: str,
        data: Mapping[str, Any],
        now: float,
    ) -> None:
        name = given["AlarmName"]
        # No name has a NUL, and what follows it here is less than a DEL.
        there = list(tx.between(_HISTORY, owner, f"{name}\x00", f"{name}\x00\x7f"))
        last = int(there[-1].rpartition("/")[2]) if there else 0
        identifier = f"{name}\x00{now:017.6f}/{last + 1:09d}"
        if len(there) >= _MOST_ITEMS:
            tx.delete(_HISTORY, owner, there[0])
        item = {
            "AlarmName": name,
            "AlarmType": kind_of(given),
            "Timestamp": now,
            "HistoryItemType": kind,
            "HistorySummary": said,
            "HistoryData": json.dumps({"version": "1.0", **data}),
        }
        tx.put(_HISTORY, owner, identifier, item)


def kind_of(given: Mapping[str, Any]) -> str:
    """Which of the API's kinds an alarm of this definition is."""
    return "CompositeAlarm" if "AlarmRule" in given else "MetricAlarm"


def watched(given: Mapping[str, Any]) -> Metric:
    """The metric of a metric alarm."""
    return metric_of(given["Namespace"], given["MetricName"], given.get("Dimensions"))


def _fresh(now: float) -> dict[str, Any]:
    return {
        "StateValue": State.INSUFFICIENT_DATA.value,
        "StateReason": "Unchecked: Initial alarm creation",
        "StateUpdatedTimestamp": now,
        "StateTransitionedTimestamp": now,
    }


def _by_rule(tx: Transaction, owner: Owner, given: Mapping[str, Any]) -> Found:
    def state_of(name: str) -> State | None:
        found = tx.get(ALARM, owner, name.rpartition(":alarm:")[2] if name.startswith("arn:") else name)
        return None if found is None else State(found["state"]["StateValue"])

    rule = parse(given["AlarmRule"])
    states = {name: state_of(name) for name in sorted(rule.names)}
    state = State.ALARM if rule.holds(states.get) else State.OK
    shown = ", ".join(f"{name} is {one or 'not there'}" for name, one in states.items())
    reason = f"The rule {'holds' if state is State.ALARM else 'does not hold'}{f': {shown}' if shown else ''}."
    return Found(state=state, reason=reason[:1023], data=json.dumps({"triggeringAlarms": states}))


def _reason(state: State, recent: list[float], seen: list[bool | None], given: Mapping[str, Any], to_alarm: int) -> str:
    if not recent:
        held = {State.INSUFFICIENT_DATA: "", State.OK: "; that is OK here", State.ALARM: "; that is an alarm here"}
        return f"Threshold Crossed: no datapoints were received for {len(seen)} periods{held[state]}."
    shown = ", ".join(f"{value:g}" for value in recent[-5:])
    breaching = sum(one is True for one in seen)
    crossed = f"{breaching} of the last {len(recent)} datapoints [{shown}] crossed the threshold {given['Threshold']:g}"
    return f"Threshold Crossed: {crossed} ({given['ComparisonOperator']}; {to_alarm} make an alarm)."


def _told(owner: Owner, document: Document, before: str) -> dict[str, Any]:
    """What an action tells, in the form that CloudWatch sends to SNS."""
    given, state = document["given"], document["state"]
    told = {
        "AlarmName": given["AlarmName"],
        "AlarmDescription": given.get("AlarmDescription"),
        "AWSAccountId": owner.account,
        "AlarmConfigurationUpdatedTimestamp": _iso(document["configured"]),
        "NewStateValue": state["StateValue"],
        "NewStateReason": state["StateReason"],
        "StateChangeTime": _iso(state["StateUpdatedTimestamp"]),
        "Region": owner.region,
        "AlarmArn": document["arn"],
        "OldStateValue": before,
        **{actions: given.get(actions, []) for actions in _ACTIONS.values()},
    }
    if "AlarmRule" in given:
        return told | {"AlarmRule": given["AlarmRule"]}
    is_simple = "Statistic" in given
    return told | {
        "Trigger": {
            "MetricName": given["MetricName"],
            "Namespace": given["Namespace"],
            "StatisticType": "Statistic" if is_simple else "ExtendedStatistic",
            "Statistic": given["Statistic"].upper() if is_simple else given["ExtendedStatistic"],
            "Unit": given.get("Unit"),
            "Dimensions": [{"name": one["Name"], "value": one["Value"]} for one in given.get("Dimensions", ())],
            "Period": given["Period"],
            "EvaluationPeriods": given["EvaluationPeriods"],
            "DatapointsToAlarm": given.get("DatapointsToAlarm", given["EvaluationPeriods"]),
            "ComparisonOperator": given["ComparisonOperator"],
            "Threshold": given["Threshold"],
            "TreatMissingData": given.get("TreatMissingData", "missing"),
        }
    }


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "+0000")


def _line(text: str) -> str:
    """What SNS takes for a subject: one line of ASCII."""
    plain = "".join(one if " " <= one <= "~" else "?" for one in text)
    return plain if len(plain) <= 100 else f"{plain[:97]}..."
