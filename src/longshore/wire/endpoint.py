"""The HTTP endpoint of AWS services: one request's whole life, from body to body, in whichever protocol it comes.

    read → find the operation → check the content type → authenticate → decode → authorize → check → handle → encode

Plain ASGI 3 and one message out each for head and body: this path is what every poll of every host runs through.
The Date header is the server's (uvicorn sends it, for every application behind it).
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from botocore.model import OperationModel

from longshore.wire.aws_json import AwsJson
from longshore.wire.aws_query import AwsQuery
from longshore.wire.constraints import Check, Checks, anything_goes, first_error
from longshore.wire.ec2_query import Ec2Query
from longshore.wire.protocol import LOOK_UP, Answer, Codec, MalformedError, Protocol, Request, signing_name
from longshore.wire.rpc_v2_cbor import RpcV2Cbor
from longshore.wire.service import Answered, Authorizer, AwsError, Call, Caller, Handler, Observer, Service

log = structlog.stdlib.get_logger()

#: The largest body read; a larger one is answered without looking at it.
MAX_BODY = 4 * 1024 * 1024
#: How much of a body that is too large is still read and dropped, so that its sender gets to see the answer.
MAX_DROPPED = 64 * 1024 * 1024

_UNAVAILABLE = "ServiceUnavailable"

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

#: (method, raw path, raw query, headers by lower-case name, body, names the signature may be scoped to, the address it
#: came from) -> who signed the request. Raises AwsError.
Authenticate = Callable[[str, str, str, Mapping[str, str], bytes, frozenset[str], str], Awaitable[Caller]]


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
    codec: Codec
    check: Check


class _Known:
    """What is known of a request so far, for its observer."""

    __slots__ = ("call", "given", "headers", "id", "is_secure", "operation", "output", "source")

    def __init__(self, scope: Scope, headers: Mapping[str, str]) -> None:
        self.id = _request_id()
        self.source = _peer(scope)
        self.is_secure = scope.get("scheme") == "https"
        self.headers = headers
        self.operation: _Operation | None = None
        self.call: Call | None = None
        self.given: Mapping[str, Any] | None = None
        self.output: Mapping[str, Any] | None = None

    @property
    def name(self) -> tuple[str, str]:
        """The service and operation; "" for what is not known."""
        known = self.operation
        return (known.service.model.service_name, known.model.name) if known is not None else ("", "")

    def answered(self, status: int, error: AwsError | None, now: float, seconds: float) -> Answered:
        """All of it, now that there is an answer."""
        service, operation = self.name
        call = self.call
        return Answered(
            request_id=self.id,
            now=now if call is None else call.now,
            seconds=seconds,
            status=status,
            error=error,
            source=self.source,
            service=service,
            operation=operation,
            headers=self.headers,
            caller=None if call is None else call.caller,
            given=self.given,
            output=self.output,
        )


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
        passing: tuple[type[Exception], ...] = (),
    ) -> None:
        """`passing` are errors of what is behind us that pass by themselves: the client is asked to try again."""
        self._authenticate = authenticate
        self._authorize = authorize
        self._now = now
        self._observer = observer or Observer()
        self._passing = passing
        self._json = AwsJson(services)
        # EC2's is told from the other query protocol by what a request is signed for.
        self._protocols: tuple[Protocol, ...] = (
            RpcV2Cbor(services),
            self._json,
            Ec2Query(services),
            AwsQuery(services),
        )
        self._signing_names = {name for service in services for name in service.signing_names}
        self._checks = {service.model.service_name: Checks(service.overlay) for service in services}
        #: By protocol and what that calls them, made ready as they are first called: most of a model lies idle.
        self._operations: dict[tuple[str, str], _Operation] = {}

    def serves(self, target: str) -> bool:
        """Does this X-Amz-Target name one of the services here?"""
        return self._json.serves(target)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        known = _Known(scope, _headers(scope["headers"]))
        query = scope["query_string"].decode("latin-1")
        protocol = self._protocol(known.headers, query)
        asked = ""
        failure: AwsError | None = None
        try:
            path = scope.get("raw_path") or scope["path"].encode()
            request = Request(scope["method"], path.decode("latin-1"), query, known.headers, await _read(receive))
            asked = protocol.asks_for(request)
            if not asked:
                self._require_service(request)
            known.operation = operation = await self._operation(protocol, request.method, asked)
            answer = Answer(200, operation.codec.headers, await self._answer(known, operation, request, receive))
            if operation.model.name in operation.service.unrecorded:
                await self._observer.changed(known.answered(200, None, self._now(), time.perf_counter() - began))
        except ClientGoneError:
            return
        except AwsError as error:
            failure = error
            if error.status >= 500:
                log.error("request_failed", request_id=known.id, target=asked, code=error.code, reason=error.message)
        except self._passing as error:
            log.error("request_failed", request_id=known.id, target=asked, code=_UNAVAILABLE, reason=str(error))
            failure = AwsError(
                _UNAVAILABLE, f"Try again: what this server needs for its answer is away. {known.id}", 503
            )
        except Exception:
            log.exception("request_failed", request_id=known.id, target=asked, code="InternalFailure")
            failure = AwsError("InternalFailure", f"The server failed; its log says why under {known.id}.", 500)
        if failure is not None:
            answer = protocol.error(failure, known.id, known.operation and known.operation.model)
        await self._tell(known.answered(answer.status, failure, self._now(), time.perf_counter() - began))
        await _send(send, known.id, answer)

    async def _answer(self, known: _Known, operation: _Operation, request: Request, receive: Receive) -> bytes:
        _require_content_type(operation.codec, request)
        caller = await self._authenticate(
            request.method,
            request.path,
            request.query,
            request.headers,
            request.body,
            operation.service.signing_names,
            known.source,
        )
        known.call = call = Call(
            caller=caller,
            request_id=known.id,
            now=self._now(),
            service=operation.service.model.service_name,
            operation=operation.model.name,
            headers=request.headers,
            source=known.source,
            is_secure=known.is_secure,
        )
        # What may be done depends on what it is done to. A caller who may not is told so before anything else: what is
        # wrong with the values of an input could tell of things that are none of its business.
        known.given = given = _decoded(operation, request)
        await self._authorize(call, given)
        _check(operation, given)
        if operation.handler is None:
            raise AwsError("OperationNotSupportedException", f"{call.operation} is not supported here. {LOOK_UP}")
        if operation.waits:
            output = await _unless_gone(operation.handler(call, given), receive)
        else:
            output = await operation.handler(call, given)
        known.output = output
        return operation.codec.encode(output or {}, known.id)

    async def _tell(self, answer: Answered) -> None:
        """Let the observer know; what goes wrong there must not cost the client its answer."""
        try:
            self._observer.answered(answer)
            if answer.error is not None:
                await self._observer.refused(answer)
        except Exception:
            log.exception("answer_not_recorded", request_id=answer.request_id, code=answer.code)

    def _require_service(self, request: Request) -> None:
        """Tell a client that was made for a service of another protocol, and not that its requests lack something."""
        authorization = request.headers.get("authorization", "").encode("latin-1")
        name = signing_name(authorization, request.query.encode("latin-1"))
        if name is not None and name not in self._signing_names:
            raise AwsError("UnknownOperationException", f"No service that signs as {name[:100]!r} is known here.", 404)

    def _protocol(self, headers: Mapping[str, str], query: str) -> Protocol:
        """The protocol of a request; one that is in none is answered in JSON."""
        for protocol in self._protocols:
            if protocol.is_in(headers, query):
                return protocol
        return self._json

    async def _operation(self, protocol: Protocol, method: str, asked: str) -> _Operation:
        """The operation asked for, planned on first use; unknown ones are never remembered."""
        operation = self._operations.get((protocol.name, asked))
        if operation is None:
            # It may take the reading of a large model: EC2's is 60 ms.
            operation = await asyncio.to_thread(self._plan, protocol, asked)
            self._operations[protocol.name, asked] = operation
        if method not in protocol.methods:
            raise AwsError("UnknownOperationException", f"{asked[:200]} is not called with {method[:20]}.", 405)
        return operation

    def _plan(self, protocol: Protocol, asked: str) -> _Operation:
        service, model = protocol.find(asked)
        inputs = model.input_shape
        return _Operation(
            service=service,
            model=model,
            handler=service.handlers.get(model.name),
            waits=model.name in service.waits,
            codec=protocol.codec(service, model),
            check=self._checks[service.model.service_name].plan(inputs) if inputs is not None else anything_goes,
        )


def _peer(scope: Scope) -> str:
    client = scope.get("client")
    return client[0] if client else ""


def _request_id() -> str:
    """A version 4 UUID. Nobody must be kept from guessing it; the system's randomness takes ten times as long."""
    digits = f"{random.getrandbits(128):032x}"
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


def _require_content_type(codec: Codec, request: Request) -> None:
    allowed = codec.content_types
    given = request.headers.get("content-type", "")
    if not allowed or given in allowed or given.partition(";")[0].strip().lower() in allowed:
        return
    wanted = " or ".join(sorted(allowed))
    raise AwsError("UnsupportedMediaTypeException", f"The content type must be {wanted}, not {given[:100]!r}.", 415)


def _decoded(operation: _Operation, request: Request) -> dict[str, Any]:
    """The input, of the right types."""
    try:
        return operation.codec.decode(request)
    except MalformedError as problem:
        raise AwsError("SerializationException", str(problem)) from None


def _check(operation: _Operation, given: dict[str, Any]) -> None:
    """Raise the error of an input that is not within its constraints."""
    if broken := operation.check(given):
        raise first_error(operation.model, broken, operation.service.explain)


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


async def _send(send: Send, request_id: str, answer: Answer) -> None:
    headers = [
        (b"x-amzn-requestid", request_id.encode()),
        (b"content-length", b"%d" % len(answer.body)),
        *answer.headers,
    ]
    if answer.status == 413:
        headers.append((b"connection", b"close"))  # some of the body may be unread
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
