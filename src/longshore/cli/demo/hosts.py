"""The demo's hosts: each a real agent process, with its own files and its own loopback address."""

from __future__ import annotations

import http.client
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from longshore.cli.demo.errors import DemoError, end_of
from longshore.onebox.machinery.host_view import HostView, remember

_CONFIG = "/etc/codedeploy-agent/conf/codedeployagent.yml"
_LOGS = "/var/log/aws/codedeploy-agent"
_PORT = 8080
_STOP_SECONDS = 5.0
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(kw_only=True)
class Host:
    """One host; `view` is None for a host that shares this machine's files."""

    name: str
    #: HOST:PORT of its shop.
    address: str
    #: The demo's; what concerns the host alone is in `directory`.
    ground: Path
    directory: Path
    view: HostView | None
    agent: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def log(self) -> Path:
        """The agent's log, as seen from outside."""
        logs = self.view.written(_LOGS) if self.view else self.directory / "log"
        return logs / "codedeploy-agent.log"

    @property
    def output(self) -> Path:
        """What the agent says before it has a log."""
        return self.ground / f"{self.name}.out"

    def prepare(self) -> None:
        """Make the host, with the address that its shop will serve on."""
        if self.view is None:
            self.directory.mkdir(parents=True)
            (self.directory / "address").write_text(f"{self.address}\n")
            return
        self.directory.mkdir(parents=True)
        for path, text in (("/etc/shop.address", self.address), ("/etc/hostname", self.name)):
            self._put(path, f"{text}\n")
        self.view.start()

    def start_agent(self, key: Mapping[str, Any], endpoint: str, region: str) -> str:
        """Start the agent with its own key; returns the command, as its owner would type it on the host."""
        settings = {
            "region": region,
            "iam_user_arn": key["UserArn"],
            "aws_access_key_id": key["AccessKeyId"],
            "aws_secret_access_key": key["SecretAccessKey"],
            "specification_signer": key["SpecificationSigner"],
            "deploy_control_endpoint": endpoint,
            "log_dir": _LOGS if self.view else str(self.directory / "log"),
        }
        config = _CONFIG
        if self.view is None:
            settings["root_dir"] = str(self.directory / "deployment-root")
            config = str(self.directory / "codedeployagent.yml")
        self._put(config, "".join(f"{name}: {value}\n" for name, value in settings.items()))
        typed = ["longshore", "agent", "run", "--config", config]
        argv = [str(Path(sys.executable).parent / "longshore"), *typed[1:]]
        with self.output.open("ab") as output:
            self.agent = subprocess.Popen(  # noqa: S603 - our own agent
                self.view.command(argv) if self.view else argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._environment(),
                start_new_session=True,
            )
        if self.view is None:
            remember(self.ground / f"{self.name}.process", self.agent.pid)
        return shlex.join(typed)

    def check(self) -> None:
        """Raise `DemoError` when the agent has died."""
        if self.agent is not None and (status := self.agent.poll()) is not None:
            log = self.log if self.log.exists() else self.output
            raise DemoError(f"The agent of {self.name} has died (exit status {status}). {end_of(log)}")

    def answer(self, path: str, seconds: float = 2.0) -> str | None:
        """What the host's shop answers; None when it does not, or not well."""
        connection = http.client.HTTPConnection(self.address, timeout=seconds)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            body = response.read(4096).decode(errors="replace").strip()
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()
        return body if response.status == 200 else None

    def _put(self, path: str, text: str) -> None:
        if self.view is None:
            outside = Path(path)
        elif (running := self.view.process_id()) is None:
            outside = self.view.written(path)
        else:
            outside = Path(f"/proc/{running}/root{path}")
        outside.parent.mkdir(parents=True, exist_ok=True)
        outside.touch(mode=0o600)
        outside.write_text(text)
        outside.chmod(0o600 if "secret" in text else 0o644)

    def _environment(self) -> dict[str, str]:
        """What a service gets: nothing of the user's, and python3, which the shop is written in."""
        environment = {"PATH": f"{Path(sys.executable).parent}:{_PATH}", "LANG": "C.UTF-8", "HOME": "/root"}
        if self.view is None:
            environment |= {
                "HOME": str(self.directory),
                "SHOP_HOME": str(self.directory / "opt" / "shop"),
                "SHOP_STATE": str(self.directory / "state"),
                "SHOP_ADDRESS_FILE": str(self.directory / "address"),
            }
        return environment


def stop_agents(hosts: Sequence[Host]) -> None:
    """Ask all agents to stop, and kill those that do not."""
    agents = [host.agent for host in hosts if host.agent is not None]
    for sign in (signal.SIGTERM, signal.SIGKILL):
        for agent in agents:
            # The group: in a view of its own, an agent runs below the process that we started.
            with suppress(ProcessLookupError):
                os.killpg(agent.pid, sign)
        deadline = time.monotonic() + _STOP_SECONDS
        for agent in agents:
            with suppress(subprocess.TimeoutExpired):
                agent.wait(max(0.0, deadline - time.monotonic()))
        agents = [agent for agent in agents if agent.poll() is None]


def hosts_with_views(directory: Path, count: int) -> list[Host]:
    """Hosts with file systems of their own, called web-1, web-2, …"""
    network = _free_network(count)
    return [
        Host(
            name=f"web-{number}",
            address=f"{network}.{number}:{_PORT}",
            ground=directory,
            directory=directory / "hosts" / f"web-{number}",
            view=HostView(directory=directory / "hosts" / f"web-{number}", name=f"web-{number}"),
        )
        for number in range(1, count + 1)
    ]


def plain_host(directory: Path) -> list[Host]:
    """One host that shares this machine's files: all that works without views."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    return [Host(name="web-1", address=f"127.0.0.1:{port}", ground=directory, directory=directory / "plain", view=None)]


def _free_network(count: int) -> str:
    """A 127.0.x of which every address we need is free; other demos may be running."""
    start = os.getpid()
    for offset in range(250):
        network = f"127.0.{2 + (start + offset) % 250}"
        if all(_is_free(f"{network}.{number}") for number in range(1, count + 1)):
            return network
    raise DemoError("Every loopback network from 127.0.2 to 127.0.251 has something on port 8080.")


def _is_free(host: str) -> bool:
    try:
        with socket.create_server((host, _PORT)):
            return True
    except OSError:
        return False
