"""`longshore audit`: who changed what, who was refused, and that nobody altered it."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from pathlib import Path
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
        (["--since", "1h", "--until", "2h"], "before --since"),
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


def test_a_script_gets_a_whole_document_or_none(shared_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    none = shared_plane.run("longshore", "audit", "--user", "nobody-at-all", "--output", "json")
    assert json.loads(none.stdout) == {"AuditRecords": []}
    away = shared_plane.environ | {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_MAX_ATTEMPTS": "1"}
    monkeypatch.setattr(shared_plane, "environ", away)
    failed = shared_plane.run("longshore", "audit", "--output", "json", check=False)
    assert (failed.returncode, failed.stdout) == (1, "")
    assert "127.0.0.1:9" in failed.stderr


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


def test_what_is_done_to_objects_is_recorded_too(tmp_path: Path, own_plane: ControlPlane) -> None:
    large = tmp_path / "large"
    large.write_bytes(b"x" * 9 * 1024 * 1024)
    own_plane.run("aws", "s3", "mb", "s3://kept")
    own_plane.run("aws", "s3", "cp", large, "s3://kept/large")
    owner = own_plane.client("s3")
    owner.put_object(Bucket="kept", Key="small", Body=b"x")
    owner.get_object(Bucket="kept", Key="small")["Body"].read()
    owner.delete_objects(Bucket="kept", Delete={"Objects": [{"Key": "small"}, {"Key": "large"}]})
    key = own_plane.client("longshore").create_access_key(userName="web-s")["accessKey"]
    host = own_plane.client("s3", keys=(key["accessKeyId"], key["secretAccessKey"]))
    with pytest.raises(ClientError):
        host.get_object(Bucket="kept", Key="secret-plans")
    host.delete_objects(Bucket="kept", Delete={"Objects": [{"Key": "small"}]})
    with pytest.raises(ClientError):
        own_plane.client("s3", keys=(key["accessKeyId"], "guessed")).put_object(Bucket="kept", Key="forged", Body=b"")

    seen = [
        (one["Operation"], one["Outcome"], [(each["name"], each["value"]) for each in one["Resources"]])
        for one in records(own_plane)
        if one.get("Service") == "s3" and "PrincipalArn" in one
    ]
    assert seen == [
        ("CreateBucket", "Succeeded", [("bucket", "kept")]),
        ("CreateMultipartUpload", "Succeeded", [("bucket", "kept"), ("key", "large")]),
        ("CompleteMultipartUpload", "Succeeded", [("bucket", "kept"), ("key", "large")]),
        ("PutObject", "Succeeded", [("bucket", "kept"), ("key", "small")]),
        ("DeleteObjects", "Succeeded", [("bucket", "kept"), ("key", "small"), ("key", "large")]),
        ("GetObject", "Refused", [("bucket", "kept"), ("key", "secret-plans")]),
        ("DeleteObjects", "Succeeded", [("bucket", "kept"), ("refusedNames", "small")]),
    ]
    (forged,) = records(own_plane, "--resource", "forged")
    assert (forged["ErrorCode"], forged["AccessKeyId"]) == ("SignatureDoesNotMatch", key["accessKeyId"])
    assert (forged["Operation"], "PrincipalArn" in forged) == ("PutObject", False)
    (denied,) = records(own_plane, "--resource", "secret-plans")
    assert (denied["PrincipalArn"], denied["ErrorCode"]) == (key["userArn"], "AccessDenied")
    assert verify(own_plane).returncode == 0


#: What somebody with the database in hand may do, and what `verify` says of it: alone, and, where that is not enough,
#: with an end kept elsewhere.
TAMPERING = {
    "a record is edited": (
        ["UPDATE audit_records SET principal_arn = 'nobody' WHERE sequence = 4"],
        "Record 4 was changed",
        None,
    ),
    "one in the middle is deleted": (
        ["DELETE FROM audit_records WHERE sequence = 4"],
        "After record 3 comes 5",
        None,
    ),
    "two change places": (
        [
            "UPDATE audit_records SET sequence = 99 WHERE sequence = 4",
            "UPDATE audit_records SET sequence = 4 WHERE sequence = 5",
            "UPDATE audit_records SET sequence = 5 WHERE sequence = 99",
        ],
        "Record 4 does not follow",
        None,
    ),
    "the last ones are deleted": (
        ["DELETE FROM audit_records WHERE sequence > 4"],
        "the last one here is 4",
        None,
    ),
    "the last ones are deleted and the end moved back": (
        [
            "DELETE FROM audit_records WHERE sequence > 4",
            "UPDATE audit_heads SET (sequence, hash) = (SELECT 4, hash FROM audit_records WHERE sequence = 4)",
        ],
        "",
        "was rewritten",
    ),
    "everything is deleted": (["DELETE FROM audit_records", "DELETE FROM audit_heads"], "", "was rewritten"),
}


def test_what_is_noticed_of_an_attack_on_the_database(own_plane: ControlPlane) -> None:
    """docs/operations.md says the same."""
    for number in range(6):
        own_plane.client("codedeploy").create_application(applicationName=f"app-{number}")
    head = verify(own_plane).stdout.split()[-1]
    assert head.startswith("6:")
    with sqlite3.connect(own_plane.data_dir / "longshore.db") as database:
        with pytest.raises(sqlite3.IntegrityError):
            database.execute("DELETE FROM audit_records WHERE sequence = 4")
        # Whoever holds the database holds its triggers too.
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f"DROP TRIGGER {name}")
        database.execute("CREATE TABLE records_before AS SELECT * FROM audit_records")
        database.execute("CREATE TABLE heads_before AS SELECT * FROM audit_heads")
    for attack, (statements, alone, with_head) in TAMPERING.items():
        with sqlite3.connect(own_plane.data_dir / "longshore.db") as database:
            for statement in statements:
                database.execute(statement)
        for said, words in ((alone, []), (with_head, ["--head", head])):
            if said is None:
                continue
            done = verify(own_plane, *words)
            assert done.returncode == (1 if said else 0), attack
            assert said in done.stderr, attack
        with sqlite3.connect(own_plane.data_dir / "longshore.db") as database:
            for name in ("records", "heads"):
                database.execute(f"DELETE FROM audit_{name}")
                database.execute(f"INSERT INTO audit_{name} SELECT * FROM {name}_before")
    assert verify(own_plane, "--head", head).returncode == 0
