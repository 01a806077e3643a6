"""The control plane assumes the service role of a deployment group, in our own STS, and says why it cannot."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from longshore.domain.ids import Scope
from longshore.providers.clients import Clients
from longshore.providers.ports import Access, RoleMissingError, RoleRightsError, TransientError
from longshore.providers.service_roles import ServiceRoles
from longshore.server import credentials
from longshore.server.data_dir import DATABASE
from longshore.store.database import Store, sqlite_url
from longshore.store.wakeup import Wakeup
from tests.acceptance.world import ACCOUNT, REGION, ControlPlane
from tests.contract.providers.places import TRUST, service_role


@dataclass
class There:
    """A control plane, its account's owner, and the control plane's own way to its services."""

    plane: ControlPlane
    roles: ServiceRoles
    iam: Any

    def access(self, role: str) -> Access:
        return Access(scope=Scope(ACCOUNT, REGION), role_arn=role)


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[There]:
    plane = ControlPlane(tmp_path_factory.mktemp("roles"))
    plane.start()
    try:
        yield There(plane, ServiceRoles(Clients(endpoint_url=plane.url, keys=own_key(plane))), plane.client("iam"))
    finally:
        plane.stop()


def own_key(plane: ControlPlane) -> Callable[[str], tuple[str, str]]:
    """The key that the control plane has for itself."""
    store = Store(sqlite_url(Path(plane.data_dir) / DATABASE), Wakeup())
    key = store.write(lambda tx: credentials.service_key(tx, ACCOUNT, time.time()))
    store.close()
    return lambda _account: (key.access_key_id, key.secret_access_key)


def trusting(**changes: Any) -> str:
    """A trust policy like the one for CodeDeploy, but for this."""
    return json.dumps({**TRUST, "Statement": {**TRUST["Statement"], **changes}})


def test_it_acts_as_the_role_and_no_more_than_the_role_may(there: There) -> None:
    access = there.access(service_role(there.iam, "acts", "arn:aws:iam::aws:policy/service-role/AWSCodeDeployRole"))
    who = there.roles.call(access, "sts", "get_caller_identity")
    assert who["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/acts/codedeploy"
    with pytest.raises(RoleRightsError, match="iam:ListUsers"):
        there.roles.call(access, "iam", "list_users")


def test_a_role_that_is_not_there(there: There) -> None:
    with pytest.raises(RoleMissingError, match="no role"):
        there.roles.call(there.access(f"arn:aws:iam::{ACCOUNT}:role/nobody"), "sts", "get_caller_identity")


@pytest.mark.parametrize(
    "principal",
    [{"Service": "ec2.amazonaws.com"}, {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, {"Service": "codedeploy.example.com"}],
)
def test_a_role_that_does_not_trust_codedeploy(there: There, principal: dict[str, str]) -> None:
    name = f"distrusts-{abs(hash(str(principal)))}"
    arn = there.iam.create_role(RoleName=name, AssumeRolePolicyDocument=trusting(Principal=principal))["Role"]["Arn"]
    with pytest.raises(RoleRightsError, match=r"codedeploy\.amazonaws\.com"):
        there.roles.call(there.access(arn), "sts", "get_caller_identity")


def test_conditions_of_a_trust_policy_hold(there: There) -> None:
    for name, account, works in (("ours", ACCOUNT, True), ("theirs", "999999999999", False)):
        trust = trusting(Condition={"StringEquals": {"aws:SourceAccount": account}})
        arn = there.iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
        if works:
            there.roles.call(there.access(arn), "sts", "get_caller_identity")
        else:
            with pytest.raises(RoleRightsError):
                there.roles.call(there.access(arn), "sts", "get_caller_identity")


def test_nobody_else_becomes_a_role_of_codedeploy(there: There) -> None:
    arn = service_role(there.iam, "coveted")
    there.iam.create_user(UserName="mallory")
    everything = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}
    there.iam.put_user_policy(UserName="mallory", PolicyName="all", PolicyDocument=json.dumps(everything))
    key = there.iam.create_access_key(UserName="mallory")["AccessKey"]
    for keys in ((key["AccessKeyId"], key["SecretAccessKey"]), there.plane.owner):
        sts = there.plane.client("sts", keys=keys)
        with pytest.raises(sts.exceptions.ClientError, match="not authorized to perform: sts:AssumeRole"):
            sts.assume_role(RoleArn=arn, RoleSessionName="codedeploy")


def test_a_role_that_was_made_anew_is_assumed_anew(there: There) -> None:
    access = there.access(service_role(there.iam, "again"))
    there.roles.call(access, "sts", "get_caller_identity")
    there.iam.delete_role(RoleName="again")
    with pytest.raises(TransientError):
        there.roles.call(access, "sts", "get_caller_identity")
    with pytest.raises(RoleMissingError):
        there.roles.call(access, "sts", "get_caller_identity")
    service_role(there.iam, "again")
    there.roles.call(access, "sts", "get_caller_identity")
