"""The load generator sees what a user would: every failure, every release, and keeps its pace."""

from __future__ import annotations

import json
import threading
import time
import xml.etree.ElementTree
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from bench.load import load, pace, read
from bench.shares import picture, shares

from tests.acceptance.world import wait_until


class Shop:
    """Answers as the shop of the examples does."""

    def __init__(self, answer: Callable[[int], int]) -> None:
        """`answer` gives the status of the n-th request; 0 hangs up."""
        shop = self
        self.release = "1"
        self.asked = 0

        class Page(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                shop.asked += 1
                status = answer(shop.asked)
                if status == 0:
                    self.close_connection = True
                    return
                body = json.dumps({"release": shop.release, "host": "web-1"}).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            request_queue_size = 128
            daemon_threads = True

        self._server = Server(("127.0.0.1", 0), Page)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/"

    def __enter__(self) -> Shop:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def test_what_is_answered_and_what_is_not(tmp_path: Path) -> None:
    record = tmp_path / "record.csv"
    with Shop(lambda number: {50: 503, 60: 0}.get(number, 200)) as shop:
        with load(shop.url, record, rate=200):
            wait_until("the first release has answered", lambda: shop.asked >= 150)
            shop.release = "2"
            wait_until("the second release has answered", lambda: shop.asked >= 300)
        samples = read(record)
    assert len(samples) == shop.asked
    assert sorted(sample.status for sample in samples if not sample.is_good) == [0, 503]
    assert {(sample.release, sample.host) for sample in samples if sample.is_good} == {("1", "web-1"), ("2", "web-1")}
    # Late when the machine is slow, and then what was missed comes at once; on the whole it is what was asked for.
    assert 100 < pace(samples) < 400
    first, last = shares(samples)[0], shares(samples)[-1]
    assert set(first[1]) <= {"1", ""}
    assert last[1] == {"2": 1.0}
    for _, found in shares(samples):
        assert abs(sum(found.values()) - 1) < 1e-9
    drawn = xml.etree.ElementTree.fromstring(picture(samples, "A <test>", marks=[(samples[-1].at, "the end")]))
    assert any("release 2" in (text.text or "") for text in drawn.iter("{http://www.w3.org/2000/svg}text"))


def test_nobody_there_is_a_failure(tmp_path: Path) -> None:
    record = tmp_path / "record.csv"
    with Shop(lambda _: 200) as shop:
        url = shop.url
    with load(url, record, rate=100):
        time.sleep(1.5)  # nothing tells how far it is: whom it asks is not there
    samples = read(record)
    assert samples
    assert not any(sample.is_good for sample in samples)
