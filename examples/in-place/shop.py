#!/usr/bin/env python3
"""A very small shop: GET / shows it, /version says which release this is, /health whether it may have customers."""

import json
import os
import signal
import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HOME = Path(__file__).parent
VERSION = (HOME / "VERSION").read_text().strip()
SHOP = json.loads((HOME / "shop.json").read_text())


class Shop(BaseHTTPRequestHandler):
    """Answers customers."""

    def do_GET(self):
        answers = {
            "/": f"{SHOP['name']}, release {VERSION}, on {socket.gethostname()}: {', '.join(SHOP['goods'])}\n",
            "/version": f"{VERSION}\n",
            "/health": "well\n",
        }
        answer = answers.get(self.path)
        body = (answer or "There is nothing here.\n").encode()
        self.send_response(200 if answer else 404)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """The shop keeps no list of its customers."""


def main():
    """Open the shop until a signal closes it."""
    host, _, port = os.environ["SHOP_ADDRESS"].partition(":")
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    with ThreadingHTTPServer((host, int(port or 8080)), Shop) as server:
        print(f"release {VERSION} is open on http://{host}:{port or 8080}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
