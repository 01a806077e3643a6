"""Smithy RPC v2 CBOR, spoken to a server process by botocore and by hand."""

from __future__ import annotations

import http.client
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import cbor2
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from longshore import models
from tests.acceptance.world import ACCOUNT, REGION, ControlPlane
from tests.contract.wire.clients import in_cbor

TARGET = "CodeDeploy_20141006"


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    said: Any


def send(
    plane: ControlPlane,
    operation: str,
    body: bytes,
    *,
    secret: str | None = None,
    path: str | None = None,
    is_signed: bool = True,
    **more: str,
) -> Answer:
    """One request, signed as the owner unless another secret is given; `more` are headers."""
    host = urlsplit(plane.url).netloc
    path = path or f"/service/{TARGET}/operation/{operation}"
    headers = {"smithy-protocol": "rpc-v2-cbor", "content-type": "application/cbor"} | {
        name.replace("_", "-"): value for name, value in more.items()
    }
    request = AWSRequest("POST", f"http://{host}{path}", headers, body)
    if is_signed:
        key_id, own_secret = plane.owner
        SigV4Auth(Credentials(key_id, secret or own_secret), "codedeploy", REGION).add_auth(request)
    connection = http.client.HTTPConnection(host, timeout=30)
    try:
        connection.request("POST", path, body, dict(request.headers))
        response = connection.getresponse()
        answered = {name.lower(): value for name, value in response.getheaders()}
        content = response.read()
    finally:
        connection.close()
    return Answer(response.status, answered, cbor2.loads(content) if content else None)


def test_botocore_itself_prefers_json_where_both_are_offered() -> None:
    model = models.load("codedeploy")
    assert {"json", "smithy-rpc-v2-cbor"} <= set(model.metadata["protocols"])
    assert model.resolved_protocol == "json"


def test_botocore_made_to_speak_it_works_as_ever(shared_plane: ControlPlane) -> None:
    key_id, secret = shared_plane.owner
    codedeploy = in_cbor(
        "codedeploy",
        region_name=REGION,
        endpoint_url=shared_plane.url,
        aws_access_key_id=key_id,
        aws_secret_access_key=secret,
    )
    assert codedeploy.meta.service_model.resolved_protocol == "smithy-rpc-v2-cbor"
    began = datetime.now(UTC) - timedelta(seconds=1)
    made = codedeploy.create_application(applicationName="spoken-in-cbor", computePlatform="Server")
    assert made["ResponseMetadata"]["HTTPHeaders"]["smithy-protocol"] == "rpc-v2-cbor"
    told = codedeploy.get_application(applicationName="spoken-in-cbor")["application"]
    assert told["applicationId"] == made["applicationId"]
    assert told["createTime"] > began
    assert codedeploy.list_deployments(createTimeRange={"start": began, "end": began})["deployments"] == []
    with pytest.raises(codedeploy.exceptions.ApplicationAlreadyExistsException) as caught:
        codedeploy.create_application(applicationName="spoken-in-cbor")
    assert "spoken-in-cbor" in caught.value.response["Error"]["Message"]
    with pytest.raises(ClientError) as refused:
        codedeploy.list_deployments(createTimeRange={"start": began, "end": began - timedelta(days=1)})
    assert refused.value.response["Error"]["Code"] == "InvalidTimeRangeException"
    # What one protocol made, the other tells.
    json = shared_plane.client("codedeploy")
    assert json.get_application(applicationName="spoken-in-cbor")["application"] == told
    codedeploy.delete_application(applicationName="spoken-in-cbor")


@pytest.mark.parametrize(
    ("operation", "body", "options", "status", "code"),
    [
        ("GetApplication", {"applicationName": "nobody"}, {}, 400, "ApplicationDoesNotExistException"),
        ("GetApplication", {}, {}, 400, "ApplicationNameRequiredException"),
        ("GetApplication", b"", {}, 400, "ApplicationNameRequiredException"),
        ("GetApplication", {"applicationName": 7}, {}, 400, "SerializationException"),
        ("GetApplication", b"\xa1\x61", {}, 400, "SerializationException"),
        ("GetApplication", b"{}", {}, 400, "SerializationException"),
        ("ListDeployments", {"createTimeRange": {"start": 1.5}}, {}, 400, "SerializationException"),
        ("GetNothing", {}, {}, 404, "UnknownOperationException"),
        ("", {}, {"path": "/service/Other/operation/GetApplication"}, 404, "UnknownOperationException"),
        ("ListApplications", {}, {"content_type": "application/json"}, 415, "UnsupportedMediaTypeException"),
        ("ListApplications", {}, {"x_amz_target": f"{TARGET}.ListApplications"}, 400, "SerializationException"),
        ("ListApplications", {}, {"secret": "not-the-owners"}, 400, "InvalidSignatureException"),
        ("ListApplications", {}, {"is_signed": False}, 400, "MissingAuthenticationTokenException"),
    ],
    ids=str,
)
def test_an_error_says_so_in_cbor(
    shared_plane: ControlPlane, operation: str, body: Any, options: Any, status: int, code: str
) -> None:
    asked = body if isinstance(body, bytes) else cbor2.dumps(body)
    answer = send(shared_plane, operation, asked, **options)
    assert (answer.status, answer.said["__type"]) == (status, code), answer
    assert set(answer.said) == {"__type", "message"}
    assert answer.said["message"]
    assert answer.headers["smithy-protocol"] == "rpc-v2-cbor"
    assert answer.headers["content-type"] == "application/cbor"


def test_what_is_told_is_of_the_protocols_own_types(shared_plane: ControlPlane) -> None:
    arn = f"arn:aws:iam::{ACCOUNT}:user/of-cbor"
    asked = {"instanceName": "of-cbor", "iamUserArn": arn}
    nothing = send(shared_plane, "RegisterOnPremisesInstance", cbor2.dumps(asked))
    assert (nothing.status, nothing.said) == (200, None)
    assert nothing.headers["smithy-protocol"] == "rpc-v2-cbor"
    assert "content-type" not in nothing.headers
    told = send(shared_plane, "GetOnPremisesInstance", cbor2.dumps({"instanceName": "of-cbor"}, canonical=True))
    info = told.said["instanceInfo"]
    # A time comes under its tag, which cbor2 reads as what it is.
    assert isinstance(info["registerTime"], datetime)
    assert (info["iamUserArn"], info["tags"]) == (arn, [])
    # A client may leave lengths open, as the protocol lets it.
    is_open = b"\xbf\x6cinstanceName\x7f\x63of-\x64cbor\xff\xff"
    assert send(shared_plane, "GetOnPremisesInstance", is_open).said == told.said
    send(shared_plane, "DeregisterOnPremisesInstance", cbor2.dumps({"instanceName": "of-cbor"}))
