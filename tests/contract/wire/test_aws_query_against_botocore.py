"""botocore writes requests and reads our answers, for every operation of the services that speak the query protocol."""

from __future__ import annotations

import contextlib
from functools import cache
from typing import Any
from urllib.parse import urlencode

import pytest
from botocore.model import OperationModel
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from hypothesis import given, settings
from hypothesis import strategies as st

from longshore import models
from longshore.wire.aws_query import AwsQuery
from longshore.wire.constraints import explain_as
from longshore.wire.protocol import MalformedError, Request
from longshore.wire.service import AwsError, Service
from tests.contract.wire.shapes import EXAMPLES, XML_TEXT, as_botocore_has_it, operations, unusual, values

SERVICES = ("iam", "sts")
OPERATIONS = operations(SERVICES)
#: Two hundred operations: a few values of each.
FEW = settings(EXAMPLES, max_examples=6)


@cache
def service(name: str) -> Service:
    return Service(
        model=models.load(name), handlers={}, explain=explain_as("ValidationError"), signing_names=frozenset({name})
    )


@cache
def protocol() -> AwsQuery:
    return AwsQuery([service(name) for name in SERVICES])


def request_of(parameters: Any, operation: OperationModel) -> Request:
    """What botocore would send."""
    written = create_serializer("query", include_validation=False).serialize_to_request(parameters, operation)
    scope = f"AWS4-HMAC-SHA256 Credential=AK/20261124/us-east-1/{operation.service_model.service_name}/aws4_request"
    headers = {name.lower(): value for name, value in written["headers"].items()} | {"authorization": scope}
    return Request(written["method"], written["url_path"], "", headers, urlencode(written["body"]).encode())


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_request_botocore_writes_is_read(operation: OperationModel) -> None:
    found = protocol().find(protocol().asks_for(request_of({}, operation)))
    assert (found[0].model.service_name, found[1].name) == (operation.service_model.service_name, operation.name)
    codec = protocol().codec(*found)

    def check(value: Any) -> None:
        request = request_of(as_botocore_has_it(operation.input_shape, value), operation)
        assert protocol().is_in(request.headers, request.query)
        assert codec.decode(request) == value
        asked_for_in_the_address = request._replace(method="GET", query=request.body.decode(), body=b"")
        assert codec.decode(asked_for_in_the_address) == value

    for value in unusual(operation.input_shape, fill=True):
        check(value)
    FEW(given(values(operation.input_shape, fill=True))(check))()


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_answer_we_write_is_read_by_botocore(operation: OperationModel) -> None:
    encode = protocol().codec(service(operation.service_model.service_name), operation).encode
    parser = create_parser("query")

    def check(value: Any) -> None:
        response = {"body": encode(value, "an-id"), "headers": {}, "status_code": 200}
        parsed = parser.parse(response, operation.output_shape)
        assert parsed.pop("ResponseMetadata")["RequestId"] == "an-id"
        assert parsed == as_botocore_has_it(operation.output_shape, value)

    for value in unusual(operation.output_shape):
        check(value)
    FEW(given(values(operation.output_shape, text=XML_TEXT))(check))()


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_error_of_an_operation_is_read_by_botocore_with_the_code_and_status_of_its_model(
    operation: OperationModel,
) -> None:
    for shape in operation.error_shapes:
        said = shape.metadata.get("error", NOTHING_SAID | {"code": shape.name})
        for raised_as in (shape.name, said["code"]):
            error = AwsError(raised_as, "what is <wrong>: ä😀 & more")
            answer = protocol().error(error, "an-id", operation)
            response = {"body": answer.body, "headers": {}, "status_code": answer.status}
            parsed = create_parser("query").parse(response, operation.output_shape)
            assert answer.status == said["httpStatusCode"]
            assert parsed["Error"]["Code"] == said["code"]
            assert parsed["Error"]["Message"] == "what is <wrong>: ä😀 & more"
            assert parsed["Error"]["Type"] == ("Sender" if said.get("senderFault") else "Receiver")
            assert parsed["ResponseMetadata"]["RequestId"] == "an-id"


NOTHING_SAID = {"httpStatusCode": 400, "senderFault": True}
NAMES = st.lists(st.sampled_from(["member", "entry", "key", "1", "2", "0", "-1", "Tags", "Key", ""]), max_size=5)


@pytest.mark.parametrize("operation", [models.load("iam").operation_model("CreateUser")])
def test_any_parameters_are_read_or_refused(operation: OperationModel) -> None:
    assert operation.input_shape is not None
    codec = protocol().codec(service("iam"), operation)
    members = st.sampled_from(sorted(operation.input_shape.members))

    @settings(EXAMPLES, max_examples=500)
    @given(st.lists(st.tuples(members, NAMES, st.text(max_size=3)), max_size=6))
    def check(pairs: list[tuple[str, list[str], str]]) -> None:
        form = urlencode([(".".join((member, *names)), text) for member, names, text in pairs])
        with contextlib.suppress(MalformedError):
            codec.decode(Request("POST", "/", "", {}, form.encode()))

    check()
