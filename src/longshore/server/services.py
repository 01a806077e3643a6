"""The services behind the port: which operations answer for each, and by which names it is called."""

from __future__ import annotations

from longshore import models
from longshore.api import (
    access_keys,
    applications,
    audit_records,
    auto_scaling,
    connections,
    constraint_errors,
    deployment_configs,
    deployment_groups,
    deployment_parameters,
    deployment_targets,
    deployment_waits,
    deployments,
    enrollment,
    enrollment_tokens,
    github_tokens,
    hook_logs,
    hosts,
    on_premises_instances,
    plans,
    resource_tags,
    revisions,
    sts,
)
from longshore.api.iam import absent, instance_profiles, policies, roles, users
from longshore.api.iam import access_keys as iam_access_keys
from longshore.api.iam import errors as iam_errors
from longshore.api.limits import Limits
from longshore.api.operations import changes, handlers
from longshore.commands.hook_logs import HookLogs
from longshore.commands.operations import SIGNING_NAMES, Commands
from longshore.onebox.services.s3 import CHANGES as S3_CHANGES
from longshore.providers.ports import Alarms, AutoScalingGroups, Bundles, LoadBalancers, Members
from longshore.store.database import Store
from longshore.wire.constraints import explain_as
from longshore.wire.service import Service

CODEDEPLOY_OPERATIONS = (
    applications,
    deployment_configs,
    deployment_groups,
    revisions,
    deployments,
    deployment_targets,
    deployment_waits,
    on_premises_instances,
    resource_tags,
    connections,
)
IAM_OPERATIONS = (users, iam_access_keys, roles, instance_profiles, policies, absent)
STS_OPERATIONS = (sts,)
LONGSHORE_OPERATIONS = (
    access_keys,
    audit_records,
    deployment_parameters,
    enrollment_tokens,
    enrollment,
    github_tokens,
    hook_logs,
    hosts,
    plans,
)

#: Operations that may change something: each call of one is audited.
CHANGES = changes([*CODEDEPLOY_OPERATIONS, *IAM_OPERATIONS, *STS_OPERATIONS, *LONGSHORE_OPERATIONS]) | S3_CHANGES
#: Answered late on purpose.
HELD = frozenset({"PollHostCommand"})


def codedeploy_service(store: Store, limits: Limits, page_secret: bytes, scaling: AutoScalingGroups) -> Service:
    api = handlers(store, CODEDEPLOY_OPERATIONS, limits=limits, page_secret=page_secret)
    return Service(
        model=models.load("codedeploy"),
        handlers={**api, **auto_scaling.hooking(api, store, scaling)},
        explain=constraint_errors.explain,
        signing_names=frozenset({"codedeploy"}),
        target_prefixes=frozenset({"CodeDeploy_20141006"}),
        overlay=constraint_errors.overlay(limits),
    )


def codedeploy_commands_service(commands: Commands) -> Service:
    return Service(
        model=models.load("codedeploy-commands"),
        handlers=commands.handlers(),
        explain=explain_as("ClientException"),
        signing_names=SIGNING_NAMES,
        # The second is what agents with `enable_auth_policy` say (agent.md 1.1.3).
        target_prefixes=frozenset({"CodeDeployCommandService_v20141006", "CodeDeployCommandService"}),
        waits=HELD,
        # A completion is never refused, for what a script said or for what it is a completion of (agent.md 13.6);
        # neither is stored as it is.
        overlay={"Payload": {"pattern": ""}, "HostCommandIdentifier": {"pattern": ""}},
    )


def longshore_service(
    store: Store,
    limits: Limits,
    page_secret: bytes,
    logs: HookLogs,
    bundles: Bundles,
    members: Members,
    balancers: LoadBalancers,
    alarms: Alarms,
) -> Service:
    api = handlers(store, LONGSHORE_OPERATIONS, limits=limits, page_secret=page_secret)
    planned = plans.examining(api["PlanDeployment"], bundles, members, balancers, alarms)
    return Service(
        model=models.load("longshore"),
        handlers={**api, **logs.handlers(), "PlanDeployment": planned},
        explain=explain_as("InvalidInputException"),
        signing_names=frozenset({"longshore"}),
        target_prefixes=frozenset({"Longshore_20261123"}),
        overlay={
            # What scripts say is taken whatever they say.
            "HookLogText": {"pattern": ""},
            "HostTagKey": {"min": 1, "max": limits.tag_key_length},
            "HostTagValue": {"max": limits.tag_value_length},
            **constraint_errors.lengths(limits),
        },
    )


def iam_service(store: Store, limits: Limits, page_secret: bytes) -> Service:
    return Service(
        model=models.load("iam"),
        handlers=handlers(store, IAM_OPERATIONS, limits=limits, page_secret=page_secret),
        explain=iam_errors.explain,
        signing_names=frozenset({"iam"}),
        target_prefixes=frozenset(),
    )


def sts_service(store: Store, limits: Limits, page_secret: bytes) -> Service:
    return Service(
        model=models.load("sts"),
        handlers=handlers(store, STS_OPERATIONS, limits=limits, page_secret=page_secret),
        explain=iam_errors.explain,
        signing_names=frozenset({"sts"}),
        target_prefixes=frozenset(),
    )
