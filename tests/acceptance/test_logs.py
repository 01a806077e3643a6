"""The server's log: one line a fact, with the ids that belong to it, and no secret of anybody."""

from __future__ import annotations

import json
import re
import sqlite3
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.acceptance.world import ACCOUNT, ControlPlane, Host, Revision, Shop

#: How the secret of an access key looks.
SECRET_KEY = re.compile(r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{40}(?![A-Za-z0-9+/=])")
GITHUB_TOKEN = "ghp_" + "Ab3" * 12
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "sts:AssumeRole"}],
}


@pytest.fixture
def plane_of(tmp_path: Path) -> Iterator[Callable[..., ControlPlane]]:
    made: list[ControlPlane] = []

    def make(*options: str) -> ControlPlane:
        made.append(ControlPlane(tmp_path, options=options))
        made[-1].start()
        return made[-1]

    yield make
    for plane in made:
        plane.stop()


def lines(plane: ControlPlane) -> list[dict[str, Any]]:
    """The log's lines; each must be an object of its own."""
    return [json.loads(line) for line in plane.log.read_text().splitlines()]


def requests(plane: ControlPlane, operation: str) -> list[dict[str, Any]]:
    return [line for line in lines(plane) if line["event"] == "request" and line.get("operation") == operation]


def live_through_everything(plane: ControlPlane) -> list[str]:
    """Successes, refusals and crashes by the aws CLI; returns every secret of the session."""
    secrets = [plane.owner[1], (plane.data_dir / "metrics-token").read_text()]
    plane.run("aws", "deploy", "create-application", "--application-name", "shop")
    made = plane.aws("iam", "create-user", "--user-name", "ada") and plane.aws(
        "iam", "create-access-key", "--user-name", "ada"
    )
    secrets.append(made["AccessKey"]["SecretAccessKey"])
    plane.aws("iam", "create-role", "--role-name", "deployer", "--assume-role-policy-document", json.dumps(TRUST))
    session = plane.aws(
        "sts", "assume-role", "--role-arn", f"arn:aws:iam::{ACCOUNT}:role/deployer", "--role-session-name", "night"
    )["Credentials"]
    secrets += [session["SecretAccessKey"], session["SessionToken"]]
    secrets.append(
        json.loads(plane.run("longshore", "keys", "create", "--user", "web-1", "--output", "json").stdout)["AccessKey"][
            "SecretAccessKey"
        ]
    )

    token = json.loads(plane.run("longshore", "tokens", "create", "--output", "json").stdout)
    secrets.append(str(token).partition("lsenroll1.")[2].split("'")[0].split(".")[1])

    # A session that is refused, and every signature that the CLI makes for it.
    environ, plane.environ = (
        plane.environ,
        plane.environ
        | {
            "AWS_ACCESS_KEY_ID": session["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": session["SecretAccessKey"],
            "AWS_SESSION_TOKEN": session["SessionToken"],
        },
    )
    for words in (["deploy", "delete-application", "--application-name", "shop"], ["s3api", "list-buckets"]):
        refused = plane.run("aws", *words, "--debug", check=False)
        assert "AccessDenied" in refused.stderr
        secrets += re.findall(r"Signature:\n(?:.*- )?([0-9a-f]{64})", refused.stderr)
    plane.environ = environ | {
        "AWS_ACCESS_KEY_ID": plane.owner[0],
        "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    }
    assert "InvalidSignature" in plane.run("aws", "deploy", "list-applications", check=False).stderr
    plane.environ = environ
    secrets.append("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")

    # A presigned URL, used well and badly.
    plane.aws("s3", "mb", "s3://releases")
    url = plane.run("aws", "s3", "presign", "s3://releases/missing.zip").stdout.strip()
    secrets.append(url.rpartition("=")[2])
    for asked in (url, f"{url}0"):
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(asked, timeout=10)

    # What a user puts into the wrong place.
    where = f"repository=https://ada:{GITHUB_TOKEN}@github.com/o/r,commitId={'0' * 40}"
    plane.run(
        "aws",
        "deploy",
        "register-application-revision",
        "--application-name",
        "shop",
        "--github-location",
        where,
        check=False,
    )
    secrets.append(GITHUB_TOKEN)

    # The database fails while a secret is being written; the driver's error says what it was given.
    with sqlite3.connect(plane.data_dir / "longshore.db") as database:
        database.execute(
            "CREATE TRIGGER broken BEFORE INSERT ON access_keys BEGIN SELECT RAISE(ABORT, 'disk is broken'); END"
        )
    for words in (["iam", "create-access-key", "--user-name", "ada"], ["sts", "get-session-token"]):
        assert "InternalFailure" in plane.run("aws", *words, check=False).stderr
    plane.stop()
    return secrets


def test_no_secret_of_a_session_is_in_the_log_whatever_happened(plane_of: Callable[..., ControlPlane]) -> None:
    plane = plane_of("--log-format", "json", "--log-level", "debug")
    secrets = live_through_everything(plane)
    assert len(secrets) >= 10
    log = plane.log.read_text()
    assert "disk is broken" in log
    assert [secret for secret in secrets if secret in log] == []
    # The two that were never answered are known to nobody; nothing of their form is there.
    assert [word for word in SECRET_KEY.findall(log) if re.search(r"[A-Z].*[a-z]|[a-z].*[A-Z]", word)] == []
    assert "***" in log
    audit = sqlite3.connect(plane.data_dir / "longshore.db").execute("SELECT * FROM audit_records").fetchall()
    assert [secret for secret in secrets if secret in str(audit)] == []


def test_a_line_carries_the_ids_that_belong_to_it(
    plane_of: Callable[..., ControlPlane], hosts_of: Callable[..., list[Host]], shop_of: Callable[..., Shop]
) -> None:
    plane = plane_of("--log-format", "json")
    shop = shop_of(plane, hosts_of(plane, 1))
    deployment_id, _ = shop.run(Revision())
    with pytest.raises(ClientError) as unknown:
        shop.deploy.get_application(applicationName="nobodys")
    plane.stop()
    (created,) = requests(plane, "CreateDeployment")
    assert created["deployment"] == deployment_id
    assert (created["account"], created["service"], created["status"], created["level"]) == (
        ACCOUNT,
        "codedeploy",
        200,
        "info",
    )
    assert created["duration_ms"] > 0
    (refused,) = requests(plane, "GetApplication")
    assert refused["request_id"] == unknown.value.response["ResponseMetadata"]["RequestId"]
    assert (refused["status"], refused["code"]) == (400, "ApplicationDoesNotExistException")
    ticks = [line for line in lines(plane) if line["event"] == "tick"]
    assert {tick["deployment"] for tick in ticks} == {deployment_id}
    assert all(tick["reason"] for tick in ticks)
    # Looks and agents' reports are for debug; what uvicorn says is among the rest.
    assert requests(plane, "GetDeployment") == requests(plane, "PutHostCommandComplete") == []
    assert any(line.get("logger") == "uvicorn.error" for line in lines(plane))


def test_debug_has_every_call_and_warning_has_none(
    plane_of: Callable[..., ControlPlane], hosts_of: Callable[..., list[Host]], shop_of: Callable[..., Shop]
) -> None:
    plane = plane_of("--log-format", "json", "--log-level", "debug")
    shop = shop_of(plane, hosts_of(plane, 1))
    deployment_id, _ = shop.run(Revision())
    plane.stop()
    for operation in ("GetDeployment", "PutHostCommandAcknowledgement", "GetDeploymentSpecification"):
        assert {line["deployment"] for line in requests(plane, operation)} == {deployment_id}
    plane.log.unlink()
    plane.options = ("--log-format", "json", "--log-level", "warning")
    plane.start()
    plane.client("codedeploy").create_application(applicationName="quiet")
    plane.stop()
    assert plane.log.read_text() == ""


def test_a_missing_service_role_is_told_in_a_sentence_and_logged_without_a_stack(
    plane_of: Callable[..., ControlPlane],
) -> None:
    plane = plane_of()
    deploy = plane.client("codedeploy")
    named = {"applicationName": "shop", "deploymentGroupName": "prod"}
    deploy.create_application(applicationName="shop")
    deploy.create_deployment_group(
        **named,
        serviceRoleArn=f"arn:aws:iam::{ACCOUNT}:role/nobody",
        ec2TagFilters=[{"Key": "app", "Value": "shop", "Type": "KEY_AND_VALUE"}],
    )
    revision = {"revisionType": "S3", "s3Location": {"bucket": "none", "key": "none.zip", "bundleType": "zip"}}
    planned = plane.client("longshore").plan_deployment(**named, revision=revision)
    assert "IAM_ROLE_MISSING" in [problem["code"] for problem in planned["problems"]]
    assert [line for line in lines(plane) if "exception" in line] == []
