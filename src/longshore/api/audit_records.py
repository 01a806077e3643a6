"""The audit, for the account's owner to read and to check."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from longshore.api.operations import Call, reads
from longshore.api.pages import page
from longshore.domain.audit import Record
from longshore.store import audit

#: Records given at once: whoever checks the chain reads them all.
_PAGE = 1000
_FILTERS = ("startTime", "endTime", "principal", "operation", "outcome", "resource")


@reads("ListAuditRecords")
def list_audit_records(call: Call, asked: dict[str, Any]) -> Any:
    """The account's records of all regions, oldest first, and where its chain ends."""
    end = audit.head(call.tx, call.scope.account)
    filters = [asked.get(name) for name in _FILTERS]
    records, following = page(
        replace(call, limits=replace(call.limits, page=_PAGE)),
        ["ListAuditRecords", *filters],
        asked.get("nextToken"),
        lambda after, limit: audit.page(
            call.tx,
            call.scope.account,
            after=int(after[0]) if after else 0,
            limit=limit,
            since=asked.get("startTime"),
            until=asked.get("endTime"),
            principal=asked.get("principal"),
            operation=asked.get("operation"),
            outcome=asked.get("outcome"),
            resource=asked.get("resource"),
        ),
        lambda record: [record.sequence],
    )
    reply = {"records": [_shown(one) for one in records], "head": {"sequence": end.sequence, "hash": end.hash}}
    return reply | ({"nextToken": following} if following else {})


def _shown(record: Record) -> dict[str, Any]:
    entry = record.entry
    members = {
        "sequence": record.sequence,
        "time": entry.time,
        "outcome": entry.outcome.value,
        "count": entry.count,
        "account": entry.account,
        "region": entry.region,
        "principalArn": entry.principal_arn,
        "accessKeyId": entry.access_key_id,
        "source": entry.source,
        "requestId": entry.request_id,
        "service": entry.service,
        "operation": entry.operation,
        "errorCode": entry.error_code,
        "resources": [{"name": name, "value": value} for name, value in entry.resources],
        "previousHash": record.previous_hash,
        "hash": record.hash,
    }
    return {name: value for name, value in members.items() if value is not None}
