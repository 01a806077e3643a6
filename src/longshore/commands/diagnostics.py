"""What agents say of a command, read with patience: agents are many, old and not all ours (agent.md 1.5)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from longshore.domain.deployment import ScriptCode
from longshore.domain.target import Diagnostics

#: An event without scripts (S3.7).
NOTHING_TO_RUN = Diagnostics(error_code=ScriptCode.SUCCESS, script_name="", message="Succeeded", log_tail="")

#: The agent's numbers (S3.21); 5 to 7 have no name of their own in the API.
_CODES = {
    0: ScriptCode.SUCCESS,
    1: ScriptCode.SCRIPT_MISSING,
    2: ScriptCode.SCRIPT_NOT_EXECUTABLE,
    3: ScriptCode.SCRIPT_TIMED_OUT,
    4: ScriptCode.SCRIPT_FAILED,
}
#: Longest kept of each part, characters; the API's log tail holds 4 KB (S3.20).
_LONGEST_NAME = 1024
_LONGEST_MESSAGE = 2048
_LONGEST_LOG = 4096


def is_noop(envelope: Mapping[str, Any] | None) -> bool:
    """Whether an acknowledgement says that the event has nothing to run (agent.md 1.4.3)."""
    return _payload(envelope).get("IsCommandNoop") is True


def read(status: str, envelope: Mapping[str, Any] | None) -> Diagnostics:
    """How a command ended, whatever shape the agent's words are in."""
    said = _payload(envelope)
    succeeded = status == "Succeeded"
    number = said.get("error_code")  # the official agent may also send a string (agent.md 1.5.3)
    code = _CODES.get(number, ScriptCode.UNKNOWN_ERROR) if isinstance(number, int) else ScriptCode.UNKNOWN_ERROR
    if succeeded:
        code = ScriptCode.SUCCESS
    elif code is ScriptCode.SUCCESS:
        code = ScriptCode.UNKNOWN_ERROR
    message = _text(said, "message")[:_LONGEST_MESSAGE] or ("Succeeded" if succeeded else "The agent gave no reason.")
    return Diagnostics(
        error_code=code,
        script_name=_text(said, "script_name")[:_LONGEST_NAME],
        message=message.removesuffix(": ") if succeeded else message,
        log_tail=_tail(_text(said, "log")),
    )


def _payload(envelope: Mapping[str, Any] | None) -> dict[str, Any]:
    if envelope is None:
        return {}
    try:
        said = json.loads(envelope.get("Payload") or "{}")
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _text(said: Mapping[str, Any], name: str) -> str:
    value = said.get(name)
    # A lone surrogate is legal JSON and no legal text: it could not be stored or sent on.
    return value.encode(errors="replace").decode() if isinstance(value, str) else ""


def _tail(log: str) -> str:
    return log.encode()[-_LONGEST_LOG:].decode(errors="ignore")
