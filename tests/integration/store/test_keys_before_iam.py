"""Keys that were made before there was IAM (schema 0002) go on working, and have users (schema 0003)."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from botocore.exceptions import ClientError
from sqlalchemy import create_engine

from longshore.store import migrations
from tests.acceptance.world import ACCOUNT, ControlPlane, wait_until

USER = f"arn:aws:iam::{ACCOUNT}:user"
#: Id, secret, ARN, kind and creation time, as longshore wrote them then.
KEYS = (
    ("AKIAAAAAAAAAAAAAROOT", "root-secret", f"arn:aws:iam::{ACCOUNT}:root", "root", 1.0),
    ("AKIAAAAAAAAAASERVICE", "service-secret", f"{USER}/longshore/control-plane", "service", 1.0),
    ("AKIAAAAAAAAAAAAWEBAA", "web-secret", f"{USER}/web-1", "user", 100.0),
    ("AKIAAAAAAAAAAAAWEBBB", "web-secret-2", f"{USER}/web-1", "user", 50.0),
    ("AKIAAAAAAAAAAATILLAA", "till-secret", f"{USER}/till", "user", 3.0),
    # Names that differ by case alone could be had before.
    ("AKIAAAAAAAAAAACASEAA", "case-secret", f"{USER}/Web-1", "user", 4.0),
    ("AKIAAAAAAAAAAACASEBB", "case-secret", f"{USER}/DB-1", "user", 5.0),
    ("AKIAAAAAAAAAAACASECC", "case-secret", f"{USER}/Db-1", "user", 6.0),
)


@pytest.fixture(scope="module")
def upgraded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A server of today on data of then."""
    plane = ControlPlane(tmp_path_factory.mktemp("old"))
    plane.data_dir.mkdir()
    file = plane.data_dir / "longshore.db"
    _old_database(file)
    plane.start()
    yield plane
    plane.stop()


def _old_database(file: Path) -> None:
    engine = create_engine(f"sqlite:///{file}")
    config = migrations._config()
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
    engine.dispose()
    database = sqlite3.connect(file)
    with database:
        database.executemany(
            "INSERT INTO access_keys (access_key_id, secret_access_key, principal_arn, kind, create_time, account)"
            f" VALUES (?, ?, ?, ?, ?, '{ACCOUNT}')",
            KEYS,
        )
    database.close()


def test_every_key_signs_as_whom_it_signed_before(upgraded: ControlPlane) -> None:
    for access_key_id, secret, arn, kind, _ in KEYS:
        if kind == "service":
            continue  # it signs for the control plane alone
        who = upgraded.client("sts", keys=(access_key_id, secret)).get_caller_identity()
        assert (who["Arn"], who["Account"]) == (arn, ACCOUNT)
        with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
            upgraded.client("sts", keys=(access_key_id, "another")).get_caller_identity()


def test_the_owner_keeps_its_key(upgraded: ControlPlane) -> None:
    assert upgraded.owner == ("AKIAAAAAAAAAAAAAROOT", "root-secret")


def test_each_name_on_a_key_is_a_user_now(upgraded: ControlPlane) -> None:
    iam = upgraded.client("iam")
    users = {user["UserName"]: user for user in iam.list_users()["Users"]}
    assert {name: (user["Arn"], user["CreateDate"].timestamp()) for name, user in users.items()} == {
        "web-1": (f"{USER}/web-1", 50.0),
        "till": (f"{USER}/till", 3.0),
        "Web-1": (f"{USER}/Web-1", 4.0),
        "DB-1": (f"{USER}/DB-1", 5.0),
        "Db-1": (f"{USER}/Db-1", 6.0),
    }
    keys = iam.list_access_keys(UserName="web-1")["AccessKeyMetadata"]
    assert {key["AccessKeyId"] for key in keys} == {"AKIAAAAAAAAAAAAWEBAA", "AKIAAAAAAAAAAAAWEBBB"}
    for name in users:
        # A right to this very user, in its own spelling.
        allow = {"Effect": "Allow", "Action": "iam:GetUser", "Resource": f"{USER}/{name}"}
        document = json.dumps({"Version": "2012-10-17", "Statement": allow})
        iam.put_user_policy(UserName="till", PolicyName="one", PolicyDocument=document)
        till = upgraded.client("iam", keys=("AKIAAAAAAAAAAATILLAA", "till-secret"))
        assert till.get_user(UserName=name)["User"]["UserName"] == name
    iam.delete_user_policy(UserName="till", PolicyName="one")
    (key,) = iam.list_access_keys(UserName="Web-1")["AccessKeyMetadata"]
    assert key["AccessKeyId"] == "AKIAAAAAAAAAAACASEAA"
    assert (key["Status"], key["CreateDate"].timestamp()) == ("Active", 4.0)


def test_a_host_of_then_polls_and_may_do_no_more_than_then(upgraded: ControlPlane) -> None:
    keys = ("AKIAAAAAAAAAAATILLAA", "till-secret")
    arn = f"{USER}/till"
    commands = upgraded.client("codedeploy-commands", keys=keys)
    commands.put_host_command_complete(HostCommandIdentifier="none", CommandStatus="Succeeded")
    with pytest.raises(ClientError, match="may only speak for itself"):
        commands.poll_host_command(HostIdentifier=f"{USER}/web-1")
    deploy = upgraded.client("codedeploy", keys=keys)
    with pytest.raises(ClientError, match=f"User: {arn} is not authorized"):
        deploy.list_applications()
    # It can be given more, and be locked out, like any user.
    iam = upgraded.client("iam")
    iam.attach_user_policy(UserName="till", PolicyArn="CodeDeployReadOnlyAccess")
    assert deploy.list_applications()["applications"] == []
    iam.delete_access_key(UserName="till", AccessKeyId=keys[0])
    with pytest.raises(ClientError, match="UnrecognizedClientException"):
        deploy.list_applications()


def test_the_control_planes_own_key_still_reads_bundles(upgraded: ControlPlane) -> None:
    s3 = upgraded.client("s3")
    s3.create_bucket(Bucket="releases")
    s3.put_object(Bucket="releases", Key="1.zip", Body=b"a bundle")
    service = upgraded.client("s3", keys=("AKIAAAAAAAAAASERVICE", "service-secret"))
    assert wait_until("it reads", lambda: service.get_object(Bucket="releases", Key="1.zip"))["ContentLength"] == 8
    for call in (
        lambda: service.put_object(Bucket="releases", Key="1.zip", Body=b""),
        lambda: service.delete_object(Bucket="releases", Key="1.zip"),
        service.list_buckets,
        upgraded.client("iam", keys=("AKIAAAAAAAAAASERVICE", "service-secret")).list_users,
    ):
        with pytest.raises(ClientError, match="AccessDenied"):
            call()
