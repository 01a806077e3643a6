"""The chain of records: whatever is done to them shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from botocore.model import ListShape, Shape, StructureShape
from hypothesis import given, settings
from hypothesis import strategies as st

from longshore import models
from longshore.domain.audit import (
    BEGINNING,
    BrokenChainError,
    Entry,
    Head,
    Outcome,
    Record,
    chain,
    resources_in,
    to_the_millisecond,
    verified,
)

NOTHING = Head(sequence=0, hash=BEGINNING)
texts = st.none() | st.text(max_size=8)
entries = st.builds(
    Entry,
    account=st.just("000000000000"),
    time=st.floats(0, 2e9).map(to_the_millisecond),
    outcome=st.sampled_from(Outcome),
    count=st.integers(1, 9),
    region=texts,
    principal_arn=texts,
    source=texts,
    operation=texts,
    error_code=texts,
    resources=st.lists(st.tuples(st.text(max_size=4), st.text(max_size=4)), max_size=3).map(tuple),
)


def end_of(records: list[Record]) -> Head:
    return Head(sequence=records[-1].sequence, hash=records[-1].hash) if records else NOTHING


@given(st.lists(entries, max_size=8), st.integers(0, 8))
def test_a_chain_made_in_pieces_is_one_chain(calls: list[Entry], cut: int) -> None:
    first = list(chain(NOTHING, calls[:cut]))
    both = first + list(chain(end_of(first), calls[cut:]))
    assert both == list(chain(NOTHING, calls))
    assert list(verified(both, end_of(both))) == both


def swap(records: list[Record], at: int) -> list[Record]:
    other = (at + 1) % len(records)
    records[at], records[other] = records[other], records[at]
    return records


TAMPERING: dict[str, Callable[[list[Record], int], list[Record]]] = {
    "one is taken out": lambda records, at: records[:at] + records[at + 1 :],
    "the end is cut off": lambda records, at: records[:at],
    "one is there twice": lambda records, at: [*records[: at + 1], *records[at:]],
    "two change places": swap,
    "one tells another story": lambda records, at: [
        *records[:at],
        replace(records[at], entry=replace(records[at].entry, principal_arn="somebody else")),
        *records[at + 1 :],
    ],
    "one is made anew": lambda records, at: [
        *records[:at],
        *chain(
            end_of(records[:at]),
            [replace(records[at].entry, principal_arn="somebody else")],
        ),
        *records[at + 1 :],
    ],
    "everything from one on is made anew": lambda records, at: [
        *records[:at],
        *chain(
            end_of(records[:at]),
            [replace(record.entry, principal_arn="somebody else") for record in records[at:]],
        ),
    ],
}


@pytest.mark.parametrize("how", TAMPERING)
@settings(max_examples=40)
@given(calls=st.lists(entries, min_size=2, max_size=6), data=st.data())
def test_tampering_shows(how: str, calls: list[Entry], data: st.DataObject) -> None:
    records = list(chain(NOTHING, calls))
    at = data.draw(st.integers(0, len(records) - 1))
    altered = TAMPERING[how](list(records), at)
    with pytest.raises(BrokenChainError):
        list(verified(altered, end_of(records)))


def test_the_break_is_told_by_its_place() -> None:
    records = list(chain(NOTHING, [Entry(account="0" * 12, time=1.0, outcome=Outcome.SUCCEEDED)] * 5))
    with pytest.raises(BrokenChainError, match="After record 2 comes 4"):
        list(verified(records[:2] + records[3:], end_of(records)))
    changed = replace(records[2], entry=replace(records[2].entry, count=2))
    with pytest.raises(BrokenChainError, match="Record 3 was changed"):
        list(verified([*records[:2], changed, *records[3:]], end_of(records)))


def test_what_is_written_while_one_reads_is_for_the_next_time() -> None:
    records = list(chain(NOTHING, [Entry(account="0" * 12, time=1.0, outcome=Outcome.SUCCEEDED)] * 5))
    assert len(list(verified(records, end_of(records[:3])))) == 3


def test_a_call_names_its_resources() -> None:
    asked = {
        "applicationName": "shop",
        "revision": {"revisionType": "S3", "s3Location": {"bucket": "releases", "key": "shop.zip"}},
        "instanceNames": ["web-1", "web-2"],
        "tags": [{"Key": "name", "Value": "secret"}],
        "description": "not a name",
        "nextToken": "t",
    }
    reply = {"deploymentId": "d-ABCDEFGHI", "accessKey": {"accessKeyId": "AKIA", "secretAccessKey": "s3cr3t"}}
    assert resources_in(asked, None, reply) == (
        ("applicationName", "shop"),
        ("bucket", "releases"),
        ("key", "shop.zip"),
        ("instanceNames", "web-1"),
        ("instanceNames", "web-2"),
        ("deploymentId", "d-ABCDEFGHI"),
        ("accessKeyId", "AKIA"),
    )


def test_what_a_caller_sends_does_not_grow_a_record_without_bound() -> None:
    found = resources_in({"instanceNames": [f"web-{number}" * 1000 for number in range(1000)]})
    assert len(found) == 100
    assert max(len(value) for _, value in found) == 256


#: Words in the names of members and shapes whose values must never be recorded.
SECRET = ("secret", "password", "token", "signature")
#: Names of a token at GitHub, which GitHub shows to everybody who may use it, and of one that hosts enroll with.
NAMES_OF_TOKENS = {"gitHubAccountName", "tokenName", "tokenNameList", "tokenId"}


@pytest.mark.parametrize("service", ["codedeploy", "codedeploy-commands", "longshore", "iam", "sts"])
def test_no_member_of_any_service_that_is_recorded_holds_a_secret(service: str) -> None:
    """Every leaf of every input and output is given its own name as its value; what comes back is harmless."""
    model = models.load(service)

    def sample(shape: Shape, name: str, depth: int = 0) -> object:
        if depth > 8:
            return None
        if isinstance(shape, StructureShape):
            return {one: sample(member, one, depth + 1) for one, member in shape.members.items()}
        if isinstance(shape, ListShape):
            return [sample(shape.member, name, depth + 1)]
        return f"{name} {shape.name} {'sensitive' if shape.metadata.get('sensitive') else ''}"

    for operation in model.operation_names:
        for shape in (model.operation_model(operation).input_shape, model.operation_model(operation).output_shape):
            if shape is None:
                continue
            for name, value in resources_in(sample(shape, "")):  # type: ignore[arg-type]  # a structure's is a dict
                if name not in NAMES_OF_TOKENS:
                    assert not any(word in value.lower() for word in SECRET), (operation, name, value)
                assert not value.endswith("sensitive"), (operation, name)
