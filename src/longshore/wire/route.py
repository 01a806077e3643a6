"""Which application answers a request: one port serves every service."""

from __future__ import annotations

from collections.abc import Mapping

from longshore.wire.endpoint import ASGIApp, Endpoint, Receive, Scope, Send
from longshore.wire.protocol import signing_name


class Router:
    """The application at the top.

    A target the endpoint knows, or one of Smithy's protocols, goes to the endpoint; a signature for a service in
    `by_signing_name` goes there; any other signed request, and an unsigned one for "/" that is no mere look, goes to
    the endpoint, which says what is wrong with it; a look at "/" with one of the Actions `unsigned`, as links in
    messages have it, is answered by that, and any other look at "/" is greeted. The rest is unsigned and has a path: a
    look at one of `pages` is answered by that, anything else by `fallback`.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        by_signing_name: Mapping[str, ASGIApp],
        fallback: ASGIApp,
        *,
        pages: Mapping[str, ASGIApp] | None = None,
        unsigned: Mapping[str, ASGIApp] | None = None,
        greeting: str = "Longshore answers AWS API calls here.\n",
    ) -> None:
        self._endpoint = endpoint
        self._by_signing_name = by_signing_name
        self._fallback = fallback
        self._pages = pages or {}
        self._unsigned = {f"Action={action}".encode(): app for action, app in (unsigned or {}).items()}
        self._greeting = greeting.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._fallback(scope, receive, send)
        authorization = b""
        for name, value in scope["headers"]:
            if name == b"x-amz-target":
                if self._endpoint.serves(value.decode("latin-1")):
                    return await self._endpoint(scope, receive, send)
            elif name == b"authorization":
                authorization = value
            elif name == b"smithy-protocol":  # its operations have paths, which would be keys to anybody else
                return await self._endpoint(scope, receive, send)
        if signed_for := signing_name(authorization, scope["query_string"]):
            app = self._by_signing_name.get(signed_for, self._endpoint)
            return await app(scope, receive, send)
        is_look = scope["method"] in ("GET", "HEAD")
        if scope["path"] != "/":
            # A query makes it something else, such as an old presigned URL of a bucket of that name.
            page = self._pages.get(scope["path"]) if is_look and not scope["query_string"] else None
            return await (page or self._fallback)(scope, receive, send)
        if is_look and (link := self._unsigned.get(scope["query_string"].partition(b"&")[0])):
            return await link(scope, receive, send)
        if is_look:
            # Agents look at "/" when they start, unsigned, and take any answer for a sign of life.
            return await self._greet(scope["method"], send)
        return await self._endpoint(scope, receive, send)

    async def _greet(self, method: str, send: Send) -> None:
        headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(self._greeting))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": self._greeting if method == "GET" else b""})
