"""A web hook on a free port that remembers what it was sent, and refuses as often as a test wants."""

from __future__ import annotations

import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class Webhook:
    """Listens as long as its `with` block lasts."""

    def __init__(self, *, certificate: tuple[Path, Path] | None = None) -> None:
        """`certificate` and its key: it speaks TLS."""
        hook = self
        self.received: list[dict[str, Any]] = []
        #: Of each of these, by lower-case name.
        self.headers: list[dict[str, str]] = []
        #: How many of the next calls are answered 503.
        self.refuses = 0

        class Page(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if hook.refuses > 0:
                    hook.refuses -= 1
                    self.send_error(503)
                    return
                hook.headers.append({name.lower(): value for name, value in self.headers.items()})
                hook.received.append(json.loads(body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
        if certificate is not None:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(*certificate)
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)

    @property
    def port(self) -> int:
        return int(self._server.server_port)

    def __enter__(self) -> Webhook:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
