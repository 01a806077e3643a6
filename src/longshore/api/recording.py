"""What the audit says of a call."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from longshore.domain.audit import Entry, Outcome, resources_in, to_the_millisecond
from longshore.wire.service import Answered, Call

#: How the ids of access keys look: what a caller who is not verified claims is kept only if it cannot be a secret.
_ACCESS_KEY_ID = re.compile(r"Credential=((?:AKIA|ASIA|LSET)[A-Z2-7]{16})/")


def success(call: Call, asked: Mapping[str, Any], reply: Mapping[str, Any] | None) -> Entry:
    """A call that did what it was asked."""
    return Entry(
        account=call.caller.account,
        time=to_the_millisecond(call.now),
        outcome=Outcome.SUCCEEDED,
        region=call.caller.region,
        principal_arn=call.caller.arn,
        access_key_id=call.caller.access_key_id,
        source=call.source or None,
        request_id=call.request_id,
        service=call.service,
        operation=call.operation,
        resources=resources_in(asked, reply),
    )


def change(done: Answered) -> Entry:
    """A call that did what it was asked, of a service whose rows are elsewhere."""
    assert done.caller is not None  # nobody changes anything unsigned
    return Entry(
        account=done.caller.account,
        time=to_the_millisecond(done.now),
        outcome=Outcome.SUCCEEDED,
        region=done.caller.region or None,
        principal_arn=done.caller.arn,
        access_key_id=done.caller.access_key_id,
        source=done.source or None,
        request_id=done.request_id,
        service=done.service,
        operation=done.operation,
        resources=resources_in(done.given, done.output),
    )


def refusal(refused: Answered, account: str) -> Entry:
    """A call that was answered with an error; `account` is whose it is where nobody was identified."""
    caller = refused.caller
    claimed = _ACCESS_KEY_ID.search(refused.headers.get("authorization", ""))
    return Entry(
        account=caller.account if caller else account,
        time=to_the_millisecond(refused.now),
        outcome=Outcome.FAILED if refused.status >= 500 else Outcome.REFUSED,
        region=(caller.region or None) if caller else None,
        principal_arn=caller.arn if caller else None,
        access_key_id=caller.access_key_id if caller else claimed and claimed[1],
        source=refused.source or None,
        request_id=refused.request_id,
        service=refused.service or None,
        operation=refused.operation or None,
        error_code=refused.code,
        resources=resources_in(refused.given),
    )
