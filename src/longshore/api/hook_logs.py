"""What the scripts of a deployment say, for whoever may look at its targets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from longshore.api.existing import existing_deployment
from longshore.api.operations import Call, reads
from longshore.api.pages import page_to_follow
from longshore.store import hook_logs
from longshore.store.hook_logs import Chunk

#: Entries given at once: 4 MB, should each be as long as it may.
_PAGE = 64


@reads("GetHookLog")
def get_hook_log(call: Call, asked: dict[str, Any]) -> Any:
    """What was said so far, oldest first; the token is for what will be said next."""
    deployment = existing_deployment(call, asked["deploymentId"])
    target_id, event = asked.get("targetId"), asked.get("lifecycleEventName")
    shown, following = page_to_follow(
        replace(call, limits=replace(call.limits, page=_PAGE)),
        ("GetHookLog", deployment.id, target_id, event),
        asked.get("nextToken"),
        lambda after, limit: hook_logs.page(
            call.tx, deployment.id, after=int(after[0]) if after else 0, limit=limit, target_id=target_id, event=event
        ),
        lambda row: [row[0]],
    )
    return {"entries": [_entry(chunk) for _, chunk in shown], "nextForwardToken": following}


def _entry(chunk: Chunk) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "targetId": chunk.target_id,
        "lifecycleEventName": chunk.event,
        "time": chunk.time,
        "text": chunk.text,
    }
    if chunk.dropped_lines:
        entry["droppedLines"] = chunk.dropped_lines
    return entry
