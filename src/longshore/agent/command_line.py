"""The words of `longshore agent`, apart from the one command that must stay small."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from longshore.agent import config as configuration
from longshore.agent.errors import ConfigError

_EXITS = {
    "status": "Exit code: 0 it runs and hears, 1 the control plane is away, 2 no usable configuration, 3 it runs not.",
    "doctor": "Exit code: 0 nothing is wrong, 1 something is, 2 used wrongly.",
}


def run(argv: Sequence[str]) -> int:
    """Parse and do; the exit code. Raises AgentError, and SystemExit where argparse has said it all."""
    words = _parser().parse_args(argv)
    if words.command == "run":
        from longshore.agent.main import run_agent

        return run_agent(configuration.load(config_file(words.config), os.environ))
    if words.command == "enroll":
        from longshore.agent import enroll

        return enroll.command(words)
    if words.command == "status":
        from longshore.agent import status

        return status.command(words)
    from longshore.agent import doctor

    return doctor.command(words)


def config_file(asked: Path | None) -> Path:
    """The configuration meant: the one named, else the first there is of the usual ones. Raises ConfigError."""
    if asked is not None:
        return asked
    for path in configuration.DEFAULT_FILES:
        if path.exists():
            return path
    raise ConfigError(
        "no configuration: enroll this host (longshore agent enroll --help), "
        f"give --config FILE, or write {configuration.DEFAULT_FILES[0]}"
    )


def _parser() -> argparse.ArgumentParser:
    program = "longshore-agent" if getattr(sys, "frozen", False) else "longshore agent"
    parser = argparse.ArgumentParser(prog=program, description="The agent that carries out deployments on this host.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    runs = commands.add_parser("run", help="take and carry out commands until stopped")
    runs.add_argument("--config", metavar="FILE", type=Path, help="the agent's configuration (YAML)")
    _add_enroll(commands)
    for name, does in (
        ("status", "say whether the agent runs and hears from its control plane, and what it deploys"),
        ("doctor", "say in plain words what is wrong, and the next step"),
    ):
        looks = commands.add_parser(name, help=does, epilog=_EXITS[name])
        looks.add_argument("--config", metavar="FILE", type=Path, help="the agent's configuration")
        looks.add_argument("--output", choices=("text", "json"), default="text", help="text to read, json for a script")
    return parser


def _add_enroll(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "enroll",
        help="make this host known to a control plane, and its agent a service",
        description="Registers and tags this host, stores its key, pins the server, installs and starts the service. "
        "A token comes from: longshore tokens create. Run again, it completes what was broken off.",
    )
    parser.add_argument("--server", metavar="URL", required=True, help="the control plane, as hosts reach it")
    parser.add_argument("--token", metavar="TOKEN", required=True, help="the token; - reads it from standard input")
    parser.add_argument("--name", help="name of the instance; this machine's host name if not given")
    parser.add_argument(
        "--tag", metavar="KEY=VALUE", action="append", default=[], help="a tag of the instance; repeat for more"
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        type=Path,
        default=configuration.OWN_FILE,
        help="where the configuration is written (%(default)s); settings that are there already are kept",
    )
    parser.add_argument(
        "--root",
        metavar="DIR",
        type=Path,
        default=configuration.DEFAULT_ROOT,
        help="root_dir, where revisions are kept (%(default)s)",
    )
    parser.add_argument("--no-start", action="store_true", help="install the service, but do not start it")
    parser.add_argument("--insecure", action="store_true", help="call a server on another machine without TLS")
    parser.add_argument("--output", choices=("text", "json"), default="text", help="text to read, json for a script")
