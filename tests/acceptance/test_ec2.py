"""EC2 instances of onebox as hosts of a deployment: made by plain aws commands, with nothing configured on them."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from longshore.onebox.machinery.host_view import HostView, why_not
from tests import instances
from tests.acceptance.world import ACCOUNT, BIN, FINAL, REGION, ControlPlane, Revision, wait_until

#: The release that is served at an instance's own address, which is what its host name means there.
START = """set -e
setsid python3 -m http.server 8080 --bind "$(hostname -i)" --directory /opt/shop </dev/null >/dev/null 2>&1 &
echo $! >/run/shop.pid
for try in $(seq 100); do
  python3 -c 'import socket, sys; socket.create_connection((sys.argv[1], 8080), 1)' "$(hostname -i)" && exit 0
  sleep 0.1
done
exit 1
"""
STOP = "[ ! -e /run/shop.pid ] || kill $(cat /run/shop.pid)"


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[ControlPlane]:
    if reason := why_not(tmp_path):
        assert not os.environ.get("CI"), reason
        pytest.skip(reason)
    made = ControlPlane(tmp_path)
    with instances.ending(made.data_dir):
        made.start()
        try:
            yield made
        finally:
            made.stop()


def trusting(service: str) -> str:
    statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def revision(version: int) -> Revision:
    return Revision(
        files={"page": f"{version}\n"},
        install={"page": "/opt/shop"},
        hooks={"ApplicationStop": STOP, "ApplicationStart": START},
    )


def test_a_fleet_of_instances_is_deployed_to_by_its_tags(plane: ControlPlane, tmp_path: Path) -> None:
    aws = plane.aws
    # A role for the hosts and one for CodeDeploy.
    aws("iam", "create-role", "--role-name", "web", "--assume-role-policy-document", trusting("ec2.amazonaws.com"))
    aws("iam", "create-instance-profile", "--instance-profile-name", "web")
    aws("iam", "add-role-to-instance-profile", "--instance-profile-name", "web", "--role-name", "web")
    trust = trusting("codedeploy.amazonaws.com")
    aws("iam", "create-role", "--role-name", "deploy", "--assume-role-policy-document", trust)
    role = "arn:aws:iam::aws:policy/service-role/AWSCodeDeployRole"
    aws("iam", "attach-role-policy", "--role-name", "deploy", "--policy-arn", role)

    launched = aws(
        *("ec2", "run-instances", "--image-id", "ami-longshore", "--count", "3"),
        *("--iam-instance-profile", "Name=web"),
        *("--tag-specifications", "ResourceType=instance,Tags=[{Key=app,Value=shop}]"),
    )
    ids = [one["InstanceId"] for one in launched["Instances"]]
    addresses = {one["InstanceId"]: one["PrivateIpAddress"] for one in launched["Instances"]}
    reach(plane, "running", *ids)

    aws("deploy", "create-application", "--application-name", "shop")
    aws(
        *("deploy", "create-deployment-group", "--application-name", "shop", "--deployment-group-name", "prod"),
        *("--service-role-arn", f"arn:aws:iam::{ACCOUNT}:role/deploy"),
        *("--ec2-tag-filters", "Key=app,Value=shop,Type=KEY_AND_VALUE"),
        *("--deployment-config-name", "CodeDeployDefault.OneAtATime"),
    )
    aws("s3", "mb", "s3://releases")

    first = start(plane, revision(1).zip(), tmp_path)
    assert ended(plane, first)["status"] == "Succeeded"
    assert overview(plane, first) == {"Succeeded": 3}
    assert {page(address) for address in addresses.values()} == {"1\n"}
    target = plane.client("codedeploy").get_deployment_target(deploymentId=first, targetId=ids[0])
    shown = target["deploymentTarget"]["instanceTarget"]
    assert shown["targetArn"] == f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/{ids[0]}"

    # Agents that have polled were seen, by whatever keys the metadata service gave them.
    deployed = plane.client("codedeploy").get_deployment(deploymentId=first)["deploymentInfo"]["revision"]
    where = ",".join(f"{name}={value}" for name, value in deployed["s3Location"].items())
    named = ("--application-name", "shop", "--deployment-group-name", "prod", "--s3-location", where)
    planned = json.loads(plane.run("longshore", "plan", *named, "--output", "json").stdout)
    assert {one["instanceName"] for one in planned["instances"] if one.get("lastSeenTime")} == set(ids)
    assert planned["problems"] == []

    # One that is stopped is a member none the less, and counts like one that fails (S2.15).
    aws("ec2", "stop-instances", "--instance-ids", ids[1])
    reach(plane, "stopped", ids[1])
    aws(
        *("deploy", "update-deployment-group", "--application-name", "shop", "--current-deployment-group-name", "prod"),
        *("--deployment-config-name", "CodeDeployDefault.AllAtOnce"),
    )
    second = start(plane, revision(2).zip(), tmp_path)
    wait_until("the others are done", lambda: overview(plane, second) == {"Succeeded": 2, "InProgress": 1})
    assert {page(addresses[one]) for one in (ids[0], ids[2])} == {"2\n"}
    # Started within the five minutes that it has (S4.1), it takes its part: whichever server is there by then.
    plane.kill()
    plane.start()
    aws("ec2", "start-instances", "--instance-ids", ids[1])
    assert ended(plane, second)["status"] == "Succeeded"
    assert overview(plane, second) == {"Succeeded": 3}
    assert page(addresses[ids[1]]) == "2\n"

    aws("ec2", "terminate-instances", "--instance-ids", *ids)
    reach(plane, "terminated", *ids)
    wait_until("none runs", lambda: not instances.running(plane.data_dir))


def start(plane: ControlPlane, bundle: bytes, folder: Path) -> str:
    """Begin a deployment; its id."""
    (folder / "shop.zip").write_bytes(bundle)
    plane.aws("s3", "cp", folder / "shop.zip", "s3://releases/shop.zip")
    made = plane.aws(
        *("deploy", "create-deployment", "--application-name", "shop", "--deployment-group-name", "prod"),
        *("--s3-location", "bucket=releases,key=shop.zip,bundleType=zip"),
    )
    return str(made["deploymentId"])


def info(plane: ControlPlane, deployment: str) -> dict[str, Any]:
    found: dict[str, Any] = plane.client("codedeploy").get_deployment(deploymentId=deployment)["deploymentInfo"]
    return found


def overview(plane: ControlPlane, deployment: str) -> dict[str, int]:
    """How many hosts are how far, by what AWS calls that; those that are some."""
    return {name: count for name, count in info(plane, deployment)["deploymentOverview"].items() if count}


def ended(plane: ControlPlane, deployment: str) -> dict[str, Any]:
    def found() -> dict[str, Any] | None:
        now = info(plane, deployment)
        return now if now["status"] in FINAL else None

    over: dict[str, Any] = wait_until(f"{deployment} ends", found, seconds=60)
    return over


def reach(plane: ControlPlane, state: str, *ids: str) -> None:
    """Wait until these instances are in a state; the CLI's own waiters look every 15 seconds."""
    ec2 = plane.client("ec2")

    def states() -> set[str]:
        found = ec2.describe_instances(InstanceIds=ids)["Reservations"]
        return {one["State"]["Name"] for reserved in found for one in reserved["Instances"]}

    wait_until(f"{ids} are {state}", lambda: states() == {state})


def page(address: str) -> str:
    with urllib.request.urlopen(f"http://{address}:8080/page", timeout=10) as answer:
        said: bytes = answer.read()
    return said.decode()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a server as somebody else")
def test_a_server_that_is_not_root_has_instances_too(tmp_path: Path) -> None:
    """By unprivileged user namespaces: the instance's root is the server's user."""
    if reason := why_not(tmp_path):
        assert not os.environ.get("CI"), reason
        pytest.skip(reason)
    machine = HostView(directory=tmp_path / "machine", name="machine")
    machine.start()
    server: subprocess.Popen[str] | None = None
    try:
        # Python may live in root's home, which on this machine everybody may pass through.
        subprocess.run(machine.command(["chmod", "755", "/root"]), check=True, timeout=30)
        nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
        command = (str(BIN / "longshore"), "server", "--data-dir", "/tmp/data", "--listen", "127.0.0.1:0")
        with (tmp_path / "log").open("w") as log:
            server = subprocess.Popen(
                machine.command([*nobody, *command]), stdout=subprocess.PIPE, stderr=log, text=True
            )
        assert server.stdout is not None
        exports = (line.partition("=")[2].strip() for line in server.stdout if line.startswith("export AWS_ENDPOINT"))
        url = next(exports)
        ec2, iam = (owner_of(machine, service, url) for service in ("ec2", "iam"))
        iam.create_role(RoleName="web", AssumeRolePolicyDocument=trusting("ec2.amazonaws.com"))
        iam.create_instance_profile(InstanceProfileName="web")
        iam.add_role_to_instance_profile(InstanceProfileName="web", RoleName="web")
        script = f"#!/bin/sh\nid -u\naws sts get-caller-identity --region {REGION} --query Arn --output text\n"
        launch = {"ImageId": "ami-longshore", "MinCount": 1, "MaxCount": 1, "UserData": script}
        try:
            launched = ec2.run_instances(**launch, IamInstanceProfile={"Name": "web"})
        except ClientError as error:
            if error.response["Error"]["Code"] == "Unsupported":
                pytest.skip(error.response["Error"]["Message"])  # a kernel that lets root alone have namespaces
            raise
        one = launched["Instances"][0]["InstanceId"]
        said = f"0\narn:aws:sts::{ACCOUNT}:assumed-role/web/{one}\n"
        wait_until(
            "it is root, and itself to the server",
            lambda: ec2.get_console_output(InstanceId=one)["Output"] == said,
        )
        ec2.terminate_instances(InstanceIds=[one])
        found = machine.written("/tmp/data/onebox/ec2/instances")
        wait_until("it is gone", lambda: not (found / one).exists())
    finally:
        # All that was started is in there.
        machine.remove()
        if server is not None:
            server.wait(30)
            assert server.stdout is not None
            server.stdout.close()


def owner_of(machine: HostView, service: str, url: str) -> Any:
    lines = machine.written("/tmp/data/credentials").read_text().splitlines()
    values = dict(line.split(" = ") for line in lines if " = " in line)
    return boto3.client(
        service,
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id=values["aws_access_key_id"],
        aws_secret_access_key=values["aws_secret_access_key"],
    )
