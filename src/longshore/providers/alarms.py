"""Alarms where people have them: CloudWatch, Prometheus, Alertmanager (`ports.Alarms`)."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import urllib3

from longshore.domain.alarms import AlarmState
from longshore.providers.clients import TIMEOUT
from longshore.providers.ports import Access, Alarms, PermanentError, TransientError
from longshore.providers.service_roles import ServiceRoles

_PROMETHEUS_STATES = {"firing": AlarmState.ALARM, "pending": AlarmState.OK, "inactive": AlarmState.OK}


class SeveralAlarms:
    """An alarm is wherever it is known; it is in ALARM when any source says so."""

    def __init__(self, sources: Sequence[Alarms]) -> None:
        self._sources = sources

    def states(self, access: Access, names: Collection[str]) -> Mapping[str, AlarmState]:
        """See `ports.Alarms`. A source that does not answer leaves unread what no other one knows to be in ALARM."""
        known: dict[str, AlarmState] = {}
        failed: Exception | None = None
        for source in self._sources:
            try:
                found = source.states(access, names)
            except (TransientError, PermanentError) as error:
                failed = error
                continue
            known |= {name: state for name, state in found.items() if known.get(name) is not AlarmState.ALARM}
        if failed is not None and AlarmState.ALARM not in known.values() and set(names) - set(known):
            raise failed
        return known


class CloudWatchAlarms:
    """Metric and composite alarms of CloudWatch."""

    def __init__(self, roles: ServiceRoles) -> None:
        self._roles = roles

    def states(self, access: Access, names: Collection[str]) -> Mapping[str, AlarmState]:
        """See `ports.Alarms`."""
        asked = {"AlarmNames": list(names), "AlarmTypes": ["MetricAlarm", "CompositeAlarm"]}
        found = self._roles.call(access, "cloudwatch", "describe_alarms", **asked)
        alarms = [*found.get("MetricAlarms", ()), *found.get("CompositeAlarms", ())]
        return {alarm["AlarmName"]: AlarmState(alarm["StateValue"]) for alarm in alarms}


class PrometheusAlarms:
    """Alerting rules of a Prometheus: an alarm's name is an alert's."""

    def __init__(self, url: str) -> None:
        self._api = _Api(url, "Prometheus")

    def states(self, access: Access, names: Collection[str]) -> Mapping[str, AlarmState]:  # noqa: ARG002 - it has no regions
        """See `ports.Alarms`. Firing is ALARM; a rule that could not be evaluated lacks data."""
        states: dict[str, AlarmState] = {}
        for group in self._api.get("/api/v1/rules?type=alert")["data"]["groups"]:
            for rule in group["rules"]:
                name = rule["name"]
                if name not in names or states.get(name) is AlarmState.ALARM:
                    continue
                is_evaluated = rule.get("health", "ok") == "ok"
                states[name] = _PROMETHEUS_STATES[rule["state"]] if is_evaluated else AlarmState.INSUFFICIENT_DATA
        return states


class AlertmanagerAlarms:
    """Alerts that an Alertmanager holds. It knows only what fires: what it does not name is OK."""

    def __init__(self, url: str) -> None:
        self._api = _Api(url, "Alertmanager")

    def states(self, access: Access, names: Collection[str]) -> Mapping[str, AlarmState]:  # noqa: ARG002 - it has no regions
        """See `ports.Alarms`. A silenced or inhibited alert does not count: somebody has said so."""
        alerts = self._api.get("/api/v2/alerts?active=true&silenced=false&inhibited=false&unprocessed=true")
        active = {alert["labels"].get("alertname") for alert in alerts}
        return {name: AlarmState.ALARM if name in active else AlarmState.OK for name in names}


class _Api:
    """A JSON API over HTTP."""

    def __init__(self, url: str, name: str) -> None:
        parts = urlsplit(url)
        headers = {"accept": "application/json"}
        if parts.username is not None:
            headers |= urllib3.make_headers(basic_auth=f"{parts.username}:{parts.password or ''}")
        self._url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")
        self._name = name
        self._http = urllib3.PoolManager(
            headers=headers, timeout=TIMEOUT, retries=urllib3.Retry(1, redirect=False, raise_on_status=False)
        )

    def get(self, path: str) -> Any:
        try:
            answer = self._http.request("GET", f"{self._url}{path}")
        except urllib3.exceptions.HTTPError as error:
            raise TransientError(f"{self._name} at {self._url} gives no answer: {error}") from error
        if answer.status != 200:
            raise TransientError(f"{self._name} at {self._url} answers {answer.status} to {path}")
        try:
            return json.loads(answer.data)
        except ValueError:
            raise TransientError(f"{self._name} at {self._url} answers with something that is not JSON") from None
