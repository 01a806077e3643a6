"""`longshore audit`: who changed what, who was refused, and that nobody altered it."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from typing import Any

import pytest
from botocore.exceptions import ClientError

from longshore.domain.audit import Entry, Outcome
from longshore.server import refusals
from longshore.store import audit
from longshore.store.database import Store, Transaction, sqlite_url
from longshore.store.wakeup import Wakeup
from tests.acceptance.world import ACCOUNT, REGION, ControlPlane, wait_until

ROOT = f"arn:aws:iam::{ACCOUNT}:root"


def records(plane: ControlPlane, *filters: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(plane.run("longshore", "audit", *filters, "--output", "json").stdout)[
        "AuditRecords"
    ]
    return found


def append(plane: ControlPlane, count: int) -> None:
    """Have another replica write so many records."""
    replica = Store(sqlite_url(plane.data_dir / "longshore.db"), Wakeup())
    entry = Entry(account=ACCOUNT, time=1.0, outcome=Outcome.SUCCEEDED)

    def work(tx: Transaction) -> None:
        for _ in range(count):
            audit.append(tx, entry)

    replica.write(work)
    replica.close()


def verify(plane: ControlPlane, *words: str) -> subprocess.CompletedProcess[str]:
    return plane.run("longshore", "audit", "verify", *words, check=False)


def test_a_change_is_recorded_and_a_look_is_not(shared_plane: ControlPlane) -> None:
    deploy = shared_plane.client("codedeploy")
    made = deploy.create_application(applicationName="audited")
    deploy.get_application(applicationName="audited")
    deploy.list_applications()
    (record,) = records(shared_plane, "--resource", "audited")
    assert record["RequestId"] == made["ResponseMetadata"]["RequestId"]
    assert (record["Outcome"], record["Service"], record["Operation"]) == (
        "Succeeded",
        "codedeploy",
        "CreateApplication",
    )
    assert (record["PrincipalArn"], record["Source"], record["Region"]) == (ROOT, "127.0.0.1", REGION)
    assert record["AccessKeyId"] == shared_plane.owner[0]
    resources = {one["name"]: one["value"] for one in record["Resources"]}
    assert resources == {"applicationName": "audited", "applicationId": made["applicationId"]}


def test_refusals_are_recorded_with_who_and_why(shared_plane: ControlPlane) -> None:
    deploy = shared_plane.client("codedeploy")
    with pytest.raises(ClientError):
        deploy.get_application(applicationName="not-there")
    key = shared_plane.client("longshore").create_access_key(userName="audited-host")["accessKey"]
    host = (key["accessKeyId"], key["secretAccessKey"])
    with pytest.raises(ClientError, match="AccessDenied"):
        shared_plane.client("codedeploy", keys=host).create_application(applicationName="not-mine")
    with pytest.raises(ClientError):
        shared_plane.client("codedeploy", keys=(host[0], "wrong")).list_applications()
    (missing,) = records(shared_plane, "--resource", "not-there")
    assert (missing["Outcome"], missing["ErrorCode"]) == ("Refused", "ApplicationDoesNotExistException")
    (denied,) = records(shared_plane, "--user", "audited-host")
    assert (denied["Operation"], denied["ErrorCode"]) == ("CreateApplication", "AccessDeniedException")
    (forged,) = [
        one for one in records(shared_plane) if one.get("AccessKeyId") == host[0] and "PrincipalArn" not in one
    ]
    assert (forged["Outcome"], forged["Operation"]) == ("Refused", "ListApplications")
    assert "InvalidSignature" in forged["ErrorCode"]
    assert key["secretAccessKey"] not in json.dumps(records(shared_plane))


def test_records_are_shown_by_filters(shared_plane: ControlPlane) -> None:
    deploy = shared_plane.client("codedeploy")
    deploy.create_application(applicationName="filtered")
    deploy.delete_application(applicationName="filtered")
    assert len(records(shared_plane, "--resource", "filtered")) == 2
    assert len(records(shared_plane, "--resource", "filtered", "--operation", "DeleteApplication")) == 1
    assert len(records(shared_plane, "--resource", "filtered", "--since", "1h", "--user", "root")) == 2
    assert records(shared_plane, "--resource", "filtered", "--until", "1h") == []
    assert records(shared_plane, "--resource", "filtered", "--outcome", "refused") == []
    shown = shared_plane.run("longshore", "audit", "--resource", "filtered").stdout.splitlines()
    assert len(shown) == 2
    assert "codedeploy:CreateApplication" in shown[0]
    assert "applicationName=filtered" in shown[0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--since", "yesterday"], "how long ago"),
        (["--outcome", "lost"], "refused"),
        (["verify", "--head", "7"], "SEQUENCE:HASH"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_the_way_out(
    shared_plane: ControlPlane, words: list[str], said: str
) -> None:
    done = shared_plane.run("longshore", "audit", *words, check=False)
    assert done.returncode == 2
    assert said in done.stderr


def test_a_host_may_not_read_the_audit(shared_plane: ControlPlane) -> None:
    key = shared_plane.client("longshore").create_access_key(userName="curious")["accessKey"]
    curious = shared_plane.client("longshore", keys=(key["accessKeyId"], key["secretAccessKey"]))
    with pytest.raises(ClientError, match="AccessDenied"):
        curious.list_audit_records()


def test_the_chain_is_checked_and_a_break_is_told_by_its_place(own_plane: ControlPlane) -> None:
    deploy = own_plane.client("codedeploy")
    deploy.create_application(applicationName="first")
    append(own_plane, 2500)  # more than two pages
    done = verify(own_plane)
    assert done.returncode == 0
    head = done.stdout.split()[-1]
    deploy.create_application(applicationName="later")
    assert verify(own_plane, "--head", head).returncode == 0
    forged = f"{head.partition(':')[0]}:{'0' * 64}"
    rewritten = verify(own_plane, "--head", forged)
    assert rewritten.returncode == 1
    assert "rewritten" in rewritten.stderr
    with sqlite3.connect(own_plane.data_dir / "longshore.db") as database:
        database.execute("DROP TRIGGER audit_records_no_delete")
        database.execute("DELETE FROM audit_records WHERE sequence = 3")
    broken = verify(own_plane)
    assert broken.returncode == 1
    assert "After record 2 comes 4" in broken.stderr


def test_a_flood_of_strangers_is_counted_and_does_not_fill_the_disk(own_plane: ControlPlane) -> None:
    stranger = own_plane.client("codedeploy", keys=("AKIAAAAAAAAAAAAAAAAA", "guessed"))
    calls = refusals.BURST + 60
    for _ in range(calls):
        with pytest.raises(ClientError):
            stranger.list_applications()
    # An orderly stop tells what was only counted so far.
    own_plane.stop()
    own_plane.start()
    found = [one for one in records(own_plane, "--outcome", "refused") if "PrincipalArn" not in one]
    assert sum(one["Count"] for one in found) == calls
    assert len(found) < refusals.BURST + 30
    assert verify(own_plane).returncode == 0


def test_an_agents_progress_is_no_change_of_the_users(own_plane: ControlPlane) -> None:
    key = own_plane.client("longshore").create_access_key(userName="web-q")["accessKey"]
    agent = own_plane.client("codedeploy-commands", keys=(key["accessKeyId"], key["secretAccessKey"]))
    agent.put_host_command_complete(HostCommandIdentifier="unknown", CommandStatus="Succeeded")
    assert records(own_plane, "--user", "web-q") == []
    with pytest.raises(ClientError):
        agent.post_host_command_update(HostCommandIdentifier="x")
    (refused,) = wait_until("the refusal is recorded", lambda: records(own_plane, "--user", "web-q"))
    assert (refused["Service"], refused["ErrorCode"]) == ("codedeploy-commands", "ClientException")
