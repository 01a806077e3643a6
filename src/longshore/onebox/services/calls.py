"""What operations of onebox's services have in common: whose a call is, a thread to work in, pages of a list."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from longshore.onebox.machinery.records import Owner
from longshore.wire.service import AwsError, Call, Handler

_T = TypeVar("_T")

#: An operation, as a plain function of its call and input.
Operation = Callable[[Call, dict[str, Any]], Mapping[str, Any] | None]


def in_threads(operations: Mapping[str, Operation]) -> dict[str, Handler]:
    """Handlers that work in threads, so that nobody else waits."""
    return {name: _in_thread(operation) for name, operation in operations.items()}


def _in_thread(operation: Operation) -> Handler:
    async def handler(call: Call, given: dict[str, Any]) -> Mapping[str, Any] | None:
        return await asyncio.to_thread(operation, call, given)

    return handler


def owner_of(call: Call) -> Owner:
    """Whose what a call makes is."""
    return Owner(call.caller.account, call.caller.region)


def page(found: Sequence[_T], token: str | None, size: int, *, refused: str) -> tuple[list[_T], dict[str, str]]:
    """A page of a list, and the NextToken that asks for the rest; `refused` is the code for a token of nobody's."""
    try:
        start = int(base64.urlsafe_b64decode(token)) if token else 0
    except (ValueError, binascii.Error):
        raise AwsError(refused, "The NextToken is not one that this server gave.") from None
    end = start + size
    more = {"NextToken": base64.urlsafe_b64encode(b"%d" % end).decode()} if end < len(found) else {}
    return list(found[max(start, 0) : end]), more
