"""Auto Scaling groups: who is in them, their hooks and processes, a copy of one."""

from __future__ import annotations

import pytest

from longshore.domain.auto_scaling import HookResult, LifecycleHook, Transition
from longshore.providers.autoscaling import Ec2AutoScaling
from longshore.providers.ports import NotThereError, PermanentError
from tests.acceptance.world import wait_until
from tests.contract.providers.places import REGION, Place

everywhere = pytest.mark.parametrize("place", ["moto", "onebox"], indirect=True)
#: moto's hooks hold nobody up.
onebox = pytest.mark.parametrize("place", ["onebox"], indirect=True)

HOOK = LifecycleHook(
    name="CodeDeploy-managed-automatic-launch-deployment-hook-web-1",
    transition=Transition.LAUNCHING,
    heartbeat_timeout=600,
    default_result=HookResult.ABANDON,
)


def make(place: Place, name: str, size: int) -> None:
    """A group of a launch template."""
    template = {"ImageId": place.image, "InstanceType": "t3.micro"}
    place.owner("ec2").create_launch_template(LaunchTemplateName=name, LaunchTemplateData=template)
    place.owner("autoscaling").create_auto_scaling_group(
        AutoScalingGroupName=name,
        LaunchTemplate={"LaunchTemplateName": name, "Version": "$Latest"},
        MinSize=size,
        MaxSize=size + 1,
        DesiredCapacity=size,
        AvailabilityZones=[f"{REGION}a"],
        Tags=[{"Key": "app", "Value": "shop", "PropagateAtLaunch": True}],
    )


@everywhere
def test_a_group_and_its_members(place: Place) -> None:
    groups = Ec2AutoScaling(place.roles)
    make(place, "web", 2)
    wait_until("both serve", lambda: len(groups.describe(place.access, ["web"])["web"].in_service) == 2)
    found = groups.describe(place.access, ["web", "nobody"])
    assert set(found) == {"web"}
    web = found["web"]
    assert (web.min_size, web.max_size, web.desired, web.tags["app"]) == (2, 3, 2, "shop")
    assert all(one.is_healthy and one.zone == f"{REGION}a" for one in web.members)
    assert not web.is_being_deleted

    groups.resize(place.access, "web", min_size=0, max_size=1, desired=1)
    wait_until("one is left", lambda: len(groups.describe(place.access, ["web"])["web"].members) == 1)


@everywhere
def test_hooks(place: Place) -> None:
    groups = Ec2AutoScaling(place.roles)
    make(place, "web", 0)
    assert groups.hooks(place.access, "web") == []
    for _ in range(2):
        groups.put_hook(place.access, "web", HOOK)
    assert groups.hooks(place.access, "web") == [HOOK]
    for _ in range(2):
        groups.delete_hook(place.access, "web", HOOK.name)
    assert groups.hooks(place.access, "web") == []
    groups.delete_hook(place.access, "nobody", HOOK.name)
    if place.name != "moto":  # which takes hooks for a group that it does not have
        with pytest.raises(PermanentError):
            groups.put_hook(place.access, "nobody", HOOK)


@onebox
def test_an_instance_that_a_hook_holds_up(place: Place) -> None:
    groups = Ec2AutoScaling(place.roles)
    make(place, "web", 0)
    groups.put_hook(place.access, "web", HOOK)
    groups.resize(place.access, "web", min_size=0, max_size=1, desired=1)

    def states() -> list[str]:
        return [one.lifecycle_state for one in groups.describe(place.access, ["web"])["web"].members]

    wait_until("it waits", lambda: states() == ["Pending:Wait"])
    (member,) = groups.describe(place.access, ["web"])["web"].members
    assert groups.heartbeat(place.access, "web", HOOK.name, member.instance_id)
    assert groups.complete(place.access, "web", HOOK.name, member.instance_id, HookResult.CONTINUE)
    wait_until("it serves", lambda: states() == ["InService"])
    assert not groups.complete(place.access, "web", HOOK.name, member.instance_id, HookResult.CONTINUE)
    assert not groups.heartbeat(place.access, "web", HOOK.name, member.instance_id)


@everywhere
def test_processes(place: Place) -> None:
    groups = Ec2AutoScaling(place.roles)
    make(place, "web", 0)

    def suspended() -> frozenset[str]:
        return groups.describe(place.access, ["web"])["web"].suspended

    groups.suspend(place.access, "web", ["AZRebalance", "AlarmNotification"])
    groups.suspend(place.access, "web", ["Launch"])
    groups.suspend(place.access, "web", [])
    assert suspended() == {"AZRebalance", "AlarmNotification", "Launch"}
    groups.resume(place.access, "web", ["Launch", "AZRebalance"])
    groups.resume(place.access, "web", [])
    assert suspended() == {"AlarmNotification"}


@everywhere
def test_a_copy(place: Place) -> None:
    groups = Ec2AutoScaling(place.roles)
    make(place, "web", 1)
    own = LifecycleHook(
        name="warm-up", transition=Transition.LAUNCHING, heartbeat_timeout=60, default_result=HookResult.CONTINUE
    )
    groups.put_hook(place.access, "web", HOOK)
    groups.put_hook(place.access, "web", own)
    tags = {"CodeDeployProvisioningDeploymentId": "d-ABC123DEF"}
    name = "CodeDeploy_shop_d-ABC123DEF"
    for _ in range(2):
        groups.copy(place.access, "web", name, tags=tags, suspended=["AddToLoadBalancer"])
    copy = groups.describe(place.access, [name])[name]
    assert (copy.min_size, copy.max_size, copy.desired, copy.members) == (0, 0, 0, ())
    assert copy.tags == {"app": "shop", **tags}
    assert copy.suspended == {"AddToLoadBalancer"}
    assert groups.hooks(place.access, name) == [own]

    groups.delete_hook(place.access, name, own.name)
    groups.resize(place.access, name, min_size=1, max_size=2, desired=1)
    wait_until("one is launched", lambda: len(groups.describe(place.access, [name])[name].in_service) == 1)

    with pytest.raises(PermanentError, match="did not make it"):
        groups.copy(place.access, "web", name, tags={**tags, "more": "x"}, suspended=[])
    with pytest.raises(NotThereError):
        groups.copy(place.access, "nobody", "copy", tags={}, suspended=[])

    for _ in range(2):
        groups.delete(place.access, name)
    wait_until("it is gone", lambda: not groups.describe(place.access, [name]))
