"""What somebody tries who has a key, a session, a URL or a policy, and wants more than it gives."""

from __future__ import annotations

import http.client
import itertools
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

from tests.acceptance.world import ACCOUNT, REGION
from tests.contract.authorisation.test_operations import allow
from tests.contract.authorisation.world import REFUSED, REVISION, TRUSTS_THE_ACCOUNT, UNKNOWN, Caller, World

#: What everybody but the owner must not get.
SECRET = b"secret"
_numbers = itertools.count(1)
#: How S3 says that it does not know who asks.
S3_UNKNOWN = {"InvalidAccessKeyId", "InvalidToken", "SignatureDoesNotMatch", "AccessDenied", "ExpiredToken"}


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def send(
    there: World, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes = b""
) -> tuple[int, bytes]:
    """A request as it stands: nothing is tidied on the way."""
    address = urlsplit(there.url)
    assert address.hostname
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=10)
    try:
        connection.request(method, path, body, dict(headers or {}))
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def signed(
    there: World,
    who: Caller,
    service: str,
    method: str,
    path: str,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
) -> dict[str, str]:
    keys = Credentials(who.keys["AccessKeyId"], who.keys["SecretAccessKey"], who.keys.get("SessionToken"))
    request = AWSRequest(method=method, url=there.url + path, data=body, headers=dict(headers or {}))
    (S3SigV4Auth if service == "s3" else SigV4Auth)(keys, service, REGION).add_auth(request)
    return dict(request.headers.items())


def presigned(there: World, who: Caller, *, version: str, **asked: Any) -> str:
    """The path and query of a URL that gets an object."""
    client = who.session.create_client(
        "s3",
        region_name=REGION,
        endpoint_url=there.url,
        aws_access_key_id=who.keys["AccessKeyId"],
        aws_secret_access_key=who.keys["SecretAccessKey"],
        aws_session_token=who.keys.get("SessionToken"),
        config=Config(signature_version=version, s3={"addressing_style": "path"}),
    )
    url: str = client.generate_presigned_url("get_object", Params=asked, ExpiresIn=600)
    return url.removeprefix(there.url)


@pytest.fixture
def reader(there: World) -> Caller:
    """A user of the test's own who may read one bucket and list applications."""
    name = f"reader-{next(_numbers)}"
    caller = there.user(name)
    document = policy(
        allow(["s3:GetObject", "s3:GetObjectVersion"], "arn:aws:s3:::releases/*"), allow("codedeploy:List*", "*")
    )
    there.iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=document)
    return caller


def name_of(caller: Caller) -> str:
    arn: str = caller.client("sts").get_caller_identity()["Arn"]
    return arn.rpartition("/")[2]


# Keys.


@pytest.mark.parametrize("how", ["inactive", "deleted"])
def test_a_key_that_was_taken_back_is_good_for_nothing_from_that_moment(there: World, reader: Caller, how: str) -> None:
    """Not for calls, not in URLs that were presigned with it, not in sessions that were begun with it."""
    name, key = name_of(reader), reader.keys["AccessKeyId"]
    urls = [
        presigned(there, reader, version=version, Bucket="releases", Key="shop/1.zip") for version in ("s3", "s3v4")
    ]
    session = reader.like(reader.client("sts").get_session_token()["Credentials"])
    session_url = presigned(there, session, version="s3v4", Bucket="releases", Key="shop/1.zip")
    # All of it is known and remembered by the server.
    for url in (*urls, session_url):
        assert send(there, "GET", url) == (200, b"a bundle")
    for caller in (reader, session):
        assert caller.tries("codedeploy", "ListApplications", {})[0] == ""

    if how == "inactive":
        there.iam.update_access_key(UserName=name, AccessKeyId=key, Status="Inactive")
    else:
        there.iam.delete_access_key(UserName=name, AccessKeyId=key)

    for caller in (reader, session):
        assert caller.tries("codedeploy", "ListApplications", {})[0] == "UnrecognizedClientException"
        assert caller.tries("sts", "GetCallerIdentity", {})[0] == "InvalidClientTokenId"
        assert caller.tries("s3", "GetObject", {"Bucket": "releases", "Key": "shop/1.zip"})[0] in S3_UNKNOWN
    for url in (*urls, session_url):
        assert send(there, "GET", url)[0] == 403
    if how == "inactive":
        there.iam.update_access_key(UserName=name, AccessKeyId=key, Status="Active")
        assert reader.tries("codedeploy", "ListApplications", {})[0] == ""
        assert session.tries("codedeploy", "ListApplications", {})[0] == "UnrecognizedClientException"


def test_a_right_that_was_taken_away_is_gone_at_the_next_call(there: World, reader: Caller) -> None:
    name = name_of(reader)
    url = presigned(there, reader, version="s3v4", Bucket="releases", Key="shop/1.zip")
    assert send(there, "GET", url)[0] == 200
    there.iam.delete_user_policy(UserName=name, PolicyName="own")
    assert send(there, "GET", url)[0] == 403
    assert reader.tries("codedeploy", "ListApplications", {})[0] in REFUSED
    there.iam.attach_user_policy(UserName=name, PolicyArn="CodeDeployReadOnlyAccess")
    assert reader.tries("codedeploy", "ListApplications", {})[0] == ""
    there.iam.detach_user_policy(UserName=name, PolicyArn="CodeDeployReadOnlyAccess")
    assert reader.tries("codedeploy", "ListApplications", {})[0] in REFUSED


def test_a_tag_that_was_changed_counts_at_the_next_call(there: World) -> None:
    caller = there.user("tagged", tags={"team": "web"})
    condition = {"StringEquals": {"aws:PrincipalTag/team": "web"}}
    document = policy(allow("codedeploy:List*", "*", Condition=condition))
    there.iam.put_user_policy(UserName="tagged", PolicyName="own", PolicyDocument=document)
    assert caller.tries("codedeploy", "ListApplications", {})[0] == ""
    there.iam.tag_user(UserName="tagged", Tags=[{"Key": "Team", "Value": "money"}])
    assert caller.tries("codedeploy", "ListApplications", {})[0] in REFUSED
    there.iam.tag_user(UserName="tagged", Tags=[{"Key": "team", "Value": "web"}])
    assert caller.tries("codedeploy", "ListApplications", {})[0] == ""
    there.iam.untag_user(UserName="tagged", TagKeys=["TEAM"])
    assert caller.tries("codedeploy", "ListApplications", {})[0] in REFUSED


def test_a_user_who_is_gone_is_gone_with_every_session(there: World) -> None:
    caller = there.user("leaves")
    session = caller.like(caller.client("sts").get_session_token()["Credentials"])
    there.iam.delete_access_key(UserName="leaves", AccessKeyId=caller.keys["AccessKeyId"])
    there.iam.delete_user(UserName="leaves")
    # Another of the same name is somebody else, who starts with nothing.
    again = there.user("leaves")
    for one in (caller, session):
        assert one.tries("sts", "GetCallerIdentity", {})[0] == "InvalidClientTokenId"
    assert again.tries("codedeploy", "ListApplications", {})[0] in REFUSED


def test_a_role_that_is_gone_takes_its_sessions_along(there: World) -> None:
    role = there.iam.create_role(RoleName="leaving", AssumeRolePolicyDocument=TRUSTS_THE_ACCOUNT)["Role"]["Arn"]
    sts = there.owner.client("sts")
    session = there.owner.like(sts.assume_role(RoleArn=role, RoleSessionName="me")["Credentials"])
    assert session.tries("sts", "GetCallerIdentity", {})[0] == ""
    there.iam.delete_role(RoleName="leaving")
    there.iam.create_role(RoleName="leaving", AssumeRolePolicyDocument=TRUSTS_THE_ACCOUNT)
    assert session.tries("sts", "GetCallerIdentity", {})[0] == "InvalidClientTokenId"


def test_a_user_that_takes_the_control_planes_name_gets_nothing_of_it(there: World) -> None:
    """The control plane signs as user/longshore/control-plane; a user may be called so."""
    arn = there.iam.create_user(UserName="control-plane", Path="/longshore/")["User"]["Arn"]
    assert arn == f"arn:aws:iam::{ACCOUNT}:user/longshore/control-plane"
    assert there.iam.list_access_keys(UserName="control-plane")["AccessKeyMetadata"] == []
    caller = there.owner.like(there.iam.create_access_key(UserName="control-plane")["AccessKey"])
    assert caller.tries("s3", "GetObject", {"Bucket": "releases", "Key": "shop/1.zip"})[0] in REFUSED
    there.iam.delete_access_key(UserName="control-plane", AccessKeyId=caller.keys["AccessKeyId"])
    there.iam.delete_user(UserName="control-plane")


# Sessions.


@pytest.fixture(scope="module")
def sessions(there: World) -> list[Caller]:
    """Two of one role that may do everything."""
    role = there.iam.create_role(RoleName="mighty", AssumeRolePolicyDocument=TRUSTS_THE_ACCOUNT)["Role"]["Arn"]
    there.iam.put_role_policy(RoleName="mighty", PolicyName="all", PolicyDocument=policy(allow("*", "*")))
    sts = there.owner.client("sts")
    return [
        there.owner.like(sts.assume_role(RoleArn=role, RoleSessionName=name)["Credentials"]) for name in ("one", "two")
    ]


@pytest.mark.parametrize(
    "tamper",
    [
        lambda keys, _other, _owner: {**keys, "SessionToken": keys["SessionToken"][:-1] + "."},
        lambda keys, _other, _owner: {**keys, "SessionToken": keys["SessionToken"] + "A"},
        lambda keys, _other, _owner: {**keys, "SessionToken": keys["SessionToken"].swapcase()},
        lambda keys, other, _owner: {**keys, "SessionToken": other["SessionToken"]},
        lambda keys, _other, _owner: {name: value for name, value in keys.items() if name != "SessionToken"},
        lambda keys, other, _owner: {**other, "AccessKeyId": keys["AccessKeyId"]},
        lambda keys, _other, owner: {**owner, "SessionToken": keys["SessionToken"]},
    ],
    ids=[
        "its end changed",
        "longer",
        "in another case",
        "another session's",
        "none",
        "another's secret",
        "a lasting key",
    ],
)
def test_a_session_is_its_key_its_secret_and_its_token(there: World, sessions: list[Caller], tamper: Any) -> None:
    one, two = sessions
    forged = one.like(tamper(one.keys, two.keys, there.owner.keys))
    assert one.tries("codedeploy", "ListApplications", {})[0] == ""
    assert forged.tries("codedeploy", "ListApplications", {})[0] in UNKNOWN
    assert forged.tries("sts", "GetCallerIdentity", {})[0] in UNKNOWN
    assert forged.tries("iam", "ListUsers", {})[0] in UNKNOWN
    assert forged.tries("s3", "GetObject", {"Bucket": "secrets", "Key": "plans"})[0] in S3_UNKNOWN
    url = presigned(there, forged, version="s3v4", Bucket="secrets", Key="plans")
    status, body = send(there, "GET", url)
    assert status == 403
    assert SECRET not in body.replace(b"secrets", b"")


# Presigned URLs.


@pytest.mark.parametrize("version", ["s3", "s3v4"])
def test_a_presigned_url_opens_what_it_was_made_for_and_nothing_else(there: World, version: str) -> None:
    url = presigned(there, there.owner, version=version, Bucket="releases", Key="shop/1.zip")
    assert send(there, "GET", url) == (200, b"a bundle")
    before, _, query = url.partition("?")
    tricks = {
        "another object": ("GET", f"/secrets/plans?{query}", {}),
        "another key that begins alike": ("GET", f"{before}/../../secrets/plans?{query}", {}),
        "the bucket": ("GET", f"/releases?{query}", {}),
        "deleting": ("DELETE", url, {}),
        "writing": ("PUT", url, {}),
        "copying": ("PUT", url, {"x-amz-copy-source": "/secrets/plans"}),
        "a sub-resource": ("GET", f"{url}&tagging", {}),
        "an old version": ("GET", f"{url}&versionId={there.names['{version}']}", {}),
        "another host's bucket": ("GET", f"/shop/1.zip?{query}", {"host": "secrets.localhost"}),
        "another header": ("GET", url, {"x-amz-security-token": "x"}),
    }
    for trick, (method, path, headers) in tricks.items():
        status, body = send(there, method, path, headers)
        assert status in (400, 403), (trick, status, body)
        assert body != SECRET, trick
    assert there.owner.client("s3").get_object(Bucket="releases", Key="shop/1.zip")["Body"].read() == b"a bundle"


@pytest.mark.parametrize("version", ["s3", "s3v4"])
def test_a_presigned_url_cannot_be_made_to_last(there: World, version: str) -> None:
    url = presigned(there, there.owner, version=version, Bucket="releases", Key="shop/1.zip")
    name = "Expires" if version == "s3" else "X-Amz-Expires"
    before, _, rest = url.partition(f"{name}=")
    number, _, after = rest.partition("&")
    longer = f"{before}{name}={int(number) + 1}" + (f"&{after}" if after else "")
    assert send(there, "GET", longer)[0] == 403
    assert send(there, "GET", f"{url}&{name}={int(number) + 1}")[0] in (400, 403)


def test_a_url_is_no_key_to_another_service(there: World) -> None:
    """A signature says for which service it is."""
    url = presigned(there, there.owner, version="s3v4", Bucket="releases", Key="shop/1.zip")
    query = url.partition("?")[2]
    target = {"x-amz-target": "CodeDeploy_20141006.ListApplications", "content-type": "application/x-amz-json-1.1"}
    assert send(there, "POST", f"/?{query}", target, b"{}")[0] in (400, 403)
    assert send(there, "GET", f"/?{query}&Action=ListUsers&Version=2010-05-08")[0] in (400, 403)


def test_who_somebody_is_can_be_proven_to_others_by_a_url(there: World, reader: Caller) -> None:
    """A presigned GetCallerIdentity: whoever is shown it learns who made it, and can do nothing with it."""
    sts = reader.client("sts")
    url = sts.generate_presigned_url("get_caller_identity", ExpiresIn=60, HttpMethod="GET").removeprefix(there.url)
    status, body = send(there, "GET", url)
    assert status == 200
    assert f"user/{name_of(reader)}</Arn>".encode() in body
    for changed in (
        url.replace("Action=GetCallerIdentity", "Action=GetSessionToken"),
        f"{url}&DurationSeconds=900",
        url.replace("Version=2011-06-15", "Version=2010-05-08").replace("GetCallerIdentity", "ListUsers"),
    ):
        assert changed != url
        status, body = send(there, "GET", changed)
        assert status in (400, 403), body
    assert send(there, "POST", url)[0] in (400, 403)


# Signatures for something else.


def test_what_is_signed_for_one_service_is_refused_by_the_others(there: World) -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}
    users, who = b"Action=ListUsers&Version=2010-05-08", b"Action=GetCallerIdentity&Version=2011-06-15"
    json_1_1 = {"content-type": "application/x-amz-json-1.1"}
    applications = {**json_1_1, "x-amz-target": "CodeDeploy_20141006.ListApplications"}
    poll = {**json_1_1, "x-amz-target": "CodeDeployCommandService_v20141006.PollHostCommand"}
    for service, headers, body in (
        ("sts", form, users),
        ("iam", form, who),
        ("codedeploy", form, users),
        ("s3", form, users),
        ("iam", applications, b"{}"),
        ("s3", applications, b"{}"),
        ("codedeploy-commands", applications, b"{}"),
        ("codedeploy", poll, b'{"HostIdentifier": "x"}'),
    ):
        answer = send(there, "POST", "/", signed(there, there.owner, service, "POST", "/", headers, body), body)
        assert answer[0] in (400, 403, 405), (service, headers, answer)
        assert b"<UserName>" not in answer[1]


def test_a_signed_call_cannot_be_turned_into_another(there: World) -> None:
    """The operation, the body and the token are under the signature."""
    headers = {
        "content-type": "application/x-amz-json-1.1",
        "x-amz-target": "CodeDeploy_20141006.ListApplications",
    }
    caught = signed(there, there.owner, "codedeploy", "POST", "/", headers, b"{}")
    assert send(there, "POST", "/", caught, b"{}")[0] == 200
    for changed, body in (
        ({**caught, "x-amz-target": "CodeDeploy_20141006.ListDeploymentConfigs"}, b"{}"),
        ({**caught, "X-Amz-Security-Token": "x"}, b"{}"),
        (caught, b'{"nextToken": "x"}'),
        ({name: value for name, value in caught.items() if name.lower() != "x-amz-target"}, b"{}"),
    ):
        status, answer = send(there, "POST", "/", changed, body)
        assert status in (400, 403), answer
        assert b"applications" not in answer


# Policies and names.


@pytest.fixture(scope="module")
def denied(there: World) -> Caller:
    """A user who may everything in S3 but for one object."""
    caller = there.user("denied")
    deny = {"Effect": "Deny", "Action": "s3:*", "Resource": "arn:aws:s3:::secrets/plans"}
    document = policy(allow("s3:*", "*"), deny)
    there.iam.put_user_policy(UserName="denied", PolicyName="own", PolicyDocument=document)
    assert caller.tries("s3", "GetObject", {"Bucket": "releases", "Key": "shop/1.zip"})[0] == ""
    assert caller.tries("s3", "HeadBucket", {"Bucket": "secrets"})[0] == ""
    return caller


@pytest.mark.parametrize(
    "path",
    [
        *("/secrets/%70lans", "/secrets/plan%73", "/%73ecrets/plans", "/secrets%2Fplans", "//secrets/plans"),
        *("/secrets/./plans", "/secrets/x/../plans", "/secrets//plans", "/secrets/plans/", "/secrets/plans%00"),
        *("/releases/../secrets/plans", "/releases/%2e%2e/secrets/plans", "/SECRETS/plans", "/secrets/PLANS"),
        *("/secrets/plans?x-id=GetObject", "/secrets/plans?versionId=null", "/secrets/plans?prefix=shop/"),
    ],
)
def test_no_spelling_of_a_key_gets_round_a_deny(there: World, denied: Caller, path: str) -> None:
    headers = signed(there, denied, "s3", "GET", path)
    status, body = send(there, "GET", path, headers)
    assert status in (400, 403, 404), body
    assert body != SECRET


@pytest.mark.parametrize(
    "name", ["*", "?", "${aws:username}", "sh*p", "${*}", "a:b", "a/b", "a b", "ä", "a\0b", "\u212a"]
)
def test_names_that_mean_something_to_policies_cannot_be_had(there: World, name: str) -> None:
    """What a principal is called stands in policies by variables, so a name may hold nothing a pattern could."""
    role = f"arn:aws:iam::{ACCOUNT}:role/people/deployer"
    for service, operation, given in (
        ("iam", "CreateUser", {"UserName": name}),
        ("iam", "CreateRole", {"RoleName": name, "AssumeRolePolicyDocument": TRUSTS_THE_ACCOUNT}),
        ("sts", "AssumeRole", {"RoleArn": role, "RoleSessionName": name}),
    ):
        assert there.owner.tries(service, operation, given)[0] == "ValidationError", operation


@pytest.mark.parametrize(
    "document",
    [
        "[" * 100_000,
        '{"Statement": []}',
        policy(allow("*", "*", Principal="*")),
        policy(allow("*", "*", Condition={"X": {}})),
    ],
    ids=["deep", "empty", "a principal", "an unknown operator"],
)
def test_a_document_that_is_no_policy_is_not_stored(there: World, document: str) -> None:
    role = f"arn:aws:iam::{ACCOUNT}:role/people/deployer"
    named = {"PolicyName": "bad", "PolicyDocument": document}
    for service, operation, given in (
        ("iam", "PutUserPolicy", {"UserName": "alice", **named}),
        ("iam", "PutRolePolicy", {"RoleName": "deployer", **named}),
        ("iam", "CreateRole", {"RoleName": "bad", "AssumeRolePolicyDocument": document}),
        ("iam", "UpdateAssumeRolePolicy", {"RoleName": "deployer", "PolicyDocument": document}),
        ("sts", "AssumeRole", {"RoleArn": role, "RoleSessionName": "me", "Policy": document[:2048]}),
    ):
        assert there.owner.tries(service, operation, given)[0] == "MalformedPolicyDocument", operation
    assert there.iam.list_user_policies(UserName="alice")["PolicyNames"] == []


def test_a_policy_is_given_back_as_it_was_written(there: World) -> None:
    written = (
        '{\n  "Version" : "2012-10-17", "Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*","Sid":"ü%20+"}}'
    )
    assert there.owner.tries(
        "iam", "PutUserPolicy", {"UserName": "bob", "PolicyName": "as-is", "PolicyDocument": written}
    )[0]
    written = written.replace("ü%20+", "A1")
    there.iam.put_user_policy(UserName="bob", PolicyName="as-is", PolicyDocument=written)
    answer = there.iam.get_user_policy(UserName="bob", PolicyName="as-is")
    assert answer["PolicyDocument"] == json.loads(written)
    there.iam.delete_user_policy(UserName="bob", PolicyName="as-is")


def test_nobody_keeps_the_server_busy_with_names_that_it_must_compare(there: World) -> None:
    """What is authorised is not checked yet: names may be as long and as many as a body holds."""
    caller = there.user("slow")
    slow = [f"arn:aws:codedeploy:us-east-1:000000000000:*{'?' * 300}b{number}*" for number in range(4)]
    document = policy(allow("*", "*"), allow("codedeploy:*", slow) | {"Effect": "Deny"})
    there.iam.put_user_policy(UserName="slow", PolicyName="own", PolicyDocument=document)
    for operation, given, code in (
        ("GetApplication", {"applicationName": "a" * 3_000_000}, "ValidationException"),
        ("BatchGetApplications", {"applicationNames": ["a"] * 500_000}, "ValidationException"),
        ("BatchGetDeployments", {"deploymentIds": [f"d-{number}" for number in range(200_000)]}, "ValidationException"),
        ("BatchGetApplications", {"applicationNames": ["a" * 1900] * 100}, "InvalidApplicationNameException"),
    ):
        assert caller.tries("codedeploy", operation, given)[0] == code, operation


def test_a_nul_in_a_name_is_told_as_any_other_wrong_character(there: World) -> None:
    """Permissions are looked up first, by a name that no database can be asked for."""
    caller = there.user("nul")
    calls: list[tuple[str, dict[str, Any], str]] = [
        ("GetDeployment", {"deploymentId": "d-\0"}, "InvalidDeploymentIdException"),
        ("BatchGetDeployments", {"deploymentIds": ["d-\0"]}, "InvalidDeploymentIdException"),
        ("GetApplication", {"applicationName": "a\0"}, "InvalidApplicationNameException"),
    ]
    for operation, given, _ in calls:
        assert caller.tries("codedeploy", operation, given)[0] == "AccessDeniedException", operation
    there.iam.put_user_policy(UserName="nul", PolicyName="own", PolicyDocument=policy(allow("codedeploy:*", "*")))
    for operation, given, code in calls:
        assert caller.tries("codedeploy", operation, given)[0] == code, operation


# Hosts.


def test_a_host_has_no_way_to_more_than_its_own_work(there: World) -> None:
    """Nor through what it may always do: look who it is, and begin a session of its own."""
    host = there.user("a-host", path="/hosts/")
    session = host.like(host.client("sts").get_session_token()["Credentials"])
    for one in (host, session):
        for service, operation, given in (
            (
                "codedeploy",
                "CreateDeployment",
                {"applicationName": "shop", "deploymentGroupName": "prod", "revision": REVISION},
            ),
            (
                "codedeploy",
                "AddTagsToOnPremisesInstances",
                {"instanceNames": ["web-1"], "tags": [{"Key": "a", "Value": "b"}]},
            ),
            ("s3", "GetObject", {"Bucket": "releases", "Key": "shop/1.zip"}),
            ("s3", "ListBuckets", {}),
            ("sts", "AssumeRole", {"RoleArn": f"arn:aws:iam::{ACCOUNT}:role/people/deployer", "RoleSessionName": "me"}),
        ):
            assert one.tries(service, operation, given)[0] in REFUSED, operation
        for operation in ("CreateAccessKey", "ListAccessKeys", "GetUser"):
            assert one.tries("iam", operation, {})[0] in REFUSED | UNKNOWN, operation
        # For a session the identifier is that of its user, as for the user itself.
        assert (
            one.tries(
                "codedeploy-commands",
                "PollHostCommand",
                {"HostIdentifier": "arn:aws:iam::000000000000:user/hosts/web-1"},
            )[0]
            in REFUSED
        )
