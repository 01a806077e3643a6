"""Operations on what other services connect to CodeDeploy: GitHub accounts, and CloudFormation's external ids.

Neither can be connected by any operation of the API: AWS's own console and CloudFormation do it from inside. So there
is never one here, and the operations answer as CodeDeploy does in an account that has none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn, cast

from longshore.api.operations import Call, reads, writes
from longshore.api.pages import page_of_names
from longshore.wire.service import AwsError

if TYPE_CHECKING:
    from mypy_boto3_codedeploy import type_defs as t


@reads("ListGitHubAccountTokenNames")
def list_github_account_token_names(
    call: Call, asked: t.ListGitHubAccountTokenNamesInputTypeDef
) -> t.ListGitHubAccountTokenNamesOutputTypeDef:
    names, token = page_of_names(
        call, ["ListGitHubAccountTokenNames"], asked.get("nextToken"), lambda _after, _count: []
    )
    return cast("t.ListGitHubAccountTokenNamesOutputTypeDef", {"tokenNameList": names, "nextToken": token})


@writes("DeleteGitHubAccountToken")
def delete_github_account_token(_call: Call, asked: t.DeleteGitHubAccountTokenInputTypeDef) -> NoReturn:
    raise AwsError(
        "GitHubAccountTokenDoesNotExistException",
        f"No connection to a GitHub account is named {asked['tokenName']}: this server keeps none.",
    )


@writes("DeleteResourcesByExternalId")
def delete_resources_by_external_id(
    _call: Call, _asked: t.DeleteResourcesByExternalIdInputTypeDef
) -> Mapping[str, Any]:
    """Nothing here carries an external id, so nothing is deleted (S12.47)."""
    return {}
