"""Who may do what, as policies.yml has it: asked over the wire, of a real server, by real clients."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.acceptance.world import REGION
from tests.contract.authorisation.world import REFUSED, TRUSTS_THE_ACCOUNT, UNKNOWN, Caller, World

CASES: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "policies.yml").read_text())
VERDICTS = ("allowed", "refused", "unknown")
ROWS = [
    (number, verdict, call)
    for number, case in enumerate(CASES)
    for verdict in VERDICTS
    for call in case.get(verdict, ())
]


def named(row: tuple[int, str, dict[str, Any]]) -> str:
    number, verdict, call = row
    return f"{CASES[number]['case']}-{verdict}-{next(iter(call))}"


class Callers:
    """One for each case, made when it is asked for."""

    def __init__(self, there: World) -> None:
        self._there = there
        self._made: dict[int, Caller] = {}

    def of(self, number: int) -> Caller:
        if number not in self._made:
            self._made[number] = self._make(CASES[number], CASES[number].get("name", f"case-{number}"))
        return self._made[number]

    def _make(self, case: dict[str, Any], name: str) -> Caller:
        if "role" in case:
            return self._session(case, name)
        if "owner" in case:
            caller = self._there.owner
        else:
            caller = self._there.user(name, path=case.get("path", "/"), tags=case.get("tags"))
            if case.get("user"):
                self._there.iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=document(case, "user"))
            for policy in case.get("attached", ()):
                self._there.iam.attach_user_policy(UserName=name, PolicyArn=policy)
        if "of" in case:
            return self._there.owner.like(caller.client("sts").get_session_token()["Credentials"])
        return caller

    def _session(self, case: dict[str, Any], name: str) -> Caller:
        tags = [{"Key": key, "Value": value} for key, value in case.get("tags", {}).items()]
        role = self._there.iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUSTS_THE_ACCOUNT, Tags=tags)
        if case["role"]:
            self._there.iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=document(case, "role"))
        limits = {"Policy": document(case, "session")} if "session" in case else {}
        sts = self._there.owner.client("sts")
        answer = sts.assume_role(RoleArn=role["Role"]["Arn"], RoleSessionName="me", **limits)
        return self._there.owner.like(answer["Credentials"])


def document(case: dict[str, Any], member: str) -> str:
    return json.dumps({"Version": case.get("version", "2012-10-17"), "Statement": case[member]})


@pytest.fixture(scope="module")
def callers(there: World) -> Callers:
    return Callers(there)


@pytest.mark.parametrize("row", ROWS, ids=named)
def test_a_row_of_the_table(there: World, callers: Callers, row: tuple[int, str, dict[str, Any]]) -> None:
    number, verdict, call = row
    (name, asked), *_ = call.items()
    service, _, operation = name.partition(".")
    body = {"Body": b"x"} if operation == "PutObject" else {}
    code, text = callers.of(number).tries(
        service, operation, there.filled(asked) | body, region=call.get("region", REGION)
    )
    if verdict == "allowed":
        assert code == call.get("then", ""), text
    else:
        assert code in (REFUSED if verdict == "refused" else UNKNOWN), text


def test_the_table_is_long_enough_and_says_nothing_twice() -> None:
    assert len(ROWS) >= 120
    for first, second in itertools.combinations(ROWS, 2):
        assert first[:2] != second[:2] or first[2] != second[2]
    known = {"case", "user", "attached", "role", "session", "owner", "of", "tags", "name", "path", "version", *VERDICTS}
    assert {member for case in CASES for member in case} <= known
