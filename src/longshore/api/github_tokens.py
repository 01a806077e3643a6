"""The operation of our own service model that stores what CodeDeploy's API can only list and delete."""

from __future__ import annotations

import re
from typing import Any

from longshore.api.existing import existing_application
from longshore.api.operations import Call, writes
from longshore.store import github_tokens
from longshore.wire.service import AwsError

_TOKEN = re.compile(r"[!-~]{8,2048}")


@writes("PutGitHubAccountToken")
def put_github_account_token(call: Call, asked: dict[str, Any]) -> dict[str, Any]:
    """Keep a token of GitHub, and have these applications use it; it can be replaced and deleted, and never read."""
    name = asked["tokenName"]
    if not _TOKEN.fullmatch(asked["token"]):
        raise AwsError("InvalidInputException", "A token is of 8 to 2048 visible ASCII characters, without spaces.")
    is_new = not github_tokens.exists(call.tx, call.scope, name)
    if is_new and github_tokens.number(call.tx, call.scope) >= call.limits.github_tokens:
        raise AwsError(
            "LimitExceededException", f"The account has {call.limits.github_tokens} tokens already; delete one first."
        )
    using = [existing_application(call, one) for one in asked.get("applicationNames", [])]
    github_tokens.put(call.tx, call.scope, name, asked["token"], now=call.now)
    for application in using:
        github_tokens.link(call.tx, application.id, name)
    return {"tokenName": name}
