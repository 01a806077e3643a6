"""The managed policies that can be attached: AWS's own for CodeDeploy, as far as they are about it.

https://docs.aws.amazon.com/codedeploy/latest/userguide/managed-policies.html
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from longshore.auth.policy_document import Policy, identity_policy

_PREFIX: Final = "arn:aws:iam::aws:policy"


@dataclass(frozen=True, kw_only=True, slots=True)
class ManagedPolicy:
    """A policy that nobody here can change."""

    name: str
    policy_id: str
    description: str
    document: str
    #: Within AWS's policies; it begins and ends with a slash.
    path: str = "/"

    @property
    def arn(self) -> str:
        return f"{_PREFIX}{self.path}{self.name}"

    @property
    def policy(self) -> Policy:
        return identity_policy(self.document)


def _managed(name: str, policy_id: str, description: str, *actions: str) -> ManagedPolicy:
    document = _allowing(f"codedeploy:{action}" for action in actions)
    return ManagedPolicy(name=name, policy_id=policy_id, description=description, document=document)


def _allowing(actions: Iterable[str]) -> str:
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


#: What CodeDeploy does by the service role of a deployment group, by service.
_OF_SERVICE_ROLE: Final = {
    "autoscaling": (
        "AttachLoadBalancerTargetGroups",
        "AttachLoadBalancers",
        "CompleteLifecycleAction",
        "CreateAutoScalingGroup",
        "CreateOrUpdateTags",
        "DeleteAutoScalingGroup",
        "DeleteLifecycleHook",
        "DescribeAutoScalingGroups",
        "DescribeLifecycleHooks",
        "DescribeNotificationConfigurations",
        "DescribePolicies",
        "DescribeScalingActivities",
        "DescribeScheduledActions",
        "EnableMetricsCollection",
        "PutLifecycleHook",
        "PutNotificationConfiguration",
        "PutScalingPolicy",
        "PutScheduledUpdateGroupAction",
        "PutWarmPool",
        "RecordLifecycleActionHeartbeat",
        "ResumeProcesses",
        "SuspendProcesses",
        "UpdateAutoScalingGroup",
    ),
    "cloudwatch": ("DescribeAlarms", "PutMetricAlarm"),
    "ec2": ("DescribeInstanceStatus", "DescribeInstances", "TerminateInstances"),
    "elasticloadbalancing": (
        "DeregisterInstancesFromLoadBalancer",
        "DeregisterTargets",
        "DescribeInstanceHealth",
        "DescribeLoadBalancerAttributes",
        "DescribeLoadBalancers",
        "DescribeTargetGroupAttributes",
        "DescribeTargetGroups",
        "DescribeTargetHealth",
        "RegisterInstancesWithLoadBalancer",
        "RegisterTargets",
    ),
    "sns": ("Publish",),
    "tag": ("GetResources",),
}


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
    ManagedPolicy(
        name="AWSCodeDeployRole",
        policy_id="ANPAJ2NKMKD73QS5NBFLA",
        description="Provides CodeDeploy service access to expand tags and interact with Auto Scaling on your behalf.",
        document=_allowing(f"{service}:{action}" for service, some in _OF_SERVICE_ROLE.items() for action in some),
        path="/service-role/",
    ),
)

_BY_ARN: Final[Mapping[str, ManagedPolicy]] = {policy.arn: policy for policy in MANAGED_POLICIES}
_BY_NAME: Final[Mapping[str, ManagedPolicy]] = {
    name: policy for policy in MANAGED_POLICIES for name in (policy.name, policy.name.removeprefix("AWS"))
}


def managed_policy(named: str) -> ManagedPolicy | None:
    """The policy of this ARN or name, with or without AWS's prefix: ``CodeDeployFullAccess`` is enough."""
    return _BY_ARN.get(named) or _BY_NAME.get(named.removeprefix(f"{_PREFIX}/"))
