"""Real clients against a real server: boto3 over HTTP to uvicorn running Router and Endpoint with small handlers."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import boto3
import botocore.session
import pytest
import uvicorn
from botocore.config import Config
from botocore.exceptions import ClientError

from longshore import models
from longshore.api.constraint_errors import explain, overlay
from longshore.api.limits import Limits
from longshore.wire.constraints import explain_as
from longshore.wire.endpoint import MAX_BODY, Endpoint, Receive, Scope, Send
from longshore.wire.route import Router
from longshore.wire.service import AwsError, Call, Caller, Service
from tests.contract.wire import clients

CALLER = Caller(account="000000000000", region="us-east-1", arn="arn:aws:iam::000000000000:root", access_key_id="AK")
CODEDEPLOY = models.load("codedeploy")


async def known(*_request: Any) -> Caller:
    return CALLER


async def allowed(*_call: Any) -> None:
    pass


class Server:
    """A uvicorn on a loopback port, and what its handlers saw."""

    def __init__(self) -> None:
        self.given: dict[str, Any] = {}
        self.polls_cancelled = threading.Event()
        self.polling = threading.Event()
        services = [self._codedeploy(), self._commands(), self._longshore(), self._iam()]
        endpoint = Endpoint(services, known, allowed, now=time.time)
        router = Router(endpoint, {"s3": elsewhere}, elsewhere)
        config = uvicorn.Config(
            router, host="127.0.0.1", port=0, loop="uvloop", http="httptools", log_level="error", access_log=False
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run)

    def start(self) -> None:
        self._thread.start()
        deadline = time.monotonic() + 10
        while not self._server.started:
            assert time.monotonic() < deadline, "uvicorn did not start"
            time.sleep(0.01)
        self.port = self._server.servers[0].sockets[0].getsockname()[1]

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=10)
        assert not self._thread.is_alive()

    def _codedeploy(self) -> Service:
        async def remember(call: Call, given: dict[str, Any]) -> Mapping[str, Any] | None:
            self.given[call.operation] = given
            return None

        async def get_application(call: Call, given: dict[str, Any]) -> Mapping[str, Any] | None:
            name = given["applicationName"]
            if name == "crash":
                raise RuntimeError("secret")
            return {"application": {"applicationName": name, "createTime": 1446744188.711, "linkedToGitHub": False}}

        async def list_applications(call: Call, given: dict[str, Any]) -> Mapping[str, Any] | None:
            raise AwsError("InvalidNextTokenException", f"{given['nextToken']} is no token.")

        served: dict[str, Any] = dict.fromkeys(set(CODEDEPLOY.operation_names) - {"GetDeploymentConfig"}, remember)
        return Service(
            model=CODEDEPLOY,
            handlers=served | {"GetApplication": get_application, "ListApplications": list_applications},
            explain=explain,
            signing_names=frozenset({"codedeploy"}),
            target_prefixes=frozenset({"CodeDeploy_20141006"}),
            overlay=overlay(Limits()),
        )

    def _commands(self) -> Service:
        async def poll(_call: Call, _given: dict[str, Any]) -> Mapping[str, Any] | None:
            self.polling.set()
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                self.polls_cancelled.set()
                raise
            return None

        async def complete(call: Call, given: dict[str, Any]) -> Mapping[str, Any] | None:
            self.given[call.operation] = given
            return None

        return Service(
            model=models.load("codedeploy-commands"),
            handlers={"PollHostCommand": poll, "PutHostCommandComplete": complete},
            explain=explain_as("ClientException"),
            signing_names=frozenset({"codedeploy-commands", "codedeploy-commands-secure"}),
            target_prefixes=frozenset({"CodeDeployCommandService_v20141006", "CodeDeployCommandService"}),
            waits=frozenset({"PollHostCommand"}),
        )

    def _longshore(self) -> Service:
        async def create(_call: Call, given: dict[str, Any]) -> Mapping[str, Any] | None:
            return {"accessKey": {"userName": given["userName"], "createTime": 1.0, "secretAccessKey": "s"}}

        return Service(
            model=models.load("longshore"),
            handlers={"CreateAccessKey": create},
            explain=explain_as("InvalidInputException"),
            signing_names=frozenset({"longshore"}),
            target_prefixes=frozenset({"Longshore_20261123"}),
        )

    def _iam(self) -> Service:
        async def get_user(_call: Call, given: dict[str, Any]) -> Mapping[str, Any] | None:
            if given.get("UserName") == "nobody":
                raise AwsError("NoSuchEntityException", "The user with name nobody cannot be found.")
            user = {"Path": "/", "UserName": given["UserName"], "UserId": "AIDA", "Arn": "arn:aws:iam::0:user/ada"}
            return {"User": user | {"CreateDate": 1446744188.0}}

        async def tag_user(call: Call, given: dict[str, Any]) -> Mapping[str, Any] | None:
            self.given[call.operation] = given
            return None

        return Service(
            model=models.load("iam"),
            handlers={"GetUser": get_user, "TagUser": tag_user},
            explain=explain_as("ValidationError"),
            signing_names=frozenset({"iam"}),
        )


async def elsewhere(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 299, "headers": []})
    await send({"type": "http.response.body", "body": b"elsewhere"})


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server()
    server.start()
    yield server
    server.stop()


CONNECTION: dict[str, Any] = {
    "region_name": "us-east-1",
    "aws_access_key_id": "AKIDAKIDAKIDAKID",
    "aws_secret_access_key": "secret",
    # Without client-side checks every mistake reaches the server.
    "config": Config(parameter_validation=False, retries={"total_max_attempts": 1}),
}


@pytest.fixture(scope="module")
def client(server: Server) -> Any:
    return boto3.client("codedeploy", endpoint_url=f"http://127.0.0.1:{server.port}", **CONNECTION)


def client_of_ours(server: Server, service: str) -> Any:
    session = botocore.session.Session()
    session.get_component("data_loader").search_paths.append(models.DATA_PATH)
    return session.create_client(service, endpoint_url=f"http://127.0.0.1:{server.port}", **CONNECTION)


def ask(
    server: Server, body: bytes, headers: Mapping[str, str], method: str = "POST", path: str = "/"
) -> tuple[int, Any, dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    try:
        connection.request(method, path, body, dict(headers))
        response = connection.getresponse()
        return response.status, response.read(), {name.lower(): value for name, value in response.getheaders()}
    finally:
        connection.close()


def test_an_answer_arrives_typed(client: Any) -> None:
    answer = client.get_application(applicationName="web")
    assert answer["application"]["applicationName"] == "web"
    assert answer["application"]["createTime"].timestamp() == pytest.approx(1446744188.711)
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    assert answer["ResponseMetadata"]["RequestId"] == headers["x-amzn-requestid"]
    assert headers["content-type"] == "application/x-amz-json-1.1"


def test_every_answer_has_one_date(server: Server) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request("POST", "/", b"{}", {"x-amz-target": "Nobody.Nothing"})
    assert len(connection.getresponse().headers.get_all("date", [])) == 1
    connection.close()


def test_an_operation_without_output_is_understood(client: Any, server: Server) -> None:
    client.update_application(applicationName="web", newApplicationName="site")
    assert server.given["UpdateApplication"] == {"applicationName": "web", "newApplicationName": "site"}


def test_a_handlers_error_is_the_clients_exception(client: Any) -> None:
    with pytest.raises(client.exceptions.InvalidNextTokenException) as raised:
        client.list_applications(nextToken="x")
    assert raised.value.response["Error"]["Message"] == "x is no token."
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


@pytest.mark.parametrize(
    ("operation", "given", "exception"),
    [
        ("create_application", {}, "ApplicationNameRequiredException"),
        ("create_application", {"applicationName": "a b"}, "InvalidApplicationNameException"),
        ("create_application", {"applicationName": "a", "computePlatform": "EKS"}, "InvalidComputePlatformException"),
        ("get_deployment", {"deploymentId": "x"}, "InvalidDeploymentIdException"),
        ("list_deployments", {"includeOnlyStatuses": ["Done"]}, "InvalidDeploymentStatusException"),
        ("batch_get_deployments", {"deploymentIds": []}, "DeploymentIdRequiredException"),
    ],
)
def test_a_malformed_member_is_its_own_exception(
    client: Any, operation: str, given: dict[str, Any], exception: str
) -> None:
    with pytest.raises(getattr(client.exceptions, exception)):
        getattr(client, operation)(**given)


def test_an_operation_not_served_yet_says_so(client: Any) -> None:
    with pytest.raises(ClientError, match="GetDeploymentConfig is not supported here") as raised:
        client.get_deployment_config(deploymentConfigName="a")
    assert raised.value.response["Error"]["Code"] == "OperationNotSupportedException"


def test_a_failure_of_ours_tells_no_more_than_where_to_look(client: Any) -> None:
    with pytest.raises(ClientError, match="InternalFailure") as raised:
        client.get_application(applicationName="crash")
    metadata = raised.value.response["ResponseMetadata"]
    assert metadata["HTTPStatusCode"] == 500
    assert metadata["RequestId"] in str(raised.value)
    assert "secret" not in str(raised.value)


def test_botocore_makes_a_client_of_our_own_service(server: Server) -> None:
    client = client_of_ours(server, "longshore")
    assert client.create_access_key(userName="ada")["accessKey"]["userName"] == "ada"
    with pytest.raises(client.exceptions.InvalidInputException, match="userName is required"):
        client.create_access_key()


def test_botocore_makes_a_client_of_the_agents_service(server: Server) -> None:
    client = client_of_ours(server, "codedeploy-commands")
    envelope = {"Format": "JSON", "Payload": "x" * 65_536}
    client.put_host_command_complete(HostCommandIdentifier="c", CommandStatus="Failed", Diagnostics=envelope)
    assert server.given["PutHostCommandComplete"]["Diagnostics"] == envelope
    with pytest.raises(client.exceptions.ClientException, match="CommandStatus"):
        client.put_host_command_complete(HostCommandIdentifier="c", CommandStatus="Done")


def test_the_other_target_prefix_of_agents_is_served(server: Server) -> None:
    headers = {
        "x-amz-target": "CodeDeployCommandService.PutHostCommandComplete",
        "content-type": "application/x-amz-json-1.1",
    }
    assert ask(server, b'{"HostCommandIdentifier": "c", "CommandStatus": "Failed"}', headers)[:2] == (200, b"{}")


def test_a_client_that_hangs_up_on_a_poll_is_noticed(server: Server) -> None:
    server.polling.clear()
    server.polls_cancelled.clear()
    body = b'{"HostIdentifier": "h"}'
    head = (
        "POST / HTTP/1.1\r\nHost: h\r\nX-Amz-Target: CodeDeployCommandService_v20141006.PollHostCommand\r\n"
        f"Content-Type: application/x-amz-json-1.1\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(head.encode() + body)
        assert server.polling.wait(10)
        assert not server.polls_cancelled.is_set()
    assert server.polls_cancelled.wait(10)


@pytest.fixture(scope="module")
def cbor(server: Server) -> Any:
    """CodeDeploy as a client has it that prefers the model's other protocol."""
    return clients.in_cbor("codedeploy", endpoint_url=f"http://127.0.0.1:{server.port}", **CONNECTION)


def test_a_client_that_speaks_cbor_is_answered_in_cbor(cbor: Any, server: Server) -> None:
    answer = cbor.get_application(applicationName="web")
    assert answer["application"]["applicationName"] == "web"
    assert answer["application"]["linkedToGitHub"] is False
    assert answer["application"]["createTime"].timestamp() == pytest.approx(1446744188.711)
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    assert headers["content-type"] == "application/cbor"
    assert headers["smithy-protocol"] == "rpc-v2-cbor"
    assert answer["ResponseMetadata"]["RequestId"] == headers["x-amzn-requestid"]
    cbor.update_application(applicationName="web", newApplicationName="site")
    assert server.given["UpdateApplication"] == {"applicationName": "web", "newApplicationName": "site"}
    window = {"start": datetime(2026, 11, 24, 1, 2, 3, 250_000, UTC)}
    cbor.list_deployments(createTimeRange=window)
    assert server.given["ListDeployments"] == {"createTimeRange": {"start": 1795482123.25}}


def test_an_error_in_cbor_is_the_clients_exception(cbor: Any) -> None:
    with pytest.raises(cbor.exceptions.InvalidNextTokenException) as raised:
        cbor.list_applications(nextToken="x")
    assert raised.value.response["Error"]["Message"] == "x is no token."
    assert raised.value.response["ResponseMetadata"]["HTTPHeaders"]["smithy-protocol"] == "rpc-v2-cbor"
    with pytest.raises(cbor.exceptions.ApplicationNameRequiredException):
        cbor.create_application()
    with pytest.raises(ClientError, match="InternalFailure"):
        cbor.get_application(applicationName="crash")


def test_a_request_in_cbor_that_also_has_a_target_is_refused(server: Server) -> None:
    headers = {"smithy-protocol": "rpc-v2-cbor", "content-type": "application/cbor"}
    path = "/service/CodeDeploy_20141006/operation/UpdateApplication"
    both = headers | {"x-amz-target": "CodeDeploy_20141006.DeleteApplication"}
    assert ask(server, b"\xa0", both, path=path)[0] == 400
    server.given.pop("DeleteApplication", None)
    assert ask(server, b"\xa0", headers | {"content-type": "application/json"}, path=path)[0] == 415
    assert ask(server, b"\xa0", headers, method="GET", path=path)[0] == 405
    assert ask(server, b"\xa0", headers, path="/service/CodeDeploy_20141006/operation/Nothing")[0] == 404
    assert "DeleteApplication" not in server.given


@pytest.fixture(scope="module")
def iam(server: Server) -> Any:
    return boto3.client("iam", endpoint_url=f"http://127.0.0.1:{server.port}", **CONNECTION)


def test_a_client_of_the_query_protocol_is_answered_at_the_same_address(iam: Any, server: Server) -> None:
    answer = iam.get_user(UserName="ada")
    assert answer["User"]["UserName"] == "ada"
    assert answer["User"]["CreateDate"].timestamp() == 1446744188
    assert answer["ResponseMetadata"]["RequestId"] == answer["ResponseMetadata"]["HTTPHeaders"]["x-amzn-requestid"]
    assert answer["ResponseMetadata"]["HTTPHeaders"]["content-type"] == "text/xml"
    tags = [{"Key": "stage", "Value": "Größe 5 + 1"}, {"Key": "empty", "Value": ""}]
    iam.tag_user(UserName="ada", Tags=tags)
    assert server.given["TagUser"] == {"UserName": "ada", "Tags": tags}


def test_an_error_of_the_query_protocol_has_code_and_status_of_the_model(iam: Any) -> None:
    with pytest.raises(iam.exceptions.NoSuchEntityException, match="nobody cannot be found") as raised:
        iam.get_user(UserName="nobody")
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404
    with pytest.raises(ClientError, match="ValidationError"):
        iam.get_user(UserName="a b")
    with pytest.raises(ClientError, match="ListUsers is not supported here"):
        iam.list_users()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("Action=Nothing&Version=2010-05-08", "InvalidAction"),
        ("Action=GetUser&Version=1999-01-01", "InvalidAction"),
        ("Action=GetUser", "InvalidAction"),
        ("Version=2010-05-08", "MissingAction"),
        ("", "MissingAction"),
        ("Action=TagUser&Version=2010-05-08&UserName=a&Tags.member.x.Key=k", "MalformedInput"),
        ("Action=TagUser&Version=2010-05-08&UserName=a&UserName=b", "MalformedInput"),
        ("Action=TagUser&Version=2010-05-08&UserName=%FF", "MalformedInput"),
        ("Action=TagUser&Version=2010-05-08&UserName=\xff", "MalformedInput"),
        ("Action=TagUser&Version=2010-05-08&Tags.member" + ".1" * 1000 + "=k", "MalformedInput"),
        ("Action=TagUser&Version=2010-05-08" + "&a=" * 20_000, "MalformedInput"),
        ("Action=TagUser&Version=2010-05-08", "ValidationError"),
    ],
)
def test_bad_parameters_are_an_error_of_the_query_protocol(server: Server, body: str, code: str) -> None:
    content_type = {"content-type": "application/x-www-form-urlencoded"}
    status, content, headers = ask(server, body.encode("latin-1"), content_type)
    assert status == 400
    assert headers["content-type"] == "text/xml"
    assert f"<Code>{code}</Code>".encode() in content
    assert len(content) < 1000


def test_an_agents_look_at_the_root_is_answered(server: Server) -> None:
    status, body, _ = ask(server, b"", {}, method="GET")
    assert (status, body[:9]) == (200, b"Longshore")


def test_what_is_signed_for_s3_goes_to_s3(server: Server) -> None:
    s3 = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{server.port}", **CONNECTION)
    assert s3.head_bucket(Bucket="b")["ResponseMetadata"]["HTTPStatusCode"] == 299


def test_a_protocol_nobody_here_speaks_is_told_what_is_missing(server: Server) -> None:
    status, body, _ = ask(server, b"ListQueues", {"content-type": "application/soap+xml"})
    assert (status, json.loads(body)["__type"]) == (400, "MissingAction")


def test_a_service_that_is_not_here_is_told_by_its_name(server: Server) -> None:
    functions = boto3.client("lambda", endpoint_url=f"http://127.0.0.1:{server.port}", **CONNECTION)
    with pytest.raises(ClientError, match="No service that signs as 'lambda' is known here") as refused:
        functions.list_functions()
    assert refused.value.response["Error"]["Code"] == "UnknownOperationException"


GET_APPLICATION = {"x-amz-target": "CodeDeploy_20141006.GetApplication", "content-type": "application/x-amz-json-1.1"}


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b" " * (MAX_BODY + 1), {}, 413, "RequestEntityTooLargeException"),
        (b"{}", {"content-type": "text/plain"}, 415, "UnsupportedMediaTypeException"),
        (b"{}", {"x-amz-target": "CodeDeploy_20141006.Nothing"}, 404, "UnknownOperationException"),
        (b"{}", {"x-amz-target": "CodeDeploy_20991231.GetApplication"}, 404, "UnknownOperationException"),
        (b"{}", {"x-amz-target": "\xff"}, 404, "UnknownOperationException"),
        (b"{", {}, 400, "SerializationException"),
        (b"[]", {}, 400, "SerializationException"),
        (b'"text"', {}, 400, "SerializationException"),
        (b"\x00\xff", {}, 400, "SerializationException"),
        (b'{"applicationName": ' + b"[" * 100_000, {}, 400, "SerializationException"),
        (b'{"applicationName": ' + b"[" * 900 + b"]" * 900 + b"}", {}, 400, "SerializationException"),
        (b'{"applicationName": ' + b"9" * 100_000 + b"}", {}, 400, "SerializationException"),
        (b'{"applicationName": 1e99999}', {}, 400, "SerializationException"),
        (b'{"applicationName": NaN}', {}, 400, "SerializationException"),
        (b'{"applicationName": "\\ud800"}', {}, 400, "SerializationException"),
        (b'{"applicationName": "\\u0000"}', {}, 400, "InvalidApplicationNameException"),
        (b'{"applicationName": "' + b"a" * 1_000_000 + b'"}', {}, 400, "InvalidApplicationNameException"),
        (b'{"applicationName": "a", "applicationName": 1}', {}, 400, "SerializationException"),
        (b'{"applicationName": null}', {}, 400, "ApplicationNameRequiredException"),
        (b"", {}, 400, "ApplicationNameRequiredException"),
        (b'{"applicationName": "a", "applicationName": "b"}', {}, 200, None),
        (b'{"applicationName": "a", "unknown": [1e5, {"a": null}]}', {}, 200, None),
    ],
)
def test_bad_input_is_an_aws_error_and_never_our_failure(
    server: Server, body: bytes, headers: dict[str, str], status: int, code: str | None
) -> None:
    answered, content, answer_headers = ask(server, body, GET_APPLICATION | headers)
    document = json.loads(content)
    assert (answered, document.get("__type")) == (status, code)
    assert len(content) < 1000
    assert answer_headers["x-amzn-requestid"]
