"""onebox's Auto Scaling as boto3 and the aws CLI see it. Every call boto3 makes is checked by its own model."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.contract.onebox.conftest import AWS
from tests.contract.onebox.serving_auto_scaling import REGION, WEB, Here, serving, wait
from tests.unit.onebox.small_ground import ZONES, SmallBalancers, SmallMachines

LAUNCHING = "autoscaling:EC2_INSTANCE_LAUNCHING"
TERMINATING = "autoscaling:EC2_INSTANCE_TERMINATING"


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Here]:
    with serving(tmp_path_factory.mktemp("auto-scaling"), SmallMachines(), SmallBalancers(WEB)) as made:
        yield made


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A group of the test's own."""
    return str(request.node.name)


def make(here: Here, name: str, size: int = 0, **more: Any) -> None:
    asked: dict[str, Any] = {
        "AutoScalingGroupName": name,
        "LaunchTemplate": {"LaunchTemplateName": "web", "Version": "$Latest"},
        "MinSize": 0,
        "MaxSize": 4,
        "DesiredCapacity": size,
        "AvailabilityZones": list(ZONES),
        **more,
    }
    here.client.create_auto_scaling_group(**asked)


def refused(call: Any, **asked: Any) -> str:
    """Code and message of the error that a call is answered with."""
    with pytest.raises(ClientError) as caught:
        call(**asked)
    error = caught.value.response["Error"]
    return f"{error['Code']}: {error['Message']}"


def test_a_group_is_told_as_it_was_made(here: Here, name: str) -> None:
    make(
        here,
        name,
        size=2,
        AvailabilityZones=[],
        VPCZoneIdentifier="subnet-a, subnet-b",
        TargetGroupARNs=[WEB],
        HealthCheckType="ELB",
        HealthCheckGracePeriod=10,
        Tags=[{"Key": "Name", "Value": "web", "PropagateAtLaunch": True}, {"Key": "cost", "Value": "x"}],
    )
    ids = here.until(name, ["InService"] * 2)
    group = here.group(name)
    assert group["AutoScalingGroupARN"].endswith(f":autoScalingGroupName/{name}")
    assert (group["LaunchTemplate"]["LaunchTemplateName"], group["LaunchTemplate"]["Version"]) == ("web", "$Latest")
    assert {one["LaunchTemplate"]["Version"] for one in group["Instances"]} == {"3"}
    assert (group["AvailabilityZones"], group["VPCZoneIdentifier"]) == (list(ZONES[:2]), "subnet-a,subnet-b")
    assert (group["HealthCheckType"], group["HealthCheckGracePeriod"], group["DefaultCooldown"]) == ("ELB", 10, 300)
    assert group["Tags"][0] == {
        "ResourceId": name,
        "ResourceType": "auto-scaling-group",
        "Key": "Name",
        "Value": "web",
        "PropagateAtLaunch": True,
    }
    assert {one["AvailabilityZone"] for one in group["Instances"]} == set(ZONES[:2])
    assert here.machines.tags[ids[0]] == {"Name": "web", "aws:autoscaling:groupName": name}
    told = here.client.describe_auto_scaling_instances(InstanceIds=ids)["AutoScalingInstances"]
    assert [(one["AutoScalingGroupName"], one["HealthStatus"]) for one in told] == [(name, "HEALTHY")] * 2
    activities = here.client.describe_scaling_activities(AutoScalingGroupName=name)["Activities"]
    assert [one["StatusCode"] for one in activities] == ["Successful"] * 2
    assert "increasing the capacity from 0 to 2" in activities[0]["Cause"]
    states = here.client.describe_load_balancer_target_groups(AutoScalingGroupName=name)["LoadBalancerTargetGroups"]
    assert states == [{"LoadBalancerTargetGroupARN": WEB, "State": "Added"}]
    assert set(ids) <= set(here.balancers.targets[WEB])


def test_sizes_are_kept_apart_and_take_the_desired_one_along(here: Here, name: str) -> None:
    make(here, name)
    client = here.client
    assert refused(client.set_desired_capacity, AutoScalingGroupName=name, DesiredCapacity=5) == (
        "ValidationError: New SetDesiredCapacity value 5 is above max value 4 for the AutoScalingGroup."
    )
    client.update_auto_scaling_group(AutoScalingGroupName=name, MinSize=2)
    here.until(name, ["InService"] * 2)
    assert "below min value 2" in refused(client.set_desired_capacity, AutoScalingGroupName=name, DesiredCapacity=1)
    assert "Max bound, 1, must be" in refused(client.update_auto_scaling_group, AutoScalingGroupName=name, MaxSize=1)
    client.update_auto_scaling_group(AutoScalingGroupName=name, MinSize=0, MaxSize=1)
    here.until(name, ["InService"])
    assert here.group(name)["DesiredCapacity"] == 1
    client.set_desired_capacity(AutoScalingGroupName=name, DesiredCapacity=0)
    here.until(name, [])


def test_a_hook_holds_a_launch_until_it_is_answered(here: Here, name: str) -> None:
    hook = {"LifecycleHookName": "ready", "LifecycleTransition": LAUNCHING, "HeartbeatTimeout": 600}
    make(here, name, LifecycleHookSpecificationList=[hook], TargetGroupARNs=[WEB])
    told = here.client.describe_lifecycle_hooks(AutoScalingGroupName=name)["LifecycleHooks"]
    assert told == [
        {
            "LifecycleHookName": "ready",
            "AutoScalingGroupName": name,
            "LifecycleTransition": LAUNCHING,
            "HeartbeatTimeout": 600,
            "GlobalTimeout": 60_000,
            "DefaultResult": "ABANDON",
        }
    ]
    here.client.set_desired_capacity(AutoScalingGroupName=name, DesiredCapacity=1)
    (first,) = here.until(name, ["Pending:Wait"])
    action = {"AutoScalingGroupName": name, "LifecycleHookName": "ready"}
    here.client.record_lifecycle_action_heartbeat(**action, InstanceId=first)
    here.client.complete_lifecycle_action(**action, InstanceId=first, LifecycleActionResult="ABANDON")
    wait(lambda: list(here.states(name).values()) == ["Pending:Wait"] and first not in here.states(name))
    (second,) = here.states(name)
    here.client.complete_lifecycle_action(**action, InstanceId=second, LifecycleActionResult="CONTINUE")
    here.until(name, ["InService"])
    assert second in here.balancers.targets[WEB]
    again = refused(
        here.client.complete_lifecycle_action, **action, InstanceId=second, LifecycleActionResult="CONTINUE"
    )
    assert again == f"ValidationError: No active Lifecycle Action found with instance ID {second}"
    here.client.delete_lifecycle_hook(**action)
    assert "No Lifecycle Hook found" in refused(here.client.delete_lifecycle_hook, **action)


def test_a_hook_holds_a_termination_and_its_removal_lets_go(here: Here, name: str) -> None:
    make(here, name, size=1)
    here.until(name, ["InService"])
    hook = {"AutoScalingGroupName": name, "LifecycleHookName": "bye"}
    here.client.put_lifecycle_hook(**hook, LifecycleTransition=TERMINATING)
    (going,) = here.states(name)
    activity = here.client.terminate_instance_in_auto_scaling_group(
        InstanceId=going, ShouldDecrementDesiredCapacity=True
    )["Activity"]
    assert activity["Description"] == f"Terminating EC2 instance: {going}"
    assert activity["Cause"].endswith(f"Z instance {going} was taken out of service in response to a user request.")
    here.until(name, ["Terminating:Wait"])
    assert "ScalingActivityInProgress" in refused(
        here.client.delete_auto_scaling_group, AutoScalingGroupName=name, ForceDelete=False
    )
    here.client.delete_lifecycle_hook(**hook)
    here.until(name, [])
    assert here.machines.known[going].state == "terminated"
    here.client.delete_auto_scaling_group(AutoScalingGroupName=name)
    assert here.client.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"] == []


def test_a_group_with_instances_is_deleted_by_force_only(here: Here, name: str) -> None:
    hook = {"LifecycleHookName": "bye", "LifecycleTransition": TERMINATING}
    make(here, name, size=2, MinSize=2, LifecycleHookSpecificationList=[hook])
    ids = here.until(name, ["InService"] * 2)
    assert "ResourceInUse" in refused(here.client.delete_auto_scaling_group, AutoScalingGroupName=name)
    assert "AlreadyExists: AutoScalingGroup by this name already exists" in refused(
        lambda: make(here, name)  # type: ignore[arg-type]
    )
    here.client.delete_auto_scaling_group(AutoScalingGroupName=name, ForceDelete=True)
    wait(lambda: not here.client.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"])
    assert {here.machines.known[one].state for one in ids} == {"terminated"}


def test_instances_are_detached_attached_and_replaced(here: Here, name: str) -> None:
    make(here, name, size=2, TargetGroupARNs=[WEB])
    first, second = here.until(name, ["InService"] * 2)
    activities = here.client.detach_instances(
        AutoScalingGroupName=name, InstanceIds=[first], ShouldDecrementDesiredCapacity=True
    )["Activities"]
    assert activities[0]["Description"] == f"Detaching EC2 instance: {first}"
    assert here.until(name, ["InService"]) == [second]
    assert (here.machines.known[first].state, first in here.balancers.targets[WEB]) == ("running", False)
    here.client.attach_instances(AutoScalingGroupName=name, InstanceIds=[first])
    assert here.until(name, ["InService"] * 2) == [first, second]
    assert "already part of" in refused(here.client.attach_instances, AutoScalingGroupName=name, InstanceIds=[first])
    here.client.suspend_processes(AutoScalingGroupName=name, ScalingProcesses=["ReplaceUnhealthy", "Launch"])
    here.client.set_instance_health(InstanceId=first, HealthStatus="Unhealthy", ShouldRespectGracePeriod=False)
    assert [one["HealthStatus"] for one in here.group(name)["Instances"] if one["InstanceId"] == first] == ["Unhealthy"]
    suspended = here.group(name)["SuspendedProcesses"]
    assert [one["ProcessName"] for one in suspended] == ["Launch", "ReplaceUnhealthy"]
    here.client.resume_processes(AutoScalingGroupName=name, ScalingProcesses=["ReplaceUnhealthy"])
    assert here.until(name, ["InService"]) == [second]
    here.client.resume_processes(AutoScalingGroupName=name)
    assert second in here.until(name, ["InService"] * 2)


def test_target_groups_come_and_go_with_the_instances_in_them(here: Here, name: str) -> None:
    make(here, name, size=1)
    (instance,) = here.until(name, ["InService"])
    asked = {"AutoScalingGroupName": name, "TargetGroupARNs": [WEB]}
    here.client.attach_load_balancer_target_groups(**asked)
    wait(lambda: instance in here.balancers.targets[WEB])
    here.client.detach_load_balancer_target_groups(**asked)
    wait(lambda: instance not in here.balancers.targets[WEB])
    assert here.group(name)["TargetGroupARNs"] == []


def test_target_groups_are_there_and_for_instances(here: Here, name: str) -> None:
    """In AWS's words, and nothing of the call is done."""
    gone, addresses = WEB.replace("/web/", "/gone/"), WEB.replace("/web/", "/addresses/")
    here.balancers.targets = {**here.balancers.targets, addresses: {}}
    here.balancers.others = {addresses: "ip"}
    make(here, name)
    attach = here.client.attach_load_balancer_target_groups
    for arn, told in (
        (gone, "Provided Target Groups may not be valid. Please ensure they exist and try again."),
        (
            addresses,
            f"Provided Target Group '{addresses}' has invalid target type. Please ensure all provided Target Groups"
            " have target type of instance.",
        ),
    ):
        assert refused(attach, AutoScalingGroupName=name, TargetGroupARNs=[WEB, arn]) == f"ValidationError: {told}"
        answer = refused(lambda arn=arn: make(here, "never", TargetGroupARNs=[WEB, arn]))  # type: ignore[misc]
        assert answer == f"ValidationError: {told}"
    assert here.group(name)["TargetGroupARNs"] == []
    assert here.client.describe_auto_scaling_groups(AutoScalingGroupNames=["never"])["AutoScalingGroups"] == []
    assert "name not found" in refused(attach, AutoScalingGroupName="none", TargetGroupARNs=[gone])


def test_tags_and_filters(here: Here, name: str) -> None:
    make(here, name)
    tag = {"ResourceId": name, "ResourceType": "auto-scaling-group", "Key": name, "PropagateAtLaunch": True}
    here.client.create_or_update_tags(Tags=[{**tag, "Value": "1"}])
    wanted = [{"Name": "key", "Values": [name]}]
    assert [one["Value"] for one in here.client.describe_tags(Filters=wanted)["Tags"]] == ["1"]
    by_tag = [{"Name": f"tag:{name}", "Values": ["1"]}]
    found = here.client.describe_auto_scaling_groups(Filters=by_tag)["AutoScalingGroups"]
    assert [one["AutoScalingGroupName"] for one in found] == [name]
    here.client.delete_tags(Tags=[{**tag, "Value": "2"}])
    assert here.client.describe_tags(Filters=wanted)["Tags"] != []
    here.client.delete_tags(Tags=[tag])
    assert here.client.describe_tags(Filters=wanted)["Tags"] == []


def test_launch_configurations(here: Here, name: str) -> None:
    here.client.create_launch_configuration(LaunchConfigurationName=name, ImageId="ami-1", InstanceType="t3.micro")
    here.client.create_auto_scaling_group(
        AutoScalingGroupName=name,
        MinSize=1,
        MaxSize=1,
        AvailabilityZones=[ZONES[0]],
        LaunchConfigurationName=name,
    )
    here.until(name, ["InService"])
    assert here.group(name)["Instances"][0]["LaunchConfigurationName"] == name
    (told,) = here.client.describe_launch_configurations(LaunchConfigurationNames=[name])["LaunchConfigurations"]
    assert (told["ImageId"], told["InstanceType"], told["SecurityGroups"]) == ("ami-1", "t3.micro", [])
    assert "ResourceInUse" in refused(here.client.delete_launch_configuration, LaunchConfigurationName=name)
    assert "AlreadyExists" in refused(
        here.client.create_launch_configuration, LaunchConfigurationName=name, ImageId="ami-1", InstanceType="t3.micro"
    )


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"LaunchTemplate": {"LaunchTemplateName": "none"}}, "You must use a valid fully-formed launch template."),
        ({"LaunchConfigurationName": "none"}, "and not both"),
        ({"MinSize": 3, "MaxSize": 2}, "Max bound, 2, must be greater than or equal to min bound, 3"),
        ({"DesiredCapacity": 9}, "Desired capacity:9 must be between the specified min size:0 and max size:4"),
        ({"AvailabilityZones": ["mars-1a"]}, "Invalid availability zone: [mars-1a]"),
        ({"AvailabilityZones": []}, "At least one Availability Zone or VPC Subnet is required."),
        ({"VPCZoneIdentifier": "subnet-x"}, "The subnet ID 'subnet-x' does not exist"),
        ({"HealthCheckType": "GUESS"}, "it must be EC2 or ELB"),
        ({"MaxInstanceLifetime": 86400}, "MaxInstanceLifetime is not supported by this server"),
        ({"TerminationPolicies": ["Random"]}, "is not supported by this server; use Default"),
        ({"Tags": [{"Key": "aws:x"}]}, "begins with aws:"),
    ],
)
def test_what_makes_no_group_is_refused(here: Here, said: dict[str, Any], told: str) -> None:
    answer = refused(lambda: make(here, "never", **said))  # type: ignore[arg-type]
    assert answer.startswith("ValidationError: ")
    assert told in answer
    assert here.client.describe_auto_scaling_groups(AutoScalingGroupNames=["never"])["AutoScalingGroups"] == []


def test_what_is_not_there_is_told_so(here: Here) -> None:
    client = here.client
    missing = "ValidationError: AutoScalingGroup name not found - AutoScalingGroup none not found"
    hook = {"AutoScalingGroupName": "none", "LifecycleHookName": "none"}
    assert refused(client.set_desired_capacity, AutoScalingGroupName="none", DesiredCapacity=1) == missing
    assert refused(client.put_lifecycle_hook, **hook, LifecycleTransition=LAUNCHING) == missing
    assert refused(client.describe_lifecycle_hooks, AutoScalingGroupName="none") == missing
    assert refused(client.suspend_processes, AutoScalingGroupName="none") == missing
    assert refused(client.delete_auto_scaling_group, AutoScalingGroupName="none") == missing
    assert "No managed instance found" in refused(
        client.terminate_instance_in_auto_scaling_group, InstanceId="i-0", ShouldDecrementDesiredCapacity=False
    )


def test_lists_are_walked_in_pages_and_belong_to_an_account(here: Here, name: str) -> None:
    for number in range(3):
        make(here, f"{name}-{number}")
    pages = here.client.get_paginator("describe_auto_scaling_groups").paginate(
        AutoScalingGroupNames=[f"{name}-{number}" for number in range(3)], PaginationConfig={"PageSize": 2}
    )
    found = [[one["AutoScalingGroupName"] for one in page["AutoScalingGroups"]] for page in pages]
    assert found == [[f"{name}-0", f"{name}-1"], [f"{name}-2"]]
    assert "InvalidNextToken" in refused(here.client.describe_auto_scaling_groups, NextToken="made up")
    assert here.as_account("111111111111").describe_auto_scaling_groups()["AutoScalingGroups"] == []


def test_what_was_begun_is_found_again_after_a_restart(tmp_path: Path) -> None:
    """The same instances, and hooks that go on."""
    machines, balancers = SmallMachines(), SmallBalancers(WEB)
    with serving(tmp_path, machines, balancers) as first:
        make(first, "web", size=2, LifecycleHookSpecificationList=[
            {"LifecycleHookName": "ready", "LifecycleTransition": LAUNCHING}
        ])  # fmt: skip
        ids = first.until("web", ["Pending:Wait"] * 2)
    with serving(tmp_path, machines, balancers) as second:
        for one in ids:
            second.client.complete_lifecycle_action(
                AutoScalingGroupName="web", LifecycleHookName="ready", InstanceId=one, LifecycleActionResult="CONTINUE"
            )
        assert second.until("web", ["InService"] * 2) == ids
    assert sorted(machines.known) == ids


def test_the_aws_command_line(here: Here, name: str) -> None:
    environment = {
        **os.environ,
        "AWS_ACCESS_KEY_ID": "000000000000",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL": here.url,
    }

    def aws(*words: str) -> Any:
        done = subprocess.run(
            [AWS, "autoscaling", *words], env=environment, capture_output=True, text=True, timeout=60, check=True
        )
        return json.loads(done.stdout or "null")

    aws(
        *("create-auto-scaling-group", "--auto-scaling-group-name", name, "--min-size", "1", "--max-size", "1"),
        *("--launch-template", "LaunchTemplateName=web,Version=1", "--vpc-zone-identifier", "subnet-c"),
    )
    (instance,) = here.until(name, ["InService"])
    told = aws("describe-auto-scaling-groups", "--auto-scaling-group-names", name)
    assert told["AutoScalingGroups"][0]["Instances"][0]["InstanceId"] == instance
    assert len(aws("describe-scaling-process-types")["Processes"]) == 9
