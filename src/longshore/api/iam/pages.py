"""IAM's pages: Marker and MaxItems (https://docs.aws.amazon.com/IAM/latest/APIReference/API_ListUsers.html)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from longshore.api.iam.errors import validation_error
from longshore.api.operations import Call
from longshore.wire.pagination import open_token, seal

Row = TypeVar("Row")

_PAGE = 100


def page(
    call: Call,
    operation: str,
    asked: Mapping[str, Any],
    read: Callable[[str | None, int], list[Row]],
    position: Callable[[Row], str],
) -> tuple[list[Row], dict[str, Any]]:
    """The rows of the page that was asked for, and the members that say whether more follow.

    `read` gives at most so many rows after a position; `position` is where a row stands.
    """
    filters = {name: value for name, value in sorted(asked.items()) if name not in ("Marker", "MaxItems")}
    sealed_for = json.dumps(["iam", operation, call.scope.account, filters])
    after = None
    if "Marker" in asked:
        try:
            after = str(open_token(call.page_secret, sealed_for, asked["Marker"])[0])
        except ValueError:
            raise validation_error(
                "Invalid Marker: give the Marker of the page before, and the same filters with it."
            ) from None
    most = asked.get("MaxItems", _PAGE)
    rows = read(after, most + 1)
    if len(rows) <= most:
        return rows, {"IsTruncated": False}
    shown = rows[:most]
    return shown, {"IsTruncated": True, "Marker": seal(call.page_secret, sealed_for, [position(shown[-1])])}


def page_of(
    call: Call, operation: str, asked: Mapping[str, Any], rows: list[Row], position: Callable[[Row], str]
) -> tuple[list[Row], dict[str, Any]]:
    """`page`, of a list that is short and at hand, sorted by its positions."""
    return page(
        call,
        operation,
        asked,
        lambda after, count: [row for row in rows if after is None or position(row) > after][:count],
        position,
    )
