"""What is recorded of calls, and how the records hold on to one another.

Each record carries the hash of the one before it and of itself, so that none can be taken out, put in or changed
without breaking the chain from there on. Every account has a chain of its own, which its owner can check alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from longshore.domain.redaction import redacted

#: What the first record carries as the hash of the one before it.
BEGINNING = "0" * 64

#: Members whose name ends so name resources: applicationName, deploymentId, iamUserArn, instanceNames, AccessKeyId.
_NAMING = ("name", "names", "arn", "arns", "id", "ids")
#: Members that name a revision.
_REVISION = frozenset({"bucket", "key", "repository"})
_LONGEST = 256
_MOST = 100


class Outcome(StrEnum):
    """How a call ended."""

    SUCCEEDED = "Succeeded"
    #: Answered with an error of the caller's making, which changed nothing.
    REFUSED = "Refused"
    #: Answered with an error of ours, which changed nothing.
    FAILED = "Failed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One call, or several alike that were refused together."""

    #: Whose chain it belongs to: the caller's account, or the server's own where nobody was identified.
    account: str
    #: Epoch seconds, to the millisecond, at which the call came (the first of several).
    time: float
    outcome: Outcome
    #: Calls this stands for.
    count: int = 1
    region: str | None = None
    #: Who signed; None where that could not be verified.
    principal_arn: str | None = None
    #: The key that signed, or without a principal the one that the call claimed.
    access_key_id: str | None = None
    #: The address the call came from.
    source: str | None = None
    request_id: str | None = None
    service: str | None = None
    operation: str | None = None
    error_code: str | None = None
    #: Names and values of the members that say what the call was about; never a secret.
    resources: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """An entry in its place in its account's chain."""

    #: 1 for the account's first.
    sequence: int
    entry: Entry
    previous_hash: str
    hash: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Head:
    """Where an account's chain ends."""

    sequence: int
    hash: str


class BrokenChainError(Exception):
    """The records are not those that were written; the message says where and how they differ."""


def to_the_millisecond(seconds: float) -> float:
    """A time as records hold it: the same on both databases and on the wire."""
    return round(seconds * 1000) / 1000


def chain(head: Head, entries: Iterable[Entry]) -> Iterator[Record]:
    """The records of these entries, the first following `head`."""
    for entry in entries:
        sequence = head.sequence + 1
        digest = hash_of(head.hash, sequence, entry)
        yield Record(sequence=sequence, entry=entry, previous_hash=head.hash, hash=digest)
        head = Head(sequence=sequence, hash=digest)


def hash_of(previous_hash: str, sequence: int, entry: Entry) -> str:
    """SHA-256 over the hash before and every field, in hexadecimal."""
    fields = [
        previous_hash,
        sequence,
        entry.account,
        round(entry.time * 1000),
        entry.outcome.value,
        entry.count,
        entry.region,
        entry.principal_arn,
        entry.access_key_id,
        entry.source,
        entry.request_id,
        entry.service,
        entry.operation,
        entry.error_code,
        entry.resources,
    ]
    return hashlib.sha256(json.dumps(fields, separators=(",", ":")).encode()).hexdigest()


def verified(records: Iterable[Record], head: Head) -> Iterator[Record]:
    """The records of one account, oldest first and all of them, each passed on once it has been checked.

    Raises:
        BrokenChainError: a record is missing, was changed or was put in; or the last is not where `head` has it.
    """
    last = Head(sequence=0, hash=BEGINNING)
    for record in records:
        if record.sequence > head.sequence:
            break  # written since `head` was read
        if record.sequence != last.sequence + 1:
            raise BrokenChainError(f"After record {last.sequence} comes {record.sequence}: what was between is gone.")
        if record.previous_hash != last.hash:
            raise BrokenChainError(f"Record {record.sequence} does not follow the record before it.")
        if record.hash != hash_of(last.hash, record.sequence, record.entry):
            raise BrokenChainError(f"Record {record.sequence} was changed after it was written.")
        last = Head(sequence=record.sequence, hash=record.hash)
        yield record
    if last.sequence != head.sequence:
        raise BrokenChainError(f"The chain ends at record {head.sequence}, but the last one here is {last.sequence}.")
    if last.hash != head.hash:
        raise BrokenChainError(f"The chain's end does not belong to record {last.sequence}, the last one.")


def resources_in(*members: Mapping[str, Any] | None) -> tuple[tuple[str, str], ...]:
    """What a call's input and output name: members called …Name, …Arn or …Id, and a revision's place.

    Only texts are taken, from structures, lists of them, and lists of names, each cut to 256 characters and 100 of them
    at most.
    """
    found: dict[tuple[str, str], None] = {}
    for each in members:
        for name, value in _names(each or {}):
            # People put a token into the address of a repository.
            kept = redacted(value) if name == "repository" else value
            found[name, kept[:_LONGEST]] = None
            if len(found) == _MOST:
                return tuple(found)
    return tuple(found)


def _names(members: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in members.items():
        if isinstance(value, Mapping):
            yield from _names(value)
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            for one in value:
                yield from _names(one)
        elif name.lower().endswith(_NAMING) or name in _REVISION:
            if isinstance(value, str):
                yield name, value
            elif isinstance(value, list | tuple):
                yield from ((name, one) for one in value if isinstance(one, str))
