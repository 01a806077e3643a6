"""A server with things to be allowed to do something to, and callers with policies."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import botocore.session
from botocore import xform_name
from botocore.config import Config
from botocore.exceptions import ClientError

from longshore import models
from tests.acceptance.world import ACCOUNT, REGION, ControlPlane

REVISION = {"revisionType": "S3", "s3Location": {"bucket": "releases", "key": "shop/1.zip", "bundleType": "zip"}}
TRUSTS_THE_ACCOUNT = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
            "Action": "sts:AssumeRole",
        },
    }
)
#: How the services say that somebody may not; a HEAD has no body to say it in.
REFUSED = frozenset({"AccessDenied", "AccessDeniedException", "403"})
#: How they say that they do not even know who asks. No row of a table may end so.
UNKNOWN = frozenset(
    {"UnrecognizedClientException", "InvalidClientTokenId", "InvalidSignatureException", "SignatureDoesNotMatch"}
    | {"ExpiredToken", "ExpiredTokenException", "InvalidAccessKeyId", "InvalidToken"}
)

Keys = Mapping[str, str]


class Caller:
    """Somebody with keys, and botocore's clients."""

    def __init__(self, url: str, keys: Keys, *, session: botocore.session.Session) -> None:
        self.url = url
        self.keys = keys
        self.session = session
        self._clients: dict[tuple[str, str], Any] = {}

    def client(self, service: str, region: str = REGION) -> Any:
        if (service, region) not in self._clients:
            self._clients[service, region] = self.session.create_client(
                service,
                region_name=region,
                endpoint_url=self.url,
                aws_access_key_id=self.keys["AccessKeyId"],
                aws_secret_access_key=self.keys["SecretAccessKey"],
                aws_session_token=self.keys.get("SessionToken"),
                config=Config(
                    retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}, parameter_validation=False
                ),
            )
        return self._clients[service, region]

    def like(self, keys: Keys) -> Caller:
        """Somebody else's, to the same server."""
        return Caller(self.url, keys, session=self.session)

    def tries(self, service: str, operation: str, asked: Mapping[str, Any], *, region: str = REGION) -> tuple[str, str]:
        """The code and text of the error that the call ends with; "" for none."""
        try:
            answer = getattr(self.client(service, region), xform_name(operation))(**asked)
        except ClientError as error:
            return error.response["Error"]["Code"], error.response["Error"].get("Message", "")
        for error in answer.get("Errors", ()) if operation == "DeleteObjects" else ():
            if error["Code"] in REFUSED:
                return error["Code"], error.get("Message", "")
        return "", ""


def clients_of(plane: ControlPlane) -> Caller:
    """The owner's."""
    # One session for all: it remembers the models it has read.
    session = botocore.session.Session()
    session.get_component("data_loader").search_paths.insert(0, str(models.DATA_PATH))
    key, secret = plane.owner
    return Caller(plane.url, {"AccessKeyId": key, "SecretAccessKey": secret}, session=session)


class World:
    """The control plane, its owner, and what there is."""

    def __init__(self, plane: ControlPlane) -> None:
        self.url = plane.url
        self.owner = clients_of(plane)
        self.iam = self.owner.client("iam")
        self.names = self._furnish()

    def user(self, name: str, *, path: str = "/", tags: Mapping[str, str] | None = None) -> Caller:
        """A new user's."""
        pairs = [{"Key": key, "Value": value} for key, value in (tags or {}).items()]
        self.iam.create_user(UserName=name, Path=path, Tags=pairs)
        return self.owner.like(self.iam.create_access_key(UserName=name)["AccessKey"])

    def filled(self, value: Any) -> Any:
        """A row's value, with the names in braces that are known only now."""
        if isinstance(value, dict):
            return {self.filled(key): self.filled(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.filled(item) for item in value]
        return self.names.get(value, value) if isinstance(value, str) else value

    def _furnish(self) -> dict[str, str]:
        deploy, s3 = self.owner.client("codedeploy"), self.owner.client("s3")
        s3.create_bucket(Bucket="releases")
        s3.create_bucket(Bucket="secrets")
        s3.put_bucket_versioning(Bucket="releases", VersioningConfiguration={"Status": "Enabled"})
        version = s3.put_object(Bucket="releases", Key="shop/1.zip", Body=b"a bundle")["VersionId"]
        s3.put_object(Bucket="releases", Key="bank/1.zip", Body=b"a bundle")
        s3.put_object(Bucket="secrets", Key="plans", Body=b"secret")
        deploy.create_deployment_config(
            deploymentConfigName="careful", minimumHealthyHosts={"type": "HOST_COUNT", "value": 1}
        )
        made = {}
        for application, team in (("shop", "web"), ("bank", "money")):
            tags = [{"Key": "team", "Value": team}]
            deploy.create_application(applicationName=application, tags=tags)
            for group in ("prod", "test"):
                deploy.create_deployment_group(
                    applicationName=application,
                    deploymentGroupName=group,
                    deploymentConfigName="careful",
                    serviceRoleArn=f"arn:aws:iam::{ACCOUNT}:role/deploy",
                    onPremisesInstanceTagFilters=[{"Key": "app", "Value": application, "Type": "KEY_AND_VALUE"}],
                    tags=[*tags, {"Key": "stage", "Value": group}],
                )
            for group in ("prod", "test"):
                # There is nobody to deploy to, so it is over at once.
                answer = deploy.create_deployment(
                    applicationName=application, deploymentGroupName=group, revision=REVISION
                )
                made[f"{{{application} {group} deployment}}"] = answer["deploymentId"]
        for name in ("web-1", "web-2"):
            deploy.register_on_premises_instance(
                instanceName=name, iamUserArn=f"arn:aws:iam::{ACCOUNT}:user/hosts/{name}"
            )
        self.user("alice", path="/people/", tags={"team": "web"})
        self.user("bob", path="/people/", tags={"team": "money"})
        self.iam.create_role(RoleName="deployer", Path="/people/", AssumeRolePolicyDocument=TRUSTS_THE_ACCOUNT)
        self.iam.create_instance_profile(InstanceProfileName="hosts", Path="/people/")
        (alices,) = self.iam.list_access_keys(UserName="alice")["AccessKeyMetadata"]
        return {**made, "{version}": version, "{alice's key}": alices["AccessKeyId"]}


@contextmanager
def world(folder: Path) -> Iterator[World]:
    plane = ControlPlane(folder)
    try:
        plane.start()
        yield World(plane)
    finally:
        plane.stop()
