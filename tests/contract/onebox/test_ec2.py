"""EC2 as boto3 sees it, over real hosts of this machine."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from longshore.onebox.machinery.host_view import HostView, why_not
from tests import instances, ports
from tests.acceptance.world import ACCOUNT, REGION, ControlPlane, wait_until

IMAGE = "ami-longshore"
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Principal": {"Service": "ec2.amazonaws.com", "AWS": f"arn:aws:iam::{ACCOUNT}:root"},
            "Action": "sts:AssumeRole",
        },
    }
)


class Cloud:
    """A control plane and what runs in its onebox."""

    def __init__(self, plane: ControlPlane) -> None:
        self.plane = plane
        self.ec2 = plane.client("ec2")
        self.iam = plane.client("iam")

    def run(self, count: int = 1, **asked: Any) -> list[str]:
        """Launch instances and wait until they run."""
        launched = self.ec2.run_instances(**{"ImageId": IMAGE, "MinCount": count, "MaxCount": count, **asked})
        ids = [one["InstanceId"] for one in launched["Instances"]]
        for one in ids:
            self.wait(one, "running")
        return ids

    def instance(self, instance_id: str) -> Any:
        (reservation,) = self.ec2.describe_instances(InstanceIds=[instance_id])["Reservations"]
        return reservation["Instances"][0]

    def wait(self, instance_id: str, state: str) -> Any:
        wait_until(f"{instance_id} is {state}", lambda: self.instance(instance_id)["State"]["Name"] == state)
        return self.instance(instance_id)

    def host(self, instance_id: str) -> HostView:
        return instances.view_of(self.plane.data_dir, instance_id)

    def inside(self, instance_id: str, script: str) -> str:
        """What a script says that runs on an instance."""
        environ = {"PATH": os.environ["PATH"], "AT": self.metadata(instance_id)}
        done = subprocess.run(
            self.host(instance_id).command(["sh", "-c", script]),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
            env=environ,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def metadata(self, instance_id: str) -> str:
        return f"http://{self.instance(instance_id)['PrivateIpAddress']}:16925"


#: On an instance: ask the metadata service, as version 2 wants it.
ASK = """
token=$(curl -sf -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' $AT/latest/api/token)
ask() { curl -sf -H "X-aws-ec2-metadata-token: $token" $AT/latest/$1; }
"""


@contextmanager
def cloud_in(folder: Path) -> Iterator[Cloud]:
    if reason := why_not(folder):
        assert not os.environ.get("CI"), reason
        pytest.skip(reason)
    plane = ControlPlane(folder)
    with instances.ending(plane.data_dir):
        plane.start()
        try:
            yield Cloud(plane)
        finally:
            plane.stop()


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with cloud_in(tmp_path_factory.mktemp("cloud")) as made:
        yield made


@pytest.fixture
def own_cloud(tmp_path: Path) -> Iterator[Cloud]:
    """One whose server a test may kill."""
    with cloud_in(tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def web_profile(cloud: Cloud) -> str:
    cloud.iam.create_role(RoleName="web", AssumeRolePolicyDocument=TRUST)
    cloud.iam.create_instance_profile(InstanceProfileName="web")
    cloud.iam.add_role_to_instance_profile(InstanceProfileName="web", RoleName="web")
    return "web"


@contextmanager
def refused(code: str) -> Iterator[None]:
    with pytest.raises(ClientError) as raised:
        yield
    assert raised.value.response["Error"]["Code"] == code, raised.value


def tagged(**tags: str) -> list[dict[str, Any]]:
    return [
        {"ResourceType": "instance", "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]},
    ]


def test_instances_live_their_life(cloud: Cloud) -> None:
    ids = cloud.run(2, TagSpecifications=tagged(app="life"))
    one, other = ids
    found = [cloud.instance(i) for i in ids]
    assert (
        len({one["PrivateIpAddress"] for one in found} | {one["Placement"]["AvailabilityZone"] for one in found}) == 4
    )
    address = found[0]["PrivateIpAddress"]
    assert found[0]["PrivateDnsName"] == f"ip-{address.replace('.', '-')}.ec2.internal"
    assert cloud.inside(one, "hostname; hostname -i") == f"{found[0]['PrivateDnsName']}\n{address}\n"
    cloud.inside(one, "echo kept >/opt/file; echo lost >/run/file")
    assert cloud.inside(other, "cat /opt/file 2>/dev/null || echo nothing") == "nothing\n"

    stopping = cloud.ec2.stop_instances(InstanceIds=[one])["StoppingInstances"][0]
    assert (stopping["PreviousState"]["Name"], stopping["CurrentState"]) == (
        "running",
        {"Code": 64, "Name": "stopping"},
    )
    stopped = cloud.wait(one, "stopped")
    assert stopped["StateReason"]["Code"] == "Client.UserInitiatedShutdown"
    assert cloud.host(one).process_id() is None
    assert cloud.host(other).process_id() is not None
    with refused("IncorrectInstanceState"):
        cloud.ec2.reboot_instances(InstanceIds=[other, one])

    cloud.ec2.start_instances(InstanceIds=[one])
    assert cloud.wait(one, "running")["PrivateIpAddress"] == address
    assert cloud.inside(one, "cat /opt/file; cat /run/file 2>/dev/null || echo nothing") == "kept\nnothing\n"

    before = cloud.host(one).process_id()
    cloud.ec2.reboot_instances(InstanceIds=[one])
    wait_until("it is rebooted", lambda: cloud.host(one).process_id() not in (before, None))

    (record,) = cloud.plane.client("longshore").list_audit_records(resource=one)["records"][:1]
    assert record["operation"] == "RunInstances"

    cloud.ec2.terminate_instances(InstanceIds=ids)
    gone = [cloud.wait(i, "terminated") for i in ids]
    assert "PrivateIpAddress" not in gone[0]
    assert not cloud.host(one).directory.exists()
    with refused("IncorrectInstanceState"):
        cloud.ec2.start_instances(InstanceIds=[one])
    again = cloud.ec2.terminate_instances(InstanceIds=[one])["TerminatingInstances"][0]
    assert again["CurrentState"]["Name"] == "terminated"


def test_instances_are_found_by_filters_and_in_pages(cloud: Cloud) -> None:
    ids = cloud.run(3, TagSpecifications=tagged(app="pages", stage="prod"))
    cloud.ec2.create_tags(Resources=[ids[0]], Tags=[{"Key": "stage", "Value": "test"}, {"Key": "only", "Value": ""}])

    def found(*filters: tuple[str, list[str]], **more: Any) -> set[str]:
        asked = [{"Name": "tag:app", "Values": ["pages"]}, *({"Name": n, "Values": v} for n, v in filters)]
        pages = cloud.ec2.get_paginator("describe_instances").paginate(Filters=asked, **more)
        return {one["InstanceId"] for page in pages for r in page["Reservations"] for one in r["Instances"]}

    first = cloud.instance(ids[0])
    assert found() == set(ids)
    assert found(PaginationConfig={"PageSize": 5}) == set(ids)
    assert found(("tag:stage", ["pr?d"])) == set(ids[1:])
    assert found(("tag:stage", ["PROD", "nothing"])) == set()
    assert found(("tag-key", ["only"])) == {ids[0]}
    assert found(("private-ip-address", [first["PrivateIpAddress"]])) == {ids[0]}
    assert found(("availability-zone", [first["Placement"]["AvailabilityZone"]])) == {ids[0]}
    assert found(("instance-state-name", ["running"]), ("instance-id", ids[:2])) == set(ids[:2])
    with refused("InvalidParameterValue"):
        found(("no-such-filter", ["x"]))

    statuses = cloud.ec2.describe_instance_status(InstanceIds=ids)["InstanceStatuses"]
    assert {one["InstanceStatus"]["Status"] for one in statuses} == {"ok"}
    tags = cloud.ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [ids[0]]}])["Tags"]
    assert {(tag["Key"], tag["Value"]) for tag in tags} == {("app", "pages"), ("stage", "test"), ("only", "")}
    cloud.ec2.delete_tags(Resources=[ids[0]], Tags=[{"Key": "stage", "Value": "prod"}, {"Key": "only"}])
    assert {tag["Key"] for tag in cloud.instance(ids[0])["Tags"]} == {"app", "stage"}

    # More than fit on the smallest page, so that there are tokens; nobody waits until they run.
    many = cloud.ec2.run_instances(ImageId=IMAGE, MinCount=4, MaxCount=4, TagSpecifications=tagged(app="pages"))
    pages = list(
        cloud.ec2.get_paginator("describe_instances").paginate(
            Filters=[{"Name": "tag:app", "Values": ["pages"]}], PaginationConfig={"PageSize": 5}
        )
    )
    shown = [one["InstanceId"] for page in pages for r in page["Reservations"] for one in r["Instances"]]
    assert len(pages) == 2
    assert sorted(shown) == sorted([*ids, *(one["InstanceId"] for one in many["Instances"])])
    token = pages[0]["NextToken"]
    with refused("InvalidNextToken"):
        cloud.ec2.describe_instances(MaxResults=5, NextToken=token)
    cloud.ec2.terminate_instances(InstanceIds=shown)


def test_what_is_wrong_is_said_with_ec2s_codes(cloud: Cloud) -> None:
    absent = "i-0123456789abcdef0"
    for call in (
        cloud.ec2.describe_instances,
        cloud.ec2.describe_instance_status,
        cloud.ec2.terminate_instances,
        cloud.ec2.stop_instances,
        cloud.ec2.start_instances,
        cloud.ec2.reboot_instances,
    ):
        with refused("InvalidInstanceID.NotFound"):
            call(InstanceIds=[absent])
        with refused("InvalidInstanceID.Malformed"):
            call(InstanceIds=["web-1"])
    launch = {"MinCount": 1, "MaxCount": 1}
    for code, asked in (
        ("InvalidAMIID.NotFound", {"ImageId": "ami-0123456789abcdef0"}),
        ("MissingParameter", {}),
        ("InvalidParameterValue", {"ImageId": IMAGE, "MinCount": 2}),
        ("InvalidParameterValue", {"ImageId": IMAGE, "IamInstanceProfile": {"Name": "nobody"}}),
        ("InvalidParameterValue", {"ImageId": IMAGE, "Placement": {"AvailabilityZone": "us-east-1z"}}),
        ("InvalidParameterValue", {"ImageId": IMAGE, "TagSpecifications": tagged(**{"aws:x": "1"})}),
        ("InvalidSubnetID.NotFound", {"ImageId": IMAGE, "SubnetId": "subnet-0123456789abcdef0"}),
        ("InvalidGroup.NotFound", {"ImageId": IMAGE, "SecurityGroupIds": ["sg-0123456789abcdef0"]}),
        ("InvalidLaunchTemplateName.NotFoundException", {"LaunchTemplate": {"LaunchTemplateName": "none"}}),
        ("DryRunOperation", {"ImageId": IMAGE, "DryRun": True}),
    ):
        with refused(code):
            cloud.ec2.run_instances(**{**launch, **asked})
    with refused("InvalidInstanceID.NotFound"):
        cloud.ec2.create_tags(Resources=[absent], Tags=[{"Key": "a", "Value": "b"}])
    with refused("UnsupportedOperation"):
        cloud.ec2.describe_spot_price_history()


def test_a_token_launches_once(cloud: Cloud) -> None:
    asked = {"ImageId": IMAGE, "MinCount": 2, "MaxCount": 2, "ClientToken": "only-once"}
    first, second = (cloud.ec2.run_instances(**asked) for _ in range(2))
    ids = [one["InstanceId"] for one in first["Instances"]]
    assert [one["InstanceId"] for one in second["Instances"]] == ids
    with refused("IdempotentParameterMismatch"):
        cloud.ec2.run_instances(**{**asked, "MaxCount": 3})
    cloud.ec2.terminate_instances(InstanceIds=ids)


def test_launch_templates(cloud: Cloud, web_profile: str) -> None:
    made = cloud.ec2.create_launch_template(
        LaunchTemplateName="web",
        LaunchTemplateData={
            "ImageId": IMAGE,
            "InstanceType": "t3.micro",
            "IamInstanceProfile": {"Name": web_profile},
            "TagSpecifications": tagged(app="template", stage="prod"),
        },
    )["LaunchTemplate"]
    assert made["LatestVersionNumber"] == made["DefaultVersionNumber"] == 1
    with refused("InvalidLaunchTemplateName.AlreadyExistsException"):
        cloud.ec2.create_launch_template(LaunchTemplateName="web", LaunchTemplateData={"ImageId": IMAGE})
    version = cloud.ec2.create_launch_template_version(
        LaunchTemplateName="web", SourceVersion="1", LaunchTemplateData={"InstanceType": "t3.large"}
    )["LaunchTemplateVersion"]
    assert (version["VersionNumber"], version["DefaultVersion"]) == (2, False)
    assert version["LaunchTemplateData"]["ImageId"] == IMAGE

    asked = {"LaunchTemplateId": made["LaunchTemplateId"]}
    (by_default,) = cloud.run(LaunchTemplate=asked, TagSpecifications=tagged(stage="test"))
    (latest,) = cloud.run(LaunchTemplate={**asked, "Version": "$Latest"}, InstanceType="t3.nano")
    shown = cloud.instance(by_default)
    assert shown["InstanceType"] == "t3.micro"
    assert shown["IamInstanceProfile"]["Arn"] == f"arn:aws:iam::{ACCOUNT}:instance-profile/web"
    assert {tag["Key"]: tag["Value"] for tag in shown["Tags"]} == {
        "app": "template",
        "stage": "test",
        "aws:ec2launchtemplate:id": made["LaunchTemplateId"],
        "aws:ec2launchtemplate:version": "1",
    }
    assert cloud.instance(latest)["InstanceType"] == "t3.nano"

    cloud.ec2.modify_launch_template(LaunchTemplateName="web", DefaultVersion="2")
    deleted = cloud.ec2.delete_launch_template_versions(LaunchTemplateName="web", Versions=["1", "7"])
    assert [one["VersionNumber"] for one in deleted["SuccessfullyDeletedLaunchTemplateVersions"]] == [1]
    assert [one["VersionNumber"] for one in deleted["UnsuccessfullyDeletedLaunchTemplateVersions"]] == [7]
    (kept,) = cloud.ec2.describe_launch_template_versions(LaunchTemplateName="web")["LaunchTemplateVersions"]
    assert kept["LaunchTemplateData"]["InstanceType"] == "t3.large"
    with refused("InvalidLaunchTemplateId.VersionNotFound"):
        cloud.ec2.run_instances(LaunchTemplate={**asked, "Version": "1"}, MinCount=1, MaxCount=1)
    cloud.ec2.delete_launch_template(LaunchTemplateName="web")
    assert cloud.ec2.describe_launch_templates()["LaunchTemplates"] == []
    cloud.ec2.terminate_instances(InstanceIds=[by_default, latest])


def test_an_image_holds_what_an_instance_had_written(cloud: Cloud) -> None:
    (source,) = cloud.run()
    cloud.inside(source, "mkdir -p /opt/shop; echo one >/opt/shop/version; rm /etc/services; echo x >/etc/motd")
    cloud.ec2.stop_instances(InstanceIds=[source])
    cloud.wait(source, "stopped")
    image = cloud.ec2.create_image(InstanceId=source, Name="shop 1")["ImageId"]
    with refused("InvalidAMIName.Duplicate"):
        cloud.ec2.create_image(InstanceId=source, Name="shop 1")
    (copy,) = cloud.run(ImageId=image)
    assert cloud.inside(copy, "cat /opt/shop/version; ls /etc/services 2>/dev/null || echo gone") == "one\ngone\n"
    assert cloud.inside(copy, "hostname").strip() == cloud.instance(copy)["PrivateDnsName"]

    folder = cloud.plane.data_dir / "onebox" / "ec2" / "images" / "prepared" / "opt" / "tool"
    folder.mkdir(parents=True)
    (folder / "it").write_text("prepared\n")
    registered = cloud.ec2.register_image(Name="prepared", ImageLocation="prepared")["ImageId"]
    (third,) = cloud.run(ImageId=registered)
    assert cloud.inside(third, "cat /opt/tool/it") == "prepared\n"
    for wrong in ("../instances", "absent", "/etc"):
        with refused("InvalidParameterValue"):
            cloud.ec2.register_image(Name="wrong", ImageLocation=wrong)

    mine = cloud.ec2.describe_images(Owners=["self"])["Images"]
    assert {one["ImageId"]: one["Name"] for one in mine} == {image: "shop 1", registered: "prepared"}
    assert cloud.ec2.describe_images(ImageIds=[IMAGE])["Images"][0]["Public"]
    for one in (image, registered):
        cloud.ec2.deregister_image(ImageId=one)
    assert cloud.inside(copy, "cat /opt/shop/version") == "one\n"
    assert (folder / "it").exists()
    cloud.ec2.terminate_instances(InstanceIds=[source, copy, third])


def test_networks_are_there_for_scripts_that_set_up(cloud: Cloud) -> None:
    zones = [one["ZoneName"] for one in cloud.ec2.describe_availability_zones()["AvailabilityZones"]]
    assert zones == [f"{REGION}a", f"{REGION}b", f"{REGION}c"]
    (vpc,) = cloud.ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    subnets = cloud.ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc["VpcId"]]}])["Subnets"]
    assert sorted(one["AvailabilityZone"] for one in subnets) == zones
    (group,) = cloud.ec2.describe_security_groups(GroupNames=["default"])["SecurityGroups"]
    assert group["VpcId"] == vpc["VpcId"]

    own = cloud.ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    subnet = cloud.ec2.create_subnet(VpcId=own, CidrBlock="10.1.1.0/24", AvailabilityZone=zones[1])["Subnet"]
    with refused("InvalidSubnet.Conflict"):
        cloud.ec2.create_subnet(VpcId=own, CidrBlock="10.1.1.128/25")
    with refused("InvalidSubnet.Range"):
        cloud.ec2.create_subnet(VpcId=own, CidrBlock="10.2.1.0/24")
    web = cloud.ec2.create_security_group(GroupName="web", Description="for web", VpcId=own)["GroupId"]
    rule = {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    cloud.ec2.authorize_security_group_ingress(GroupId=web, IpPermissions=[rule])
    (shown,) = cloud.ec2.describe_security_groups(GroupIds=[web])["SecurityGroups"]
    assert shown["IpPermissions"][0]["FromPort"] == 80

    (one,) = cloud.run(SubnetId=subnet["SubnetId"], SecurityGroupIds=[web])
    placed = cloud.instance(one)
    assert (placed["Placement"]["AvailabilityZone"], placed["VpcId"]) == (zones[1], own)
    assert placed["SecurityGroups"] == [{"GroupId": web, "GroupName": "web"}]
    for delete, named in (
        (cloud.ec2.delete_subnet, {"SubnetId": subnet["SubnetId"]}),
        (cloud.ec2.delete_security_group, {"GroupId": web}),
        (cloud.ec2.delete_vpc, {"VpcId": own}),
    ):
        with refused("DependencyViolation"):
            delete(**named)
    cloud.ec2.terminate_instances(InstanceIds=[one])
    cloud.ec2.delete_subnet(SubnetId=subnet["SubnetId"])
    cloud.ec2.delete_security_group(GroupId=web)
    cloud.ec2.delete_vpc(VpcId=own)


def test_user_data_runs_once_in_an_instances_life(cloud: Cloud, web_profile: str) -> None:
    """With the role of its instance: whatever uses an AWS SDK finds endpoint and keys by itself."""
    script = (
        f"#!/bin/sh\naws sts get-caller-identity --region {REGION} --query Arn --output text\necho run >>/opt/boots\n"
    )
    (one,) = cloud.run(UserData=script, IamInstanceProfile={"Name": web_profile})
    wait_until("it has run", lambda: cloud.host(one).written("/opt/boots").exists())
    cloud.ec2.reboot_instances(InstanceIds=[one])
    before = cloud.host(one).process_id()
    wait_until("it is rebooted", lambda: cloud.host(one).process_id() not in (before, None))
    wait_until("its agent runs", lambda: "longshore agent" in cloud.inside(one, "ps -ef 2>/dev/null || true"))
    assert cloud.host(one).written("/opt/boots").read_text() == "run\n"
    said = cloud.ec2.get_console_output(InstanceId=one)["Output"]
    assert said == f"arn:aws:sts::{ACCOUNT}:assumed-role/web/{one}\n"
    cloud.ec2.terminate_instances(InstanceIds=[one])


def test_an_instance_is_told_about_itself_and_nobody_else_is(cloud: Cloud, web_profile: str) -> None:
    one, other = cloud.run(
        2,
        IamInstanceProfile={"Name": web_profile},
        TagSpecifications=tagged(stage="prod"),
        MetadataOptions={"InstanceMetadataTags": "enabled"},
        UserData="not a script",
    )
    shown = cloud.instance(one)
    document = json.loads(cloud.inside(one, f"{ASK} ask dynamic/instance-identity/document"))
    assert document["instanceId"] == one
    assert (document["accountId"], document["region"]) == (ACCOUNT, REGION)
    for path, text in (
        ("meta-data/instance-id", one),
        ("meta-data/local-ipv4", shown["PrivateIpAddress"]),
        ("meta-data/hostname", shown["PrivateDnsName"]),
        ("meta-data/placement/availability-zone", shown["Placement"]["AvailabilityZone"]),
        ("meta-data/tags/instance/", "stage"),
        ("meta-data/tags/instance/stage", "prod"),
        ("meta-data/iam/security-credentials/", "web"),
        ("user-data", "not a script"),
    ):
        assert cloud.inside(one, f"{ASK} ask {path}") == text
    assert "iam/" in cloud.inside(one, f"{ASK} ask meta-data/").split("\n")
    assert cloud.inside(one, f"{ASK} ask meta-data/none || echo $?") == "22\n"

    # Version 1 shows no token.
    said = "curl -s -o /dev/null -w '%{http_code}'"
    assert cloud.inside(one, f"{said} $AT/latest/meta-data/instance-id") == "401"
    assert cloud.inside(one, f"{said} -X PUT $AT/latest/api/token") == "400"
    ttl = "-H 'X-aws-ec2-metadata-token-ttl-seconds: 60'"
    assert cloud.inside(one, f"{said} -X PUT {ttl} -H 'X-Forwarded-For: 1.2.3.4' $AT/latest/api/token") == "403"
    # Hosts share the network: neither this process nor another instance is answered.
    at = cloud.metadata(one)
    request = urllib.request.Request(f"{at}/latest/api/token", method="PUT")
    request.add_header("X-aws-ec2-metadata-token-ttl-seconds", "60")
    with pytest.raises(urllib.error.HTTPError) as answer:
        urllib.request.urlopen(request, timeout=10)
    answer.value.close()
    assert answer.value.code == 403
    assert cloud.inside(other, f"{said} -X PUT {ttl} {at}/latest/api/token") == "403"

    keys = json.loads(cloud.inside(one, f"{ASK} ask meta-data/iam/security-credentials/web"))
    assert keys["Code"] == "Success"
    assert json.loads(cloud.inside(one, f"{ASK} ask meta-data/iam/security-credentials/web")) == keys
    held = (keys["AccessKeyId"], keys["SecretAccessKey"], keys["Token"])
    arn = cloud.plane.client("sts", keys=held).get_caller_identity()["Arn"]
    assert arn == f"arn:aws:sts::{ACCOUNT}:assumed-role/web/{one}"
    with refused("UnauthorizedOperation"):
        cloud.plane.client("ec2", keys=held).describe_instances()

    # The agent's own identity: as itself, not as another, and not as anybody who only has the name.
    itself = f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/{one}"
    commands = cloud.plane.client("codedeploy-commands", keys=held)
    with refused("AccessDeniedException"):
        commands.poll_host_command(HostIdentifier=f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/{other}")
    with refused("AccessDeniedException"):
        commands.poll_host_command(HostIdentifier=arn)
    with refused("ClientException"):
        commands.get_deployment_specification(HostIdentifier=itself, DeploymentExecutionId="a/b/c/d-ABCDEFGHI")
    user = cloud.iam.create_user(UserName="mallory")["User"]["UserName"]
    allowed = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:*", "Resource": "*"}]}
    cloud.iam.put_user_policy(UserName=user, PolicyName="all", PolicyDocument=json.dumps(allowed))
    key = cloud.iam.create_access_key(UserName=user)["AccessKey"]
    sts = cloud.plane.client("sts", keys=(key["AccessKeyId"], key["SecretAccessKey"]))
    stolen = sts.assume_role(RoleArn=f"arn:aws:iam::{ACCOUNT}:role/web", RoleSessionName=one)["Credentials"]
    like = (stolen["AccessKeyId"], stolen["SecretAccessKey"], stolen["SessionToken"])
    assert cloud.plane.client("sts", keys=like).get_caller_identity()["Arn"] == arn
    with refused("AccessDeniedException"):
        cloud.plane.client("codedeploy-commands", keys=like).poll_host_command(HostIdentifier=itself)

    cloud.ec2.terminate_instances(InstanceIds=[one, other])
    cloud.wait(one, "terminated")
    with refused("InvalidClientTokenId"):
        cloud.plane.client("sts", keys=held).get_caller_identity()


def test_who_may_not_pass_a_role_gives_it_to_no_instance(cloud: Cloud, web_profile: str) -> None:
    cloud.iam.create_user(UserName="launcher")
    key = cloud.iam.create_access_key(UserName="launcher")["AccessKey"]

    def allow(*actions: str) -> None:
        statement = {"Effect": "Allow", "Action": actions, "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        cloud.iam.put_user_policy(UserName="launcher", PolicyName="may", PolicyDocument=policy)

    allow("ec2:RunInstances", "ec2:CreateLaunchTemplate")
    ec2 = cloud.plane.client("ec2", keys=(key["AccessKeyId"], key["SecretAccessKey"]))
    profile = {"IamInstanceProfile": {"Name": web_profile}}
    ec2.create_launch_template(LaunchTemplateName="with-role", LaunchTemplateData={"ImageId": IMAGE, **profile})
    for asked in ({"ImageId": IMAGE, **profile}, {"LaunchTemplate": {"LaunchTemplateName": "with-role"}}):
        with refused("UnauthorizedOperation"):
            ec2.run_instances(MinCount=1, MaxCount=1, **asked)
    without = ec2.run_instances(MinCount=1, MaxCount=1, ImageId=IMAGE)["Instances"]
    allow("ec2:RunInstances", "iam:PassRole")
    with_role = ec2.run_instances(MinCount=1, MaxCount=1, ImageId=IMAGE, **profile)["Instances"]
    with refused("UnauthorizedOperation"):
        ec2.describe_instances()
    cloud.ec2.terminate_instances(InstanceIds=[one["InstanceId"] for one in (*without, *with_role)])

    # Nor by way of a group that launches them.
    scaling = cloud.plane.client("autoscaling", keys=(key["AccessKeyId"], key["SecretAccessKey"]))
    group = {"AutoScalingGroupName": "empty", "MinSize": 0, "MaxSize": 0, "AvailabilityZones": [f"{REGION}a"]}
    template = {"LaunchTemplate": {"LaunchTemplateName": "with-role"}}
    for missing in ("iam:PassRole", "ec2:RunInstances"):
        allow("autoscaling:*", *({"iam:PassRole", "ec2:RunInstances"} - {missing}))
        with refused("AccessDenied"):
            scaling.create_auto_scaling_group(**group, **template)
    allow("autoscaling:*", "iam:PassRole", "ec2:RunInstances")
    scaling.create_auto_scaling_group(**group, **template)
    scaling.delete_auto_scaling_group(AutoScalingGroupName="empty")


def test_a_host_that_ends_by_itself_is_seen(cloud: Cloud) -> None:
    (stops,) = cloud.run()
    (ends,) = cloud.run(InstanceInitiatedShutdownBehavior="terminate")
    for one in (stops, ends):
        process = cloud.host(one).process_id()
        assert process is not None
        os.kill(process, 9)
    assert cloud.wait(stops, "stopped")["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"
    cloud.wait(ends, "terminated")
    cloud.ec2.start_instances(InstanceIds=[stops])
    cloud.wait(stops, "running")
    cloud.ec2.terminate_instances(InstanceIds=[stops])


def test_what_runs_is_found_again_by_the_next_server(own_cloud: Cloud) -> None:
    cloud = own_cloud
    one, other = cloud.run(2)
    before = {i: cloud.host(i).process_id() for i in (one, other)}
    cloud.plane.kill()
    os.kill(before[other] or 0, 9)
    cloud.plane.start()
    cloud.wait(other, "stopped")
    assert cloud.instance(one)["State"]["Name"] == "running"
    assert cloud.host(one).process_id() == before[one]
    wait_until(
        "it is told about itself again",
        lambda: cloud.inside(one, f"{ASK} ask meta-data/instance-id || true") == one,
    )
    assert cloud.plane.stop() == 0
    assert cloud.host(one).process_id() == before[one]

    # Its agent follows a server that moves.
    cloud.plane.port = ports.kept()
    cloud.plane.start()
    log = cloud.host(one).written("/var/log/aws/codedeploy-agent/codedeploy-agent.log")
    found = f"agent.polls {cloud.plane.url} "
    wait_until("the agent has found it", lambda: log.exists() and found in log.read_text())
    assert cloud.host(one).process_id() == before[one]


def test_a_server_that_is_killed_while_it_launches_loses_no_host(own_cloud: Cloud) -> None:
    """Whatever it had begun, the next one ends or goes on with; a host that no record knows does not run."""
    cloud = own_cloud
    for number, wait in enumerate((0.0, 0.1, 0.3)):
        token = f"try-{number}"
        launch = {"ImageId": IMAGE, "MinCount": 3, "MaxCount": 3, "ClientToken": token}
        first = cloud.ec2.run_instances(**launch)["Instances"]
        time.sleep(wait)
        cloud.plane.kill()
        cloud.plane.start()
        again = cloud.ec2.run_instances(**launch)["Instances"]
        ids = [one["InstanceId"] for one in again]
        assert ids == [one["InstanceId"] for one in first]
        for one in ids:
            cloud.wait(one, "running")
        cloud.ec2.terminate_instances(InstanceIds=ids[:2])
        time.sleep(wait)
        cloud.plane.kill()
        cloud.plane.start()
        for one in ids[:2]:
            cloud.wait(one, "terminated")
    known = cloud.ec2.describe_instances(Filters=[{"Name": "instance-state-name", "Values": ["running"]}])
    running = {one["InstanceId"] for r in known["Reservations"] for one in r["Instances"]}
    assert len(running) == 3
    wait_until("no other runs", lambda: instances.running(cloud.plane.data_dir) == dict.fromkeys(running, 1))


def test_without_hosts_of_ones_own_it_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    plane = ControlPlane(tmp_path)
    plane.start()
    try:
        with pytest.raises(ClientError, match="unshare") as raised:
            plane.client("ec2").run_instances(ImageId=IMAGE, MinCount=1, MaxCount=1)
        assert raised.value.response["Error"]["Code"] == "Unsupported"
    finally:
        plane.stop()
