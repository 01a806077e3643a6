"""Where the providers are tried: every AWS that a machine can have."""

from __future__ import annotations

import json
import logging
import os
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from longshore.domain.ids import Scope
from longshore.onebox.machinery.host_view import why_not
from longshore.providers.clients import Clients
from longshore.providers.ports import Access
from longshore.providers.service_roles import ServiceRoles
from longshore.server import credentials
from longshore.store.database import Store, sqlite_url
from longshore.store.wakeup import Wakeup
from tests import instances
from tests.acceptance.world import ACCOUNT, ControlPlane, wait_until
from tests.load import ending_proxy

REGION = "eu-central-1"
TRUST: dict[str, Any] = {
    "Version": "2012-10-17",
    "Statement": {
        "Effect": "Allow",
        "Principal": {"Service": "codedeploy.amazonaws.com"},
        "Action": "sts:AssumeRole",
    },
}


@dataclass(kw_only=True)
class Place:
    """An AWS, its owner's clients, and the control plane's."""

    name: str
    url: str
    access: Access
    roles: ServiceRoles
    #: The control plane's own clients, of the access's scope.
    clients: Clients
    #: What an instance is launched from.
    image: str
    key: dict[str, str] = field(default_factory=dict, repr=False)

    def owner(self, service: str) -> Any:
        """A client of the account's owner."""
        return boto3.client(service, endpoint_url=self.url, region_name=REGION, **self.key)

    def own(self, service: str) -> Any:
        """A client with the key that the control plane has for itself."""
        return self.clients.client(service, self.access.scope)

    def launch(self, count: int, **tags: str) -> list[str]:
        """Run instances; their ids."""
        shown = [{"Key": key, "Value": value} for key, value in tags.items()]
        answer = self.owner("ec2").run_instances(
            ImageId=self.image,
            MinCount=count,
            MaxCount=count,
            InstanceType="t3.micro",
            TagSpecifications=[{"ResourceType": "instance", "Tags": shown}] if shown else [],
        )
        ids = sorted(one["InstanceId"] for one in answer["Instances"])
        wait_until("the instances run", lambda: self._states(ids) == {"running"})
        return ids

    def _states(self, ids: list[str]) -> set[str]:
        found = self.owner("ec2").describe_instances(InstanceIds=ids)["Reservations"]
        return {one["State"]["Name"] for reserved in found for one in reserved["Instances"]}


def service_role(iam: Any, name: str, *policies: str) -> str:
    """A role that CodeDeploy may assume; its ARN."""
    arn: str = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
    for policy in policies:
        iam.attach_role_policy(RoleName=name, PolicyArn=policy)
    return arn


@contextmanager
def moto() -> Iterator[Place]:
    """moto's server: AWS's APIs without anything behind them."""
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        url = "http://{}:{}".format(*server.get_host_and_port())
        # An account of its own: what moto knows is the process's.
        account = f"{uuid.uuid4().int % 10**12:012d}"
        key = {"aws_access_key_id": "AKIAEXAMPLE", "aws_secret_access_key": "example"}
        sts = boto3.client("sts", endpoint_url=url, region_name=REGION, **key)
        known = sts.assume_role(RoleArn=f"arn:aws:iam::{account}:role/owner", RoleSessionName="owner")["Credentials"]
        owner = {
            "aws_access_key_id": known["AccessKeyId"],
            "aws_secret_access_key": known["SecretAccessKey"],
            "aws_session_token": known["SessionToken"],
        }
        iam = boto3.client("iam", endpoint_url=url, region_name=REGION, **owner)
        role = service_role(iam, "codedeploy")
        clients = Clients(endpoint_url=url, keys=lambda _account: ("AKIAEXAMPLE", "example"))
        yield Place(
            name="moto",
            url=url,
            access=Access(scope=Scope(account, REGION), role_arn=role),
            roles=ServiceRoles(clients),
            clients=clients,
            image="ami-12c6146b",
            key=owner,
        )
    finally:
        server.stop()


def allowing(*actions: str) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
    return {"Version": "2012-10-17", "Statement": [statement]}


@contextmanager
def onebox() -> Iterator[Place]:
    """Our own server: hosts of this machine."""
    with tempfile.TemporaryDirectory() as folder:
        if reason := why_not(Path(folder)):
            assert not os.environ.get("CI"), reason
            pytest.skip(reason)
        plane = ControlPlane(Path(folder))
        with instances.ending(plane.data_dir), ending_proxy(plane.data_dir):
            plane.start()
            try:
                access_key_id, secret_access_key = plane.owner
                iam = plane.client("iam")
                role = service_role(iam, "codedeploy", "arn:aws:iam::aws:policy/service-role/AWSCodeDeployRole")
                # For groups with launch templates the managed policy is not enough, as on AWS.
                launches = ["ec2:RunInstances", "ec2:CreateTags", "iam:PassRole"]
                iam.put_role_policy(
                    RoleName="codedeploy", PolicyName="launches", PolicyDocument=json.dumps(allowing(*launches))
                )
                clients = Clients(endpoint_url=plane.url, keys=lambda account: service_key(plane.data_dir, account))
                yield Place(
                    name="onebox",
                    url=plane.url,
                    access=Access(scope=Scope(ACCOUNT, REGION), role_arn=role),
                    roles=ServiceRoles(clients),
                    clients=clients,
                    image="ami-longshore",
                    key={"aws_access_key_id": access_key_id, "aws_secret_access_key": secret_access_key},
                )
            finally:
                plane.stop()


def service_key(data_dir: Path, account: str) -> tuple[str, str]:
    """The key by which the control plane itself calls onebox."""
    store = Store(sqlite_url(data_dir / "longshore.db"), Wakeup())
    try:
        key = store.write(lambda tx: credentials.service_key(tx, account, time.time()))
    finally:
        store.close()
    return key.access_key_id, key.secret_access_key


@contextmanager
def _moto_alone(_: Path) -> Iterator[tuple[str, tuple[str, str]]]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        yield "http://{}:{}".format(*server.get_host_and_port()), ("AKIAEXAMPLE", "example")
    finally:
        server.stop()


@contextmanager
def _onebox_alone(folder: Path) -> Iterator[tuple[str, tuple[str, str]]]:
    plane = ControlPlane(folder, options=("--account-id", "123456789012"))
    plane.start()
    try:
        yield plane.url, plane.owner
    finally:
        plane.stop()


#: For what needs no role and no instances: the URL of an AWS, and its owner's key.
AWS = {"moto": _moto_alone, "onebox": _onebox_alone}
