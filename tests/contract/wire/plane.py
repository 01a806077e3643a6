"""The whole control plane in this process, called as its ASGI server would: signed, and with no socket between."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import cbor2

from longshore.server.app import ControlPlane, build
from longshore.server.settings import Settings
from longshore.store.access_keys import AccessKey

REGION = "us-east-1"
TARGET = "CodeDeploy_20141006"


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        """The body, in whichever of the two protocols it is."""
        if self.headers["content-type"] == "application/cbor":
            return cbor2.loads(self.body)
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return str(self.document.get("__type", ""))


class Plane:
    """A control plane, and the loop it is served on."""

    def __init__(self, control: ControlPlane, loop: asyncio.AbstractEventLoop, *, is_embedded: bool = True) -> None:
        self.control = control
        #: Whether its database is SQLite.
        self.is_embedded = is_embedded
        self._loop = loop
        self._signing_keys: dict[tuple[str, str, str], bytes] = {}

    def json(self, operation: str, asked: Any) -> Answer:
        """Call an operation of CodeDeploy in AWS JSON."""
        headers = {"x-amz-target": f"{TARGET}.{operation}", "content-type": "application/x-amz-json-1.1"}
        body = json.dumps(asked).encode()
        return self.send("POST", "/", self.signed("POST", "/", headers, body), body)

    def cbor(self, operation: str, asked: Any) -> Answer:
        """Call an operation of CodeDeploy in Smithy RPC v2 CBOR."""
        path = f"/service/{TARGET}/operation/{operation}"
        headers = {"smithy-protocol": "rpc-v2-cbor", "content-type": "application/cbor"}
        body = cbor2.dumps(asked)
        return self.send("POST", path, self.signed("POST", path, headers, body), body)

    def signed(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        service: str = "codedeploy",
        key: AccessKey | None = None,
        query: str = "",
    ) -> dict[str, str]:
        """These headers, and the owner's signature of them, or that of whoever holds `key`; `query` is canonical."""
        key = key or self.control.root_key
        if key.session_token is not None:
            headers = {**headers, "x-amz-security-token": key.session_token}
        moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        digest = hashlib.sha256(body).hexdigest()
        all_headers = {**headers, "host": "plane", "x-amz-date": moment, "x-amz-content-sha256": digest}
        names = sorted(all_headers)
        canonical = "\n".join(
            (
                method,
                path,
                query,
                *(f"{name}:{all_headers[name].strip()}" for name in names),
                "",
                ";".join(names),
                digest,
            )
        )
        scope = f"{moment[:8]}/{REGION}/{service}/aws4_request"
        to_sign = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        signature = hmac.new(self._signing_key(key.secret_access_key, moment[:8], service), to_sign.encode(), "sha256")
        all_headers["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={key.access_key_id}/{scope}, SignedHeaders={';'.join(names)}, "
            f"Signature={signature.hexdigest()}"
        )
        return all_headers

    def _signing_key(self, secret: str, day: str, service: str) -> bytes:
        known = self._signing_keys.get((secret, day, service))
        if known is None:
            known = f"AWS4{secret}".encode()
            for part in (day, REGION, service, "aws4_request"):
                known = hmac.digest(known, part.encode(), "sha256")
            self._signing_keys[secret, day, service] = known
        return known

    def send(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, query: str = "", limit: float = 30.0
    ) -> Answer:
        """What is answered to a request as it stands."""
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "scheme": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode("utf-8", "surrogateescape"),
            "query_string": query.encode("utf-8", "surrogateescape"),
            "headers": [(n.encode("latin-1", "replace"), v.encode("latin-1", "replace")) for n, v in headers.items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
        }
        sent: list[Any] = []
        given = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Any:
            return given.pop() if given else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        self._loop.run_until_complete(asyncio.wait_for(self.control.app(scope, receive, send), limit))
        start = sent[0]
        answered = {name.decode("latin-1"): value.decode("latin-1") for name, value in start["headers"]}
        return Answer(start["status"], answered, b"".join(message.get("body", b"") for message in sent[1:]))


@contextmanager
def plane(folder: Path, *, database_url: str | None = None) -> Iterator[Plane]:
    loop = asyncio.new_event_loop()
    control = build(Settings(data_dir=folder / "data", database_url=database_url), port=1)
    yield Plane(control, loop, is_embedded=database_url is None)
    control.store.close()
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
