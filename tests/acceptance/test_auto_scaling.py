"""An Auto Scaling group of real hosts behind a real load balancer: every instance is deployed to before it serves."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import instances
from tests.acceptance.cloud import cloud_in
from tests.acceptance.test_ec2 import START, STOP, ended, trusting
from tests.acceptance.world import ACCOUNT, REGION, ControlPlane, Revision, wait_until

NAMED = {"applicationName": "shop", "deploymentGroupName": "prod"}
#: A release takes its time to stop, so that something may happen meanwhile.
SLOWLY = f"sleep 3; {STOP}"

#: Hosts are launched and deployed to a dozen times.
pytestmark = pytest.mark.timeout(600)


def revision(version: int, stop: str) -> Revision:
    return Revision(
        files={"page": f"{version}\n"},
        install={"page": "/opt/shop"},
        hooks={"ApplicationStop": stop, "ApplicationStart": START},
    )


class Shop:
    """A deployment group on an Auto Scaling group."""

    def __init__(self, plane: ControlPlane, folder: Path) -> None:
        self.plane = plane
        self.folder = folder
        #: Of the Auto Scaling group.
        self.name = "web"
        self.connect()

    def connect(self) -> None:
        self.deploy = self.plane.client("codedeploy")
        self.scaling = self.plane.client("autoscaling")
        self.balancing = self.plane.client("elbv2")
        self.ec2 = self.plane.client("ec2")

    def open(self) -> None:
        """Make everything, as somebody would from the command line."""
        aws = self.plane.aws
        aws("iam", "create-role", "--role-name", "web", "--assume-role-policy-document", trusting("ec2.amazonaws.com"))
        aws("iam", "create-instance-profile", "--instance-profile-name", "web")
        aws("iam", "add-role-to-instance-profile", "--instance-profile-name", "web", "--role-name", "web")
        trust = trusting("codedeploy.amazonaws.com")
        aws("iam", "create-role", "--role-name", "deploy", "--assume-role-policy-document", trust)
        rights = "arn:aws:iam::aws:policy/service-role/AWSCodeDeployRole"
        aws("iam", "attach-role-policy", "--role-name", "deploy", "--policy-arn", rights)

        made = aws("elbv2", "create-load-balancer", "--name", "shop")["LoadBalancers"][0]
        self.address = made["DNSName"]
        self.target_group = aws(
            *("elbv2", "create-target-group", "--name", "web", "--protocol", "HTTP", "--port", "8080"),
            *("--target-type", "instance", "--health-check-path", "/page", "--health-check-interval-seconds", "5"),
            *("--health-check-timeout-seconds", "2"),
            *("--vpc-id", self.ec2.describe_vpcs()["Vpcs"][0]["VpcId"]),
        )["TargetGroups"][0]["TargetGroupArn"]
        self.balancing.modify_target_group_attributes(
            TargetGroupArn=self.target_group,
            Attributes=[{"Key": "deregistration_delay.timeout_seconds", "Value": "1"}],
        )
        aws(
            *("elbv2", "create-listener", "--load-balancer-arn", made["LoadBalancerArn"], "--protocol", "HTTP"),
            *("--port", "8000", "--default-actions", f"Type=forward,TargetGroupArn={self.target_group}"),
        )
        aws(
            *("ec2", "create-launch-template", "--launch-template-name", "web"),
            *("--launch-template-data", "ImageId=ami-longshore,IamInstanceProfile={Name=web}"),
        )
        aws(
            *("autoscaling", "create-auto-scaling-group", "--auto-scaling-group-name", "web", "--min-size", "0"),
            *("--max-size", "4", "--desired-capacity", "1", "--launch-template", "LaunchTemplateName=web"),
            *("--availability-zones", f"{REGION}a", f"{REGION}b", "--target-group-arns", self.target_group),
        )
        aws("deploy", "create-application", "--application-name", "shop")
        aws(
            *("deploy", "create-deployment-group", "--application-name", "shop", "--deployment-group-name", "prod"),
            *("--service-role-arn", f"arn:aws:iam::{ACCOUNT}:role/deploy", "--auto-scaling-groups", "web"),
            *("--deployment-style", "deploymentType=IN_PLACE,deploymentOption=WITH_TRAFFIC_CONTROL"),
            *("--load-balancer-info", "targetGroupInfoList=[{name=web}]", "--termination-hook-enabled"),
            *("--deployment-config-name", "CodeDeployDefault.AllAtOnce"),
        )
        aws("s3", "mb", "s3://releases")

    def release(self, version: int, stop: str = STOP) -> str:
        """Begin a deployment; its id."""
        name = f"shop-{version}.zip"
        (self.folder / name).write_bytes(revision(version, stop).zip())
        self.plane.aws("s3", "cp", self.folder / name, f"s3://releases/{name}")
        location = {"bucket": "releases", "key": name, "bundleType": "zip"}
        asked = {"revision": {"revisionType": "S3", "s3Location": location}}
        return str(self.deploy.create_deployment(**NAMED, **asked)["deploymentId"])

    def scale(self, size: int) -> None:
        self.scaling.set_desired_capacity(AutoScalingGroupName=self.name, DesiredCapacity=size)

    def states(self) -> dict[str, str]:
        """Lifecycle state by instance."""
        (group,) = self.scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[self.name])["AutoScalingGroups"]
        return {one["InstanceId"]: one["LifecycleState"] for one in group["Instances"]}

    def serving(self, size: int) -> set[str]:
        """Wait until so many are in service, and nobody comes or goes; who they are."""
        wait_until(f"{size} are in service", lambda: list(self.states().values()) == ["InService"] * size, seconds=180)
        return set(self.states())

    def waiting(self) -> str:
        """Wait until one waits for its hook; which."""

        def found() -> str | None:
            return next((one for one, state in self.states().items() if state == "Pending:Wait"), None)

        return str(wait_until("an instance is launched", found, seconds=180))

    def of(self, creator: str) -> list[dict[str, Any]]:
        """The deployments that were made so, the newest first."""
        ids = self.deploy.list_deployments(**NAMED)["deployments"]
        infos = self.deploy.batch_get_deployments(deploymentIds=ids)["deploymentsInfo"] if ids else []
        return [info for info in infos if info["creator"] == creator]

    def pages(self) -> set[str]:
        """What those in service serve at their own addresses."""
        found = self.ec2.describe_instances(InstanceIds=list(self.states()))["Reservations"]
        addresses = [one["PrivateIpAddress"] for reserved in found for one in reserved["Instances"]]
        return {_page(f"http://{address}:8080/page") for address in addresses}

    def page(self) -> str:
        """What customers see."""
        return _page(f"http://{self.address}:8000/page")

    def healthy(self) -> set[str]:
        told = self.balancing.describe_target_health(TargetGroupArn=self.target_group)["TargetHealthDescriptions"]
        return {one["Target"]["Id"] for one in told if one["TargetHealth"]["State"] == "healthy"}


def _page(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        text: str = answer.read().decode()
        return text.strip()


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with cloud_in(tmp_path) as plane:
        made = Shop(plane, tmp_path)
        made.open()
        yield made


def newest(found: Callable[[], list[dict[str, Any]]], what: str) -> str:
    """Wait until there is a deployment; the newest one's id."""
    return str(wait_until(what, found, seconds=30)[0]["deploymentId"])


def test_a_group_grows_and_shrinks_while_it_is_deployed_to(shop: Shop) -> None:
    plane = shop.plane
    shop.serving(1)
    assert ended(plane, shop.release(1, SLOWLY))["status"] == "Succeeded"
    assert shop.pages() == {shop.page()} == {"1"}

    # It grows: who comes is deployed to before it serves, though the server dies meanwhile.
    shop.scale(2)
    shop.waiting()
    plane.kill()
    plane.start()
    shop.connect()
    ids = shop.serving(2)
    (launch,) = shop.of("autoscaling")
    assert launch["status"] == "Succeeded"
    assert shop.pages() == {"1"}
    assert shop.healthy() == ids

    # In the middle of a fleet deployment another one comes: it gets what is known to be good, then what the others got.
    fleet = shop.release(2)
    shop.scale(3)
    assert ended(plane, fleet)["status"] == "Succeeded"
    shop.serving(3)
    update = newest(lambda: shop.of("CodeDeployAutoUpdate"), "the late joiner is updated")
    assert ended(plane, update)["status"] == "Succeeded"
    related = shop.deploy.get_deployment(deploymentId=update)["deploymentInfo"]["relatedDeployments"]
    assert related == {"autoUpdateOutdatedInstancesRootDeploymentId": fleet}
    assert shop.pages() == {shop.page()} == {"2"}

    # One dies while it waits, and another takes its place.
    shop.scale(4)
    victim = shop.waiting()
    shop.ec2.terminate_instances(InstanceIds=[victim])
    wait_until("it is replaced", lambda: victim not in shop.states(), seconds=180)
    ids = shop.serving(4)
    assert shop.pages() == {"2"}
    assert shop.healthy() == ids

    # It shrinks in the middle of a fleet deployment: who goes stops its application first, and the others go on.
    shop.release(3)
    shop.scale(2)
    ids = shop.serving(2)
    assert {info["status"] for info in shop.of("autoscalingTermination")} == {"Succeeded"}
    assert len(shop.of("autoscalingTermination")) == 2
    # What comes of the fleet's part on those that are gone is another matter (S14.1).
    wait_until("those who stay have it, and serve", lambda: shop.healthy() == ids and shop.pages() == {"3"})
    wait_until("no other runs", lambda: len(instances.running(plane.data_dir)) == 2)


def test_a_group_is_copied_and_its_hooks_go_with_it(shop: Shop) -> None:
    """COPY_AUTO_SCALING_GROUP: the copy takes over, and who is launched in it from then on is deployed to."""
    plane = shop.plane
    # As AWS has it: whoever makes a group by a launch template may do what that says.
    launching = {"Effect": "Allow", "Action": ["ec2:RunInstances", "ec2:CreateTags", "iam:PassRole"], "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [launching]})
    plane.client("iam").put_role_policy(RoleName="deploy", PolicyName="launching", PolicyDocument=document)
    old = shop.serving(1)
    assert ended(plane, shop.release(1))["status"] == "Succeeded"
    shop.deploy.update_deployment_group(
        applicationName="shop",
        currentDeploymentGroupName="prod",
        deploymentStyle={"deploymentType": "BLUE_GREEN", "deploymentOption": "WITH_TRAFFIC_CONTROL"},
        blueGreenDeploymentConfiguration={
            "greenFleetProvisioningOption": {"action": "COPY_AUTO_SCALING_GROUP"},
            "deploymentReadyOption": {"actionOnTimeout": "CONTINUE_DEPLOYMENT"},
            "terminateBlueInstancesOnDeploymentSuccess": {"action": "TERMINATE", "terminationWaitTimeInMinutes": 0},
        },
    )
    deployment = shop.release(2)
    assert ended(plane, deployment)["status"] == "Succeeded"
    shop.name = f"CodeDeploy_prod_{deployment}"

    def has_its_hooks() -> bool:
        (told,) = shop.deploy.get_deployment_group(**NAMED)["deploymentGroupInfo"]["autoScalingGroups"]
        hooks = shop.scaling.describe_lifecycle_hooks(AutoScalingGroupName=shop.name)["LifecycleHooks"]
        return told["name"] == shop.name and {one["LifecycleHookName"] for one in hooks} == {
            told.get("hook"),
            told.get("terminationHook"),
        }

    wait_until("the copy has the hooks", has_its_hooks)
    new = shop.serving(1)
    assert not new & old
    assert shop.pages() == {shop.page()} == {"2"}
    shop.scale(2)
    ids = shop.serving(2)
    assert [info["status"] for info in shop.of("autoscaling")] == ["Succeeded"]
    assert shop.healthy() == ids
    assert shop.pages() == {"2"}
