"""The HTTP endpoint of AWS JSON services: one request's whole life, from body to body.

    read → find the operation → check the content type → authenticate → decode → authorize → check → handle → encode

Plain ASGI 3 and one message out each for head and body: this path is what every poll of every host runs through.
The Date header is the server's (uvicorn sends it, for every application behind it).
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from botocore.model import OperationModel

from longshore.wire import aws_json
from longshore.wire.aws_json import MalformedError
from longshore.wire.constraints import Check, Checks, anything_goes, first_error
from longshore.wire.service import Authorizer, AwsError, Call, Caller, Handler, Observer, Refusal, Service

log = structlog.stdlib.get_logger()

#: The largest body read; a larger one is answered without looking at it.
MAX_BODY = 4 * 1024 * 1024
#: How much of a body that is too large is still read and dropped, so that its sender gets to see the answer.
MAX_DROPPED = 64 * 1024 * 1024

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

#: (method, raw path, raw query, headers by lower-case name, body, names the signature may be scoped to) -> who signed
#: the request. Raises AwsError.
Authenticate = Callable[[str, str, str, Mapping[str, str], bytes, frozenset[str]], Caller]


class ClientGoneError(Exception):
    """The client hung up; nobody is left to answer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Operation:
    """Everything a request for one operation needs, made once."""

    service: Service
    model: OperationModel
    #: None for an operation that is in the model and not served yet.
    handler: Handler | None
    waits: bool
    decode: aws_json.Plan
    check: Check
    #: None when the operation has no output.
    encode: aws_json.Plan | None
    content_types: frozenset[str]
    response_type: bytes


class _Request:
    """What is known of a request so far, for its observer."""

    __slots__ = ("call", "given", "headers", "id", "operation", "source")

    def __init__(self, source: str) -> None:
        self.id = _request_id()
        self.source = source
        self.headers: Mapping[str, str] = {}
        self.operation: _Operation | None = None
        self.call: Call | None = None
        self.given: Mapping[str, Any] | None = None

    @property
    def name(self) -> tuple[str, str]:
        """The service and operation; "" for what is not known."""
        known = self.operation
        return (known.service.model.service_name, known.model.name) if known is not None else ("", "")


class Endpoint:
    """Answers the operations of several services; an ASGI application for HTTP."""

    def __init__(
        self,
        services: Sequence[Service],
        authenticate: Authenticate,
        authorize: Authorizer,
        *,
        now: Callable[[], float],
        observer: Observer | None = None,
    ) -> None:
        self._authenticate = authenticate
        self._authorize = authorize
        self._now = now
        self._observer = observer or Observer()
        self._known = {prefix: _Plans(service) for service in services for prefix in service.target_prefixes}
        self._operations: dict[str, _Operation] = {}

    def serves(self, target: str) -> bool:
        """Does this X-Amz-Target name one of the services here?"""
        return target.partition(".")[0] in self._known

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        request = _Request(_peer(scope))
        content_type = _DEFAULT_TYPE
        code = ""
        target = ""
        try:
            body = await _read(receive)
            request.headers = headers = _headers(scope["headers"])
            target = headers.get("x-amz-target", "")
            request.operation = operation = self._operation(scope["method"], target)
            content_type = operation.response_type
            answer = await self._answer(request, operation, scope, body, receive)
        except ClientGoneError:
            return
        except AwsError as error:
            failure: AwsError | None = error
            if error.status >= 500:
                log.error("request_failed", request_id=request.id, target=target, code=error.code, reason=error.message)
        except Exception:
            log.exception("request_failed", request_id=request.id, target=target, code="InternalFailure")
            failure = AwsError("InternalFailure", f"The server failed; its log says why under {request.id}.", 500)
        else:
            failure = None
        if failure is not None:
            code = failure.code
            await self._tell(request, failure)
        self._observer.answered(*request.name, code, time.perf_counter() - began)
        if failure is not None:
            await _send_error(send, request.id, content_type, failure)
        else:
            await _send(send, 200, request.id, content_type, answer)

    async def _answer(
        self, request: _Request, operation: _Operation, scope: Scope, body: bytes, receive: Receive
    ) -> bytes:
        headers = request.headers
        _require_content_type(operation, headers)
        raw_path = scope.get("raw_path") or scope["path"].encode()
        caller = self._authenticate(
            scope["method"],
            raw_path.decode("latin-1"),
            scope["query_string"].decode("latin-1"),
            headers,
            body,
            operation.service.signing_names,
        )
        request.call = call = Call(
            caller=caller,
            request_id=request.id,
            now=self._now(),
            service=operation.service.model.service_name,
            operation=operation.model.name,
            headers=headers,
            source=request.source,
        )
        # What may be done depends on what it is done to. A caller who may not is told so before anything else: what is
        # wrong with the values of an input could tell of things that are none of its business.
        request.given = given = _decoded(operation, body)
        self._authorize(call, given)
        _check(operation, given)
        if operation.handler is None:
            raise AwsError("OperationNotSupportedException", f"{call.operation} is not supported yet by this server.")
        if operation.waits:
            output = await _unless_gone(operation.handler(call, given), receive)
        else:
            output = await operation.handler(call, given)
        return _encoded(operation, output)

    async def _tell(self, request: _Request, error: AwsError) -> None:
        """Let the observer know of an error; what goes wrong there must not cost the client its answer."""
        service, operation = request.name
        refusal = Refusal(
            error=error,
            request_id=request.id,
            now=self._now(),
            source=request.source,
            service=service,
            operation=operation,
            headers=request.headers,
            caller=request.call.caller if request.call is not None else None,
            given=request.given,
        )
        try:
            await self._observer.refused(refusal)
        except Exception:
            log.exception("refusal_not_recorded", request_id=request.id, code=error.code)

    def _operation(self, method: str, target: str) -> _Operation:
        """The operation a target names, planned on first use; unknown ones are never remembered."""
        operation = self._operations.get(target)
        if operation is None or method != "POST":
            operation = self._find(method, target)
            self._operations[target] = operation
        return operation

    def _find(self, method: str, target: str) -> _Operation:
        if not target:
            raise AwsError("MissingAction", "The request names no operation: it has no X-Amz-Target header.", 400)
        if method != "POST":
            raise AwsError("UnknownOperationException", f"{target[:200]} is called with POST, not {method[:20]}.", 405)
        prefix, _, name = target.partition(".")
        plans = self._known.get(prefix)
        if plans is None or name not in plans.service.model.operation_names:
            raise AwsError("UnknownOperationException", f"No operation {target[:200]!r} is known here.", 404)
        return plans.operation(name)


class _Plans:
    """One service's operations, made ready as they are first called: its model is large and most of it lies idle."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._decoders = aws_json.Decoders()
        self._encoders = aws_json.Encoders()
        self._checks = Checks(service.overlay)

    def operation(self, name: str) -> _Operation:
        model = self.service.model.operation_model(name)
        inputs, outputs = model.input_shape, model.output_shape
        media_type = f"application/x-amz-json-{self.service.model.metadata.get('jsonVersion', '1.1')}"
        return _Operation(
            service=self.service,
            model=model,
            handler=self.service.handlers.get(name),
            waits=name in self.service.waits,
            decode=self._decoders.plan(inputs) if inputs is not None else _nothing,
            check=self._checks.plan(inputs) if inputs is not None else anything_goes,
            encode=self._encoders.plan(outputs) if outputs is not None else None,
            content_types=frozenset({media_type, "application/json"}),
            response_type=media_type.encode(),
        )


_DEFAULT_TYPE = b"application/x-amz-json-1.1"


def _nothing(_node: Any) -> dict[str, Any]:
    return {}


def _peer(scope: Scope) -> str:
    client = scope.get("client")
    return client[0] if client else ""


def _request_id() -> str:
    """A version 4 UUID; the uuid module takes ten times as long over it."""
    digits = os.urandom(16).hex()
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


async def _read(receive: Receive) -> bytes:
    """The whole body. Nearly always it comes in one message."""
    message = await receive()
    body: bytes = message.get("body", b"")
    size = len(body)
    chunks = [body]
    while message.get("more_body", False):
        message = await receive()
        chunk = message.get("body", b"")
        size += len(chunk)
        if size <= MAX_BODY:
            chunks.append(chunk)
        elif size > MAX_DROPPED:
            break
    if message["type"] == "http.disconnect":
        raise ClientGoneError
    if size > MAX_BODY:
        raise AwsError("RequestEntityTooLargeException", f"The body is larger than {MAX_BODY} bytes.", 413)
    return body if len(chunks) == 1 else b"".join(chunks)


def _headers(raw: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers by lower-case name; repeated ones joined with a comma, as signatures see them."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in raw}
    if len(headers) < len(raw):
        headers = {}
        for key, value in raw:
            name, text = key.decode("latin-1"), value.decode("latin-1")
            headers[name] = f"{headers[name]},{text}" if name in headers else text
    return headers


def _require_content_type(operation: _Operation, headers: Mapping[str, str]) -> None:
    given = headers.get("content-type", "")
    if given in operation.content_types or given.partition(";")[0].strip().lower() in operation.content_types:
        return
    wanted = operation.response_type.decode()
    raise AwsError("UnsupportedMediaTypeException", f"The content type must be {wanted}, not {given[:100]!r}.", 415)


def _decoded(operation: _Operation, body: bytes) -> dict[str, Any]:
    """The input, of the right types."""
    try:
        given: dict[str, Any] = operation.decode(aws_json.parse(body))
    except MalformedError as problem:
        raise AwsError("SerializationException", str(problem)) from None
    return given


def _check(operation: _Operation, given: dict[str, Any]) -> None:
    """Raise the error of an input that is not within its constraints."""
    if broken := operation.check(given):
        raise first_error(operation.model, broken, operation.service.explain)


def _encoded(operation: _Operation, output: Mapping[str, Any] | None) -> bytes:
    if not output:
        return b"{}"
    if operation.encode is None:
        raise aws_json.WrongOutputError(f"{operation.model.name} has no output, but its handler returned one")
    return aws_json.render(operation.encode(output))


async def _unless_gone(answer: Awaitable[Mapping[str, Any] | None], receive: Receive) -> Mapping[str, Any] | None:
    """A slow handler's answer; when the client hangs up first, the handler is cancelled and ClientGoneError raised."""
    serving = asyncio.current_task()
    assert serving is not None
    is_gone = False

    async def cancel_when_gone() -> None:
        nonlocal is_gone
        while (await receive())["type"] != "http.disconnect":
            pass
        is_gone = True
        serving.cancel()

    listening = asyncio.create_task(cancel_when_gone())
    try:
        return await answer
    except asyncio.CancelledError:
        # A server that shuts down cancels too; only a cancellation of our own making may be taken back.
        if is_gone and serving.uncancel() == 0:
            raise ClientGoneError from None
        raise
    finally:
        listening.cancel()


async def _send_error(send: Send, request_id: str, content_type: bytes, error: AwsError) -> None:
    extra = [(b"x-amzn-errortype", error.code.encode("latin-1", "replace"))]
    if error.status == 413:
        extra.append((b"connection", b"close"))  # some of the body may be unread
    await _send(send, error.status, request_id, content_type, aws_json.render_error(error.code, error.message), extra)


async def _send(
    send: Send,
    status: int,
    request_id: str,
    content_type: bytes,
    body: bytes,
    extra: Sequence[tuple[bytes, bytes]] = (),
) -> None:
    headers = [
        (b"x-amzn-requestid", request_id.encode()),
        (b"content-type", content_type),
        (b"content-length", b"%d" % len(body)),
        *extra,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
