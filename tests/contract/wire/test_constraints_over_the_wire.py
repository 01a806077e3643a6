"""Each constraint of each member of each operation, broken by itself, in both protocols."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import cbor2
import pytest
from botocore.model import ListShape, MapShape, OperationModel, Shape, StructureShape

from longshore import models
from longshore.api.constraint_errors import explain, overlay
from longshore.api.limits import Limits
from longshore.wire.constraints import _NO_NUL, Checks, Violation, compiled_pattern
from tests.contract.wire.plane import Answer, Plane
from tests.contract.wire.test_constraint_errors import constrained

CODEDEPLOY = models.load("codedeploy")
OVERLAY = overlay(Limits())

#: Texts that match a pattern, by shape.
RIGHT = {
    "DeploymentId": "d-ABCDEFGHI",
    "Arn": "arn:aws:codedeploy:us-east-1:000000000000:application:a",
    "IamUserArn": "arn:aws:iam::000000000000:user/a",
    "IamSessionArn": "arn:aws:sts::000000000000:assumed-role/r/s",
}
#: Texts that match no pattern of the service.
WRONG_TEXTS = ("d-abcdefghi", "not\u20acallowed", "a b/%", "i-0123", "a\x00b")
MOMENT = 1_700_000_000
#: What no member of a type takes, in JSON.
WRONG_TYPES: dict[str, Any] = {
    "string": {},
    "boolean": "true",
    "integer": "1",
    "long": "1",
    "timestamp": {},
    "list": "a",
    "map": [],
    "structure": [],
}


def limits_of(shape: Shape, member: str = "") -> dict[str, Any]:
    return {**shape.metadata, **OVERLAY.get(shape.name, {}), **OVERLAY.get(member, {})}


def smallest(shape: Shape, member: str = "") -> Any:
    """A value of the shape with nothing in it that need not be, within all constraints."""
    limits = limits_of(shape, member)
    if isinstance(shape, StructureShape):
        required = {*shape.required_members, *OVERLAY.get(shape.name, {}).get("required", ())}
        return {n: smallest(m, f"{shape.name}.{n}") for n, m in shape.members.items() if n in required}
    if isinstance(shape, ListShape):
        return [smallest(shape.member) for _ in range(limits.get("min") or 0)]
    if isinstance(shape, MapShape):
        return {}
    if shape.type_name == "string":
        return limits["enum"][0] if limits.get("enum") else RIGHT.get(shape.name, "a" * (limits.get("min") or 1))
    return {"boolean": True, "timestamp": MOMENT}.get(shape.type_name, limits.get("min") or 1)


def with_broken(operation: OperationModel, violation: Violation) -> dict[str, Any]:
    """An input in which this one constraint is broken."""
    assert operation.input_shape is not None
    given = smallest(operation.input_shape)
    node, shape, member = given, operation.input_shape, ""
    for part in violation.path[:-1]:
        below, member = _below(shape, part)
        if isinstance(node, list):
            node[:] = node or [smallest(below, member)]
        elif part not in node:
            node[part] = smallest(below, member)
        node, shape = node[part], below
    last = violation.path[-1]
    if isinstance(shape, MapShape):
        node[breaking(shape.key, "", violation)] = smallest(shape.value)
        return given
    below, member = _below(shape, last)
    if violation.kind == "required":
        node.pop(last, None)
    elif isinstance(node, list):
        node[:] = [breaking(below, member, violation)]
    else:
        node[last] = breaking(below, member, violation)
    return given


def _below(shape: Shape, part: str | int) -> tuple[Shape, str]:
    if isinstance(shape, ListShape):
        return shape.member, ""
    assert isinstance(shape, StructureShape)
    return shape.members[str(part)], f"{shape.name}.{part}"


def breaking(shape: Shape, member: str, violation: Violation) -> Any:
    limit = violation.limit
    if violation.kind in ("min", "max"):
        step = -1 if violation.kind == "min" else 1
        if isinstance(shape, ListShape):
            return [smallest(shape.member) for _ in range(limit + step)]
        return "a" * (limit + step) if shape.type_name == "string" else limit + step
    if violation.kind == "enum":
        return "NONE-OF-THEM"
    return next(text for text in WRONG_TEXTS if compiled_pattern(limit).fullmatch(text) is None)


def times_tagged(shape: Shape | None, value: Any) -> Any:
    """As CBOR has it: times under their tag."""
    if isinstance(shape, StructureShape) and isinstance(value, dict):
        return {n: times_tagged(shape.members.get(n), item) for n, item in value.items()}
    if isinstance(shape, ListShape) and isinstance(value, list):
        return [times_tagged(shape.member, item) for item in value]
    is_time = shape is not None and shape.type_name == "timestamp" and isinstance(value, int)
    return cbor2.CBORTag(1, value) if is_time else value


def _in_both(here: Plane, operation: OperationModel, given: dict[str, Any]) -> tuple[Answer, Answer]:
    tagged = times_tagged(operation.input_shape, given)
    return here.json(operation.name, given), here.cbor(operation.name, tagged)


@pytest.mark.parametrize("name", CODEDEPLOY.operation_names)
def test_each_broken_constraint_is_its_exception_in_both_protocols(name: str, here: Plane) -> None:
    operation = CODEDEPLOY.operation_model(name)
    check = Checks(OVERLAY).plan(operation.input_shape)
    assert not check(smallest(operation.input_shape)), "the input to be broken must be right before"
    for violation in constrained(operation.input_shape):
        given = with_broken(operation, violation)
        found = check(given)
        assert (violation.shape, violation.kind) in {(v.shape, v.kind) for v in found}, (violation, given)
        expected = explain(operation, violation)
        if len(found) > 1:
            continue  # something else is broken with it; what wins is a matter of test_constraint_errors
        for answer in _in_both(here, operation, given):
            assert (answer.status, answer.code) == (400, expected.code), (violation, given, answer)


@pytest.mark.parametrize("name", CODEDEPLOY.operation_names)
def test_a_member_of_the_wrong_type_cannot_be_read_in_either_protocol(name: str, here: Plane) -> None:
    operation = CODEDEPLOY.operation_model(name)
    assert operation.input_shape is not None
    right = smallest(operation.input_shape)
    for member, shape in operation.input_shape.members.items():
        given = copy.deepcopy(right) | {member: WRONG_TYPES[shape.type_name]}
        for answer in _in_both(here, operation, given):
            assert (answer.status, answer.code) == (400, "SerializationException"), (member, answer)
            assert member in answer.document["message"]


def leaves(shape: Shape | None, kinds: tuple[str, ...], path: tuple[str | int, ...] = ()) -> Iterator[Violation]:
    """Where an input has values of these types: as violations, for `with_broken` to find the place."""
    if isinstance(shape, StructureShape):
        for name, member in shape.members.items():
            yield from leaves(member, kinds, (*path, name))
    elif isinstance(shape, ListShape):
        yield from leaves(shape.member, kinds, (*path, 0))
    elif shape is not None and shape.type_name in kinds:
        member = next(str(part) for part in reversed(path) if isinstance(part, str))
        yield Violation(path=path, kind="pattern", shape=shape.name, member=member, value="", limit=_NO_NUL)


@pytest.mark.parametrize("name", CODEDEPLOY.operation_names)
def test_a_text_with_a_nul_is_the_error_of_its_member_whatever_the_database(name: str, here: Plane) -> None:
    """PostgreSQL cannot store one, SQLite can: nobody is to notice."""
    operation = CODEDEPLOY.operation_model(name)
    for violation in leaves(operation.input_shape, ("string",)):
        for answer in _in_both(here, operation, with_broken(operation, violation)):
            assert answer.status == 400, (violation, answer)
            assert answer.code in {shape.name for shape in operation.error_shapes} | {"ValidationException"}, violation


@pytest.mark.parametrize("name", CODEDEPLOY.operation_names)
def test_a_number_too_long_to_be_stored_cannot_be_read(name: str, here: Plane) -> None:
    operation = CODEDEPLOY.operation_model(name)
    for violation in leaves(operation.input_shape, ("integer", "long")):
        given = with_broken(operation, violation)
        for number in (2**63, -(2**63) - 1, 10**30):
            *above, last = violation.path
            node = given
            for part in above:
                node = node[part]  # type: ignore[index]  # a name in a structure, a place in a list
            node[last] = number  # type: ignore[index]
            for answer in _in_both(here, operation, given):
                assert (answer.status, answer.code) == (400, "SerializationException"), (violation, number, answer)
