"""Every operation needs the permissions that operations.yml says, on what it says, and no others."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from longshore import models
from longshore.api import sts
from longshore.auth.permissions import commands
from longshore.auth.permissions.codedeploy import CODEDEPLOY, OURS
from longshore.auth.permissions.iam import IAM, LONGSHORE, STS
from longshore.auth.permissions.needs import Table
from longshore.onebox.services.s3 import permissions as s3_permissions
from longshore.onebox.services.s3 import routes as s3_routes
from longshore.server import services
from tests.acceptance.world import ACCOUNT, REGION
from tests.contract.authorisation.world import REFUSED, UNKNOWN, Caller, World

SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "operations.yml").read_text())
BEGINNINGS = {
    "codedeploy": f"arn:aws:codedeploy:{REGION}:{ACCOUNT}:",
    "iam": f"arn:aws:iam::{ACCOUNT}:",
    "s3": "arn:aws:s3:::",
}
OPERATIONS = [(service, name) for service, operations in SERVICES.items() for name in operations]
NEEDING = [(service, name) for service, name in OPERATIONS if SERVICES[service][name]["needs"]]
#: One permission of an operation: any of these actions, on this resource.
Permission = tuple[list[str], str]


def permissions(service: str, operation: str) -> list[Permission]:
    return [
        ([action if ":" in action else f"{service}:{action}" for action in actions.split(" or ")], whole(service, one))
        for actions, resources in SERVICES[service][operation]["needs"].items()
        for one in (resources if isinstance(resources, list) else [resources])
    ]


def whole(service: str, resource: str) -> str:
    return resource if resource == "*" or resource.startswith("arn:") else BEGINNINGS[service] + resource


def allow(actions: str | list[str], resource: str, **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": actions, "Resource": resource, **more}


class Somebody:
    """A user whose policy is another one for each try."""

    def __init__(self, there: World) -> None:
        self._there = there
        self._caller: Caller = there.user("tester")

    def tries(self, service: str, operation: str, *statements: dict[str, Any]) -> tuple[str, str]:
        document = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
        self._there.iam.put_user_policy(UserName="tester", PolicyName="now", PolicyDocument=document)
        code, text = self._caller.tries(
            service, operation, self._there.filled(SERVICES[service][operation]["call"]) | self._body(operation)
        )
        assert code not in UNKNOWN, text
        return code, text

    def is_refused(self, service: str, operation: str, *statements: dict[str, Any]) -> bool:
        return self.tries(service, operation, *statements)[0] in REFUSED

    @staticmethod
    def _body(operation: str) -> dict[str, bytes]:
        return {"Body": b"x"} if operation in ("PutObject", "UploadPart") else {}


@pytest.fixture(scope="module")
def somebody(there: World) -> Somebody:
    return Somebody(there)


@pytest.mark.parametrize(("service", "operation"), OPERATIONS)
def test_what_is_said_to_be_needed_is_enough(somebody: Somebody, service: str, operation: str) -> None:
    needed = permissions(service, operation)
    nothing = allow("codedeploy:Nothing", "*")
    for choice in range(max([len(actions) for actions, _ in needed], default=1)):
        statements = [allow(actions[min(choice, len(actions) - 1)], resource) for actions, resource in needed]
        code, text = somebody.tries(service, operation, *(statements or [nothing]))
        if service == "codedeploy-commands" and "may only speak for itself" in text:
            continue  # authorised, and then refused to speak for another
        assert code not in REFUSED, text


@pytest.mark.parametrize(("service", "operation"), NEEDING)
def test_and_nothing_less_is(somebody: Somebody, service: str, operation: str) -> None:
    needed = permissions(service, operation)
    everything = allow("*", "*")
    for left_out, (actions, resource) in enumerate(needed):
        others = [allow(acts, on) for number, (acts, on) in enumerate(needed) if number != left_out]
        elsewhere = resource + "x" if resource != "*" else f"arn:aws:codedeploy:{REGION}:{ACCOUNT}:application:shop"
        assert somebody.is_refused(service, operation, allow("codedeploy:Nothing", "*"), *others)
        assert somebody.is_refused(service, operation, allow(actions, elsewhere), *others)
        assert somebody.is_refused(
            service, operation, {"Effect": "Allow", "NotAction": actions, "Resource": resource}, *others
        )
        assert somebody.is_refused(service, operation, everything, allow(actions, resource) | {"Effect": "Deny"})


@pytest.mark.parametrize(("service", "operation"), NEEDING)
def test_whoever_is_refused_is_told_the_action(somebody: Somebody, service: str, operation: str) -> None:
    code, text = somebody.tries(service, operation, allow("codedeploy:Nothing", "*"))
    if code != "403" and operation != "DeleteObjects":
        (first, *_), _ = permissions(service, operation)[0]
        assert "User: arn:aws:iam::000000000000:user/tester is not authorized to perform: " in text
        assert f": {first} on resource: " in text


# The tables of permissions, and what is served.

#: By service: the modules whose operations it answers, and its permissions.
TABLES: dict[str, tuple[tuple[ModuleType, ...], Table]] = {
    "codedeploy": (services.CODEDEPLOY_OPERATIONS, CODEDEPLOY),
    "iam": (services.IAM_OPERATIONS, IAM),
    "sts": ((sts,), STS),
    "longshore": (services.LONGSHORE_OPERATIONS, {**LONGSHORE, **OURS}),
}
#: Permissions that no operation is called by.
OTHER_PERMISSIONS = {"PassRole"}
#: Permissions of S3 whose names are not those of operations (the service authorization reference).
OF_S3 = {
    *("ListAllMyBuckets", "ListBucketVersions", "ListBucketMultipartUploads", "ListMultipartUploadParts"),
    *("DeleteObjectVersion", "GetObjectVersion", "ListBucket"),
    *(f"{verb}Object{version}Tagging" for verb in ("Get", "Put", "Delete") for version in ("", "Version")),
}


@pytest.mark.parametrize("service", TABLES)
def test_the_tables_hold_what_is_served_and_no_name_that_is_unknown(service: str) -> None:
    modules, table = TABLES[service]
    served = {
        body.__operation__.name
        for module in modules
        for body in vars(module).values()
        if hasattr(body, "__operation__") and body.__module__ == module.__name__
    }
    of_hosts = set(commands.OURS) if service == "longshore" else set()
    assert set(table) == served - of_hosts == set(SERVICES[service]) - of_hosts
    assert served <= set(models.load(service).operation_names)
    # What AWS's reference calls a permission of these services is the name of an operation.
    actions = {action for needs in table.values() for need in needs for action in need.actions}
    for owner, _, name in (action.partition(":") for action in actions):
        assert name in {*models.load(owner).operation_names, *OTHER_PERMISSIONS}


def test_codedeploys_table_is_whole() -> None:
    assert set(CODEDEPLOY) == set(models.load("codedeploy").operation_names)


def test_agents_operations_are_all_of_their_model() -> None:
    assert set(commands.OPERATIONS) == set(models.load("codedeploy-commands").operation_names)
    assert set(commands.OPERATIONS) == set(SERVICES["codedeploy-commands"])


def test_everything_that_s3_answers_asks_for_a_permission() -> None:
    routes = {*s3_routes._OPERATIONS, *s3_routes._RECEIVERS}
    assert routes == {*s3_permissions._ACTIONS, s3_permissions._BY_OBJECT}
    known = {*models.load("s3").operation_names, *OF_S3}
    for name in s3_permissions._ACTIONS.values():
        assert {name.replace("{Version}", version) for version in ("", "Version")} <= known
    assert set(SERVICES["s3"]) <= set(models.load("s3").operation_names)
