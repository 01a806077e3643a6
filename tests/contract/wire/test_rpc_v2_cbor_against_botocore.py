"""botocore writes requests and reads our answers in CBOR, for every operation of the services that speak it."""

from __future__ import annotations

import contextlib
from functools import cache
from typing import Any

import cbor2
import pytest
from botocore.model import OperationModel
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from hypothesis import given, settings
from hypothesis import strategies as st

from longshore import models
from longshore.wire.constraints import explain_as
from longshore.wire.protocol import MalformedError, Request
from longshore.wire.rpc_v2_cbor import RpcV2Cbor
from longshore.wire.service import AwsError, Service
from tests.contract.wire.shapes import EXAMPLES, as_botocore_has_it, operations, unusual, values

OPERATIONS = operations(("codedeploy",))
FEW = settings(EXAMPLES, max_examples=10)


@cache
def protocol() -> RpcV2Cbor:
    service = Service(
        model=models.load("codedeploy"),
        handlers={},
        explain=explain_as("ValidationException"),
        signing_names=frozenset({"codedeploy"}),
        target_prefixes=frozenset({"CodeDeploy_20141006"}),
    )
    return RpcV2Cbor([service])


def request_of(parameters: Any, operation: OperationModel) -> Request:
    serializer = create_serializer("smithy-rpc-v2-cbor", include_validation=False)
    written = serializer.serialize_to_request(parameters, operation)
    headers = {name.lower(): value for name, value in written["headers"].items()}
    return Request(written["method"], written["url_path"], "", headers, written["body"])


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_request_botocore_writes_is_read(operation: OperationModel) -> None:
    found = protocol().find(protocol().asks_for(request_of({}, operation)))
    assert found[1].name == operation.name
    codec = protocol().codec(*found)

    def check(value: Any) -> None:
        request = request_of(as_botocore_has_it(operation.input_shape, value), operation)
        assert protocol().is_in(request.headers, request.query)
        assert request.headers.get("content-type", "") in codec.content_types or operation.input_shape is None
        assert codec.decode(request) == value

    for value in unusual(operation.input_shape):
        check(value)
    FEW(given(values(operation.input_shape))(check))()


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_answer_we_write_is_read_by_botocore(operation: OperationModel) -> None:
    codec = protocol().codec(protocol().services[0], operation)
    parser = create_parser("smithy-rpc-v2-cbor")
    assert (b"smithy-protocol", b"rpc-v2-cbor") in codec.headers

    def check(value: Any) -> None:
        body = codec.encode(value, "an-id")
        if operation.output_shape is None:
            assert body == b""
            return
        parsed = parser.parse({"body": body, "headers": {}, "status_code": 200}, operation.output_shape)
        parsed.pop("ResponseMetadata")
        assert parsed == as_botocore_has_it(operation.output_shape, value)

    for value in unusual(operation.output_shape):
        check(value)
    FEW(given(values(operation.output_shape))(check))()


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_error_of_an_operation_is_read_by_botocore(operation: OperationModel) -> None:
    for shape in operation.error_shapes:
        answer = protocol().error(AwsError(shape.name, "what is wrong: ä😀"), "an-id", operation)
        response = {"body": answer.body, "headers": {}, "status_code": answer.status}
        parsed = create_parser("smithy-rpc-v2-cbor").parse(response, operation.output_shape)
        assert parsed["Error"] == {"Code": shape.name, "Message": "what is wrong: ä😀"}
        assert (b"smithy-protocol", b"rpc-v2-cbor") in answer.headers


ANY_CBOR = st.recursive(
    st.none()
    | st.booleans()
    | st.floats()
    | st.text()
    | st.binary()
    | st.integers(-(2**80), 2**80)
    | st.just(cbor2.undefined)
    | st.integers(32, 255).map(cbor2.CBORSimpleValue)
    | st.builds(cbor2.CBORTag, st.integers(0, 300), st.floats() | st.text()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
)


@pytest.mark.parametrize("operation", OPERATIONS[::16])
def test_any_cbor_is_read_or_refused(operation: OperationModel) -> None:
    codec = protocol().codec(protocol().services[0], operation)
    assert operation.input_shape is not None

    @EXAMPLES
    @given(ANY_CBOR, st.booleans())
    def check(document: Any, is_indefinite: bool) -> None:
        everywhere = dict.fromkeys(operation.input_shape.members, document)
        body = cbor2.dumps(everywhere, indefinite_containers=is_indefinite)
        with contextlib.suppress(MalformedError):
            codec.decode(Request("POST", "/", "", {}, body))

    check()


@pytest.mark.parametrize("operation", OPERATIONS[:1])
def test_any_bytes_are_read_or_refused(operation: OperationModel) -> None:
    codec = protocol().codec(protocol().services[0], operation)

    @EXAMPLES
    @given(st.binary(max_size=40))
    def check(body: bytes) -> None:
        with contextlib.suppress(MalformedError):
            codec.decode(Request("POST", "/", "", {}, b"\xa1\x64tags" + body))

    check()
