"""botocore writes requests and reads our answers, for every operation of every AWS JSON service we serve."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from botocore.model import OperationModel
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from hypothesis import given
from hypothesis import strategies as st

from longshore.wire import aws_json
from longshore.wire.protocol import MalformedError
from tests.contract.wire.shapes import EXAMPLES, as_botocore_has_it, operations, unusual, values

OPERATIONS = operations(("codedeploy", "codedeploy-commands", "longshore"))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_request_botocore_writes_is_read(operation: OperationModel) -> None:
    decode = aws_json.Decoders().plan(operation.input_shape) if operation.input_shape else dict
    serializer = create_serializer("json", include_validation=False)

    def check(value: Any) -> None:
        parameters = as_botocore_has_it(operation.input_shape, value)
        body = serializer.serialize_to_request(parameters, operation)["body"]
        assert decode(aws_json.parse(body)) == value

    for value in unusual(operation.input_shape):
        check(value)
    EXAMPLES(given(values(operation.input_shape))(check))()


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_answer_we_write_is_read_by_botocore(operation: OperationModel) -> None:
    encode = aws_json.Encoders().plan(operation.output_shape) if operation.output_shape else dict
    parser = create_parser("json")

    def check(value: Any) -> None:
        response = {"body": aws_json.render(encode(value)), "headers": {}, "status_code": 200}
        parsed = parser.parse(response, operation.output_shape)
        parsed.pop("ResponseMetadata", None)
        assert parsed == as_botocore_has_it(operation.output_shape, value)

    for value in unusual(operation.output_shape):
        check(value)
    EXAMPLES(given(values(operation.output_shape))(check))()


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_error_of_an_operation_is_read_by_botocore(operation: OperationModel) -> None:
    for shape in operation.error_shapes:
        body = aws_json.render_error(shape.name, "what is wrong: ä😀")
        parsed = create_parser("json").parse({"body": body, "headers": {}, "status_code": 400}, operation.output_shape)
        assert parsed["Error"] == {"Code": shape.name, "Message": "what is wrong: ä😀"}


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.mark.parametrize("operation", OPERATIONS[:20])
def test_any_json_is_read_or_refused(operation: OperationModel) -> None:
    assert operation.input_shape is not None
    decode = aws_json.Decoders().plan(operation.input_shape)

    @EXAMPLES
    @given(ANY_JSON)
    def check(document: Any) -> None:
        body = json.dumps(dict.fromkeys(operation.input_shape.members, document)).encode()
        with contextlib.suppress(MalformedError):
            decode(aws_json.parse(body))

    check()
