"""The managed policies that can be attached: AWS's own for CodeDeploy, as far as they are about it.

https://docs.aws.amazon.com/codedeploy/latest/userguide/managed-policies.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from longshore.auth.policy_document import Policy, identity_policy

_PREFIX: Final = "arn:aws:iam::aws:policy/"


@dataclass(frozen=True, kw_only=True, slots=True)
class ManagedPolicy:
    """A policy that nobody here can change."""

    name: str
    policy_id: str
    description: str
    document: str

    @property
    def arn(self) -> str:
        return _PREFIX + self.name

    @property
    def policy(self) -> Policy:
        return identity_policy(self.document)


def _managed(name: str, policy_id: str, description: str, *actions: str) -> ManagedPolicy:
    statement = {"Effect": "Allow", "Action": [f"codedeploy:{action}" for action in actions], "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    return ManagedPolicy(name=name, policy_id=policy_id, description=description, document=document)


MANAGED_POLICIES: Final = (
    _managed(
        "AWSCodeDeployDeployerAccess",
        "ANPAJUWEPOMGLMVXJAPUI",
        "Provides access to register and deploy a revision.",
        "Batch*",
        "CreateDeployment",
        "Get*",
        "List*",
        "RegisterApplicationRevision",
    ),
    _managed("AWSCodeDeployFullAccess", "ANPAIONKN3TJZUKXCHXWC", "Provides full access to CodeDeploy.", "*"),
    _managed(
        "AWSCodeDeployReadOnlyAccess",
        "ANPAILZHHKCKB4NE7XOIQ",
        "Provides read only access to CodeDeploy.",
        "Batch*",
        "Get*",
        "List*",
    ),
)

_BY_NAME: Final[Mapping[str, ManagedPolicy]] = {
    name: policy for policy in MANAGED_POLICIES for name in (policy.name, policy.name.removeprefix("AWS"))
}


def managed_policy(named: str) -> ManagedPolicy | None:
    """The policy of this ARN or name, with or without AWS's prefix: ``CodeDeployFullAccess`` is enough."""
    return _BY_NAME.get(named.removeprefix(_PREFIX))
