"""A client made by hand that takes nothing on trust: each answer is read raw and by botocore, and both must agree."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import cbor2
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.model import ListShape, MapShape, OperationModel, Shape, StructureShape
from botocore.parsers import create_parser

from longshore import models
from tests.acceptance.world import REGION, ControlPlane

CODEDEPLOY = models.load("codedeploy")
TARGET = "CodeDeploy_20141006"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
PROTOCOLS = {"json": "json", "cbor": "smithy-rpc-v2-cbor"}
_CONTENT_TYPES = {"json": "application/x-amz-json-1.1", "cbor": "application/cbor"}
#: The one value that is told and is in no enumeration (S2.4).
BEYOND_ENUM = "MOST_CONCURRENCY"


@dataclass
class Ledger:
    """What has been shown of each operation's members, by path: ``alarmConfiguration.alarms[].name``."""

    #: Operations that were answered without an error.
    answered: set[str] = field(default_factory=set)
    #: Members of inputs whose effect was seen, and those that were refused with their exception.
    honoured: set[tuple[str, str]] = field(default_factory=set)
    refused: set[tuple[str, str]] = field(default_factory=set)
    #: Members of outputs that came with something in them.
    filled: set[tuple[str, str]] = field(default_factory=set)


def paths(shape: Shape | None, prefix: str = "") -> Iterator[str]:
    """Every member of a shape that holds a value itself, however deep."""
    if isinstance(shape, StructureShape):
        for name, member in shape.members.items():
            yield from paths(member, f"{prefix}.{name}" if prefix else name)
    elif isinstance(shape, ListShape):
        yield from paths(shape.member, f"{prefix}[]")
    elif isinstance(shape, MapShape):
        yield from paths(shape.value, f"{prefix}{{}}")
    elif shape is not None:
        yield prefix


def values(given: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every value in a document, with the path of its member."""
    if isinstance(given, Mapping):
        for name, item in given.items():
            yield from values(item, f"{prefix}.{name}" if prefix else name)
    elif isinstance(given, list):
        for item in given:
            yield from values(item, f"{prefix}[]")
    else:
        yield prefix, given


class Conversation:
    """Calls CodeDeploy in one protocol; what only reads is asked in the other too, and answered alike."""

    def __init__(self, plane: ControlPlane, protocol: str, ledger: Ledger) -> None:
        self.protocol = protocol
        self.ledger = ledger
        self._host = urlsplit(plane.url).netloc
        self._signer = SigV4Auth(Credentials(*plane.owner), "codedeploy", REGION)
        self._connection = http.client.HTTPConnection(self._host, timeout=30)

    def close(self) -> None:
        self._connection.close()

    def call(self, operation: str, **given: Any) -> dict[str, Any]:
        """The answer, checked member by member against the model."""
        answer = self._answer(operation, given, self.protocol)
        if operation.startswith(("Get", "List", "BatchGet")):
            other = self._answer(operation, given, "json" if self.protocol == "cbor" else "cbor")
            assert _without_tokens(other) == _without_tokens(answer), operation
        return answer

    def look(self, operation: str, **given: Any) -> dict[str, Any]:
        """`call`, of what may change while it is looked at: in this protocol alone."""
        return self._answer(operation, given, self.protocol)

    def made(self, operation: str, **given: Any) -> Made:
        """`call`, of what makes or changes something; say where it must be told back."""
        return Made(self, operation, given, self.call(operation, **given))

    def refuses(self, code: str, operation: str, *members: str, **given: Any) -> str:
        """The call must be answered with this exception, which refuses these members; returns the message."""
        model = CODEDEPLOY.operation_model(operation)
        status, headers, body = self._send(model, given, self.protocol)
        document = json.loads(body) if self.protocol == "json" else cbor2.loads(body)
        assert document["__type"] == f"{code}Exception", (operation, given, document)
        assert status == 400
        assert (headers.get("smithy-protocol") == "rpc-v2-cbor") == (self.protocol == "cbor")
        assert headers["content-type"] == _CONTENT_TYPES[self.protocol]
        assert set(document) == {"__type", "message"}
        assert document["message"]
        assert f"{code}Exception" in {shape.name for shape in model.error_shapes} | {"OperationNotSupportedException"}
        parsed = _parsed(model, self.protocol, status, headers, body)
        assert parsed["Error"]["Code"] == document["__type"]
        assert parsed["Error"]["Message"] == document["message"]
        self._mark(self.ledger.refused, operation, members)
        return str(document["message"])

    def honours(self, operation: str, *members: str) -> None:
        """The lines above have seen what these members do."""
        self._mark(self.ledger.honoured, operation, members)

    def said(self, operation: str, given: Mapping[str, Any]) -> None:
        """`honours`, of every member that has a value in here."""
        self.honours(operation, *{path for path, _ in values(given)})

    def pages(self, operation: str, result: str, **given: Any) -> list[Any]:
        """All entries of a list of more than one page."""
        found: list[Any] = []
        token: dict[str, str] = {}
        while True:
            answer = self.call(operation, **given, **token)
            found += answer[result]
            if "nextToken" not in answer:
                break
            token = {"nextToken": answer["nextToken"]}
        assert token, f"{operation} had one page only"
        self.honours(operation, "nextToken")
        return found

    def _mark(self, marked: set[tuple[str, str]], operation: str, members: Iterable[str]) -> None:
        known = set(paths(CODEDEPLOY.operation_model(operation).input_shape))
        for member in members:
            ends = (f"{member}.", f"{member}[", f"{member}{{")
            below = {path for path in known if path == member or path.startswith(ends)}
            assert below, f"{operation} has no member {member}"
            marked.update((operation, path) for path in below)

    def _answer(self, operation: str, given: Mapping[str, Any], protocol: str) -> dict[str, Any]:
        model = CODEDEPLOY.operation_model(operation)
        status, headers, body = self._send(model, given, protocol)
        assert status == 200, (operation, given, body)
        UUID(headers["x-amzn-requestid"])
        assert (headers.get("smithy-protocol") == "rpc-v2-cbor") == (protocol == "cbor")
        self.ledger.answered.add(operation)
        if model.output_shape is None:
            assert body in (b"", b"{}"), (operation, body)
            return {}
        assert headers["content-type"] == _CONTENT_TYPES[protocol]
        raw = json.loads(body) if protocol == "json" else cbor2.loads(body)
        parsed = _parsed(model, protocol, status, headers, body)
        parsed.pop("ResponseMetadata")
        assert parsed == understood(model.output_shape, raw, operation)
        self.ledger.filled |= {(operation, path) for path, value in values(parsed) if value != ""}
        return parsed

    def _send(
        self, model: OperationModel, given: Mapping[str, Any], protocol: str
    ) -> tuple[int, dict[str, str], bytes]:
        if protocol == "json":
            path, body = "/", json.dumps(given).encode()
            headers = {"x-amz-target": f"{TARGET}.{model.name}", "content-type": "application/x-amz-json-1.1"}
        else:
            path, body = f"/service/{TARGET}/operation/{model.name}", cbor2.dumps(_tagged(model.input_shape, given))
            headers = {"smithy-protocol": "rpc-v2-cbor", "content-type": "application/cbor"}
        request = AWSRequest("POST", f"http://{self._host}{path}", headers, body)
        self._signer.add_auth(request)
        self._connection.request("POST", path, body, dict(request.headers))
        response = self._connection.getresponse()
        answered = {name.lower(): value for name, value in response.getheaders()}
        return response.status, answered, response.read()


class Made:
    """A call that made or changed something."""

    def __init__(self, talk: Conversation, operation: str, given: Mapping[str, Any], answer: dict[str, Any]) -> None:
        self._talk = talk
        self._operation = operation
        self._given = given
        self.answer = answer

    def told_back(self, seen: Any, **renamed: str) -> Made:
        """Every value given stands in `seen` at the same place (a member's other name in `renamed`), or this fails.

        `renamed` to "" is a member that must be shown elsewhere.
        """
        for member, value in self._given.items():
            name = renamed.get(member, member)
            if not name:
                continue
            assert name in seen, (self._operation, member, seen)
            assert seen[name] == value, (self._operation, member, seen[name])
            self._talk.honours(self._operation, *{path for path, _ in values(value, member)})
        return self


def understood(shape: Shape, raw: Any, where: str) -> Any:
    """What a raw answer says, by the model alone; an AssertionError for what the model does not have."""
    kind = shape.type_name
    if isinstance(shape, StructureShape):
        assert isinstance(raw, dict), where
        unknown = set(raw) - set(shape.members)
        assert not unknown, f"{where} has no {unknown}"
        return {name: understood(shape.members[name], item, f"{where}.{name}") for name, item in raw.items()}
    if isinstance(shape, ListShape):
        assert isinstance(raw, list), where
        return [understood(shape.member, item, f"{where}[]") for item in raw]
    if isinstance(shape, MapShape):
        assert isinstance(raw, dict), where
        return {name: understood(shape.value, item, f"{where}{{}}") for name, item in raw.items()}
    if kind == "timestamp":
        if isinstance(raw, datetime):  # cbor2 has read the tag
            return raw
        assert type(raw) in (int, float), (where, raw)
        return EPOCH + timedelta(milliseconds=round(raw * 1000))
    types = {"string": (str,), "boolean": (bool,), "integer": (int,), "long": (int,), "double": (int, float)}
    assert type(raw) in types[kind], (where, raw)
    enum = getattr(shape, "enum", None)
    assert not enum or raw in (*enum, BEYOND_ENUM), (where, raw)
    return raw


def _parsed(model: OperationModel, protocol: str, status: int, headers: Mapping[str, str], body: bytes) -> Any:
    response = {"status_code": status, "headers": dict(headers), "body": body}
    return create_parser(PROTOCOLS[protocol]).parse(response, model.output_shape)


def _tagged(shape: Shape | None, value: Any) -> Any:
    """As CBOR has it: times under their tag."""
    if isinstance(shape, StructureShape) and isinstance(value, Mapping):
        return {name: _tagged(shape.members.get(name), item) for name, item in value.items()}
    is_time = shape is not None and shape.type_name == "timestamp" and isinstance(value, (int, float))
    return cbor2.CBORTag(1, value) if is_time else value


def _without_tokens(answer: Mapping[str, Any]) -> dict[str, Any]:
    """A token says when it was given out."""
    return {name: value for name, value in answer.items() if name != "nextToken"}
