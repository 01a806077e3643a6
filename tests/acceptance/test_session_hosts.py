"""A host that signs with a role's session credentials, whose file somebody keeps fresh (issue S8.13, agent.md 7.2)."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.world import ACCOUNT, REGION, ControlPlane, Host, Revision, Shop, wait_until

ROLE = f"arn:aws:iam::{ACCOUNT}:role/hosts"
SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role/hosts/web-session"
TRUST = {
    "Version": "2012-10-17",
    "Statement": {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "sts:AssumeRole"},
}


class SessionHost(Host):
    """Registered by the ARN of its session; `refresh` is the job that a host's administrator runs every so often."""

    def refresh(self) -> dict[str, Any]:
        sts = self.plane.client("sts")
        keys: dict[str, Any] = sts.assume_role(RoleArn=ROLE, RoleSessionName="web-session", DurationSeconds=900)[
            "Credentials"
        ]
        self.write(keys)
        return keys

    def write(self, keys: dict[str, Any]) -> None:
        new = self.folder / "credentials.new"
        new.write_text(
            f"[default]\naws_access_key_id = {keys['AccessKeyId']}\n"
            f"aws_secret_access_key = {keys['SecretAccessKey']}\naws_session_token = {keys['SessionToken']}\n"
        )
        new.rename(self.folder / "credentials")


@pytest.fixture
def session_host(own_plane: ControlPlane, tmp_path: Path) -> Iterator[SessionHost]:
    own_plane.client("iam").create_role(RoleName="hosts", AssumeRolePolicyDocument=json.dumps(TRUST))
    own_plane.client("codedeploy").register_on_premises_instance(instanceName="web-1", iamSessionArn=SESSION)
    folder = tmp_path / "web-1"
    host = SessionHost(
        name="web-1",
        folder=folder,
        plane=own_plane,
        identity={
            "region": REGION,
            "iam_session_arn": SESSION,
            "aws_credentials_file": str(folder / "credentials"),
        },
    )
    host.arn = SESSION
    yield host
    host.remove()


def an_hour_passes(plane: ControlPlane, access_key_id: str) -> None:
    """No session of AWS's is shorter than a quarter of an hour, so this one's end is put into the past."""
    plane.kill()
    with sqlite3.connect(plane.data_dir / "longshore.db") as database:
        done = database.execute(
            "UPDATE access_keys SET expiration = expiration - 3600 WHERE access_key_id = ?", (access_key_id,)
        )
        assert done.rowcount == 1
    database.close()
    plane.start()


def the_sessions_are_revoked(plane: ControlPlane, _access_key_id: str) -> None:
    """As AWS's console does it, by the policy AWSRevokeOlderSessions."""
    moment = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=1)
    older = {"DateLessThan": {"aws:TokenIssueTime": moment.strftime("%Y-%m-%dT%H:%M:%SZ")}}
    deny = {"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": older}
    plane.client("iam").put_role_policy(
        RoleName="hosts",
        PolicyName="AWSRevokeOlderSessions",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": deny}),
    )
    wait_until("what is issued from now on is not older", lambda: datetime.now(UTC) >= moment)


@pytest.mark.parametrize(
    ("end", "code"),
    [(an_hour_passes, "ExpiredTokenException"), (the_sessions_are_revoked, "AccessDeniedException")],
)
def test_a_session_that_ends_in_a_hook_and_is_refreshed_later_costs_the_deployment_nothing(
    session_host: SessionHost, tmp_path: Path, end: Callable[[ControlPlane, str], None], code: str
) -> None:
    host, plane = session_host, session_host.plane
    assume = ("sts", "assume-role", "--role-arn", ROLE, "--role-session-name", "web-session")
    first = plane.aws(*assume, "--duration-seconds", "900")["Credentials"]
    host.write(first)
    host.start()
    shop = Shop(plane, "shop")
    shop.deploy.add_tags_to_on_premises_instances(instanceNames=["web-1"], tags=[{"Key": "app", "Value": "shop"}])
    began, go_on = tmp_path / "began", tmp_path / "go-on"
    deployment = shop.start(
        Revision(
            hooks={
                "BeforeInstall": f"touch {began}; while [ ! -e {go_on} ]; do sleep 0.05; done",
                "ValidateService": f"echo validated >> {tmp_path}/validated",
            }
        )
    )
    wait_until("the hook runs", began.exists)
    end(plane, first["AccessKeyId"])
    go_on.touch()
    # More often than a refusal is put up with that nothing but a hand on the host could cure.
    refused = re.compile(rf"report_failed BeforeInstall try=(\d+): .*{code}")
    wait_until("the report is refused", lambda: any(int(found[1]) >= 5 for found in refused.finditer(host.log)))
    assert shop.info(deployment)["status"] == "InProgress"

    host.refresh()

    assert shop.ended(deployment)["status"] == "Succeeded"
    assert shop.statuses(deployment, "web-1") == ["Succeeded"] * 7
    assert (tmp_path / "validated").read_text() == "validated\n"


def test_a_session_speaks_for_itself_alone(session_host: SessionHost) -> None:
    """Another session of the same role is another host, and a role's session has no right but its role's."""
    plane = session_host.plane
    other = plane.client("sts").assume_role(RoleArn=ROLE, RoleSessionName="web-other")["Credentials"]
    keys = (other["AccessKeyId"], other["SecretAccessKey"], other["SessionToken"])
    commands = plane.client("codedeploy-commands", keys=keys)
    with pytest.raises(commands.exceptions.ClientError, match="may only speak for itself"):
        commands.poll_host_command(HostIdentifier=SESSION)
    deploy = plane.client("codedeploy", keys=keys)
    with pytest.raises(deploy.exceptions.ClientError, match="not authorized to perform: codedeploy:ListApplications"):
        deploy.list_applications()
