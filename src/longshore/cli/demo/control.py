"""The demo's server, and the commands that its user gives it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from rich.console import Console
from rich.text import Text

from longshore.cli.demo.errors import DemoError, end_of
from longshore.onebox.machinery.host_view import remember

_START_SECONDS = 30.0
_STOP_SECONDS = 10.0
_COMMAND_SECONDS = 60.0


class Server:
    """A `longshore server` of the demo's own, on a free loopback port."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._output = directory / "server.out"
        self._log = directory / "server.log"
        self._process: subprocess.Popen[bytes] | None = None
        #: The settings that it prints for AWS tools, once it listens.
        self.exports: Mapping[str, str] = {}

    @property
    def command(self) -> str:
        """As its owner would type it."""
        return shlex.join(["longshore", "server", "--data-dir", str(self._directory / "data"), "--listen", _LISTEN])

    def start(self) -> None:
        """Start it and wait until it answers."""
        argv = [program("longshore"), *shlex.split(self.command)[1:]]
        with self._output.open("wb") as output, self._log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own server
                argv, stdin=subprocess.DEVNULL, stdout=output, stderr=log, start_new_session=True
            )
        remember(self._directory / "server.process", self._process.pid)
        deadline = time.monotonic() + _START_SECONDS
        while "AWS_REGION" not in self.exports:
            self.check()
            if time.monotonic() > deadline:
                raise DemoError(f"The server does not listen after {_START_SECONDS:.0f} s. {end_of(self._log)}")
            time.sleep(0.02)
            self.exports = dict(re.findall(r"^export (\w+)=(.+)$", self._output.read_text(), re.MULTILINE))

    def check(self) -> None:
        """Raise `DemoError` when it has died."""
        if self._process is not None and (status := self._process.poll()) is not None:
            raise DemoError(f"The server has died (exit status {status}). {end_of(self._log)}")

    def log_end(self) -> str:
        """What it said last."""
        return end_of(self._log)

    def stop(self) -> None:
        """Stop it, and wait until it has."""
        if self._process is None:
            return
        for sign in (signal.SIGTERM, signal.SIGKILL):
            self._process.send_signal(sign)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP_SECONDS)
                return


class Shell:
    """Runs commands as a user would, and shows each."""

    def __init__(self, console: Console, exports: Mapping[str, str], directory: Path) -> None:
        self._console = console
        self._directory = directory
        # Nothing of the user's own AWS settings may lead these commands elsewhere.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        self.environment = {
            **inherited,
            **exports,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_PAGER": "",
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }

    def run(self, *argv: str, quiet: bool = False) -> str:
        """Show the command, run it, show what it says unless that is secret or is shown otherwise; its output."""
        self._console.print(Text.assemble(("$ ", "dim"), (shlex.join(argv), "bold cyan")))
        try:
            ended = subprocess.run(  # noqa: S603 - the aws command line and ours, with our own arguments
                [program(argv[0]), *argv[1:]],
                env=self.environment,
                cwd=self._directory,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_COMMAND_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise DemoError(f"{shlex.join(argv)} did not end within {_COMMAND_SECONDS:.0f} s.") from None
        if ended.returncode != 0:
            said = (ended.stderr or ended.stdout).strip()
            raise DemoError(f"{shlex.join(argv)} failed with exit status {ended.returncode}:\n{said}")
        if not quiet and (said := " ".join(ended.stdout.split())):
            self._console.print(Text(f"  {said}", style="dim"))
        return ended.stdout


def program(name: str) -> str:
    """A command's path: of the environment that runs the demo, or else the user's."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise DemoError(f"The command {name} is missing. The demo drives the real aws command line: pip install awscli")
    return found


_LISTEN = "127.0.0.1:0"
