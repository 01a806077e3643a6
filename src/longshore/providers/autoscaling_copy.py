"""A copy of an Auto Scaling group: where a blue/green deployment's replacements come from (server.md S7.12, S7.13)."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from longshore.providers.ports import Access, NoAutoScalingGroupError, PermanentError
from longshore.providers.service_roles import RefusedError, ServiceRoles, UnreadableError

#: How the hooks begin that CodeDeploy makes: they are a deployment group's, not the Auto Scaling group's (S9.1).
MANAGED_HOOK = "CodeDeploy-managed-"
#: What a description has and CreateAutoScalingGroup takes, spelled alike.
_KEPT = (
    "AvailabilityZoneDistribution",
    "AvailabilityZoneImpairmentPolicy",
    "CapacityRebalance",
    "CapacityReservationSpecification",
    "Context",
    "DefaultCooldown",
    "DefaultInstanceWarmup",
    "DesiredCapacityType",
    "HealthCheckGracePeriod",
    "HealthCheckType",
    "InstanceMaintenancePolicy",
    "LaunchConfigurationName",
    "LoadBalancerNames",
    "MaxInstanceLifetime",
    "NewInstancesProtectedFromScaleIn",
    "PlacementGroup",
    "ServiceLinkedRoleARN",
    "TargetGroupARNs",
    "TerminationPolicies",
)
_POLICY = (
    "AdjustmentType",
    "Cooldown",
    "Enabled",
    "EstimatedInstanceWarmup",
    "MetricAggregationType",
    "MinAdjustmentMagnitude",
    "MinAdjustmentStep",
    "PolicyName",
    "PolicyType",
    "PredictiveScalingConfiguration",
    "ScalingAdjustment",
    "StepAdjustments",
    "TargetTrackingConfiguration",
)
_SCHEDULE = (
    "DesiredCapacity",
    "EndTime",
    "MaxSize",
    "MinSize",
    "Recurrence",
    "ScheduledActionName",
    "StartTime",
    "TimeZone",
)
_HOOK = (
    "DefaultResult",
    "HeartbeatTimeout",
    "LifecycleHookName",
    "LifecycleTransition",
    "NotificationMetadata",
    "NotificationTargetARN",
    "RoleARN",
)


class AutoScalingCopy:
    """Makes a group like another, step by step; each step may be done again."""

    def __init__(self, roles: ServiceRoles) -> None:
        self._roles = roles

    def make(self, access: Access, original: str, name: str, tags: Mapping[str, str]) -> None:
        """The group itself, without instances."""
        described = self._described(access, original)
        if described is None:
            raise NoAutoScalingGroupError(f"there is no Auto Scaling group {original}")
        made = self._described(access, name)
        if made is None:
            self._call(access, "create_auto_scaling_group", **_blueprint(described, name, tags))
            return
        its_own = {tag["Key"]: tag.get("Value") for tag in made.get("Tags", ())}
        if any(its_own.get(key) != value for key, value in tags.items()):
            raise PermanentError(f"the Auto Scaling group {name} is there already, and this deployment did not make it")

    def furnish(self, access: Access, original: str, name: str) -> None:
        """What a group has beside itself: hooks, metrics, policies, schedules, notifications."""
        group = {"AutoScalingGroupName": name}
        for hook in self._list(access, "describe_lifecycle_hooks", "LifecycleHooks", AutoScalingGroupName=original):
            if not hook["LifecycleHookName"].startswith(MANAGED_HOOK):
                self._call(access, "put_lifecycle_hook", **group, **_some(hook, _HOOK))
        metrics = (self._described(access, original) or {}).get("EnabledMetrics") or ()
        if metrics:
            names = [metric["Metric"] for metric in metrics]
            self._call(access, "enable_metrics_collection", **group, Metrics=names, Granularity="1Minute")
        for policy in self._list(access, "describe_policies", "ScalingPolicies", AutoScalingGroupName=original):
            self._call(access, "put_scaling_policy", **group, **_some(policy, _POLICY))
        for action in self._list(
            access, "describe_scheduled_actions", "ScheduledUpdateGroupActions", AutoScalingGroupName=original
        ):
            asked = _some(action, _SCHEDULE)
            if "StartTime" in asked and asked["StartTime"].timestamp() < time.time():
                # A start that is over is refused; what recurs needs none.
                del asked["StartTime"]
            self._call(access, "put_scheduled_update_group_action", **group, **asked)
        topics: dict[str, list[str]] = {}
        for told in self._list(
            access,
            "describe_notification_configurations",
            "NotificationConfigurations",
            AutoScalingGroupNames=[original],
        ):
            topics.setdefault(told["TopicARN"], []).append(told["NotificationType"])
        for topic, kinds in topics.items():
            self._call(
                access, "put_notification_configuration", **group, TopicARN=topic, NotificationTypes=sorted(kinds)
            )

    def _described(self, access: Access, name: str) -> Mapping[str, Any] | None:
        answer = self._call(access, "describe_auto_scaling_groups", AutoScalingGroupNames=[name])
        return next(iter(answer["AutoScalingGroups"]), None)

    def _list(self, access: Access, operation: str, member: str, **asked: Any) -> list[Mapping[str, Any]]:
        try:
            if operation == "describe_lifecycle_hooks":
                pages = iter([self._call(access, operation, **asked)])
            else:
                pages = self._roles.pages(access, "autoscaling", operation, **asked)
            return [one for page in pages for one in page[member]]
        except RefusedError as error:
            # A service that does not know of such things has none of them to copy.
            if not error.is_not_done:
                raise
            return []
        except UnreadableError:
            # So do emulators say it, and none of a furnishing is worth a deployment that never goes on.
            return []

    def _call(self, access: Access, operation: str, **asked: Any) -> Any:
        return self._roles.call(access, "autoscaling", operation, **asked)


def _blueprint(original: Mapping[str, Any], name: str, tags: Mapping[str, str]) -> dict[str, Any]:
    """CreateAutoScalingGroup's input for a group like `original`."""
    kept = _some(original, _KEPT)
    if original.get("VPCZoneIdentifier"):
        # The zones follow from the subnets.
        kept["VPCZoneIdentifier"] = original["VPCZoneIdentifier"]
    else:
        kept["AvailabilityZones"] = original["AvailabilityZones"]
    if original.get("LaunchTemplate"):
        kept["LaunchTemplate"] = _by_id(original["LaunchTemplate"])
    if original.get("MixedInstancesPolicy"):
        kept["MixedInstancesPolicy"] = _mixed(original["MixedInstancesPolicy"])
    # Load balancers and target groups are listed as traffic sources a second time.
    sources = [one for one in original.get("TrafficSources") or () if one.get("Type") == "vpc-lattice"]
    if sources:
        kept["TrafficSources"] = sources
    # Those that begin so are AWS's.
    own = [tag for tag in original.get("Tags", ()) if tag["Key"] not in tags and not tag["Key"].startswith("aws:")]
    described = [_some(tag, ("Key", "Value", "PropagateAtLaunch")) for tag in own]
    added = [{"Key": key, "Value": value, "PropagateAtLaunch": False} for key, value in tags.items()]
    return {
        **kept,
        "AutoScalingGroupName": name,
        "MinSize": 0,
        "MaxSize": 0,
        "DesiredCapacity": 0,
        "Tags": [{**tag, "ResourceId": name, "ResourceType": "auto-scaling-group"} for tag in (*described, *added)],
    }


def _mixed(policy: Mapping[str, Any]) -> dict[str, Any]:
    template = policy["LaunchTemplate"]
    overrides = [
        {**one, "LaunchTemplateSpecification": _by_id(one["LaunchTemplateSpecification"])}
        if "LaunchTemplateSpecification" in one
        else one
        for one in template.get("Overrides", ())
    ]
    specification = _by_id(template["LaunchTemplateSpecification"])
    return {**policy, "LaunchTemplate": {"LaunchTemplateSpecification": specification, "Overrides": overrides}}


def _by_id(template: Mapping[str, Any]) -> dict[str, Any]:
    """A launch template by its id alone: a description has its name too, and both are refused."""
    wanted = ("LaunchTemplateId", "Version") if template.get("LaunchTemplateId") else ("LaunchTemplateName", "Version")
    return _some(template, wanted)


def _some(described: Mapping[str, Any], members: Sequence[str]) -> dict[str, Any]:
    """These members, where they say something."""
    return {member: described[member] for member in members if described.get(member) not in (None, "", [])}
