"""Two accounts and two regions, one server: none sees, reaches or guesses what is another's."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.acceptance.world import ControlPlane
from tests.contract.authorisation.world import REVISION, Caller, clients_of

OURS, THEIRS = "222222222222", "111111111111"
EAST, WEST = "us-east-1", "eu-west-1"
MOST_SESSIONS = 4
SCOPES = [(account, region) for account in (OURS, THEIRS) for region in (EAST, WEST)]


class Land:
    """An account in a region, and what was made there."""

    def __init__(self, owner: Caller, account: str, region: str) -> None:
        self.owner = owner
        self.account = account
        self.region = region
        #: In the name of everything there.
        self.mark = f"{account[0]}{region.replace('-', '')}"
        self.deployment = self.token = ""

    def client(self, service: str) -> Any:
        return self.owner.client(service, self.region)

    def arn(self, rest: str) -> str:
        return f"arn:aws:codedeploy:{self.region}:{self.account}:{rest}"

    def furnish(self) -> None:
        deploy = self.client("codedeploy")
        for name in ("shop", f"shop-{self.mark}"):
            deploy.create_application(applicationName=name, tags=[{"Key": "mark", "Value": self.mark}])
        deploy.create_deployment_config(
            deploymentConfigName="careful", minimumHealthyHosts={"type": "HOST_COUNT", "value": int(self.mark[0]) + 1}
        )
        deploy.create_deployment_config(
            deploymentConfigName=f"careful-{self.mark}", minimumHealthyHosts={"type": "HOST_COUNT", "value": 1}
        )
        for application in ("shop", f"shop-{self.mark}"):
            deploy.create_deployment_group(
                applicationName=application,
                deploymentGroupName="prod",
                serviceRoleArn=f"arn:aws:iam::{self.account}:role/deploy",
                onPremisesInstanceTagFilters=[{"Key": "none", "Type": "KEY_ONLY"}],
            )
        answer = deploy.create_deployment(
            applicationName="shop", deploymentGroupName="prod", revision=REVISION, description=self.mark
        )
        self.deployment = answer["deploymentId"]
        self.token = self.client("longshore").create_enrollment_token()["enrollmentToken"]["tokenId"]
        for name in ("web", f"web-{self.mark}"):
            deploy.register_on_premises_instance(
                instanceName=name, iamUserArn=f"arn:aws:iam::{self.account}:user/{name}"
            )


@pytest.fixture(scope="module")
def lands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[tuple[str, str], Land]]:
    plane = ControlPlane(tmp_path_factory.mktemp("lands"))
    try:
        yield _furnished(plane)
    finally:
        plane.stop()


def _furnished(plane: ControlPlane) -> dict[tuple[str, str], Land]:
    owners = {}
    for account in (THEIRS, OURS):
        plane.stop()
        plane.start("--account-id", account, "--limit", f"sessions={MOST_SESSIONS}")
        owners[account] = clients_of(plane)
    made = {}
    for account, region in SCOPES:
        # The port is another one after each start, the keys are the same.
        caller = Caller(plane.url, owners[account].keys, session=owners[OURS].session)
        made[account, region] = Land(caller, account, region)
        made[account, region].furnish()
    return made


def others(lands: dict[tuple[str, str], Land], land: Land) -> list[Land]:
    return [other for other in lands.values() if other is not land]


def seen(land: Land) -> str:
    """Everything that lists and looks by name give, as text."""
    deploy = land.client("codedeploy")
    iam = land.client("iam")
    looks: list[Any] = [
        deploy.list_applications(),
        deploy.batch_get_applications(applicationNames=["shop"]),
        deploy.get_application(applicationName="shop"),
        deploy.list_application_revisions(applicationName="shop"),
        deploy.list_deployment_configs(),
        deploy.get_deployment_config(deploymentConfigName="careful"),
        deploy.list_deployment_groups(applicationName="shop"),
        deploy.get_deployment_group(applicationName="shop", deploymentGroupName="prod"),
        deploy.list_deployments(),
        deploy.list_deployments(applicationName="shop", deploymentGroupName="prod"),
        deploy.get_deployment(deploymentId=land.deployment),
        deploy.list_on_premises_instances(),
        deploy.batch_get_on_premises_instances(instanceNames=["web"]),
        deploy.list_tags_for_resource(ResourceArn=land.arn("application:shop")),
        iam.list_users(),
        iam.list_roles(),
        iam.list_access_keys(),
        land.client("sts").get_caller_identity(),
        land.client("s3").list_buckets(),
        land.client("longshore").list_access_keys(),
        land.client("longshore").list_enrollment_tokens(),
        land.client("longshore").list_audit_records(),
    ]
    return json.dumps([{**look, "ResponseMetadata": None} for look in looks], default=str)


@pytest.mark.parametrize("scope", SCOPES)
def test_nothing_of_another_is_to_be_seen(lands: dict[tuple[str, str], Land], scope: tuple[str, str]) -> None:
    land = lands[scope]
    found = seen(land)
    assert f"shop-{land.mark}" in found
    assert land.deployment in found
    for other in others(lands, land):
        if other.account != land.account:
            assert other.account not in found.replace(f"{land.account}", "")
            assert other.mark not in found
        # The audit is the account's; the rest is the region's too.
        here = json.dumps([look for look in json.loads(found) if "records" not in look])
        assert other.mark not in here
        assert other.deployment not in here
        assert other.token not in here


@pytest.mark.parametrize("scope", SCOPES)
def test_nothing_of_another_is_to_be_had_by_name(lands: dict[tuple[str, str], Land], scope: tuple[str, str]) -> None:
    land = lands[scope]
    deploy = land.client("codedeploy")
    for other in others(lands, land):
        application, instance, config = f"shop-{other.mark}", f"web-{other.mark}", f"careful-{other.mark}"
        group = {"applicationName": application, "deploymentGroupName": "prod"}
        deployment, arn = {"deploymentId": other.deployment}, {"ResourceArn": other.arn("application:shop")}
        for code, operation, asked in (
            ("ApplicationDoesNotExistException", "GetApplication", {"applicationName": application}),
            ("ApplicationDoesNotExistException", "BatchGetApplications", {"applicationNames": [application]}),
            ("ApplicationDoesNotExistException", "ListDeploymentGroups", {"applicationName": application}),
            ("ApplicationDoesNotExistException", "CreateDeployment", {**group, "revision": REVISION}),
            (
                "ApplicationDoesNotExistException",
                "UpdateApplication",
                {"applicationName": application, "newApplicationName": "mine"},
            ),
            ("DeploymentDoesNotExistException", "GetDeployment", deployment),
            ("DeploymentDoesNotExistException", "StopDeployment", deployment),
            ("DeploymentDoesNotExistException", "ContinueDeployment", deployment),
            ("DeploymentDoesNotExistException", "ListDeploymentTargets", deployment),
            ("DeploymentDoesNotExistException", "ListDeploymentInstances", deployment),
            ("DeploymentConfigDoesNotExistException", "GetDeploymentConfig", {"deploymentConfigName": config}),
            ("InstanceNotRegisteredException", "GetOnPremisesInstance", {"instanceName": instance}),
            (
                "InstanceNotRegisteredException",
                "AddTagsToOnPremisesInstances",
                {"instanceNames": [instance], "tags": [{"Key": "none", "Value": "x"}]},
            ),
            ("InvalidArnException", "ListTagsForResource", arn),
            ("InvalidArnException", "TagResource", {**arn, "Tags": [{"Key": "a", "Value": "b"}]}),
            ("InvalidArnException", "UntagResource", {**arn, "TagKeys": ["mark"]}),
            # These succeed on what is not there, and touch nothing.
            ("", "DeleteApplication", {"applicationName": application}),
            ("", "DeleteDeploymentConfig", {"deploymentConfigName": config}),
            ("", "DeregisterOnPremisesInstance", {"instanceName": instance}),
        ):
            assert land.owner.tries("codedeploy", operation, asked, region=land.region)[0] == code, operation
        for code, operation, asked in (
            ("DeploymentDoesNotExistException", "GetHookLog", deployment),
            ("DeploymentDoesNotExistException", "GetDeploymentParameters", deployment),
            ("ApplicationDoesNotExistException", "PlanDeployment", {**group, "revision": REVISION}),
            ("EnrollmentTokenDoesNotExistException", "RevokeEnrollmentToken", {"tokenId": other.token}),
        ):
            assert land.owner.tries("longshore", operation, asked, region=land.region)[0] == code, operation
        assert deploy.batch_get_deployments(deploymentIds=[other.deployment])["deploymentsInfo"] == []
    for other in lands.values():
        assert f"shop-{other.mark}" in seen(other)
        assert "deregisterTime" not in json.dumps(
            other.client("codedeploy").get_on_premises_instance(instanceName=f"web-{other.mark}"), default=str
        )


def test_a_page_token_is_good_in_its_own_account_and_region_alone(lands: dict[tuple[str, str], Land]) -> None:
    land = lands[OURS, EAST]
    deploy = land.client("codedeploy")
    for number in range(101):
        deploy.create_application(applicationName=f"many-{number:03}")
    try:
        token = deploy.list_applications()["nextToken"]
        assert deploy.list_applications(nextToken=token)["applications"]
        for other in others(lands, land):
            with pytest.raises(ClientError, match="InvalidNextTokenException"):
                other.client("codedeploy").list_applications(nextToken=token)
    finally:
        for number in range(101):
            deploy.delete_application(applicationName=f"many-{number:03}")


def test_iam_is_of_an_account_in_all_its_regions(lands: dict[tuple[str, str], Land]) -> None:
    """As in AWS, users, roles and keys have no region: made in one, they are there in each; in one account."""
    for account in (OURS, THEIRS):
        lands[account, WEST].client("iam").create_user(UserName="dave", Path=f"/{account}/")
    keys = {}
    for account in (OURS, THEIRS):
        iam = lands[account, EAST].client("iam")
        assert iam.get_user(UserName="dave")["User"]["Arn"] == f"arn:aws:iam::{account}:user/{account}/dave"
        assert [user["UserName"] for user in iam.list_users()["Users"]] == ["dave"]
        keys[account] = iam.create_access_key(UserName="dave")["AccessKey"]["AccessKeyId"]
    for account, other in ((OURS, THEIRS), (THEIRS, OURS)):
        land, key = lands[account, EAST], {"UserName": "dave", "AccessKeyId": keys[other]}
        for code, service, operation, asked in (
            ("NoSuchEntity", "iam", "DeleteAccessKey", key),
            ("NoSuchEntity", "iam", "UpdateAccessKey", {**key, "Status": "Inactive"}),
            ("NoSuchEntity", "iam", "GetAccessKeyLastUsed", {"AccessKeyId": keys[other]}),
            ("KeyDoesNotExistException", "longshore", "DeleteAccessKey", {"accessKeyId": keys[other]}),
        ):
            assert land.owner.tries(service, operation, asked)[0] == code, operation
        iam = land.client("iam")
        assert [key["AccessKeyId"] for key in iam.list_access_keys(UserName="dave")["AccessKeyMetadata"]] == [
            keys[account]
        ]


def test_buckets_are_their_accounts(lands: dict[tuple[str, str], Land]) -> None:
    ours, theirs = lands[OURS, EAST].client("s3"), lands[THEIRS, EAST].client("s3")
    ours.create_bucket(Bucket="ours")
    ours.put_object(Bucket="ours", Key="plan", Body=b"secret")
    theirs.create_bucket(Bucket="theirs")
    assert [bucket["Name"] for bucket in theirs.list_buckets()["Buckets"]] == ["theirs"]
    for call in (
        lambda: theirs.get_object(Bucket="ours", Key="plan"),
        lambda: theirs.get_object(Bucket="ours", Key="not-there"),
        lambda: theirs.list_objects_v2(Bucket="ours"),
        lambda: theirs.put_object(Bucket="ours", Key="plan", Body=b""),
        lambda: theirs.delete_object(Bucket="ours", Key="plan"),
        lambda: theirs.copy_object(Bucket="theirs", Key="copy", CopySource="ours/plan"),
        lambda: theirs.delete_bucket(Bucket="ours"),
    ):
        with pytest.raises(ClientError, match="AccessDenied"):
            call()
    with pytest.raises(ClientError, match="403"):
        theirs.head_object(Bucket="ours", Key="plan")
    with pytest.raises(ClientError, match="BucketAlreadyExists"):
        theirs.create_bucket(Bucket="ours")
    assert ours.get_object(Bucket="ours", Key="plan")["Body"].read() == b"secret"


def test_a_role_is_assumed_from_another_account_only_if_both_say_so(lands: dict[tuple[str, str], Land]) -> None:
    ours, theirs = lands[OURS, EAST], lands[THEIRS, EAST]
    role = f"arn:aws:iam::{THEIRS}:role/guest"
    iam, sts = ours.client("iam"), ours.client("sts")

    def trusts(principal: Any, **condition: Any) -> str:
        statement = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"} | (
            {"Condition": condition} if condition else {}
        )
        return json.dumps({"Version": "2012-10-17", "Statement": statement})

    iam.create_user(UserName="erin")
    erin = ours.owner.like(iam.create_access_key(UserName="erin")["AccessKey"])

    def refused(caller: Caller, **asked: Any) -> str:
        with pytest.raises(ClientError) as caught:
            caller.client("sts").assume_role(RoleArn=role, RoleSessionName="visit", **asked)
        assert caught.value.response["Error"]["Code"] == "AccessDenied"
        return str(caught.value.response["Error"]["Message"])

    before = refused(erin)
    their_iam = theirs.client("iam")
    their_iam.create_role(RoleName="guest", AssumeRolePolicyDocument=trusts({"AWS": THEIRS}))
    assert refused(erin) == before, "a role that is there looks like one that is not"

    # Their trust alone is not enough, whether it names the account or the user.
    for principal in ({"AWS": OURS}, {"AWS": f"arn:aws:iam::{OURS}:user/erin"}, "*"):
        their_iam.update_assume_role_policy(RoleName="guest", PolicyDocument=trusts(principal))
        refused(erin)
    allow = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": role}
    iam.put_user_policy(
        UserName="erin",
        PolicyName="guest",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": allow}),
    )
    # Nor is our policy alone.
    their_iam.update_assume_role_policy(
        RoleName="guest", PolicyDocument=trusts({"AWS": f"arn:aws:iam::{OURS}:user/somebody"})
    )
    refused(erin)
    # A third party's confusion is what an external id is against.
    their_iam.update_assume_role_policy(
        RoleName="guest", PolicyDocument=trusts({"AWS": OURS}, StringEquals={"sts:ExternalId": "for-ours"})
    )
    refused(erin)
    refused(erin, ExternalId="for-another")
    session = erin.client("sts").assume_role(RoleArn=role, RoleSessionName="visit", ExternalId="for-ours")
    guest = ours.owner.like(session["Credentials"])
    assert guest.client("sts").get_caller_identity()["Account"] == THEIRS

    # In their account it may what the role may, there; and nothing at home.
    grant = {"Effect": "Allow", "Action": "codedeploy:*", "Resource": "*"}
    their_iam.put_role_policy(
        RoleName="guest",
        PolicyName="all",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": grant}),
    )
    listed = guest.client("codedeploy").list_applications()["applications"]
    assert f"shop-{theirs.mark}" in listed
    assert f"shop-{ours.mark}" not in listed
    assert sts.get_caller_identity()["Account"] == OURS


def test_a_deployment_does_not_bring_its_hosts_another_accounts_bundle(lands: dict[tuple[str, str], Land]) -> None:
    """The control plane reads bundles for its users: it must not read for one what only another may."""
    told = {}
    for account, bucket in ((OURS, "ours-too"), (THEIRS, "theirs-too")):
        s3 = lands[account, EAST].client("s3")
        s3.create_bucket(Bucket=bucket)
        s3.put_object(Bucket=bucket, Key="1.zip", Body=b"secret of " + bucket.encode())
    for account, bucket in ((OURS, "theirs-too"), (THEIRS, "ours-too"), (OURS, "ours-too"), (THEIRS, "theirs-too")):
        told[account, bucket] = what_a_host_is_given(lands[account, EAST], bucket)
    assert told == {
        (OURS, "theirs-too"): (403, b""),
        (THEIRS, "ours-too"): (403, b""),
        (OURS, "ours-too"): (200, b"secret of ours-too"),
        (THEIRS, "theirs-too"): (200, b"secret of theirs-too"),
    }


def test_no_account_makes_anothers_hosts_its_own(lands: dict[tuple[str, str], Land]) -> None:
    """Whoever registers a host deploys to it, as root: by naming another account's users nobody gets at its hosts."""
    for account, other in ((OURS, THEIRS), (THEIRS, OURS)):
        for region in (EAST, WEST):
            for code, given in (
                ("InvalidIamUserArnException", {"iamUserArn": f"arn:aws:iam::{other}:user/web"}),
                ("InvalidIamSessionArnException", {"iamSessionArn": f"arn:aws:sts::{other}:assumed-role/hosts/web"}),
            ):
                asked = {"instanceName": "stolen", **given}
                tried = lands[account, EAST].owner.tries(
                    "codedeploy", "RegisterOnPremisesInstance", asked, region=region
                )
                assert tried[0] == code, tried


def test_nobody_fills_the_disk_with_sessions(lands: dict[tuple[str, str], Land]) -> None:
    """Whoever has a key may begin sessions, a host too; so many, and another's are not counted."""
    iam = lands[OURS, EAST].client("iam")
    frank, grace = [
        lands[OURS, EAST].owner.like(iam.create_access_key(UserName=name)["AccessKey"])
        for name in ("frank", "grace")
        if iam.create_user(UserName=name)
    ]
    for _ in range(MOST_SESSIONS):
        assert frank.tries("sts", "GetSessionToken", {"DurationSeconds": 900})[0] == ""
    assert frank.tries("sts", "GetSessionToken", {"DurationSeconds": 900})[0] == "Throttling"
    assert grace.tries("sts", "GetSessionToken", {"DurationSeconds": 900})[0] == ""


def what_a_host_is_given(land: Land, bucket: str) -> tuple[int, bytes]:
    """Deploy from `bucket` to a new host of `land`: what the URL in its specification opens."""
    deploy, name = land.client("codedeploy"), f"reads-{bucket}"
    iam = land.client("iam")
    arn = iam.create_user(UserName=name)["User"]["Arn"]
    deploy.register_on_premises_instance(instanceName=name, iamUserArn=arn)
    deploy.add_tags_to_on_premises_instances(instanceNames=[name], tags=[{"Key": "reads", "Value": bucket}])
    deploy.create_application(applicationName=name)
    deploy.create_deployment_group(
        applicationName=name,
        deploymentGroupName="prod",
        serviceRoleArn=f"arn:aws:iam::{land.account}:role/deploy",
        onPremisesInstanceTagFilters=[{"Key": "reads", "Value": bucket, "Type": "KEY_AND_VALUE"}],
        deploymentConfigName="CodeDeployDefault.AllAtOnce",
    )
    location = {"bucket": bucket, "key": "1.zip", "bundleType": "zip"}
    deploy.create_deployment(
        applicationName=name, deploymentGroupName="prod", revision={"revisionType": "S3", "s3Location": location}
    )
    host = land.owner.like(iam.create_access_key(UserName=name)["AccessKey"]).client("codedeploy-commands")
    command = host.poll_host_command(HostIdentifier=arn)["HostCommand"]
    answer = host.get_deployment_specification(
        DeploymentExecutionId=command["DeploymentExecutionId"], HostIdentifier=arn
    )
    envelope = json.loads(answer["DeploymentSpecification"]["VariantEnvelope"]["Payload"])
    url = json.loads(base64.b64decode(envelope["payload"]))["Longshore"]["BundleUrl"]
    try:
        with urllib.request.urlopen(url, timeout=10) as opened:
            return opened.status, opened.read()
    except urllib.error.HTTPError as refused:
        refused.close()
        return refused.code, b""
