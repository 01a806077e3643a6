"""EventBridge's operations on events, and on the bus that they come by."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from longshore.onebox.machinery.records import Owner, Records
from longshore.onebox.services.calls import owner_of
from longshore.onebox.services.events import errors, pattern
from longshore.onebox.services.events.rule_operations import bus_arn, read_pattern, require_default
from longshore.onebox.services.events.rules import BUS, Rules, new_id
from longshore.wire.service import AwsError, Call

_MOST_ENTRIES = 10
#: Bytes of all entries of a call.
_LARGEST = 256 * 1024
#: What TestEventPattern must find in an event.
_NEEDED = ("id", "account", "source", "time", "region", "resources", "detail-type")


class EventOperations:
    """Answers them."""

    def __init__(self, records: Records, rules: Rules) -> None:
        self._records = records
        self._rules = rules

    def put_events(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        entries = given["Entries"]
        if len(entries) > _MOST_ENTRIES:
            raise errors.validation(f"A call has at most {_MOST_ENTRIES} entries.")
        if len(json.dumps(entries, default=str).encode()) > _LARGEST:
            raise errors.validation(f"The entries of a call have at most {_LARGEST} bytes.")
        owner, results = owner_of(call), []
        with self._records.transaction() as tx:
            for entry in entries:
                try:
                    event = _event(entry, owner, call)
                except AwsError as error:
                    results.append({"ErrorCode": error.code, "ErrorMessage": error.message})
                    continue
                self._rules.happened(tx, owner, event, call.now)
                results.append({"EventId": event["id"]})
        return {"FailedEntryCount": sum("ErrorCode" in one for one in results), "Entries": results}

    def try_pattern(self, _call: Call, given: dict[str, Any]) -> dict[str, Any]:
        wanted = read_pattern(given["EventPattern"])
        try:
            event = json.loads(given["Event"])
        except ValueError:
            raise errors.validation("The Event must be JSON.") from None
        if not isinstance(event, dict) or any(name not in event for name in _NEEDED):
            raise errors.validation(f"The Event must have {', '.join(_NEEDED)}.")
        return {"Result": pattern.matches(wanted, event)}

    def describe_event_bus(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        owner = owner_of(call)
        require_default({"EventBusName": given.get("Name", BUS)}, owner)
        return {"Name": BUS, "Arn": bus_arn(owner)}

    def list_event_buses(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        is_wanted = BUS.startswith(given.get("NamePrefix", ""))
        return {"EventBuses": [{"Name": BUS, "Arn": bus_arn(owner_of(call))}] if is_wanted else []}


def _event(entry: Mapping[str, Any], owner: Owner, call: Call) -> dict[str, Any]:
    """The event that an entry of PutEvents makes; raises AwsError with the entry's own codes."""
    require_default(entry, owner)
    for name in ("Source", "DetailType", "Detail"):
        if not entry.get(name):
            raise AwsError("InvalidArgument", f"Parameter {name} is not valid. Reason: {name} is a required argument.")
    try:
        detail = json.loads(entry["Detail"])
    except ValueError:
        detail = None
    if not isinstance(detail, dict):
        raise AwsError("MalformedDetail", "Detail is malformed: it must be a JSON object.")
    moment = datetime.fromtimestamp(entry.get("Time", call.now), UTC)
    return {
        "version": "0",
        "id": new_id(),
        "detail-type": entry["DetailType"],
        "source": entry["Source"],
        "account": owner.account,
        "time": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": owner.region,
        "resources": list(entry.get("Resources", ())),
        "detail": detail,
    }
