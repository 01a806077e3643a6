"""One page of a list, and the token for the next (server.md S12.0a)."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TypeVar

from longshore.api.operations import Call
from longshore.wire.pagination import Position, open_token, seal
from longshore.wire.service import AwsError

#: How long a page's token is good for, seconds: a list is read in one go, and a token found in a log is of no use.
TOKEN_LIFETIME = 24 * 3600

Row = TypeVar("Row")


def page(
    call: Call,
    query: Sequence[object],
    token: str | None,
    read: Callable[[Position | None, int], list[Row]],
    position: Callable[[Row], Position],
) -> tuple[list[Row], str | None]:
    """The rows of the page that `token` asks for, and the token of the next page if there is one.

    `query` is the operation and whatever it was asked to filter and sort by: a token is good for no other query, in no
    other account or region, and not for ever.
    `read` gets the position after which to start and how many rows to give; `position` is where a row stands.
    """
    rows = read(_position(call, query, token), call.limits.page + 1)
    if len(rows) <= call.limits.page:
        return rows, None
    shown = rows[: call.limits.page]
    return shown, _token(call, query, position(shown[-1]))


def page_to_follow(
    call: Call,
    query: Sequence[object],
    token: str | None,
    read: Callable[[Position | None, int], list[Row]],
    position: Callable[[Row], Position],
) -> tuple[list[Row], str]:
    """`page`, of a list that grows while it is read: there is always a token for what comes after."""
    start = _position(call, query, token)
    rows = read(start, call.limits.page)
    end = position(rows[-1]) if rows else start or []
    return rows, _token(call, query, end)


def page_of_names(
    call: Call, query: Sequence[object], token: str | None, read: Callable[[str | None, int], list[str]]
) -> tuple[list[str], str | None]:
    """`page`, of a list of names in their own order."""

    def read_names(after: Position | None, count: int) -> list[str]:
        return read(None if after is None else str(after[0]), count)

    return page(call, query, token, read_names, lambda name: [name])


def _sealed_for(call: Call, query: Sequence[object]) -> str:
    return json.dumps([call.scope.account, call.scope.region, *query])


def _token(call: Call, query: Sequence[object], position: Position) -> str:
    return seal(call.page_secret, _sealed_for(call, query), [call.now + TOKEN_LIFETIME, *position])


def _position(call: Call, query: Sequence[object], token: str | None) -> Position | None:
    if token is None:
        return None
    try:
        expires, *position = open_token(call.page_secret, _sealed_for(call, query), token)
    except ValueError:
        raise AwsError(
            "InvalidNextTokenException",
            "The next token is not one that this list was answered with. Repeat the first call's filters with the"
            " token, or start again without one.",
        ) from None
    if not isinstance(expires, int | float) or expires < call.now:
        raise AwsError(
            "InvalidNextTokenException",
            f"The next token has expired: it is good for {TOKEN_LIFETIME // 3600} hours. Start again without one.",
        )
    return position
