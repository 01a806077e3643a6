"""The aws command line's own way of making a host, `aws deploy register`; and the IAM commands around it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.acceptance.world import ACCOUNT, REGION, ControlPlane, Host, Revision, Shop

TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
            "Action": "sts:AssumeRole",
        },
    }
)


@pytest.fixture
def started(tmp_path: Path) -> Iterator[list[Host]]:
    hosts: list[Host] = []
    yield hosts
    for host in hosts:
        host.remove()


def test_a_host_registered_by_aws_deploy_register_deploys_and_is_deregistered(
    shared_plane: ControlPlane, started: list[Host], tmp_path: Path
) -> None:
    """register makes a user, a key, a policy and the on-premises file; deregister takes all of them away."""
    shop = Shop(shared_plane, "registered")

    said = shared_plane.run(
        *("aws", "deploy", "register", "--instance-name", "till-1", "--region", REGION),
        *("--tags", "Key=app,Value=registered", "Key=stage,Value=prod"),
        cwd=tmp_path,
    )
    assert "ERROR" not in said.stdout + said.stderr
    written = tmp_path / "codedeploy.onpremises.yml"
    user = f"arn:aws:iam::{ACCOUNT}:user/AWS/CodeDeploy/till-1"
    config = yaml.safe_load(written.read_text())
    assert config["iam_user_arn"] == user
    instance = shop.deploy.get_on_premises_instance(instanceName="till-1")["instanceInfo"]
    assert instance["iamUserArn"] == user
    assert {tag["Key"]: tag["Value"] for tag in instance["tags"]} == {"app": "registered", "stage": "prod"}

    host = Host(
        name="till-1",
        folder=tmp_path / "till-1",
        plane=shared_plane,
        identity={"on_premises_config_file": str(written)},
    )
    started.append(host.start())
    deployment, info = shop.run(Revision(hooks={"ValidateService": f"echo validated > {tmp_path}/validated"}))
    assert info["status"] == "Succeeded", host.log
    assert (tmp_path / "validated").read_text() == "validated\n"
    assert shop.statuses(deployment, "till-1") == ["Succeeded"] * 7

    said = shared_plane.run("aws", "deploy", "deregister", "--instance-name", "till-1", "--region", REGION)
    assert "ERROR" not in said.stdout + said.stderr
    assert shop.deploy.get_on_premises_instance(instanceName="till-1")["instanceInfo"]["deregisterTime"]
    iam = shared_plane.client("iam")
    with pytest.raises(iam.exceptions.NoSuchEntityException):
        iam.get_user(UserName="till-1")
    keys = (config["aws_access_key_id"], config["aws_secret_access_key"])
    with pytest.raises(iam.exceptions.ClientError, match="InvalidClientTokenId"):
        shared_plane.client("sts", keys=keys).get_caller_identity()


def test_a_host_of_a_user_that_is_there_already(
    shared_plane: ControlPlane, started: list[Host], tmp_path: Path
) -> None:
    """With --iam-user-arn nothing is made but the instance; the key is what `aws iam create-access-key` printed."""
    aws = shared_plane.aws
    user = aws("iam", "create-user", "--user-name", "till-2", "--path", "/tills/")["User"]
    key = aws("iam", "create-access-key", "--user-name", "till-2")["AccessKey"]
    register = ("deploy", "register", "--instance-name", "till-2", "--iam-user-arn", user["Arn"], "--region", REGION)
    said = shared_plane.run("aws", *register, cwd=tmp_path)
    assert "ERROR" not in said.stdout + said.stderr
    assert not (tmp_path / "codedeploy.onpremises.yml").exists()
    tags = ("--instance-names", "till-2", "--tags", "Key=app,Value=tills")
    aws("deploy", "add-tags-to-on-premises-instances", *tags)
    identity = {
        "region": REGION,
        "iam_user_arn": user["Arn"],
        "aws_access_key_id": key["AccessKeyId"],
        "aws_secret_access_key": key["SecretAccessKey"],
    }
    shop = Shop(shared_plane, "tills")
    host = Host(name="till-2", folder=tmp_path / "till-2", plane=shared_plane, identity=identity)
    started.append(host.start())
    _, info = shop.run(Revision(hooks={"ApplicationStart": "true"}))
    assert info["status"] == "Succeeded", host.log

    aws("deploy", "remove-tags-from-on-premises-instances", *tags)
    assert shop.deploy.get_on_premises_instance(instanceName="till-2")["instanceInfo"]["tags"] == []


def test_a_life_of_a_user_in_the_words_of_the_aws_command_line(shared_plane: ControlPlane, tmp_path: Path) -> None:
    """Create, use, look at, delete: each by the command of an AWS manual."""
    aws = shared_plane.aws
    policy = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Action": "codedeploy:List*", "Resource": "*"}],
        }
    )
    aws("iam", "create-user", "--user-name", "carol", "--tags", "Key=team,Value=web")
    key = aws("iam", "create-access-key", "--user-name", "carol")["AccessKey"]
    aws("iam", "put-user-policy", "--user-name", "carol", "--policy-name", "lists", "--policy-document", policy)
    aws("iam", "attach-user-policy", "--user-name", "carol", "--policy-arn", "CodeDeployReadOnlyAccess")

    as_carol = shared_plane.client("codedeploy", keys=(key["AccessKeyId"], key["SecretAccessKey"]))
    assert "applications" in as_carol.list_applications()

    found = aws("iam", "get-user-policy", "--user-name", "carol", "--policy-name", "lists")
    assert found["PolicyDocument"] == json.loads(policy)
    assert aws("iam", "list-user-policies", "--user-name", "carol")["PolicyNames"] == ["lists"]
    attached = aws("iam", "list-attached-user-policies", "--user-name", "carol")["AttachedPolicies"]
    assert attached == [
        {
            "PolicyName": "AWSCodeDeployReadOnlyAccess",
            "PolicyArn": "arn:aws:iam::aws:policy/AWSCodeDeployReadOnlyAccess",
        }
    ]
    keys = aws("iam", "list-access-keys", "--user-name", "carol")["AccessKeyMetadata"]
    assert [(one["AccessKeyId"], one["Status"]) for one in keys] == [(key["AccessKeyId"], "Active")]
    assert "carol" in [user["UserName"] for user in aws("iam", "list-users")["Users"]]
    # What tools look for before they delete a user, and what nobody here has.
    carol = ("--user-name", "carol")
    for command, member, words in (
        ("list-groups", "Groups", ()),
        ("list-groups-for-user", "Groups", carol),
        ("list-mfa-devices", "MFADevices", carol),
        ("list-virtual-mfa-devices", "VirtualMFADevices", ()),
        ("list-ssh-public-keys", "SSHPublicKeys", carol),
        ("list-signing-certificates", "Certificates", carol),
        ("list-service-specific-credentials", "ServiceSpecificCredentials", carol),
        ("list-account-aliases", "AccountAliases", ()),
    ):
        assert aws("iam", command, *words)[member] == []
    for command in ("get-login-profile", "delete-login-profile", "list-groups-for-user"):
        name = "nobody" if command == "list-groups-for-user" else "carol"
        absent = shared_plane.run("aws", "iam", command, "--user-name", name, check=False)
        assert "NoSuchEntity" in absent.stderr, command

    blocked = shared_plane.run("aws", "iam", "delete-user", "--user-name", "carol", check=False)
    assert blocked.returncode != 0
    assert "DeleteConflict" in blocked.stderr
    aws("iam", "delete-access-key", "--user-name", "carol", "--access-key-id", key["AccessKeyId"])
    with pytest.raises(as_carol.exceptions.ClientError, match="UnrecognizedClientException"):
        as_carol.list_applications()
    aws("iam", "delete-user-policy", "--user-name", "carol", "--policy-name", "lists")
    aws("iam", "detach-user-policy", "--user-name", "carol", "--policy-arn", "CodeDeployReadOnlyAccess")
    aws("iam", "delete-user", "--user-name", "carol")


def test_a_role_in_the_words_of_the_aws_command_line(shared_plane: ControlPlane) -> None:
    aws = shared_plane.aws
    policy = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Action": "codedeploy:Get*", "Resource": "*"}],
        }
    )
    role = aws("iam", "create-role", "--role-name", "reader", "--assume-role-policy-document", TRUST)["Role"]
    assert role["AssumeRolePolicyDocument"] == json.loads(TRUST)
    aws("iam", "put-role-policy", "--role-name", "reader", "--policy-name", "gets", "--policy-document", policy)
    answer = aws("sts", "assume-role", "--role-arn", role["Arn"], "--role-session-name", "ci")
    session: dict[str, Any] = answer["Credentials"]
    keys = (session["AccessKeyId"], session["SecretAccessKey"], session["SessionToken"])
    for path, names in (
        ("/", ["AWSCodeDeployFullAccess", "AWSCodeDeployRole"]),
        ("/service-role/", ["AWSCodeDeployRole"]),
    ):
        listed = aws("iam", "list-policies", "--path-prefix", path)["Policies"]
        assert set(names) <= {policy["PolicyName"] for policy in listed}
        assert all(policy["Arn"].startswith(f"arn:aws:iam::aws:policy{path}") for policy in listed)
        for name in names if path == "/" else ():
            arn = next(policy["Arn"] for policy in listed if policy["PolicyName"] == name)
            aws("iam", "attach-role-policy", "--role-name", "reader", "--policy-arn", arn)
        attached = aws("iam", "list-attached-role-policies", "--role-name", "reader", "--path-prefix", path)
        assert [policy["PolicyName"] for policy in attached["AttachedPolicies"]] == names
    who = shared_plane.client("sts", keys=keys).get_caller_identity()
    assert who["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/reader/ci"
    assert who["UserId"] == answer["AssumedRoleUser"]["AssumedRoleId"]
    assert aws("sts", "get-caller-identity")["Arn"] == f"arn:aws:iam::{ACCOUNT}:root"
