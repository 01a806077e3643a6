"""What is published, read from a Publish or an entry of a batch. Pure."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from longshore.onebox.services.sns import errors

_LONGEST_MESSAGE = 256 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """What is published."""

    id: str
    subject: str | None
    #: By protocol; "default" for all others.
    texts: Mapping[str, str]
    #: Of the API: DataType and StringValue, by name.
    attributes: Mapping[str, Mapping[str, Any]]


def message_of(given: Mapping[str, Any]) -> Message:
    """What a Publish, or an entry of a batch, says. Raises AwsError."""
    text, subject = given["Message"], given.get("Subject")
    if not text:
        raise errors.invalid("The Message must not be empty.")
    if len(text.encode()) > _LONGEST_MESSAGE:
        raise errors.invalid(f"The Message must not have more than {_LONGEST_MESSAGE} bytes.")
    if subject is not None and (not 0 < len(subject) <= 100 or not all(" " <= one <= "~" for one in subject)):
        raise errors.invalid("A Subject is one line of ASCII, at most 100 characters.")
    if given.get("MessageDeduplicationId") or given.get("MessageGroupId"):
        raise errors.invalid("Groups and deduplication are for FIFO topics, which are not supported by this server.")
    texts = {"default": text}
    if structure := given.get("MessageStructure"):
        if structure != "json":
            raise errors.invalid("MessageStructure can only be json.")
        try:
            texts = json.loads(text)
        except ValueError:
            raise errors.invalid("With the MessageStructure json, the Message must be JSON.") from None
        if not isinstance(texts, dict) or not isinstance(texts.get("default"), str):
            raise errors.invalid("With the MessageStructure json, the Message must have a text named default.")
        texts = {name: one for name, one in texts.items() if isinstance(one, str)}
    attributes = given.get("MessageAttributes") or {}
    for name, one in attributes.items():
        if "BinaryValue" in one:
            raise errors.invalid(f"The attribute {name} is binary, which this server does not deliver.")
        if one["DataType"].partition(".")[0] == "Number" and not re.fullmatch(
            r"-?\d{1,38}(\.\d{1,38})?([eE][+-]?\d{1,3})?", one.get("StringValue", "")
        ):
            raise errors.invalid(f"The attribute {name} is no number.")
    return Message(id=str(uuid.uuid4()), subject=subject, texts=texts, attributes=attributes)
