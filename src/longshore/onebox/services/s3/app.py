"""S3 as an ASGI application: one request's whole life."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple, TypeVar

import anyio
from anyio import CapacityLimiter, to_thread
from starlette.types import Receive, Scope, Send

from longshore.auth import sigv4
from longshore.auth.keyring import Keyring, SigningKey
from longshore.auth.keys import Key, PrincipalKind
from longshore.auth.sigv2 import authenticate_presigned, is_presigned
from longshore.onebox.machinery.objects import ObjectStore, StoreRefusal
from longshore.onebox.services.s3.address import bucket_and_key, query_of, resource_of
from longshore.onebox.services.s3.call import Answer, Call, Receiver, Slice
from longshore.onebox.services.s3.errors import S3Error, from_signature, from_store
from longshore.onebox.services.s3.routes import CHANGES, operation_name, receiver_for
from longshore.wire.service import Answered, AwsError, Caller, Observer

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Seconds a client may keep us waiting for its next bytes, or for room for ours.
PATIENCE = 60.0
#: Bytes handled in one step of a thread: so much of a body is in memory, and no more.
_BLOCK = 2**20
_THREADS = 32
#: Condition keys that a listing's query gives.
_KEYS = ("prefix", "delimiter", "max-keys", "versionId")


class Asked(NamedTuple):
    """What somebody wants to do, as who decides about it sees it."""

    #: As in ``s3:GetObject``.
    action: str
    #: The ARN of a bucket or object, or ``*``.
    resource: str
    #: The region the request was signed for; None for an old presigned URL, which is good in any.
    region: str | None
    #: S3's own condition keys, in lower case.
    keys: Mapping[str, Sequence[str]]
    #: The address the request came from; "" where there is none.
    source: str
    is_secure: bool


#: Why a key may not do something, or None when it may.
WhyNot = Callable[[Key, Asked], str | None]


def owner_only(key: Key, asked: Asked) -> str | None:
    """Without policies: the account's owner may do everything, and the control plane too."""
    if key.kind in (PrincipalKind.ROOT, PrincipalKind.SERVICE):
        return None
    return f"because no identity-based policy allows the {asked.action} action"


class ClientGone(Exception):  # noqa: N818, nobody's error: there is just nobody left to tell
    """The connection ended before the request did."""


class S3:
    """Amazon S3's REST API over an ObjectStore, as an ASGI 3 application."""

    def __init__(
        self,
        store: ObjectStore,
        keyring: Keyring,
        *,
        now: Callable[[], float],
        why_not: WhyNot = owner_only,
        base_hosts: Collection[str] = ("localhost",),
        observer: Observer | None = None,
    ) -> None:
        """`now` gives epoch seconds. `base_hosts` are the host names under which ``bucket.<host>`` names a bucket.

        `why_not` decides about everything anybody wants to do here; it may block.
        """
        self._why_not = why_not
        self._store = store
        self._keyring = keyring
        self._now = now
        self._base_hosts = tuple(host.lower() for host in base_hosts)
        self._threads = CapacityLimiter(_THREADS)
        self._observer = observer or Observer()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        assert scope["type"] == "http"
        known = _Known(request_id=secrets.token_hex(8).upper(), began=time.perf_counter())
        error: S3Error | None = None
        body = _Body(scope, receive)
        try:
            try:
                answer = await self._answer(scope, body, known)
            except S3Error as refused:
                error = refused
            except StoreRefusal as refusal:
                error = from_store(refusal)
            except ClientGone:
                return
            except Exception:
                log.exception("s3_request_failed request_id=%s", known.request_id)
                error = S3Error("InternalError")
            if error is not None:
                answer = Answer(
                    status=error.status,
                    headers={"content-type": "application/xml", **error.headers},
                    body=error.as_xml(scope["path"], known.request_id),
                )
            if body.is_unread:
                # What is left of the body would be taken for the next request.
                answer = replace(answer, headers={**answer.headers, "connection": "close"})
            await self._tell(known, scope, answer.status, error)
            await self._send(answer, scope, send, known.request_id)
        except TimeoutError:
            log.warning("s3_client_stalled request_id=%s", known.request_id)
            raise

    async def _tell(self, known: _Known, scope: Scope, status: int, error: S3Error | None) -> None:
        """Let the observer know; what goes wrong there must not cost the client its answer."""
        call, asked = known.call, known.asked
        operation = operation_name(asked) if asked is not None else ""
        client = scope.get("client")
        refused = error is not None and status >= 400
        answer = Answered(
            request_id=known.request_id,
            now=self._now() if call is None else call.now,
            seconds=time.perf_counter() - known.began,
            status=status,
            error=AwsError(error.code, error.message, status) if error is not None and refused else None,
            source=client[0] if client else "",
            service="s3",
            operation=operation,
            headers={name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
            caller=None if call is None else _caller(call),
            given=asked and {"bucket": asked.bucket or (), "key": asked.key or (), **(call.told if call else {})},
            output=None,
        )
        try:
            self._observer.answered(answer)
            if refused:
                await self._observer.refused(answer)
            elif operation in CHANGES:
                await self._observer.changed(answer)
        except Exception:
            log.exception("s3_answer_not_recorded request_id=%s", known.request_id)

    async def _answer(self, scope: Scope, body: _Body, known: _Known) -> Answer:
        known.call = call = await self._in_thread(self._read, scope, known)
        receiver = _OneAtATime(await self._in_thread(receiver_for, call))
        try:
            async for block in body.blocks():
                await self._in_thread(receiver.feed, block)
            return await self._in_thread(receiver.finish)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self._in_thread(receiver.abandon)
            raise

    def _read(self, scope: Scope, known: _Known) -> Call:
        """Who asks for what. Raises S3Error."""
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        path, query = scope["raw_path"].decode("latin-1"), scope["query_string"].decode("latin-1")
        request = sigv4.SignedRequest(scope["method"], path, query, headers)
        resource = resource_of(dict(headers).get("host", ""), path, self._base_hosts)
        problem: S3Error | None = None
        try:
            bucket, key = bucket_and_key(resource)
            asked_in_query = query_of(query)
            known.asked = _Asked(request.method, bucket, key, asked_in_query, dict(headers))
        except S3Error as malformed:
            problem = malformed
        # Who signed comes before what is wrong with it.
        signed = self._signed(request, resource)
        if problem is not None:
            raise problem
        client = scope.get("client")

        def why_not(action: str, resource: str) -> str | None:
            return self._why_not(
                signed.key,
                Asked(
                    action=action,
                    resource=resource,
                    region=signed.region,
                    keys={f"s3:{name.lower()}": [asked_in_query[name]] for name in _KEYS if name in asked_in_query},
                    source=client[0] if client else "",
                    is_secure=scope.get("scheme") == "https",
                ),
            )

        return Call(
            store=self._store,
            method=request.method,
            bucket=bucket,
            key=key,
            query=asked_in_query,
            headers=signed.headers,
            caller=signed.key,
            region=signed.region,
            payload=signed.payload,
            sequence=signed.sequence,
            request_id=known.request_id,
            now=self._now(),
            why_not=why_not,
        )

    def _signed(self, request: sigv4.SignedRequest, resource: str) -> _Signed:
        now = self._now()
        is_old = is_presigned(request.query)
        try:
            if is_old:
                presigned = authenticate_presigned(request, self._keyring, resource=resource, now=now)
                return _Signed(presigned.key, None, presigned.headers, sigv4.UNSIGNED_PAYLOAD, None)
            claim = sigv4.read_claim(request)
            signer = sigv4.authenticate(request, self._keyring, body_sha256=None, now=now, services=("s3",))
        except sigv4.SignatureRefused as refused:
            raise from_signature(refused, presigned=is_old or "X-Amz-Signature" in request.query) from None
        signing_key = self._keyring.signing_key(signer.key, claim.date, claim.region, claim.service)
        return _Signed(signer.key, signer.region, claim.headers, claim.payload or "", (claim, signing_key))

    async def _send(self, answer: Answer, scope: Scope, send: Send, request_id: str) -> None:
        # Date, which SDKs set their clocks by, comes from the HTTP server: uvicorn adds it to every response.
        headers = {"x-amz-request-id": request_id, **answer.headers}
        body = answer.body
        try:
            if isinstance(body, bytes) and answer.status not in (204, 304):
                headers.setdefault("content-length", str(len(body)))
            await self._send_message(
                send,
                {
                    "type": "http.response.start",
                    "status": answer.status,
                    "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()],
                },
            )
            if scope["method"] == "HEAD" or answer.status in (204, 304):
                await self._send_message(send, {"type": "http.response.body"})
            elif isinstance(body, bytes):
                await self._send_message(send, {"type": "http.response.body", "body": body})
            else:
                await self._send_slice(send, body)
        finally:
            if isinstance(body, Slice):
                with anyio.CancelScope(shield=True):
                    await self._in_thread(body.reading.close)

    async def _send_slice(self, send: Send, content: Slice) -> None:
        position, end = content.start, content.start + content.size
        while position < end:
            block = await self._in_thread(content.reading.read, position, min(_BLOCK, end - position))
            if not block:
                # The disk lost what the index has; better a broken connection than a short object.
                raise OSError(f"content of {content.reading.object.key!r} is shorter than it was")
            position += len(block)
            await self._send_message(send, {"type": "http.response.body", "body": block, "more_body": True})
        await self._send_message(send, {"type": "http.response.body"})

    async def _send_message(self, send: Send, message: dict[str, object]) -> None:
        with anyio.fail_after(PATIENCE):
            await send(message)

    async def _in_thread(self, function: Callable[..., T], *args: object) -> T:
        return await to_thread.run_sync(partial(function, *args), limiter=self._threads)


class _Asked(NamedTuple):
    """What a request asks for, whoever signed it."""

    method: str
    bucket: str
    key: str
    query: Mapping[str, str]
    headers: Mapping[str, str]


@dataclass(kw_only=True, slots=True)
class _Known:
    """What is known of a request so far, for the observer."""

    request_id: str
    #: time.perf_counter.
    began: float
    asked: _Asked | None = None
    #: Once its signature is found to be right.
    call: Call | None = None


class _Signed(NamedTuple):
    """Who signed a request, and what of it the signature vouches for; the members are those of Call."""

    key: Key
    region: str | None
    headers: Mapping[str, str]
    payload: str
    sequence: tuple[sigv4.Claim, SigningKey] | None


class _Body:
    """A request's body, and whether it has come to its end."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._receive = receive
        headers = dict(scope["headers"])
        self.is_unread = b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"

    async def blocks(self) -> AsyncIterator[bytes]:
        """The body in blocks of about `_BLOCK`. Raises RequestTimeout, or ClientGone."""
        waiting = bytearray()
        more = True
        while more:
            try:
                with anyio.fail_after(PATIENCE):
                    message = await self._receive()
            except TimeoutError:
                raise S3Error("RequestTimeout") from None
            if message["type"] == "http.disconnect":
                raise ClientGone
            waiting += message.get("body", b"")
            more = message.get("more_body", False)
            self.is_unread = more
            if waiting and (len(waiting) >= _BLOCK or not more):
                block, waiting = bytes(waiting), bytearray()
                yield block


class _OneAtATime:
    """Lets a cancelled request's last step end before what it received is abandoned."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._lock = threading.Lock()

    def feed(self, data: bytes) -> None:
        with self._lock:
            self._receiver.feed(data)

    def finish(self) -> Answer:
        with self._lock:
            return self._receiver.finish()

    def abandon(self) -> None:
        with self._lock:
            self._receiver.abandon()


def _caller(call: Call) -> Caller:
    key = call.caller
    return Caller(account=key.account, region=call.region or "", arn=key.principal_arn, access_key_id=key.access_key_id)
