"""Requests that are wrong, forged or somebody else's: the exact AWS error, nothing changed, the server alive."""

from __future__ import annotations

import base64
import datetime
import http.client
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from tests.acceptance.world import ACCOUNT, REGION, ControlPlane, Host, Revision, Shop

CODEDEPLOY = "CodeDeploy_20141006"
COMMANDS = "CodeDeployCommandService_v20141006"
LONGSHORE = "Longshore_20261123"
#: Longest the quick answers of these tests may take, seconds; a poll that is held takes longer.
PROMPTLY = 30.0


class Answer(NamedTuple):
    """What came back."""

    status: int
    code: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request as it goes over the wire; botocore signs it."""

    target: str = f"{CODEDEPLOY}.CreateApplication"
    body: bytes = b'{"applicationName": "forged"}'
    service: str = "codedeploy"
    region: str = REGION
    #: Seconds the signer's clock is ahead.
    skew: float = 0.0
    headers: dict[str, str] = field(default_factory=dict)

    def signed(self, plane: ControlPlane, keys: tuple[str, str]) -> Request:
        """The same with its signature in the headers."""
        headers = {"Host": f"127.0.0.1:{plane.port}", "Content-Type": "application/x-amz-json-1.1"}
        headers |= {"X-Amz-Target": self.target} | self.headers
        request = AWSRequest("POST", f"{plane.url}/", data=self.body, headers=headers)
        _SkewedAuth(Credentials(*keys), self.service, self.region, self.skew).add_auth(request)
        return replace(self, headers=dict(request.headers.items()))

    def send(self, plane: ControlPlane, *, patience: float = PROMPTLY) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", plane.port, timeout=patience)
        try:
            connection.request("POST", "/", body=self.body, headers=self.headers)
            response = connection.getresponse()
            said = json.loads(response.read() or b"{}")
        finally:
            connection.close()
        return Answer(response.status, said.get("__type", "").rpartition("#")[2], said.get("message", ""))


class _SkewedAuth(SigV4Auth):
    """botocore's signer, with a clock that is wrong."""

    def __init__(self, credentials: Credentials, service: str, region: str, skew: float) -> None:
        super().__init__(credentials, service, region)
        self._skew = datetime.timedelta(seconds=skew)

    def _modify_request_before_signing(self, request: AWSRequest) -> None:
        # add_auth has just noted the time, and everything that is signed is made from this note.
        moment = datetime.datetime.strptime(request.context["timestamp"], "%Y%m%dT%H%M%SZ") + self._skew
        request.context["timestamp"] = moment.strftime("%Y%m%dT%H%M%SZ")
        super()._modify_request_before_signing(request)


@dataclass
class Owner:
    """The account's owner, who sees everything; clients take long to make."""

    plane: ControlPlane

    def __post_init__(self) -> None:
        self.deploy, self.keys, self.s3 = (self.plane.client(name) for name in ("codedeploy", "longshore", "s3"))

    def make_key(self, user: str) -> tuple[str, str]:
        made = self.keys.create_access_key(userName=user)["accessKey"]
        return made["accessKeyId"], made["secretAccessKey"]

    def sees(self) -> dict[str, Any]:
        """What the API shows of all there is."""
        return {
            "applications": self.deploy.list_applications()["applications"],
            "instances": sorted(self.deploy.list_on_premises_instances()["instanceNames"]),
            "deployments": self.deploy.list_deployments()["deployments"],
            "configs": self.deploy.list_deployment_configs()["deploymentConfigsList"],
            "keys": self.keys.list_access_keys()["accessKeys"],
            "buckets": [bucket["Name"] for bucket in self.s3.list_buckets()["Buckets"]],
        }


@pytest.fixture(scope="module")
def owner(shared_plane: ControlPlane) -> Owner:
    return Owner(shared_plane)


@pytest.fixture
def unharmed(shared_plane: ControlPlane, owner: Owner) -> Iterator[ControlPlane]:
    """A control plane that afterwards is as it was, and has nothing to be ashamed of in its log."""
    before, pid, log = owner.sees(), shared_plane.process.pid, shared_plane.log.stat().st_size
    yield shared_plane
    assert owner.sees() == before
    assert shared_plane.process.pid == pid
    with shared_plane.log.open() as file:
        file.seek(log)
        said = file.read()
    assert "Traceback" not in said
    assert "InternalFailure" not in said


def refused(answer: Answer, code: str, *words: str, status: int = 400) -> None:
    """The exact code, and a sentence with these words."""
    assert (answer.code, answer.status) == (code, status), answer
    assert len(answer.message.split()) >= 3, answer
    for word in words:
        assert word in answer.message, answer


# Signatures.


def test_an_unsigned_request(unharmed: ControlPlane) -> None:
    headers = {"X-Amz-Target": Request().target, "Content-Type": "application/x-amz-json-1.1"}
    answer = Request(headers=headers).send(unharmed)
    refused(answer, "MissingAuthenticationTokenException", "Missing Authentication Token")


def test_a_request_signed_with_a_wrong_secret(unharmed: ControlPlane) -> None:
    answer = Request().signed(unharmed, (unharmed.owner[0], "not/the/secret")).send(unharmed)
    refused(answer, "InvalidSignatureException", "signature we calculated does not match")


@pytest.mark.parametrize(("minutes", "says"), [(-6, "Signature expired"), (6, "Signature not yet current")])
def test_a_clock_that_is_six_minutes_off(unharmed: ControlPlane, minutes: int, says: str) -> None:
    """S14.6: an agent whose clock is wrong must be told so in words that it can tell apart."""
    answer = Request(skew=minutes * 60).signed(unharmed, unharmed.owner).send(unharmed)
    refused(answer, "InvalidSignatureException", says, "5 min")


def test_a_clock_that_is_four_minutes_off_is_good_enough(unharmed: ControlPlane) -> None:
    request = Request(target=f"{CODEDEPLOY}.ListApplications", body=b"{}", skew=-240)
    assert request.signed(unharmed, unharmed.owner).send(unharmed).status == 200


def _in_another_region(captured: Request) -> Request:
    authorization = captured.headers["Authorization"].replace(f"/{REGION}/", "/eu-west-1/")
    return replace(captured, headers=captured.headers | {"Authorization": authorization})


def _for_another_service(captured: Request) -> Request:
    authorization = captured.headers["Authorization"].replace("/codedeploy/", "/longshore/")
    changed = {"Authorization": authorization, "X-Amz-Target": f"{LONGSHORE}.ListAccessKeys"}
    return replace(captured, headers=captured.headers | changed)


def _for_another_operation(captured: Request) -> Request:
    return replace(captured, headers=captured.headers | {"X-Amz-Target": f"{CODEDEPLOY}.DeleteApplication"})


def _with_another_body(captured: Request) -> Request:
    return replace(captured, body=captured.body.replace(b"victim", b"forged"))


def _with_another_body_and_its_hash(captured: Request) -> Request:
    changed = _with_another_body(captured)
    return replace(changed, headers=changed.headers | {"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"})


def _later(captured: Request) -> Request:
    return replace(captured, headers=captured.headers | {"X-Amz-Date": "20991231T235959Z"})


@pytest.mark.parametrize(
    "forged",
    [
        _in_another_region, _for_another_service, _for_another_operation, _with_another_body,
        _with_another_body_and_its_hash, _later,
    ],
)  # fmt: skip
def test_a_captured_request_means_nothing_else(unharmed: ControlPlane, forged: Callable[[Request], Request]) -> None:
    """Seen on the way, it can be replayed as it was for five minutes, and be turned into nothing else."""
    listing = Request(target=f"{CODEDEPLOY}.GetApplication", body=b'{"applicationName": "victim"}')
    captured = listing.signed(unharmed, unharmed.owner)
    assert captured.send(unharmed).code == "ApplicationDoesNotExistException"
    refused(forged(captured).send(unharmed), "InvalidSignatureException")


def test_an_operation_outside_the_signature(unharmed: ControlPlane) -> None:
    """The operation is named in a header: one that is not signed could have been put there by anybody."""
    plain = AWSRequest("POST", f"{unharmed.url}/", data=Request().body, headers={"Host": f"127.0.0.1:{unharmed.port}"})
    SigV4Auth(Credentials(*unharmed.owner), "codedeploy", REGION).add_auth(plain)
    headers = {**plain.headers, "X-Amz-Target": Request().target, "Content-Type": "application/x-amz-json-1.1"}
    refused(Request(headers=headers).send(unharmed), "InvalidSignatureException", "x-amz-target")


def test_a_signature_for_another_service(unharmed: ControlPlane) -> None:
    answer = Request(service="s3").signed(unharmed, unharmed.owner).send(unharmed)
    refused(answer, "InvalidSignatureException", "Credential should be scoped to correct service", "codedeploy")


@pytest.mark.parametrize(
    "authorization",
    ["AWS4-HMAC-SHA256", "AWS4-HMAC-SHA256 Credential=x", "Bearer abc", "AWS4-HMAC-SHA256 Credential=a/b/c/d/e/f", "é"],
)
def test_an_authorization_header_that_cannot_be_read(unharmed: ControlPlane, authorization: str) -> None:
    signed = Request().signed(unharmed, unharmed.owner)
    answer = replace(signed, headers=signed.headers | {"Authorization": authorization}).send(unharmed)
    refused(answer, "IncompleteSignatureException")


# Keys and rights.


def test_a_key_nobody_has(unharmed: ControlPlane) -> None:
    answer = Request().signed(unharmed, ("AKIAAAAAAAAAAAAAAAAA", "secret")).send(unharmed)
    refused(answer, "UnrecognizedClientException", "security token included in the request is invalid")


def test_a_key_that_was_deleted_a_moment_ago(unharmed: ControlPlane, owner: Owner) -> None:
    """It was in use until then, so it is known and must be forgotten."""
    keys = owner.make_key("leaver")
    request = Request(target=f"{COMMANDS}.PostHostCommandUpdate", body=b"{}", service="codedeploy-commands")
    assert request.signed(unharmed, keys).send(unharmed).code == "ClientException"
    owner.keys.delete_access_key(accessKeyId=keys[0])
    refused(request.signed(unharmed, keys).send(unharmed), "UnrecognizedClientException")


@pytest.fixture
def passer_by(owner: Owner) -> Iterator[tuple[str, str]]:
    """The key of a user who is no host of anything."""
    keys = owner.make_key("passer-by")
    yield keys
    owner.keys.delete_access_key(accessKeyId=keys[0])


@pytest.mark.parametrize(
    ("target", "service", "body", "permission"),
    [
        (
            f"{CODEDEPLOY}.CreateApplication",
            "codedeploy",
            {"applicationName": "forged"},
            "codedeploy:CreateApplication",
        ),
        (f"{CODEDEPLOY}.ListDeployments", "codedeploy", {}, "codedeploy:ListDeployments"),
        # Our own way to the same keys, so the same permission.
        (f"{LONGSHORE}.CreateAccessKey", "longshore", {"userName": "forged"}, "iam:CreateAccessKey"),
        (f"{LONGSHORE}.ListAccessKeys", "longshore", {}, "iam:ListAccessKeys"),
    ],
)
def test_a_hosts_key_may_do_nothing_but_be_a_host(
    passer_by: tuple[str, str],
    unharmed: ControlPlane,
    target: str,
    service: str,
    body: dict[str, Any],
    permission: str,
) -> None:
    request = Request(target=target, service=service, body=json.dumps(body).encode())
    answer = request.signed(unharmed, passer_by).send(unharmed)
    refused(answer, "AccessDeniedException", "user/passer-by is not authorized", permission)


def test_a_hosts_key_opens_no_bucket(
    passer_by: tuple[str, str], shared_plane: ControlPlane, shop_of: Callable[..., Shop]
) -> None:
    """Not even its own group's, unless it is at work on that very bundle."""
    shop = shop_of(shared_plane, [])
    key = shop.push(Revision())["s3Location"]["key"]
    theirs = shared_plane.client("s3", keys=passer_by)
    for call in (
        lambda: theirs.list_buckets(),
        lambda: theirs.get_object(Bucket=shop.bucket, Key=key),
        lambda: theirs.put_object(Bucket=shop.bucket, Key=key, Body=b"forged"),
        lambda: theirs.delete_object(Bucket=shop.bucket, Key=key),
    ):
        with pytest.raises(ClientError) as refusal:
            call()
        assert refusal.value.response["Error"]["Code"] == "AccessDenied"
    assert shop.s3.get_object(Bucket=shop.bucket, Key=key)["Body"].read() == Revision().zip()


def test_the_owner_is_no_host(unharmed: ControlPlane) -> None:
    body = json.dumps({"HostIdentifier": f"arn:aws:iam::{ACCOUNT}:root"}).encode()
    request = Request(target=f"{COMMANDS}.PollHostCommand", service="codedeploy-commands", body=body)
    refused(request.signed(unharmed, unharmed.owner).send(unharmed), "AccessDeniedException", "not authorized")


# A host that pretends to be another.


@dataclass
class Agent:
    """Speaks for a host by hand."""

    host: Host
    region: str = REGION

    def __post_init__(self) -> None:
        self._client = self.host.plane.client("codedeploy-commands", keys=self.host.keys, region=self.region)

    def call(self, operation: str, **body: Any) -> Any:
        return getattr(self._client, operation)(**body)

    def command(self) -> dict[str, Any]:
        command: dict[str, Any] = self.call("poll_host_command", HostIdentifier=self.host.arn)["HostCommand"]
        return command

    def acknowledge(self, identifier: str) -> str:
        return str(self.call("put_host_command_acknowledgement", HostCommandIdentifier=identifier)["CommandStatus"])

    def complete(self, identifier: str, status: str) -> None:
        said = json.dumps({"error_code": 0 if status == "Succeeded" else 4, "message": "said by " + self.host.name})
        self.call(
            "put_host_command_complete",
            HostCommandIdentifier=identifier,
            CommandStatus=status,
            Diagnostics={"Format": "JSON", "Payload": said},
        )


@pytest.fixture
def victim(tmp_path: Path, shared_plane: ControlPlane) -> Agent:
    return Agent(Host(name=f"victim-{time.time_ns()}", folder=tmp_path / "victim", plane=shared_plane))


@pytest.fixture
def intruder(tmp_path: Path, shared_plane: ControlPlane) -> Agent:
    """Another registered host of the same group's application."""
    return Agent(Host(name=f"other-{time.time_ns()}", folder=tmp_path / "other", plane=shared_plane))


@pytest.fixture
def shop(shared_plane: ControlPlane, victim: Agent, intruder: Agent, shop_of: Callable[..., Shop]) -> Iterator[Shop]:
    """A shop whose only member is the victim."""
    made = shop_of(shared_plane, [victim.host])
    made.deploy.register_on_premises_instance(instanceName=intruder.host.name, iamUserArn=intruder.host.arn)
    yield made
    made.deploy.delete_application(applicationName=made.name)


def denied(call: Callable[[], Any], code: str, *words: str) -> None:
    with pytest.raises(ClientError) as refusal:
        call()
    error = refusal.value.response["Error"]
    assert error["Code"] == code
    assert all(word in error["Message"] for word in words), error


def test_a_host_polls_as_another(shop: Shop, victim: Agent, intruder: Agent) -> None:
    shop.start(Revision())
    denied(
        lambda: intruder.call("poll_host_command", HostIdentifier=victim.host.arn),
        "AccessDeniedException", intruder.host.arn, "may only speak for itself", victim.host.arn,
    )  # fmt: skip
    assert victim.command()["CommandName"] == "ApplicationStop"


def test_a_host_asks_for_another_hosts_specification(shop: Shop, victim: Agent, intruder: Agent) -> None:
    """It holds a URL of the bundle."""
    shop.start(Revision())
    execution = victim.command()["DeploymentExecutionId"]
    ask = "get_deployment_specification"
    denied(
        lambda: intruder.call(ask, DeploymentExecutionId=execution, HostIdentifier=victim.host.arn),
        "AccessDeniedException", "may only speak for itself",
    )  # fmt: skip
    denied(
        lambda: intruder.call(ask, DeploymentExecutionId=execution, HostIdentifier=intruder.host.arn),
        "ClientException", "is no target of deployment",
    )  # fmt: skip


def test_a_host_answers_for_another(shop: Shop, victim: Agent, intruder: Agent) -> None:
    """Even with the very identifier the other was given, its words count for nothing."""
    deployment_id = shop.start(Revision())
    identifier = victim.command()["HostCommandIdentifier"]
    assert intruder.acknowledge(identifier) == "Succeeded"  # which makes an agent leave the command alone
    intruder.complete(identifier, "Failed")
    assert shop.events(deployment_id, victim.host.name)["ApplicationStop"]["status"] == "Pending"

    assert victim.acknowledge(identifier) == "InProgress"
    intruder.complete(identifier, "Succeeded")
    intruder.complete(identifier, "Failed")
    update = intruder.call("post_host_command_update", HostCommandIdentifier=identifier)
    assert update["CommandStatus"] == "Failed"
    assert shop.events(deployment_id, victim.host.name)["ApplicationStop"]["status"] == "InProgress"

    victim.complete(identifier, "Succeeded")
    assert shop.events(deployment_id, victim.host.name)["ApplicationStop"]["status"] == "Succeeded"


def test_a_stranger_completes_a_command(shop: Shop, victim: Agent, passer_by: tuple[str, str]) -> None:
    """A user with a key who was never registered as a host."""
    deployment_id = shop.start(Revision())
    identifier = victim.command()["HostCommandIdentifier"]
    stranger = shop.plane.client("codedeploy-commands", keys=passer_by)
    stranger.put_host_command_complete(HostCommandIdentifier=identifier, CommandStatus="Failed")
    assert shop.info(deployment_id)["status"] == "InProgress"
    assert victim.acknowledge(identifier) == "InProgress"


def _encoded(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


MALFORMED = {
    "a word": "nonsense",
    "one letter": "x",
    "no ASCII": "é漢\U0001f600",
    "a NUL": "\0",
    "base64 of no JSON": base64.b64encode(b"\xff\xfe{").decode(),
    "JSON of another shape": _encoded({"deployment": "d-1"}),
    "too few fields": _encoded(["d-1", "web"]),
    "fields of other types": _encoded([1, 2, "3", None]),
    "a truth for a position": _encoded(["d-1", "web", True, "a"]),
    "no attempt": _encoded(["d-1", "web", 0, ""]),
    "half a character": _encoded(["\ud800", "\udfff", 0, "\ud800"]),
    "a huge position": base64.urlsafe_b64encode(b'["d-1","web",' + b"9" * 3000 + b',"a"]').decode(),
    "deep nesting": base64.urlsafe_b64encode(b"[" * 100_000).decode(),
    "the official service's form": _encoded(["com.amazonaws.codedeploy", {"commandPosition": 1}]),
}  # fmt: skip


@pytest.mark.parametrize("identifier", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_command_identifier_nobody_gave_out(
    passer_by: tuple[str, str], unharmed: ControlPlane, identifier: str
) -> None:
    """A completion is never answered with an error (agent.md 13.6); the others are, or mean "leave it"."""
    for operation, body in {
        "PutHostCommandAcknowledgement": {},
        "PostHostCommandUpdate": {},
        "PutHostCommandComplete": {"CommandStatus": "Failed"},
    }.items():
        text = json.dumps({"HostCommandIdentifier": identifier, **body}).encode()
        request = Request(target=f"{COMMANDS}.{operation}", service="codedeploy-commands", body=text)
        answer = request.signed(unharmed, passer_by).send(unharmed)
        if operation == "PutHostCommandComplete" or answer.status == 200:
            assert answer.status == 200, answer
        else:
            refused(answer, "ClientException", "HostCommandIdentifier")


@pytest.mark.parametrize("position", [-1, 1, 6, 7, 10**30, True])
@pytest.mark.parametrize("status", ["Succeeded", "Failed"])
def test_a_host_reports_an_event_that_is_not_its_turn(shop: Shop, victim: Agent, position: Any, status: str) -> None:
    """Made up from an identifier it was given: neither ahead, nor back, nor beyond the last event."""
    deployment_id = shop.start(Revision())
    given = json.loads(base64.urlsafe_b64decode(victim.command()["HostCommandIdentifier"]))
    forged = _encoded([*given[:2], position, given[3]])
    victim.complete(forged, status)
    assert victim.acknowledge(forged) == "Succeeded"
    assert set(shop.statuses(deployment_id, victim.host.name)) == {"Pending"}
    assert shop.info(deployment_id)["status"] == "InProgress"


# Bodies.


@pytest.mark.parametrize(
    ("body", "code", "status"),
    [
        (b'{"applicationName": "' + b"x" * 5 * 1024 * 1024 + b'"}', "RequestEntityTooLargeException", 413),
        (b'{"applicationName": ', "SerializationException", 400),
        (b"\xff\xfe", "SerializationException", 400),
        (b'["applicationName"]', "SerializationException", 400),
        (b'{"applicationName": {"S": "x"}}', "SerializationException", 400),
        (b'{"applicationName": "x", "tags": "y"}', "SerializationException", 400),
        (b"[" * 200_000, "SerializationException", 400),
        (b'{"applicationName": "\\ud800"}', "SerializationException", 400),
        (b"{}", "ApplicationNameRequiredException", 400),
        (b'{"applicationName": null}', "ApplicationNameRequiredException", 400),
        (b'{"applicationName": "a b!"}', "InvalidApplicationNameException", 400),
        (b'{"applicationName": "' + b"x" * 101 + b'"}', "InvalidApplicationNameException", 400),
        (b'{"applicationName": "x", "computePlatform": "Mainframe"}', "InvalidComputePlatformException", 400),
    ],
    ids=lambda value: value[:40].decode("latin-1") if isinstance(value, bytes) else str(value),
)
def test_a_body_that_will_not_do(unharmed: ControlPlane, body: bytes, code: str, status: int) -> None:
    refused(Request(body=body).signed(unharmed, unharmed.owner).send(unharmed), code, status=status)


@pytest.mark.parametrize(
    ("target", "code", "status"),
    [
        (f"{CODEDEPLOY}.CreateEverything", "UnknownOperationException", 404),
        (f"{CODEDEPLOY}.", "UnknownOperationException", 404),
        (f"{CODEDEPLOY}.createApplication", "UnknownOperationException", 404),
        ("DynamoDB_20120810.ListTables", "UnknownOperationException", 404),
        (f"{CODEDEPLOY}.CreateApplication.", "UnknownOperationException", 404),
        ("", "MissingAction", 400),
    ],
)
def test_an_operation_nobody_knows(unharmed: ControlPlane, target: str, code: str, status: int) -> None:
    refused(Request(target=target).signed(unharmed, unharmed.owner).send(unharmed), code, status=status)


def test_a_content_type_nobody_reads(unharmed: ControlPlane) -> None:
    request = Request(headers={"Content-Type": "text/xml"}).signed(unharmed, unharmed.owner)
    refused(request.send(unharmed), "UnsupportedMediaTypeException", "application/x-amz-json-1.1", status=415)


def test_every_error_has_a_request_id_and_the_servers_time(unharmed: ControlPlane) -> None:
    """Agents set their clocks by the Date header."""
    connection = http.client.HTTPConnection("127.0.0.1", unharmed.port, timeout=PROMPTLY)
    connection.request("POST", "/", body=b"{}", headers={"X-Amz-Target": f"{CODEDEPLOY}.ListApplications"})
    response = connection.getresponse()
    response.read()
    connection.close()
    assert response.headers["x-amzn-RequestId"]
    assert response.headers["Date"]


# Regions and accounts.


def test_two_regions_with_the_same_names_never_see_each_other(tmp_path: Path, own_plane: ControlPlane) -> None:
    """The application, group, instance and bucket names are the same; everything else is not."""
    host = Host(name="web-1", folder=tmp_path / "web-1", plane=own_plane)
    shop = Shop(own_plane, "shop")
    shop.join(host)
    deployment_id = shop.start(Revision())
    shop.deploy.create_deployment_config(
        deploymentConfigName="mine", minimumHealthyHosts={"type": "HOST_COUNT", "value": 0}
    )

    there = own_plane.client("codedeploy", region="eu-west-1")
    assert there.list_applications()["applications"] == []
    assert there.list_deployments()["deployments"] == []
    assert there.list_on_premises_instances()["instanceNames"] == []
    assert "mine" not in there.list_deployment_configs()["deploymentConfigsList"]
    assert there.batch_get_deployments(deploymentIds=[deployment_id])["deploymentsInfo"] == []
    for call in (
        lambda: there.get_application(applicationName="shop"),
        lambda: there.get_deployment(deploymentId=deployment_id),
        lambda: there.stop_deployment(deploymentId=deployment_id),
        lambda: there.get_deployment_target(deploymentId=deployment_id, targetId="web-1"),
        lambda: there.get_on_premises_instance(instanceName="web-1"),
        lambda: there.get_deployment_config(deploymentConfigName="mine"),
        lambda: there.add_tags_to_on_premises_instances(instanceNames=["web-1"], tags=[{"Key": "a", "Value": "b"}]),
        lambda: there.tag_resource(
            ResourceArn=f"arn:aws:codedeploy:{REGION}:{ACCOUNT}:application:shop", Tags=[{"Key": "a", "Value": "b"}]
        ),
    ):
        with pytest.raises(ClientError) as refusal:
            call()
        assert refusal.value.response["Error"]["Code"] in (
            "ApplicationDoesNotExistException", "DeploymentDoesNotExistException", "InstanceNotRegisteredException",
            "DeploymentConfigDoesNotExistException", "InvalidArnException", "ArnNotSupportedException",
        )  # fmt: skip
    there.delete_application(applicationName="shop")
    there.deregister_on_premises_instance(instanceName="web-1")
    assert shop.info(deployment_id)["status"] in ("Created", "InProgress")

    there.create_application(applicationName="shop")
    there.register_on_premises_instance(instanceName="web-1", iamUserArn=host.arn)
    assert there.list_deployment_groups(applicationName="shop")["deploymentGroups"] == []
    assert there.get_on_premises_instance(instanceName="web-1")["instanceInfo"]["tags"] == []


def test_a_host_of_one_region_polls_in_another(shop: Shop, victim: Agent) -> None:
    """The same key, signed for elsewhere: its poll is held for nothing while the right one is answered at once."""
    deployment_id = shop.start(Revision())
    body = json.dumps({"HostIdentifier": victim.host.arn}).encode()
    request = Request(target=f"{COMMANDS}.PollHostCommand", service="codedeploy-commands", body=body)
    elsewhere = replace(request, region="eu-west-1").signed(shop.plane, victim.host.keys)
    with ThreadPoolExecutor() as threads:
        held = threads.submit(elsewhere.send, shop.plane, patience=3)
        command = victim.command()
        assert command["CommandName"] == "ApplicationStop"
        with pytest.raises(TimeoutError):
            held.result()
    abroad = Agent(victim.host, region="eu-west-1")
    assert abroad.acknowledge(command["HostCommandIdentifier"]) == "Succeeded"
    abroad.complete(command["HostCommandIdentifier"], "Failed")
    denied(
        lambda: abroad.call(
            "get_deployment_specification", HostIdentifier=victim.host.arn,
            DeploymentExecutionId=command["DeploymentExecutionId"],
        ),
        "ClientException", "is no target",
    )  # fmt: skip
    assert set(shop.statuses(deployment_id, victim.host.name)) == {"Pending"}


def test_two_accounts_never_see_each_other(tmp_path: Path, own_plane: ControlPlane) -> None:
    """One server, one database, two owners."""
    host = Host(name="web-1", folder=tmp_path / "web-1", plane=own_plane)
    shop = Shop(own_plane, "shop")
    shop.join(host)
    deployment_id = shop.start(Revision())
    first = own_plane.owner
    own_plane.stop()
    own_plane.start("--account-id", "111111111111")
    assert own_plane.owner != first

    theirs = own_plane.client("codedeploy")
    assert theirs.list_applications()["applications"] == []
    assert theirs.list_on_premises_instances()["instanceNames"] == []
    denied(lambda: theirs.get_deployment(deploymentId=deployment_id), "DeploymentDoesNotExistException", deployment_id)
    assert own_plane.client("longshore").list_access_keys()["accessKeys"] == []
    denied(
        lambda: own_plane.client("longshore").delete_access_key(accessKeyId=host.keys[0]),
        "KeyDoesNotExistException", host.keys[0],
    )  # fmt: skip
    ours = own_plane.client("codedeploy", keys=first)
    assert ours.get_deployment(deploymentId=deployment_id)["deploymentInfo"]["applicationName"] == "shop"
