"""A real Prometheus and a real Alertmanager for tests, on free ports, with one alert that a test fires as it likes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests import ports
from tests.acceptance.world import wait_until

ALERT = "ShopIsBroken"
#: How long something must be wrong before the alert fires, seconds.
_FOR = 2
_RULES = f"""
groups:
  - name: shop
    rules:
      - alert: {ALERT}
        expr: shop_errors > 0
        for: {_FOR}s
      - alert: ShopIsSlow
        expr: shop_errors > 1000
"""


class Shop:
    """A metric whose value the test sets."""

    def __init__(self) -> None:
        shop = self
        self.errors = 0

        class Page(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("content-type", "text/plain; version=0.0.4")
                self.end_headers()
                self.wfile.write(f"shop_errors {shop.errors}\n".encode())

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def need_programs() -> None:
    """Skip without the programs; in CI that is a failure."""
    missing = [name for name in ("prometheus", "prometheus-alertmanager") if shutil.which(name) is None]
    if missing:
        assert not os.environ.get("CI"), f"{missing} are not installed: run .ci/prometheus"
        pytest.skip(f"{missing} are not installed: run .ci/prometheus")


def firing_since(url: str) -> float | None:
    """Since when the alert of this Prometheus has been firing, as it tells, epoch seconds; None while it does not."""
    with urllib.request.urlopen(f"{url}/api/v1/alerts", timeout=5) as answer:
        alerts = json.load(answer)["data"]["alerts"]
    for one in alerts:
        if one["labels"]["alertname"] == ALERT and one["state"] == "firing":
            return datetime.fromisoformat(one["activeAt"]).timestamp() + _FOR
    return None


@contextmanager
def prometheus(folder: Path, scraped: str, *, alertmanager: str | None = None) -> Iterator[str]:
    """The URL of a Prometheus that scrapes this address and evaluates its rules every second."""
    folder.mkdir()
    (folder / "rules.yml").write_text(_RULES)
    alerting = (
        f"alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{alertmanager}']}}]}}]}}\n"
        if alertmanager
        else ""
    )
    (folder / "prometheus.yml").write_text(
        f"global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n{alerting}rule_files: [rules.yml]\n"
        f"scrape_configs: [{{job_name: shop, static_configs: [{{targets: ['{scraped}']}}]}}]\n"
    )
    port = ports.kept()
    yield from _running(
        folder,
        [
            "prometheus",
            f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        f"http://127.0.0.1:{port}",
    )


@contextmanager
def alertmanager(folder: Path) -> Iterator[str]:
    """The URL of an Alertmanager that tells nobody."""
    folder.mkdir()
    (folder / "alertmanager.yml").write_text("route: {receiver: nobody}\nreceivers: [{name: nobody}]\n")
    port = ports.kept()
    yield from _running(
        folder,
        [
            "prometheus-alertmanager",
            f"--config.file={folder}/alertmanager.yml",
            f"--storage.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{port}",
            "--cluster.listen-address=",
        ],
        f"http://127.0.0.1:{port}",
    )


def _running(folder: Path, command: list[str], url: str) -> Iterator[str]:
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_until(f"{command[0]} is ready: {folder / 'log'}", lambda: _is_ready(url), seconds=60)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=30)


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/-/ready", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
