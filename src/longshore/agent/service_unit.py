"""The agent as a service of systemd."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from longshore.agent.errors import AgentError
from longshore.agent.layout import write_atomically

NAME = "longshore-agent.service"
FILE = Path("/etc/systemd/system") / NAME
#: There while systemd is the first process (sd_booted(3)).
_RUNNING = Path("/run/systemd/system")
_SYSTEMCTL_SECONDS = 90.0
_MARK = "# Written by `longshore agent enroll`, which writes it anew when it is run again."

# What deployments do as root they do through the agent, so that a sandbox around it would be one around them. What is
# left is here: nobody else's keyring, no terminal, no restart over a configuration that cannot work.
_UNIT = """{mark}
[Unit]
Description=Longshore host agent
Documentation=https://docs.aws.amazon.com/codedeploy/
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
Type=exec
ExecStart={command}
Restart=always
RestartSec=2
# 2: the configuration cannot be used; trying again does not help.
RestartPreventExitStatus=2
# A stop waits for running deployments, and leaves running what their hooks have started.
KillMode=process
TimeoutStopSec={stop_seconds:.0f}
# A hook that takes all memory is that hook's failure.
OOMPolicy=continue
OOMScoreAdjust=-500
StandardInput=null
KeyringMode=private
UMask=0022

[Install]
WantedBy=multi-user.target
"""


def is_running_here() -> bool:
    """Whether systemd runs this host."""
    return _RUNNING.is_dir()


def command(config: Path) -> list[str]:
    """What starts the agent, wherever from."""
    if getattr(sys, "frozen", False):
        return [sys.executable, "run", "--config", str(config)]
    # -I: nothing from the directory it is started in, nor from who starts it.
    return [sys.executable, "-I", "-m", "longshore.agent", "run", "--config", str(config)]


def text(config: Path, *, stop_seconds: float) -> str:
    """The unit file."""
    quoted = " ".join(_quoted(word) for word in command(config))
    return _UNIT.format(mark=_MARK, command=quoted, stop_seconds=stop_seconds + 60)


def write(config: Path, *, stop_seconds: float) -> None:
    """Put the unit file in place; raises AgentError where another one stands, OSError."""
    try:
        standing = FILE.read_text()
    except FileNotFoundError:
        standing = _MARK
    if not standing.startswith(_MARK):
        raise AgentError(f"{FILE} is there already and was not written by this command; move it away first")
    write_atomically(FILE, text(config, stop_seconds=stop_seconds).encode(), durable=True)


def start() -> None:
    """Have systemd start the agent, now and at every boot; raises AgentError."""
    _systemctl("daemon-reload")
    _systemctl("enable", NAME)
    _systemctl("restart", NAME)


def start_by_hand() -> str:
    """The command for who wants to do it later."""
    return f"systemctl daemon-reload && systemctl enable --now {NAME}"


def shell(words: Sequence[str]) -> str:
    """Words as one types them."""
    return shlex.join(words)


def _systemctl(*words: str) -> None:
    try:
        done = subprocess.run(  # noqa: S603 - systemd's own command
            ["systemctl", *words],  # noqa: S607
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SYSTEMCTL_SECONDS,
            check=False,
            env=os.environ | {"LC_ALL": "C"},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise AgentError(f"systemctl {' '.join(words)} failed: {error}") from None
    if done.returncode != 0:
        raise AgentError(f"systemctl {' '.join(words)} failed: {done.stderr.strip() or done.returncode}")


def _quoted(word: str) -> str:
    """A word of ExecStart (systemd.service(5), "Command lines")."""
    safe = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{safe}"' if set(word) & set(" \t\"'\\;") else safe
