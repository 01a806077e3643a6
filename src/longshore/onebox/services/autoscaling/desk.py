"""What every operation has at hand."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from longshore.onebox.machinery.records import Owner
from longshore.onebox.services.autoscaling.errors import validation_error
from longshore.onebox.services.autoscaling.ground import Balancers, Machines
from longshore.onebox.services.autoscaling.groups import Groups
from longshore.wire import pagination
from longshore.wire.service import AwsError, Call

Asked = dict[str, Any]
#: Answers one operation.
Body = Callable[["Desk", Call, Asked], Mapping[str, Any] | None]

_PAGE, _LARGEST_PAGE = 50, 100


def owner_of(call: Call) -> Owner:
    return Owner(call.caller.account, call.caller.region)


@dataclass(frozen=True, kw_only=True, slots=True)
class Desk:
    groups: Groups
    machines: Machines
    balancers: Balancers
    new_id: Callable[[], str] = field(default=lambda: str(uuid4()))
    #: Tokens of pages are good until the server stops.
    page_secret: bytes = field(default_factory=lambda: secrets.token_bytes(32))

    def page(
        self, call: Call, asked: Asked, items: Sequence[Any], *, of: str, key: Callable[[Any], str]
    ) -> tuple[list[Any], str | None]:
        """As many of `items`, which are in the order of `key`, as go into one answer, and the token of the next."""
        count = asked.get("MaxRecords", _PAGE)
        if not 1 <= count <= _LARGEST_PAGE:
            raise validation_error(f"MaxRecords is {count}; it must be from 1 to {_LARGEST_PAGE}.")
        query = f"{call.operation} {call.caller.account} {call.caller.region} {of}"
        token = asked.get("NextToken")
        if token is not None:
            try:
                (after,) = pagination.open_token(self.page_secret, query, token)
            except ValueError:
                raise AwsError("InvalidNextToken", f"The token {token[:100]!r} is invalid.") from None
            items = [item for item in items if key(item) > str(after)]
        shown = list(items[:count])
        more = len(items) > count
        return shown, pagination.seal(self.page_secret, query, [key(shown[-1])]) if more else None
