"""One request's life through the endpoint, as its ASGI server sees it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from structlog.testing import capture_logs

from longshore import models
from longshore.wire.constraints import explain_as
from longshore.wire.endpoint import MAX_BODY, MAX_DROPPED, Endpoint, Message
from longshore.wire.service import Answered, AwsError, Call, Caller, Observer, Service

CALLER = Caller(account="000000000000", region="us-east-1", arn="arn:aws:iam::000000000000:root", access_key_id="AK")
TARGET = "Longshore_20261123"
NOT_SERVED = f"{TARGET}.DeleteAccessKey"
JSON = {"content-type": "application/x-amz-json-1.1"}


@dataclass
class Handlers:
    """What the handlers of the service under test saw and shall do."""

    calls: list[tuple[Call, dict[str, Any]]] = field(default_factory=list)
    output: Mapping[str, Any] | None = None
    error: Exception | None = None
    cancelled: bool = False
    #: Set to let a waiting handler answer.
    answer_now: asyncio.Event = field(default_factory=asyncio.Event)

    async def create(self, call: Call, given: dict[str, Any]) -> Mapping[str, Any] | None:
        self.calls.append((call, given))
        if self.error:
            raise self.error
        return self.output

    async def wait(self, call: Call, given: dict[str, Any]) -> Mapping[str, Any] | None:
        self.calls.append((call, given))
        try:
            await self.answer_now.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return {"accessKeys": []}


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return str(self.document["__type"])


@dataclass
class Heard(Observer):
    """What an observer heard."""

    answers: list[tuple[str, str, str]] = field(default_factory=list)
    refusals: list[Answered] = field(default_factory=list)
    error: Exception | None = None

    def answered(self, answer: Answered) -> None:
        assert answer.seconds >= 0
        self.answers.append((answer.service, answer.operation, answer.code))

    async def refused(self, answer: Answered) -> None:
        self.refusals.append(answer)
        if self.error:
            raise self.error


async def known(*_request: Any) -> Caller:
    return CALLER


async def allowed(*_call: Any) -> None:
    pass


def endpoint(
    handlers: Handlers, *, authenticate: Any = None, authorize: Any = None, observer: Observer | None = None
) -> Endpoint:
    service = Service(
        model=models.load("longshore"),
        handlers={"CreateAccessKey": handlers.create, "ListAccessKeys": handlers.wait},
        explain=explain_as("InvalidInputException"),
        signing_names=frozenset({"longshore"}),
        target_prefixes=frozenset({TARGET}),
        waits=frozenset({"ListAccessKeys"}),
    )
    return Endpoint(
        [service],
        authenticate or known,
        authorize or allowed,
        now=lambda: 1_700_000_000.0,
        observer=observer,
    )


async def request(
    app: Endpoint,
    operation: str = f"{TARGET}.CreateAccessKey",
    body: bytes | list[bytes] = b'{"userName": "ada"}',
    headers: Mapping[str, str] = JSON,
    *,
    method: str = "POST",
    leaves: asyncio.Event | None = None,
) -> Answer | None:
    """What the endpoint sends for one request; None when it sends nothing. `leaves` is when the client hangs up."""
    chunks = [body] if isinstance(body, bytes) else list(body)
    sent: list[Message] = []
    left = leaves or asyncio.Event()

    async def receive() -> Message:
        if chunks:
            chunk = chunks.pop(0)
            return {"type": "http.request", "body": chunk, "more_body": bool(chunks)}
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    target = {"x-amz-target": operation} if operation else {}
    scope = {
        "type": "http",
        "method": method,
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "client": ("192.0.2.7", 4242),
        "headers": [(k.encode(), v.encode()) for k, text in {**target, **headers}.items() for v in text.split("|")],
    }
    await app(scope, receive, send)
    if not sent:
        return None
    start, payload = sent
    return Answer(start["status"], {k.decode(): v.decode() for k, v in start["headers"]}, payload["body"])


def answer(app: Endpoint, *args: Any, **kwargs: Any) -> Answer:
    answered = asyncio.run(request(app, *args, **kwargs))
    assert answered is not None
    return answered


def test_a_request_reaches_its_handler_with_its_caller_and_input() -> None:
    handlers = Handlers(output={"accessKey": {"userName": "ada", "createTime": 1.5}})
    answered = answer(endpoint(handlers))
    ((call, given),) = handlers.calls
    assert given == {"userName": "ada"}
    assert (call.caller, call.service, call.operation, call.now) == (
        CALLER,
        "longshore",
        "CreateAccessKey",
        1_700_000_000.0,
    )
    assert answered.status == 200
    assert answered.document == {"accessKey": {"userName": "ada", "createTime": 1.5}}
    assert answered.headers == {
        "x-amzn-requestid": call.request_id,
        "content-type": "application/x-amz-json-1.1",
        "content-length": str(len(answered.body)),
    }


def test_a_handler_without_output_answers_an_empty_object() -> None:
    assert answer(endpoint(Handlers(output=None))).body == b"{}"


def test_a_body_may_come_in_pieces() -> None:
    handlers = Handlers()
    answer(endpoint(handlers), body=[b'{"user', b"", b'Name": "ada"}'])
    assert handlers.calls[0][1] == {"userName": "ada"}


@pytest.mark.parametrize("content_type", ["application/json", "application/x-amz-json-1.1; charset=utf-8"])
def test_json_by_other_names_is_json(content_type: str) -> None:
    assert answer(endpoint(Handlers()), headers={"content-type": content_type}).status == 200


@pytest.mark.parametrize(
    ("wrong", "status", "code"),
    [
        ({"operation": ""}, 400, "MissingAction"),
        ({"operation": "Nobody_20261123.CreateAccessKey"}, 404, "UnknownOperationException"),
        ({"operation": f"{TARGET}.Nothing"}, 404, "UnknownOperationException"),
        ({"operation": TARGET}, 404, "UnknownOperationException"),
        ({"method": "GET"}, 405, "UnknownOperationException"),
        ({"headers": {}}, 415, "UnsupportedMediaTypeException"),
        ({"headers": {"content-type": "text/xml"}}, 415, "UnsupportedMediaTypeException"),
        ({"body": b"{"}, 400, "SerializationException"),
        ({"body": b"[]"}, 400, "SerializationException"),
        ({"body": b'{"userName": 1}'}, 400, "SerializationException"),
        ({"body": b"{}"}, 400, "InvalidInputException"),
        ({"body": b'{"userName": "not allowed"}'}, 400, "InvalidInputException"),
        (
            {"operation": NOT_SERVED, "body": b'{"accessKeyId": "AKIDAKIDAKIDAKID"}'},
            400,
            "OperationNotSupportedException",
        ),
    ],
)
def test_what_cannot_be_served_is_answered_with_an_aws_error(wrong: dict[str, Any], status: int, code: str) -> None:
    handlers = Handlers()
    answered = answer(endpoint(handlers), **wrong)
    assert (answered.status, answered.code, answered.headers["x-amzn-errortype"]) == (status, code, code)
    assert answered.document["message"]
    assert handlers.calls == []


def test_a_body_that_is_too_large_is_read_to_its_end_and_refused() -> None:
    handlers = Handlers()
    answered = answer(endpoint(handlers), body=[b" " * (MAX_BODY // 2)] * 3)
    assert (answered.status, answered.code) == (413, "RequestEntityTooLargeException")
    assert answered.headers["connection"] == "close"


def test_a_body_of_just_the_largest_size_is_accepted() -> None:
    body = b'{"userName": "ada"}'
    assert answer(endpoint(Handlers()), body=[body, b" " * (MAX_BODY - len(body))]).status == 200


def test_an_endless_body_is_not_read_for_ever() -> None:
    chunk = b" " * MAX_BODY
    endless = [chunk] * (MAX_DROPPED // MAX_BODY + 100)
    assert answer(endpoint(Handlers()), body=endless).status == 413


def test_a_client_that_leaves_half_way_through_its_body_is_not_answered() -> None:
    async def run() -> Answer | None:
        left = asyncio.Event()
        left.set()
        return await request(endpoint(Handlers()), body=[], leaves=left)

    assert asyncio.run(run()) is None


def test_authentication_sees_the_request_as_it_came_and_comes_before_the_body_is_looked_at() -> None:
    seen: list[Any] = []

    def refuse(*given: Any) -> Caller:
        seen.append(given)
        raise AwsError("InvalidSignatureException", "The signature is wrong.", 403)

    answered = answer(endpoint(Handlers(), authenticate=refuse), body=b"{", headers=JSON | {"x-two": "1|2"})
    assert (answered.status, answered.code) == (403, "InvalidSignatureException")
    headers = {"x-amz-target": f"{TARGET}.CreateAccessKey", **JSON, "x-two": "1,2"}
    assert seen == [("POST", "/", "", headers, b"{", frozenset({"longshore"}), "192.0.2.7")]


def test_authorization_sees_call_and_input_and_comes_before_constraints_are_checked() -> None:
    seen: list[Mapping[str, Any]] = []

    def refuse(call: Call, asked: Mapping[str, Any]) -> None:
        seen.append(asked)
        raise AwsError("AccessDeniedException", f"{call.caller.arn} may not {call.operation}.", 403)

    answered = answer(endpoint(Handlers(), authorize=refuse), body=b'{"userName": "not/a name"}')
    assert (answered.status, answered.document) == (
        403,
        {
            "__type": "AccessDeniedException",
            "message": "arn:aws:iam::000000000000:root may not CreateAccessKey.",
        },
    )
    assert seen == [{"userName": "not/a name"}]


def test_a_handlers_error_is_the_clients_answer() -> None:
    answered = answer(endpoint(Handlers(error=AwsError("LimitExceededException", "Two keys is the most."))))
    assert (answered.status, answered.document) == (
        400,
        {"__type": "LimitExceededException", "message": "Two keys is the most."},
    )


@pytest.mark.parametrize("failing", [Handlers(error=RuntimeError("secret")), Handlers(output={"tekst": "secret"})])
def test_a_failure_of_ours_is_logged_once_and_told_without_detail(failing: Handlers) -> None:
    with capture_logs() as lines:
        answered = answer(endpoint(failing))
    request_id = answered.headers["x-amzn-requestid"]
    assert (answered.status, answered.code) == (500, "InternalFailure")
    assert request_id in answered.document["message"]
    assert b"secret" not in answered.body
    assert b"Traceback" not in answered.body
    (line,) = lines
    assert (line["event"], line["request_id"], line["exc_info"]) == ("request_failed", request_id, True)


def test_an_answer_of_500_is_logged_with_its_reason() -> None:
    with capture_logs() as lines:
        answer(endpoint(Handlers(error=AwsError("ServerException", "The store is closed.", 503))))
    assert [(line["code"], line["reason"]) for line in lines] == [("ServerException", "The store is closed.")]


def test_a_clients_mistake_is_not_logged() -> None:
    with capture_logs() as lines:
        answer(endpoint(Handlers()), body=b"{}")
    assert lines == []


def test_a_waiting_operation_answers_when_its_handler_does() -> None:
    async def run() -> Answer | None:
        handlers = Handlers()
        asyncio.get_running_loop().call_later(0.01, handlers.answer_now.set)
        return await asyncio.wait_for(request(endpoint(handlers), f"{TARGET}.ListAccessKeys", b"{}"), 5)

    answered = asyncio.run(run())
    assert answered is not None
    assert answered.document == {"accessKeys": []}


def test_a_client_that_hangs_up_cancels_the_handler_that_waits_for_it() -> None:
    async def run() -> tuple[Answer | None, bool]:
        handlers, left = Handlers(), asyncio.Event()
        asyncio.get_running_loop().call_later(0.01, left.set)
        waiting = request(endpoint(handlers), f"{TARGET}.ListAccessKeys", b"{}", leaves=left)
        return await asyncio.wait_for(waiting, 5), handlers.cancelled

    assert asyncio.run(run()) == (None, True)


def test_a_server_that_shuts_down_cancels_the_handler_too() -> None:
    async def run() -> bool:
        handlers = Handlers()
        serving = asyncio.create_task(request(endpoint(handlers), f"{TARGET}.ListAccessKeys", b"{}"))
        while not handlers.calls:
            await asyncio.sleep(0)
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        return handlers.cancelled

    assert asyncio.run(run())


def test_an_unknown_target_is_not_remembered() -> None:
    app = endpoint(Handlers())
    for number in range(100):
        answer(app, operation=f"{TARGET}.Nothing{number}")
    assert app._operations == {}


def test_an_observer_hears_of_every_answer_and_of_refusals_what_was_known() -> None:
    heard = Heard()
    handlers = Handlers()
    app = endpoint(handlers, observer=heard)
    answer(app)
    assert handlers.calls[0][0].source == "192.0.2.7"
    handlers.error = AwsError("LimitExceededException", "Enough.")
    answer(app)
    answer(app, operation=f"{TARGET}.Nothing")
    handlers.error = ValueError("a bug")
    with capture_logs():
        answer(app)
    assert heard.answers == [
        ("longshore", "CreateAccessKey", ""),
        ("longshore", "CreateAccessKey", "LimitExceededException"),
        ("", "", "UnknownOperationException"),
        ("longshore", "CreateAccessKey", "InternalFailure"),
    ]
    limit, unknown, bug = heard.refusals
    assert (limit.caller, limit.given, limit.source) == (CALLER, {"userName": "ada"}, "192.0.2.7")
    assert (unknown.caller, unknown.given, unknown.operation) == (None, None, "")
    assert (bug.error.status, bug.caller) == (500, CALLER)


def test_a_caller_who_may_not_is_known_to_the_observer() -> None:
    def refuse(call: Call, _asked: Mapping[str, Any]) -> None:
        raise AwsError("AccessDeniedException", "No.", 403)

    heard = Heard()
    answer(endpoint(Handlers(), authorize=refuse, observer=heard))
    assert (heard.refusals[0].caller, heard.refusals[0].given) == (CALLER, {"userName": "ada"})


def test_an_observer_that_fails_costs_nobody_an_answer() -> None:
    with capture_logs() as logs:
        answered = answer(endpoint(Handlers(), observer=Heard(error=OSError("disk full"))), body=b"{}")
    assert answered.code == "InvalidInputException"
    assert [line["event"] for line in logs] == ["answer_not_recorded"]
