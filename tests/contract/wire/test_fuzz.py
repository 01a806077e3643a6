"""Requests gone wrong in every place, against the whole control plane: AWS errors, and nothing else.

Seeded, so that a failing request comes again: LONGSHORE_FUZZ_SEED and LONGSHORE_FUZZ_REQUESTS say which and how many.
"""

from __future__ import annotations

import copy
import json
import os
import random
import secrets
import uuid
from typing import Any

import cbor2
import psutil
from sqlalchemy import Table, insert, select

from longshore.store import tables
from longshore.store.database import Transaction
from tests.contract.wire.plane import TARGET, Answer, Plane

SEED = int(os.environ.get("LONGSHORE_FUZZ_SEED", "20261124"))
REQUESTS = int(os.environ.get("LONGSHORE_FUZZ_REQUESTS", "20000"))
OTHER_ACCOUNT = "111111111111"
#: An application of the other account that requests here ask for by name, and one that they never name.
TEMPTING = "of-another"
HIDDEN = f"hidden-{secrets.token_hex(8)}"
HIDDEN_ID = str(uuid.uuid4())

ARN = "arn:aws:codedeploy:us-east-1"
HOSTS = {"type": "HOST_COUNT", "value": 1}
SEEDS: tuple[tuple[str, dict[str, Any]], ...] = (
    (
        "CreateApplication",
        {"applicationName": "web", "computePlatform": "Server", "tags": [{"Key": "k", "Value": "v"}]},
    ),
    ("GetApplication", {"applicationName": "web"}),
    ("BatchGetApplications", {"applicationNames": ["web", "site"]}),
    ("ListApplications", {"nextToken": "AAAA"}),
    ("ListDeployments", {"createTimeRange": {"start": 1, "end": 2}, "includeOnlyStatuses": ["Created"]}),
    ("GetDeployment", {"deploymentId": "d-ABCDEFGHI"}),
    ("StopDeployment", {"deploymentId": "d-ABCDEFGHI", "autoRollbackEnabled": True}),
    ("ListDeploymentTargets", {"deploymentId": "d-ABCDEFGHI", "targetFilters": {"TargetStatus": ["Failed"]}}),
    (
        "CreateDeploymentGroup",
        {
            "applicationName": "web",
            "deploymentGroupName": "g",
            "serviceRoleArn": "arn:aws:iam::000000000000:role/r",
            "onPremisesInstanceTagFilters": [{"Key": "k", "Value": "v", "Type": "KEY_AND_VALUE"}],
            "alarmConfiguration": {"enabled": False, "alarms": [{"name": "a"}]},
        },
    ),
    (
        "CreateDeployment",
        {
            "applicationName": "web",
            "deploymentGroupName": "g",
            "revision": {"revisionType": "S3", "s3Location": {"bucket": "b", "key": "k", "bundleType": "zip"}},
            "description": "text",
        },
    ),
    (
        "CreateDeploymentConfig",
        {"deploymentConfigName": "c", "minimumHealthyHosts": {"type": "HOST_COUNT", "value": 1}},
    ),
    ("RegisterOnPremisesInstance", {"instanceName": "h", "iamUserArn": "arn:aws:iam::000000000000:user/h"}),
    (
        "TagResource",
        {"ResourceArn": "arn:aws:codedeploy:us-east-1:000000000000:application:web", "Tags": [{"Key": "k"}]},
    ),
)
NASTY: tuple[Any, ...] = (
    None,
    True,
    -1,
    2**31,
    2**63,
    10**30,
    1e308,
    "",
    "\x00",
    "a\x00b",
    "ä😀",
    "'; DROP TABLE deployments; --",
    "../" * 20,
    "a" * 10_000,
    [],
    {},
    [[]],
    {"": ""},
    f"{ARN}:{OTHER_ACCOUNT}:application:{TEMPTING}",
    TEMPTING,
)
HEADERS = (
    "host",
    "content-type",
    "x-amz-date",
    "x-amz-target",
    "x-amz-content-sha256",
    "authorization",
    "smithy-protocol",
)


def test_no_mutated_request_is_more_than_an_error(here: Plane) -> None:
    store = here.control.store
    store.write(fill_the_other_account)
    theirs = store.read(of_the_other_account)
    secret = (HIDDEN.encode(), HIDDEN_ID.encode())
    process, before = psutil.Process(), 0
    chance = random.Random(SEED)
    # PostgreSQL has other ideas of what it can store; what comes before it was tried on SQLite.
    requests = REQUESTS if here.is_embedded else REQUESTS // 5
    for number in range(requests):
        request = mutated(here, chance)
        answer = here.send(*request)
        shown = f"request {number} of seed {SEED}: {request!r}"[:3000]
        assert answer.status < 500 or is_not_implemented(answer), f"{answer}\n{shown}"
        assert not any(text in answer.body for text in secret), f"{answer}\n{shown}"
        assert answer.status < 400 or is_an_aws_error(answer), f"{answer}\n{shown}"
        if number == requests // 2:
            before = process.memory_info().rss
    grown = process.memory_info().rss - before
    assert grown < 32 * 1024 * 1024, f"{grown / 1e6:.0f} MB more after {requests // 2} requests"
    assert store.read(of_the_other_account) == theirs


def fill_the_other_account(tx: Transaction) -> None:
    """What requests here ask for by name or id, each with something in it that nobody here may see."""
    theirs = {"account": OTHER_ACCOUNT, "region": "us-east-1"}
    platform = {"compute_platform": "Server", "create_time": 1.0}
    rows: tuple[tuple[Table, dict[str, Any]], ...] = (
        (tables.applications, platform | {"id": HIDDEN_ID, "name": TEMPTING}),
        (tables.applications, platform | {"id": "another", "name": HIDDEN}),
        (tables.deployment_configs, platform | {"id": HIDDEN_ID, "name": "c", "document": {HIDDEN: HIDDEN}}),
        (
            tables.deployment_groups,
            {
                "id": HIDDEN_ID,
                "application_id": HIDDEN_ID,
                "name": "g",
                "deployment_config_name": HIDDEN,
                "service_role_arn": HIDDEN,
                "create_time": 1.0,
                "document": {},
            },
        ),
        (
            tables.deployments,
            platform
            | {
                "id": "d-ABCDEFGHI",
                "application_id": HIDDEN_ID,
                "group_id": HIDDEN_ID,
                "application_name": TEMPTING,
                "group_name": "g",
                "config_name": HIDDEN,
                "status": "InProgress",
                "creator": "user",
                "revision": {"revisionType": "S3", "s3Location": {"bucket": HIDDEN, "key": HIDDEN}},
                "revision_identity": HIDDEN,
                "document": {"description": HIDDEN},
            },
        ),
        (tables.instances, {"name": "h", "arn": HIDDEN, "iam_user_arn": HIDDEN, "register_time": 1.0}),
    )
    for table, row in rows:
        tx.execute(insert(table).values(**theirs, **row))


def of_the_other_account(tx: Transaction) -> list[Any]:
    """Every row of theirs, the audit's included."""
    of_accounts = [table for table in tables.metadata.sorted_tables if "account" in table.c]
    return [tx.execute(select(table).where(table.c.account == OTHER_ACCOUNT)).all() for table in of_accounts]


def is_an_aws_error(answer: Answer) -> bool:
    kind = answer.headers.get("content-type", "")
    if "xml" in kind:
        return b"<Code>" in answer.body
    if kind == "" or answer.body == b"":
        return True  # S3's answers to HEAD
    return bool(answer.code and answer.document["message"])


def is_not_implemented(answer: Answer) -> bool:
    """S3 says with 501 what it does not do."""
    return answer.status == 501 and b"<Code>NotImplemented</Code>" in answer.body


def mutated(here: Plane, chance: random.Random) -> tuple[str, str, dict[str, str], bytes, str]:
    """A request that was right once: method, path, headers, body, query."""
    operation, given = chance.choice(SEEDS)
    document = json.loads(json.dumps(given))
    for _ in range(chance.randrange(3)):
        spoil(document, chance)
    method, path, query, service = "POST", "/", "", "codedeploy"
    form = chance.random()
    if form < 0.5:
        headers = {"x-amz-target": f"{TARGET}.{operation}", "content-type": "application/x-amz-json-1.1"}
        body = json.dumps(document).encode()
    elif form < 0.85:
        headers = {"smithy-protocol": "rpc-v2-cbor", "content-type": "application/cbor"}
        path = f"/service/{TARGET}/operation/{operation}"
        body = cbor2.dumps(document)
    else:
        headers = {"content-type": "application/x-www-form-urlencoded"}
        service = chance.choice(("iam", "sts", "codedeploy"))
        action = chance.choice(("GetUser", "CreateUser", "PutUserPolicy", "GetCallerIdentity", "AssumeRole", "Nothing"))
        version = chance.choice(("2010-05-08", "2011-06-15", ""))
        value = chance.choice(("a", "%00", "%FF", "", "a" * 5000, "{", TEMPTING))
        name = chance.choice(("UserName", "UserName.1", "Tags.member.1.Key", "Tags.member.x", "PolicyDocument"))
        body = f"Action={action}&Version={version}&{name}={value}&PolicyName=p&RoleArn={value}".encode()
    if chance.random() < 0.4:
        body = broken(body, chance)
    is_signed_last = chance.random() < 0.7
    if not is_signed_last:
        headers = here.signed(method, path, headers, body, service)
    for _ in range(chance.choice((0, 0, 1, 2))):
        spoil_header(headers, chance)
    if chance.random() < 0.1:
        method = chance.choice(("GET", "PUT", "HEAD", "DELETE", "OPTIONS", "PATCH", "post", ""))
    if chance.random() < 0.1:
        path = chance.choice(("/", "//", "/%00", "/bucket/key", f"/service/{TARGET}", "/../etc", path + "/", path * 50))
    if is_signed_last:
        headers = here.signed(method, path, headers, body, service)
    elif chance.random() < 0.3:
        body = broken(body, chance)
    if chance.random() < 0.05:
        query = chance.choice(("Action=GetUser", "X-Amz-Credential=a/b/c/iam/aws4_request", "list-type=2", "%zz&&=="))
    return method, path, headers, body, query


def spoil(node: Any, chance: random.Random) -> None:
    """Put something nasty somewhere into a document."""
    keys = list(node) if isinstance(node, dict) else list(range(len(node)))
    if not keys:
        return
    key = chance.choice(keys)
    if isinstance(node[key], (dict, list)) and chance.random() < 0.7:
        spoil(node[key], chance)
    elif isinstance(node, dict) and chance.random() < 0.2:
        node.pop(key)
    else:
        node[key] = copy.deepcopy(chance.choice(NASTY))


def spoil_header(headers: dict[str, str], chance: random.Random) -> None:
    name = chance.choice(HEADERS)
    value = headers.get(name, "")
    at = chance.randrange(len(value) + 1)
    new = chance.choice(
        ("", "x" * 5000, value[:at], value[:at] + "\xff" + value[at:], value.upper(), "rpc-v2-json", ",")
    )
    if chance.random() < 0.3:
        headers.pop(name, None)
    else:
        headers[name] = new


def broken(body: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(body) + 1)
    bits = chance.randbytes(chance.randrange(1, 9))
    return chance.choice(
        (body[:at], body[:at] + bits + body[at:], body[:at] + bits + body[at + len(bits) :], bits, b"")
    )
