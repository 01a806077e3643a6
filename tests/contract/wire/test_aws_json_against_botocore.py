"""botocore writes requests and reads our answers, for every operation of every AWS JSON service we serve."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.model import ListShape, MapShape, OperationModel, Shape, StructureShape
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from longshore import models
from longshore.wire import aws_json

SERVICES = ("codedeploy", "codedeploy-commands", "longshore")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EXAMPLES = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


OPERATIONS = [
    pytest.param(models.load(service).operation_model(name), id=f"{service}.{name}")
    for service in SERVICES
    for name in models.load(service).operation_names
]


def values(shape: Shape | None) -> st.SearchStrategy[Any]:
    """Values of a shape in our terms: timestamps are epoch seconds, to the millisecond."""
    if shape is None:
        return st.just({})
    if isinstance(shape, StructureShape):
        return st.fixed_dictionaries({}, optional={name: values(member) for name, member in shape.members.items()})
    if isinstance(shape, ListShape):
        return st.lists(values(shape.member), max_size=3)
    if isinstance(shape, MapShape):
        return st.dictionaries(values(shape.key), values(shape.value), max_size=3)
    return SCALARS[shape.type_name]


SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "string": st.text(max_size=20),
    "boolean": st.booleans(),
    "integer": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1),
    "timestamp": st.integers(0, 4_000_000_000_000).map(lambda milliseconds: milliseconds / 1000),
    "blob": st.binary(max_size=20),
    "double": st.floats(allow_nan=False, allow_infinity=False),
}


def as_botocore_has_it(shape: Shape | None, value: Any) -> Any:
    """The same value in botocore's terms: timestamps are datetimes."""
    if isinstance(shape, StructureShape):
        return {name: as_botocore_has_it(shape.members[name], item) for name, item in value.items()}
    if isinstance(shape, ListShape):
        return [as_botocore_has_it(shape.member, item) for item in value]
    if isinstance(shape, MapShape):
        return {name: as_botocore_has_it(shape.value, item) for name, item in value.items()}
    if shape is not None and shape.type_name == "timestamp":
        return EPOCH + timedelta(milliseconds=round(value * 1000))
    return value


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_request_botocore_writes_is_read(operation: OperationModel) -> None:
    decode = aws_json.Decoders().plan(operation.input_shape) if operation.input_shape else dict
    serializer = create_serializer("json", include_validation=False)

    @EXAMPLES
    @given(values(operation.input_shape))
    def check(value: Any) -> None:
        parameters = as_botocore_has_it(operation.input_shape, value)
        body = serializer.serialize_to_request(parameters, operation)["body"]
        assert decode(aws_json.parse(body)) == value

    check()


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_answer_we_write_is_read_by_botocore(operation: OperationModel) -> None:
    encode = aws_json.Encoders().plan(operation.output_shape) if operation.output_shape else dict
    parser = create_parser("json")

    @EXAMPLES
    @given(values(operation.output_shape))
    def check(value: Any) -> None:
        response = {"body": aws_json.render(encode(value)), "headers": {}, "status_code": 200}
        parsed = parser.parse(response, operation.output_shape)
        parsed.pop("ResponseMetadata", None)
        assert parsed == as_botocore_has_it(operation.output_shape, value)

    check()


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
        with contextlib.suppress(aws_json.MalformedError):
            decode(aws_json.parse(body))

    check()
