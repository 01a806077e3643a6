"""botocore writes requests and reads our answers, for every operation of EC2, whose protocol is its own."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from typing import Any
from urllib.parse import urlencode

import pytest
from botocore.model import OperationModel
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from hypothesis import given, settings

from longshore import models
from longshore.wire.constraints import explain_as
from longshore.wire.ec2_query import Ec2Query
from longshore.wire.protocol import Request
from longshore.wire.service import AwsError, Service
from tests.contract.wire.shapes import EXAMPLES, XML_TEXT, as_botocore_has_it, operations, unusual, values

OPERATIONS = operations(["ec2"])
#: Deep ones, with names for requests, for answers, and for both.
SOME = [
    pytest.param(models.load("ec2").operation_model(name), id=name)
    for name in ("RunInstances", "CreateLaunchTemplate", "DescribeInstances", "CreateTags", "DescribeLaunchTemplates")
]
FEW = settings(EXAMPLES, max_examples=10)


@cache
def service() -> Service:
    return Service(
        model=models.load_later("ec2"),
        handlers={},
        explain=explain_as("InvalidParameterValue"),
        signing_names=frozenset({"ec2"}),
    )


@cache
def protocol() -> Ec2Query:
    return Ec2Query([service()])


def request_of(parameters: Any, operation: OperationModel) -> Request:
    """What botocore would send."""
    written = create_serializer("ec2", include_validation=False).serialize_to_request(parameters, operation)
    scope = "AWS4-HMAC-SHA256 Credential=AK/20261124/us-east-1/ec2/aws4_request"
    headers = {name.lower(): value for name, value in written["headers"].items()} | {"authorization": scope}
    return Request(written["method"], written["url_path"], "", headers, urlencode(written["body"]).encode())


def as_it_can_be_said(value: Any) -> Any:
    """The protocol has no word for a list or a structure with nothing in it."""
    if isinstance(value, dict):
        said = {name: as_it_can_be_said(item) for name, item in value.items()}
        return {name: item for name, item in said.items() if item not in ({}, [])}
    if isinstance(value, list):
        return [item for item in map(as_it_can_be_said, value) if item not in ({}, [])]
    return value


def check_request(operation: OperationModel, value: Any) -> None:
    request = request_of(as_botocore_has_it(operation.input_shape, value), operation)
    assert protocol().is_in(request.headers, request.query)
    found = protocol().find(protocol().asks_for(request))
    assert found[1].name == operation.name
    assert protocol().codec(*found).decode(request) == as_it_can_be_said(value)


def check_answer(operation: OperationModel, value: Any) -> None:
    body = protocol().codec(service(), operation).encode(value, "an-id")
    parsed = create_parser("ec2").parse({"body": body, "headers": {}, "status_code": 200}, operation.output_shape)
    assert parsed.pop("ResponseMetadata")["RequestId"] == "an-id"
    assert parsed == as_botocore_has_it(operation.output_shape, value)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_whatever_botocore_sends_is_read_and_whatever_we_answer_botocore_reads(operation: OperationModel) -> None:
    """Seven hundred operations: one value of each, with every member there."""
    check_request(operation, unusual(operation.input_shape)[0])
    check_answer(operation, unusual(operation.output_shape)[0])


@pytest.mark.parametrize("operation", SOME)
def test_any_request_of_the_operations_that_matter_most_is_read(operation: OperationModel) -> None:
    for value in unusual(operation.input_shape):
        check_request(operation, value)
    FEW(given(values(operation.input_shape))(lambda value: check_request(operation, value)))()


@pytest.mark.parametrize("operation", SOME)
def test_any_answer_of_the_operations_that_matter_most_is_read(operation: OperationModel) -> None:
    for value in unusual(operation.output_shape):
        check_answer(operation, value)
    FEW(given(values(operation.output_shape, text=XML_TEXT))(lambda value: check_answer(operation, value)))()


@pytest.mark.parametrize(
    ("raised", "code", "status"),
    [
        (AwsError("InvalidInstanceID.NotFound", "no <such> ä😀 & more"), "InvalidInstanceID.NotFound", 400),
        (AwsError("AccessDeniedException", "no <such> ä😀 & more", 400), "UnauthorizedOperation", 403),
        (AwsError("InvalidSignatureException", "no <such> ä😀 & more", 403), "AuthFailure", 401),
    ],
)
def test_errors_are_read_with_their_codes(raised: AwsError, code: str, status: int) -> None:
    operation = service().model.operation_model("DescribeInstances")
    for known in (operation, None):
        answer = protocol().error(raised, "an-id", known)
        response = {"body": answer.body, "headers": {}, "status_code": answer.status}
        parsed = create_parser("ec2").parse(response, operation.output_shape)
        assert (parsed["Error"]["Code"], answer.status) == (code, status)
        assert parsed["Error"]["Message"] == "no <such> ä😀 & more"
        assert parsed["ResponseMetadata"]["RequestId"] == "an-id"


def test_other_services_requests_are_left_alone() -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}
    scope = "AWS4-HMAC-SHA256 Credential=AK/20261124/us-east-1/iam/aws4_request"
    assert not protocol().is_in({**form, "authorization": scope}, "")
    assert not protocol().is_in(form, "")


def test_a_model_that_is_loaded_later_is_read_when_an_operation_is_asked_for() -> None:
    """In a process of its own: here everything is read already."""
    program = """
import tracemalloc, botocore.loaders, botocore.model
from longshore import models
tracemalloc.start()
model = models.load_later("ec2")
assert (model.api_version, model.metadata["protocols"], model.service_name) == ("2016-11-15", ["ec2"], "ec2")
before = tracemalloc.get_traced_memory()[0]
assert before < 1_000_000, before
assert model.operation_model("RunInstances").input_shape.members["ImageId"].type_name == "string"
assert tracemalloc.get_traced_memory()[0] > 10 * before
assert list(model.operation_names) == list(models.load("ec2").operation_names)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
