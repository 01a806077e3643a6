"""Operations on what other services connect to CodeDeploy: GitHub accounts, and CloudFormation's external ids.

No operation of CodeDeploy's API stores the token of a GitHub account: AWS's console does it from inside. Ours is
`github_tokens.py`. External ids are given by CloudFormation alone, so there is never one here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from longshore.api.operations import Call, reads, writes
from longshore.api.pages import page_of_names
from longshore.store import github_tokens
from longshore.wire.service import AwsError

if TYPE_CHECKING:
    from mypy_boto3_codedeploy import type_defs as t


@reads("ListGitHubAccountTokenNames")
def list_github_account_token_names(
    call: Call, asked: t.ListGitHubAccountTokenNamesInputTypeDef
) -> t.ListGitHubAccountTokenNamesOutputTypeDef:
    names, token = page_of_names(
        call,
        ["ListGitHubAccountTokenNames"],
        asked.get("nextToken"),
        lambda after, count: github_tokens.names(call.tx, call.scope, after=after, count=count),
    )
    return cast("t.ListGitHubAccountTokenNamesOutputTypeDef", {"tokenNameList": names, "nextToken": token})


@writes("DeleteGitHubAccountToken")
def delete_github_account_token(
    call: Call, asked: t.DeleteGitHubAccountTokenInputTypeDef
) -> t.DeleteGitHubAccountTokenOutputTypeDef:
    """Forget a token; applications that used it read public repositories alone from then on."""
    name = asked["tokenName"]
    if not github_tokens.exists(call.tx, call.scope, name):
        raise AwsError(
            "GitHubAccountTokenDoesNotExistException",
            f"No connection to a GitHub account is named {name}. aws deploy list-git-hub-account-token-names shows "
            "those that there are.",
        )
    github_tokens.remove(call.tx, call.scope, name)
    return cast("t.DeleteGitHubAccountTokenOutputTypeDef", {"tokenName": name})


@writes("DeleteResourcesByExternalId")
def delete_resources_by_external_id(
    _call: Call, _asked: t.DeleteResourcesByExternalIdInputTypeDef
) -> Mapping[str, Any]:
    """Nothing here carries an external id, so nothing is deleted (S12.47)."""
    return {}
