"""Policies that were stored by a version which read more than this one: what they forbid is unknown."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.world import ACCOUNT, ControlPlane

FROM_LATER = (
    '{"Version": "2027-01-01", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*", "Unless": "…"}}'
)


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[ControlPlane]:
    made = ControlPlane(tmp_path)
    try:
        made.start()
        yield made
    finally:
        made.stop()


def test_a_policy_that_cannot_be_read_allows_nothing_and_lets_nobody_in(plane: ControlPlane) -> None:
    iam = plane.client("iam")
    iam.create_user(UserName="alice")
    iam.attach_user_policy(UserName="alice", PolicyArn="CodeDeployFullAccess")
    key = iam.create_access_key(UserName="alice")["AccessKey"]
    allow = '{"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}'
    iam.put_user_policy(UserName="alice", PolicyName="own", PolicyDocument=allow)
    trust = f'{{"Statement": {{"Effect": "Allow", "Principal": {{"AWS": "{ACCOUNT}"}}, "Action": "sts:AssumeRole"}}}}'
    role = iam.create_role(RoleName="role", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    alice = (key["AccessKeyId"], key["SecretAccessKey"])
    assert plane.client("codedeploy", keys=alice).list_applications()["applications"] == []
    assert plane.client("sts").assume_role(RoleArn=role, RoleSessionName="me")

    plane.stop()
    database = sqlite3.connect(plane.data_dir / "longshore.db")
    with database:
        database.execute("UPDATE iam_inline_policies SET document = ?", (FROM_LATER,))
        database.execute("UPDATE iam_principals SET trust_policy = ? WHERE kind = 'role'", (FROM_LATER,))
    database.close()
    plane.start()

    deploy, sts = plane.client("codedeploy", keys=alice), plane.client("sts")
    with pytest.raises(deploy.exceptions.ClientError, match="explicit deny in an identity-based policy"):
        deploy.list_applications()
    with pytest.raises(sts.exceptions.ClientError, match="AccessDenied"):
        sts.assume_role(RoleArn=role, RoleSessionName="me")
    # The owner can see what is there, and put it right.
    iam = plane.client("iam")
    assert iam.list_user_policies(UserName="alice")["PolicyNames"] == ["own"]
    iam.put_user_policy(UserName="alice", PolicyName="own", PolicyDocument=allow)
    iam.update_assume_role_policy(RoleName="role", PolicyDocument=trust)
    assert plane.client("codedeploy", keys=alice).list_applications()["applications"] == []
    assert plane.client("sts").assume_role(RoleArn=role, RoleSessionName="me")
