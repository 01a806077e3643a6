"""Random policies, callers and calls, held against what a second implementation says: nothing passes that no statement
allows, and nothing is refused that one does.

Seeded, so that a failing call comes again: LONGSHORE_FUZZ_SEED says which, LONGSHORE_FUZZ_CALLS how many.
"""

from __future__ import annotations

import copy
import json
import os
import re
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from functools import cache
from hashlib import md5
from random import Random
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote, urlencode

import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.serialize import create_serializer

from longshore import models
from longshore.store import access_keys, principals
from longshore.store.access_keys import AccessKey
from longshore.store.database import Transaction
from longshore.store.principals import Kind, Principal
from tests.contract.authorisation.test_operations import NEEDING, SERVICES, Permission, permissions
from tests.contract.authorisation.world import REVISION
from tests.contract.wire.plane import Answer, Plane, plane
from tests.unit.auth import policy_oracle

SEED = int(os.environ.get("LONGSHORE_FUZZ_SEED", "20261126"))
CALLS = int(os.environ.get("LONGSHORE_FUZZ_CALLS", "3000"))
CALLS_A_POLICY = 12
ACCOUNT = "000000000000"
TARGETS = {"codedeploy": "CodeDeploy_20141006", "longshore": "Longshore_20261123"}
ASKED = [(service, operation) for service, operation in NEEDING if service in ("codedeploy", "iam", "longshore", "s3")]
#: The world is the same when these change places, and so is what a call needs.
SWAPS = (("shop", "bank"), ("releases", "secrets"), ("prod", "test"), ("web-1", "web-2"), ("alice", "bob"))
TEAMS = {"shop": "web", "bank": "money", "alice": "web", "bob": "money"}


class Somebody(NamedTuple):
    """A caller, and what conditions are told of it."""

    principal: Principal
    key: AccessKey
    keys: dict[str, list[str]]


class Asked(NamedTuple):
    service: str
    operation: str
    given: dict[str, Any]
    needs: list[Permission]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    with plane(tmp_path_factory.mktemp("fuzz")) as made:
        yield made


def test_what_passes_is_what_a_statement_allows(here: Plane) -> None:
    names = furnish(here)
    everybody = [user(here, "ulla"), session(here, "rolf", limited=False), session(here, "rosa", limited=True)]
    random, seen = Random(SEED), Counter[tuple[str, bool]]()
    while sum(seen.values()) < CALLS:
        who = random.choice(everybody)
        calls = [a_call(random, names) for _ in range(CALLS_A_POLICY)]
        inline, limits = (policies_about(random, calls) for _ in range(2))
        if who.key.session_policies is None:
            limits = []
        give(here, who, inline, limits)
        for call in calls:
            expected = is_allowed(who, inline, limits, call)
            answer = send(here, call, who.key)
            is_refused = was_refused(call, answer)
            shown = f"seed {SEED}: {who.principal.name} with {inline} and {limits} asked {call}: {answer.body!r}"
            assert answer.status < 500, shown
            assert b"InvalidClientTokenId" not in answer.body, shown
            assert is_refused is not expected, shown
            seen[call.service, expected] += 1
    # Of each service enough passes and enough is refused for this to mean something.
    assert all(
        seen[service, expected] >= CALLS // 100 for service in ("codedeploy", "iam", "s3") for expected in (True, False)
    )


# Who, what, and may it?


def a_call(random: Random, names: dict[str, str]) -> Asked:
    service, operation = random.choice(ASKED)
    text = json.dumps([SERVICES[service][operation]["call"], permissions(service, operation)])
    for one, other in SWAPS:
        if random.random() < 0.5:
            text = re.sub(rf"\b({one}|{other})\b", lambda found, a=one, b=other: b if found[0] == a else a, text)  # type: ignore[misc]
    for name, value in names.items():
        text = text.replace(name, value)
    given, needs = json.loads(text)
    if operation in ("CreateApplication", "CreateDeploymentGroup") and random.random() < 0.5:
        keys = random.sample(("team", "Team", "stage"), random.randint(1, 3))
        given["tags"] = [{"Key": key, "Value": random.choice(("web", "money"))} for key in keys]
    if service == "s3" and operation.startswith("ListObject") and random.random() < 0.5:
        given["Prefix"] = random.choice(("shop/", "shop/1", "bank/"))
    return Asked(service, operation, given, needs)


def policies_about(random: Random, calls: list[Asked]) -> list[dict[str, Any]]:
    """Statements about these calls and their like."""
    made = []
    for _ in range(random.randint(0, 5)):
        statement: dict[str, Any] = {"Effect": random.choice(("Allow", "Allow", "Allow", "Deny"))}
        about = [random.choice(random.choice(calls).needs) for _ in range(random.randint(1, 3))]
        is_other = {"Action": random.random() < 0.12, "Resource": random.random() < 0.12}
        actions = [like_action(random, random.choice(actions)) for actions, _ in about]
        resources = [like_resource(random, resource) for _, resource in about]
        statement["NotAction" if is_other["Action"] else "Action"] = actions
        statement["NotResource" if is_other["Resource"] else "Resource"] = resources
        if random.random() < 0.4:
            statement["Condition"] = random.choice(CONDITIONS)
        made.append(statement)
    if random.random() < 0.3:
        made.append({"Effect": "Allow", "Action": "*", "Resource": "*"})
    return [{"Version": "2012-10-17", "Statement": made}] if made else []


CONDITIONS: tuple[dict[str, Any], ...] = (
    {"StringEquals": {"aws:ResourceTag/team": "web"}},
    {"StringNotEquals": {"aws:ResourceTag/Team": "${aws:PrincipalTag/team}"}},
    {"StringEqualsIfExists": {"aws:RequestTag/team": "web"}},
    {"StringEquals": {"aws:RequestTag/team": "web"}},
    {"StringNotEquals": {"aws:RequestTag/team": "web"}},
    {"ForAllValues:StringEquals": {"aws:TagKeys": ["team", "stage"]}},
    {"ForAnyValue:StringLike": {"aws:TagKeys": ["T*", "seen"]}},
    {"Null": {"aws:TokenIssueTime": "true"}},
    {"StringLike": {"aws:username": "u*"}},
    {"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/*"}},
    {"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}},
    {"Bool": {"aws:SecureTransport": "true"}},
    {"StringEquals": {"aws:RequestedRegion": "us-east-1"}, "StringEqualsIfExists": {"aws:username": "ulla"}},
    {"StringLike": {"s3:prefix": "shop/*"}},
    {"StringNotLikeIfExists": {"s3:prefix": ["bank/*", "shop/?"]}},
    {"DateLessThan": {"aws:TokenIssueTime": "2026-01-01T00:00:00Z"}},
)


def like_action(random: Random, action: str) -> str:
    service, _, name = action.partition(":")
    return random.choice(
        (
            action,
            action,
            f"{service}:*",
            f"{service}:{re.match('[A-Z][a-z]+', name)[0]}*",  # type: ignore[index]
            f"{service.upper()}:{name.lower()}",
            f"{service}:?{name[1:]}",
            f"{service}:*{name[3:]}",
            "*",
        )
    )


def like_resource(random: Random, resource: str) -> str:
    if resource == "*":
        return random.choice(("*", "*", "arn:aws:codedeploy:*:*:*"))
    *beginning, last = resource.split(":", 5)
    kind = re.match(r"[a-z]+[:/]?", last)
    changed = random.choice(
        (
            last,
            last,
            "*",
            f"{kind[0] if kind else ''}*",
            last[:-1] + "?",
            last.replace("shop", "${aws:RequestTag/none, 'shop'}"),
            last.replace("alice", "${aws:username}"),
            last + "x",
            f"*{last[-4:]}",
        )
    )
    if random.random() < 0.3 and beginning[3]:
        beginning[3] = random.choice(("*", "us-*", "eu-west-1"))
    return ":".join((*beginning, changed)) if random.random() < 0.8 else "*"


def is_allowed(who: Somebody, inline: list[Any], limits: list[Any], call: Asked) -> bool:
    tags = call.given.get("tags") or call.given.get("Tags") or []
    tag_keys = [tag["Key"] for tag in tags] or call.given.get("TagKeys", [])
    keys = copy.copy(who.keys)
    if tag_keys:
        keys["aws:tagkeys"] = tag_keys
    for tag in tags:
        name = f"aws:requesttag/{tag['Key'].lower()}"
        keys[name] = [*keys.get(name, ()), tag["Value"]]

    if "Prefix" in call.given:
        keys["s3:prefix"] = [call.given["Prefix"]]

    def may(action: str, resource: str) -> bool:
        about = {**keys, **({"aws:resourcetag/team": [team]} if (team := team_of(resource)) else {})}
        return policy_oracle.allowed(inline, action, resource, about) and (
            who.key.session_policies is None or policy_oracle.allowed(limits, action, resource, about)
        )

    return all(any(may(action, resource) for action in actions) for actions, resource in call.needs)


def was_refused(call: Asked, answer: Answer) -> bool:
    if not answer.body:
        return answer.status == 403  # a HEAD has no body to say it in
    # DeleteObjects says it of each object.
    return b"AccessDenied" in answer.body and (answer.status >= 400 or call.operation == "DeleteObjects")


def team_of(resource: str) -> str | None:
    """The tag that world has put on applications, their two groups, and users in /people/."""
    found = re.fullmatch(r".*:(?:application:|deploymentgroup:|user/people/)(\w+)(?:/(?:prod|test))?", resource)
    is_group_itself = found is not None and ":deploymentgroup:" in resource and "/" not in resource
    return None if found is None or is_group_itself else TEAMS.get(found[1])


# How.


def send(here: Plane, call: Asked, key: AccessKey | None = None) -> Answer:
    if call.service == "s3":
        return send_to_s3(here, call, key)
    if call.service in TARGETS:
        headers = {
            "x-amz-target": f"{TARGETS[call.service]}.{call.operation}",
            "content-type": "application/x-amz-json-1.1",
        }
        body = json.dumps(call.given).encode()
    else:
        model = models.load(call.service).operation_model(call.operation)
        made = create_serializer("query", include_validation=False).serialize_to_request(call.given, model)
        headers = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
        body = urlencode(made["body"]).encode()
    return here.send("POST", "/", here.signed("POST", "/", headers, body, call.service, key), body)


@cache
def s3_model() -> ServiceModel:
    """Nobody else's: a client of S3 takes the buckets out of the paths of the model that it has."""
    return ServiceModel(Loader().load_service_model("s3", "service-2"), "s3")


def send_to_s3(here: Plane, call: Asked, key: AccessKey | None) -> Answer:
    given = call.given | ({"Body": b"x"} if call.operation in ("PutObject", "UploadPart") else {})
    model = s3_model().operation_model(call.operation)
    made = create_serializer("rest-xml", include_validation=False).serialize_to_request(given, model)
    path, _, fixed = made["url_path"].partition("?")
    pairs = [*parse_qsl(fixed, keep_blank_values=True), *((name, str(v)) for name, v in made["query_string"].items())]
    query = urlencode(sorted(pairs), quote_via=quote, safe="-_.~")
    body = made["body"] if isinstance(made["body"], bytes) else made["body"].encode()
    headers = {name.lower(): str(value) for name, value in made["headers"].items()}
    if body:
        headers |= {
            "content-length": str(len(body)),
            "content-md5": b64encode(md5(body, usedforsecurity=False).digest()).decode(),
        }
    signed = here.signed(made["method"], path, headers, body, "s3", key, query)
    return here.send(made["method"], path, signed, body, query)


def give(here: Plane, who: Somebody, inline: list[Any], limits: list[Any]) -> None:
    def work(tx: Transaction) -> None:
        principals.remove_inline(tx, who.principal, "own")
        for document in inline:
            principals.put_inline(tx, who.principal, "own", json.dumps(document))
        if who.key.session_policies is not None:
            tx.hot(
                "UPDATE access_keys SET session_policies = ? WHERE access_key_id = ?",
                (json.dumps([json.dumps(document) for document in limits]), who.key.access_key_id),
            )

    here.control.store.write(work)


def user(here: Plane, name: str) -> Somebody:
    arn = f"arn:aws:iam::{ACCOUNT}:user/people/{name}"
    keys = {"aws:username": [name], "aws:principalarn": [arn]}
    return somebody(here, "user", name, arn, keys)


def session(here: Plane, name: str, *, limited: bool) -> Somebody:
    arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/{name}/me"
    keys = {
        "aws:principalarn": [f"arn:aws:iam::{ACCOUNT}:role/people/{name}"],
        "aws:tokenissuetime": ["2026-11-24T00:00:00Z"],
    }
    return somebody(here, "role", name, arn, keys, limited=limited)


def somebody(
    here: Plane, kind: Kind, name: str, arn: str, keys: dict[str, list[str]], *, limited: bool = False
) -> Somebody:
    is_role = kind == "role"
    principal = Principal(
        id=name, account=ACCOUNT, kind=kind, name=name, path="/people/", create_time=1.0, tags={"team": "web"}
    )
    key = AccessKey(
        access_key_id=f"{'ASIA' if is_role else 'AKIA'}{name}",
        secret_access_key="a secret",
        account=ACCOUNT,
        principal_arn=arn,
        kind=kind,
        create_time=1_795_478_400.0,  # 2026-11-24T00:00:00Z
        principal_id=name,
        session_token="a token" if is_role else None,
        expiration=9e9 if is_role else None,
        session_policies=[] if limited else None,
    )

    def work(tx: Transaction) -> None:
        principals.add(tx, principal)
        access_keys.add(tx, key)

    here.control.store.write(work)
    common = {
        "aws:principaltag/team": ["web"],
        "aws:sourceip": ["127.0.0.1"],
        "aws:securetransport": ["false"],
        "aws:requestedregion": ["us-east-1"],
    }
    return Somebody(principal, key, keys | common)


def furnish(here: Plane) -> dict[str, str]:
    """What operations.yml names, made by the owner; the values of the names in braces."""

    def made(service: str, operation: str, **given: Any) -> Answer:
        answer = send(here, Asked(service, operation, given, []))
        assert answer.status == 200, answer
        return answer

    names = {}
    # What calls would make is there already and has no tags: so a call that is allowed changes no later verdict.
    made("codedeploy", "CreateApplication", applicationName="new")
    made("codedeploy", "CreateDeploymentConfig", deploymentConfigName="careful", minimumHealthyHosts=HOSTS)
    for application in ("shop", "bank"):
        tags = [{"Key": "team", "Value": TEAMS[application]}]
        made("codedeploy", "CreateApplication", applicationName=application, tags=tags)
        for group in ("prod", "test", "new"):
            about = {"applicationName": application, "deploymentGroupName": group}
            made(
                "codedeploy",
                "CreateDeploymentGroup",
                **about,
                deploymentConfigName="careful",
                serviceRoleArn=f"arn:aws:iam::{ACCOUNT}:role/deploy",
                tags=tags if group != "new" else [],
            )
            answer = made("codedeploy", "CreateDeployment", **about, revision=REVISION)
            names[f"{{{application} {group} deployment}}"] = answer.document["deploymentId"]
    for name in ("web-1", "web-2"):
        arn = f"arn:aws:iam::{ACCOUNT}:user/{name}"
        made("codedeploy", "RegisterOnPremisesInstance", instanceName=name, iamUserArn=arn)
    for name in ("alice", "bob"):
        made("iam", "CreateUser", UserName=name, Path="/people/", Tags=[{"Key": "team", "Value": TEAMS[name]}])
        answer = made("iam", "CreateAccessKey", UserName=name)
        found = re.search(rb"<AccessKeyId>(\w+)<", answer.body)
        assert found is not None
        names[f"{{{name}'s key}}"] = found[1].decode()
    for bucket in ("releases", "secrets"):
        made("s3", "CreateBucket", Bucket=bucket)
    made("s3", "PutBucketVersioning", Bucket="releases", VersioningConfiguration={"Status": "Enabled"})
    for application in ("shop", "bank"):
        answer = made("s3", "PutObject", Bucket="releases", Key=f"{application}/1.zip")
    names["{version}"] = answer.headers["x-amz-version-id"]
    trust = json.dumps({"Statement": {"Effect": "Deny", "Principal": "*", "Action": "*"}})
    made("iam", "CreateInstanceProfile", InstanceProfileName="hosts", Path="/people/")
    made("iam", "CreateRole", RoleName="deployer", Path="/people/", AssumeRolePolicyDocument=trust)
    return names


HOSTS = {"type": "HOST_COUNT", "value": 1}
