"""CodeDeploy's permissions (server.md S0.8, S1.8, and the service authorization reference).

The action is the operation's name. What is about a deployment is about its group, also where the reference knows no
resource (StopDeployment, ContinueDeployment, the targets): a policy for all of them is the same, and one for a single
group can say what it means. Resources are written as the part of the ARN that follows the account.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from longshore.auth.permissions.needs import Asked, Find, Need, Resource, Table, everything, named, plain

_DEFAULT_CONFIG = "CodeDeployDefault.OneAtATime"


def _arn(asked: Asked, rest: str) -> str:
    return f"arn:aws:codedeploy:{asked.region}:{asked.account}:{rest}"


def _of(kind: str, member: str) -> Find:
    return lambda asked: plain(_arn(asked, f"{kind}{name}") for name in named(asked, member))


def _application(member: str = "applicationName") -> Find:
    return _of("application:", member)


def _config(member: str = "deploymentConfigName") -> Find:
    return _of("deploymentconfig:", member)


def _instance(member: str) -> Find:
    return _of("instance/", member)


def _group(member: str = "deploymentGroupName") -> Find:
    def find(asked: Asked) -> list[Resource]:
        application = named(asked, "applicationName")[0]
        return plain(_arn(asked, f"deploymentgroup:{application}/{name}") for name in named(asked, member))

    return find


def _group_of(member: str) -> Find:
    """The groups of deployments. What these are is not shown: a caller who may not see them knows their ids alone."""

    def find(asked: Asked) -> list[Resource]:
        shown = _arn(asked, "deploymentgroup:*")
        ids = [one for one in named(asked, member) if one != "*"]
        known = asked.rows.groups_of(ids)
        found = [Resource(_arn(asked, f"deploymentgroup:{app}/{group}"), shown) for app, group in known]
        # A deployment that is not there is answered so only to who may ask about any.
        return (
            found
            if found and len(found) == len(set(ids))
            else [*found, Resource(_arn(asked, "deploymentgroup:*/*"), shown)]
        )

    return find


def _tagged(asked: Asked) -> list[Resource]:
    # Whatever partition is written, the resource is the same; a Deny must not be got round by writing another.
    arns = [arn.split(":", 2) for arn in named(asked, "ResourceArn")]
    return plain(f"arn:aws:{parts[2]}" if len(parts) == 3 else parts[0] for parts in arns)


def _config_of_deployment(asked: Asked) -> list[Resource]:
    name = asked.input.get("deploymentConfigName")
    if not name:
        application, group = named(asked, "applicationName")[0], named(asked, "deploymentGroupName")[0]
        name = asked.rows.config_of(application, group) or _DEFAULT_CONFIG
    return plain([_arn(asked, f"deploymentconfig:{name}")])


def _if(member: str, find: Find) -> Find:
    """Only when this member is given."""
    return lambda asked: find(asked) if asked.input.get(member) else []


def _also(find: Find, *actions: str) -> Callable[[str], Need]:
    """A permission for other operations besides."""
    return lambda operation: _need(find, *(actions or (operation,)))


def _need(find: Find, *actions: str) -> Need:
    return Need(actions=tuple(f"codedeploy:{action}" for action in actions), find=find)


def _passing_a_role(_operation: str) -> Need:
    """Who has CodeDeploy act as a role must be one who may: it would do for him what he may not do himself."""
    return Need(
        actions=("iam:PassRole",), find=_if("serviceRoleArn", lambda asked: plain(named(asked, "serviceRoleArn")))
    )


#: Operation → what it is done to; then what else it needs.
_NEEDS: Final[Mapping[str, Find | tuple[Find, *tuple[Callable[[str], Need], ...]]]] = {
    # Applications and their revisions.
    "CreateApplication": _application(),
    "GetApplication": _application(),
    "BatchGetApplications": _application("applicationNames"),
    "ListApplications": everything,
    "UpdateApplication": (_application(), _also(_if("newApplicationName", _application("newApplicationName")))),
    "DeleteApplication": _application(),
    "RegisterApplicationRevision": _application(),
    "GetApplicationRevision": _application(),
    "BatchGetApplicationRevisions": _application(),
    "ListApplicationRevisions": _application(),
    # Deployment configs.
    "CreateDeploymentConfig": _config(),
    "GetDeploymentConfig": _config(),
    "ListDeploymentConfigs": everything,
    "DeleteDeploymentConfig": _config(),
    # Deployment groups.
    "CreateDeploymentGroup": (_group(), _passing_a_role),
    "GetDeploymentGroup": _group(),
    "BatchGetDeploymentGroups": _group("deploymentGroupNames"),
    "ListDeploymentGroups": _application(),
    "UpdateDeploymentGroup": (
        _group("currentDeploymentGroupName"),
        _also(_if("newDeploymentGroupName", _group("newDeploymentGroupName"))),
        _passing_a_role,
    ),
    "DeleteDeploymentGroup": _group(),
    # Deployments.
    "CreateDeployment": (
        _group(),
        _also(_config_of_deployment, "GetDeploymentConfig"),
        _also(_application(), "GetApplicationRevision", "RegisterApplicationRevision"),
        _also(_if("overrideAlarmConfiguration", _group()), "UpdateDeploymentGroup"),
    ),
    "GetDeployment": _group_of("deploymentId"),
    "BatchGetDeployments": _group_of("deploymentIds"),
    "ListDeployments": _group(),
    "ContinueDeployment": _group_of("deploymentId"),
    "StopDeployment": _group_of("deploymentId"),
    "SkipWaitTimeForInstanceTermination": _group_of("deploymentId"),
    "PutLifecycleEventHookExecutionStatus": everything,
    # Their targets.
    "GetDeploymentTarget": _group_of("deploymentId"),
    "BatchGetDeploymentTargets": _group_of("deploymentId"),
    "ListDeploymentTargets": _group_of("deploymentId"),
    "GetDeploymentInstance": _group_of("deploymentId"),
    "BatchGetDeploymentInstances": _group_of("deploymentId"),
    "ListDeploymentInstances": _group_of("deploymentId"),
    # On-premises instances.
    "RegisterOnPremisesInstance": _instance("instanceName"),
    "DeregisterOnPremisesInstance": _instance("instanceName"),
    "GetOnPremisesInstance": _instance("instanceName"),
    "BatchGetOnPremisesInstances": _instance("instanceNames"),
    "ListOnPremisesInstances": everything,
    "AddTagsToOnPremisesInstances": _instance("instanceNames"),
    "RemoveTagsFromOnPremisesInstances": _instance("instanceNames"),
    # Tags of applications and groups, and the rest.
    "TagResource": _tagged,
    "UntagResource": _tagged,
    "ListTagsForResource": _tagged,
    "ListGitHubAccountTokenNames": everything,
    "DeleteGitHubAccountToken": everything,
    "DeleteResourcesByExternalId": everything,
}


def _row(operation: str, needs: Find | tuple[Find, *tuple[Callable[[str], Need], ...]]) -> tuple[Need, ...]:
    if not isinstance(needs, tuple):
        return (_need(needs, operation),)
    first, *others = needs
    return (_need(first, operation), *(other(operation) for other in others))


CODEDEPLOY: Final[Table] = {operation: _row(operation, needs) for operation, needs in _NEEDS.items()}

#: What our own service has about deployments: a policy need not know by which door somebody comes.
OURS: Final[Table] = {
    "CreateDeployment": CODEDEPLOY["CreateDeployment"],
    "GetDeploymentParameters": CODEDEPLOY["GetDeployment"],
    # Who may know what a deployment would do is who may make it.
    "PlanDeployment": CODEDEPLOY["CreateDeployment"],
    "GetHookLog": (_need(_group_of("deploymentId"), "GetDeploymentTarget"),),
}
