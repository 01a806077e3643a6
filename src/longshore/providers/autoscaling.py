"""Auto Scaling groups (`ports.AutoScalingGroups`)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from longshore.domain.auto_scaling import AutoScalingGroup, HookResult, LifecycleHook, Member, Transition
from longshore.providers.autoscaling_copy import AutoScalingCopy
from longshore.providers.ports import Access, NoAutoScalingGroupError, TransientError
from longshore.providers.service_roles import RefusedError, ServiceRoles

#: Groups named in one call.
_AT_ONCE = 50


class Ec2AutoScaling:
    """Auto Scaling, or what speaks its API."""

    def __init__(self, roles: ServiceRoles) -> None:
        self._roles = roles
        self._copy = AutoScalingCopy(roles)

    def describe(self, access: Access, names: Collection[str]) -> Mapping[str, AutoScalingGroup]:
        """See `ports.AutoScalingGroups`."""
        every = sorted(set(names))
        return {
            one["AutoScalingGroupName"]: _group(one)
            for start in range(0, len(every), _AT_ONCE)
            for page in self._roles.pages(
                access,
                "autoscaling",
                "describe_auto_scaling_groups",
                AutoScalingGroupNames=every[start : start + _AT_ONCE],
            )
            for one in page["AutoScalingGroups"]
        }

    def hooks(self, access: Access, group: str) -> list[LifecycleHook]:
        """See `ports.AutoScalingGroups`."""
        answer = self._call(access, "describe_lifecycle_hooks", AutoScalingGroupName=group)
        return sorted(map(_hook, answer["LifecycleHooks"]), key=lambda hook: hook.name)

    def put_hook(self, access: Access, group: str, hook: LifecycleHook) -> None:
        """See `ports.AutoScalingGroups`."""
        self._call(
            access,
            "put_lifecycle_hook",
            AutoScalingGroupName=group,
            LifecycleHookName=hook.name,
            LifecycleTransition=hook.transition.value,
            HeartbeatTimeout=hook.heartbeat_timeout,
            DefaultResult=hook.default_result.value,
        )

    def delete_hook(self, access: Access, group: str, name: str) -> None:
        """See `ports.AutoScalingGroups`."""
        self._is_done(access, "delete_lifecycle_hook", AutoScalingGroupName=group, LifecycleHookName=name)

    def heartbeat(self, access: Access, group: str, hook: str, instance_id: str) -> bool:
        """See `ports.AutoScalingGroups`."""
        return self._is_done(
            access,
            "record_lifecycle_action_heartbeat",
            AutoScalingGroupName=group,
            LifecycleHookName=hook,
            InstanceId=instance_id,
        )

    def complete(self, access: Access, group: str, hook: str, instance_id: str, result: HookResult) -> bool:
        """See `ports.AutoScalingGroups`."""
        return self._is_done(
            access,
            "complete_lifecycle_action",
            AutoScalingGroupName=group,
            LifecycleHookName=hook,
            InstanceId=instance_id,
            LifecycleActionResult=result.value,
        )

    def suspend(self, access: Access, group: str, processes: Sequence[str]) -> None:
        """See `ports.AutoScalingGroups`."""
        # None named would mean all of them.
        if processes:
            self._call(access, "suspend_processes", AutoScalingGroupName=group, ScalingProcesses=list(processes))

    def resume(self, access: Access, group: str, processes: Sequence[str]) -> None:
        """See `ports.AutoScalingGroups`."""
        if processes:
            self._call(access, "resume_processes", AutoScalingGroupName=group, ScalingProcesses=list(processes))

    def copy(
        self, access: Access, original: str, name: str, *, tags: Mapping[str, str], suspended: Sequence[str]
    ) -> None:
        """See `ports.AutoScalingGroups`."""
        self._copy.make(access, original, name, tags)
        # Of a group without instances nothing has run yet.
        self.suspend(access, name, suspended)
        self._copy.furnish(access, original, name)

    def resize(self, access: Access, group: str, *, min_size: int, max_size: int, desired: int) -> None:
        """See `ports.AutoScalingGroups`."""
        self._call(
            access,
            "update_auto_scaling_group",
            AutoScalingGroupName=group,
            MinSize=min_size,
            MaxSize=max_size,
            DesiredCapacity=desired,
        )

    def delete(self, access: Access, group: str) -> None:
        """See `ports.AutoScalingGroups`."""
        try:
            self._is_done(access, "delete_auto_scaling_group", AutoScalingGroupName=group, ForceDelete=True)
        except TransientError:
            # A group that goes already is refused like one that something else happens to.
            known = self.describe(access, [group]).get(group)
            if known is not None and not known.is_being_deleted:
                raise

    def _call(self, access: Access, operation: str, **asked: Any) -> Any:
        try:
            return self._roles.call(access, "autoscaling", operation, **asked)
        except RefusedError as error:
            # Auto Scaling has no error of its own for it.
            if error.reason == "ValidationError" and "not found" in str(error):
                raise NoAutoScalingGroupError(str(error)) from error
            raise

    def _is_done(self, access: Access, operation: str, **asked: Any) -> bool:
        """Call an operation whose group, hook or waiting instance may be gone already."""
        try:
            self._roles.call(access, "autoscaling", operation, **asked)
        except RefusedError as error:
            if error.reason != "ValidationError":
                raise
            return False
        return True


def _group(one: Mapping[str, Any]) -> AutoScalingGroup:
    return AutoScalingGroup(
        name=one["AutoScalingGroupName"],
        min_size=one["MinSize"],
        max_size=one["MaxSize"],
        desired=one["DesiredCapacity"],
        members=tuple(map(_member, one.get("Instances", ()))),
        suspended=frozenset(process["ProcessName"] for process in one.get("SuspendedProcesses", ())),
        target_group_arns=tuple(one.get("TargetGroupARNs", ())),
        load_balancer_names=tuple(one.get("LoadBalancerNames", ())),
        tags={tag["Key"]: tag.get("Value", "") for tag in one.get("Tags", ())},
        # `Status` is there only while it is being deleted.
        is_being_deleted=bool(one.get("Status")),
    )


def _member(one: Mapping[str, Any]) -> Member:
    return Member(
        instance_id=one["InstanceId"],
        lifecycle_state=one["LifecycleState"],
        is_healthy=one.get("HealthStatus", "Healthy").lower() == "healthy",
        zone=one.get("AvailabilityZone", ""),
    )


def _hook(one: Mapping[str, Any]) -> LifecycleHook:
    return LifecycleHook(
        name=one["LifecycleHookName"],
        transition=Transition(one["LifecycleTransition"]),
        heartbeat_timeout=one.get("HeartbeatTimeout", 3600),
        default_result=HookResult(one.get("DefaultResult", HookResult.ABANDON)),
    )
