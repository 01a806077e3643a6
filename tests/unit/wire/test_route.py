"""Which application a request goes to."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from longshore import models
from longshore.wire.constraints import explain_as
from longshore.wire.endpoint import Endpoint, Message, Receive, Scope, Send
from longshore.wire.route import Router
from longshore.wire.service import AwsError, Caller, Service

SIGNED = "AWS4-HMAC-SHA256 Credential=AKID/20261123/us-east-1/{}/aws4_request, SignedHeaders=host, Signature=0"
TARGET = ("x-amz-target", "Longshore_20261123.ListAccessKeys")


def named(name: str) -> Any:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 299, "headers": []})
        await send({"type": "http.response.body", "body": name.encode()})

    return app


async def allowed(*_call: Any) -> None:
    pass


async def refuse(*_request: Any) -> Caller:
    raise AwsError("MissingAuthenticationTokenException", "unsigned", 403)


def router() -> Router:
    service = Service(
        model=models.load("longshore"),
        handlers={},
        explain=explain_as("InvalidInputException"),
        signing_names=frozenset({"longshore"}),
        target_prefixes=frozenset({"Longshore_20261123"}),
    )
    endpoint = Endpoint([service], refuse, allowed, now=lambda: 0.0)
    return Router(
        endpoint,
        {"s3": named("s3"), "ec2": named("ec2")},
        named("fallback"),
        pages={"/healthz": named("page")},
        greeting="Longshore\n",
    )


def ask(method: str, path: str, *headers: tuple[str, str], query: str = "") -> tuple[int, str]:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in headers],
    }
    asyncio.run(router()(scope, receive, send))
    return sent[0]["status"], sent[1]["body"].decode("latin-1")


def signed(service: str) -> tuple[str, str]:
    return ("authorization", SIGNED.format(service))


@pytest.mark.parametrize(
    ("request_", "app"),
    [
        (("PUT", "/bucket/key", signed("s3")), "s3"),
        (("GET", "/", signed("s3")), "s3"),
        (("POST", "/", signed("ec2")), "ec2"),
        (("POST", "/", ("x-amz-target", "Other_1.Do"), signed("ec2")), "ec2"),
        (("GET", "/bucket/key"), "fallback"),
        (("HEAD", "/bucket"), "fallback"),
        (("OPTIONS", "/bucket/key"), "fallback"),
        (("GET", "/bucket/key", ("authorization", "Bearer token")), "fallback"),
        (("GET", "/healthz"), "page"),
        (("HEAD", "/healthz", ("authorization", "Bearer token")), "page"),
        (("GET", "/healthz", signed("s3")), "s3"),
        (("PUT", "/healthz"), "fallback"),
        (("GET", "/healthz/"), "fallback"),
    ],
)
def test_a_signature_or_its_absence_chooses_the_application(request_: Any, app: str) -> None:
    assert ask(*request_) == (299, app)


def test_an_old_presigned_url_of_a_bucket_named_like_a_page_is_no_look_at_the_page() -> None:
    assert ask("GET", "/healthz", query="AWSAccessKeyId=AKID&Expires=1&Signature=s") == (299, "fallback")


@pytest.mark.parametrize(
    "credential", ["AKID/20261123/us-east-1/s3/aws4_request", "AKID%2F20261123%2Fus-east-1%2Fs3%2Faws4_request"]
)
def test_a_presigned_url_goes_where_it_was_signed_for(credential: str) -> None:
    query = f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={credential}&X-Amz-Expires=60"
    assert ask("GET", "/bucket/key", query=query) == (299, "s3")


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        (("POST", "/", TARGET, ("content-type", "application/json")), 403, "MissingAuthenticationTokenException"),
        (("POST", "/", TARGET, signed("s3"), ("content-type", "application/json")), 403, "MissingAuthentication"),
        (("POST", "/", ("x-amz-target", "Other_1.Do")), 404, "UnknownOperationException"),
        (("POST", "/service/S/operation/O", ("smithy-protocol", "rpc-v2-cbor")), 404, "UnknownOperationException"),
        (("PUT", "/bucket/key", ("smithy-protocol", "rpc-v2-json"), signed("s3")), 404, "only rpc-v2-cbor is spoken"),
        (("POST", "/", signed("sqs")), 404, "UnknownOperationException"),
        (("POST", "/"), 400, "MissingAction"),
        (("DELETE", "/"), 400, "MissingAction"),
    ],
)
def test_the_endpoint_answers_its_targets_and_what_nobody_else_can(request_: Any, status: int, code: str) -> None:
    answered, body = ask(*request_)
    assert answered == status
    assert code in body


def test_a_look_at_the_root_is_greeted() -> None:
    assert ask("GET", "/") == (200, "Longshore\n")
    assert ask("HEAD", "/") == (200, "")


def test_what_is_not_http_goes_to_the_fallback() -> None:
    heard: list[str] = []

    async def fallback(scope: Scope, _receive: Receive, _send: Send) -> None:
        heard.append(scope["type"])

    app = Router(Endpoint([], refuse, allowed, now=lambda: 0.0), {}, fallback)
    asyncio.run(app({"type": "lifespan"}, None, None))  # type: ignore[arg-type]
    assert heard == ["lifespan"]


def test_a_hostile_authorization_header_costs_little() -> None:
    assert ask("GET", "/key", ("authorization", "Credential=" * 50_000 + "/" * 50_000)) == (299, "fallback")
