#!/usr/bin/env python3
"""A very small shop on the host's own address: GET / says who answers, /health whether it may have customers."""

import json
import os
import signal
import socket
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

RELEASE = (Path(__file__).parent / "VERSION").read_text().strip()
HOST = socket.gethostname()
PORT = 8080


class Shop(BaseHTTPRequestHandler):
    """Answers customers, as many as like to on one connection."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.came = time.time()
        answers = {"/": {"release": RELEASE, "host": HOST}, "/health": {"health": "well"}}
        answer = answers.get(self.path)
        body = (json.dumps(answer or {"error": "There is nothing here."}) + "\n").encode()
        self.send_response(200 if answer else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, code="-", *_):
        """A line a request: when it came (seconds since 1970), for whom if by a load balancer, what for, the answer."""
        whose = self.headers.get("X-Forwarded-For", "-").replace(" ", "")
        print(f"{self.came:.3f} {whose} {self.path} {int(code)}", flush=True)


class Server(ThreadingHTTPServer):
    """Takes its customers as they come."""

    request_queue_size = 128
    daemon_threads = True


def main():
    """Open the shop until a signal closes it."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    # Not 0.0.0.0: instances of onebox share the machine's network, each at its own address.
    address = socket.gethostbyname(HOST)
    with Server((address, PORT), Shop) as server:
        print(f"release {RELEASE} is open on http://{address}:{PORT}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
