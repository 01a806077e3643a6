"""The `longshore` command."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and exit: 0 done, 1 failed, 2 used wrongly."""
    if sys.argv[1:2] == ["agent"]:
        # A host installs the agent alone, and its poller stays small: nothing of the rest is imported here.
        from longshore.agent.main import run

        sys.exit(run(sys.argv[2:]))
    if sys.argv[1:2] == ["local"]:
        from longshore.agent.local.command import run as run_local

        sys.exit(run_local(sys.argv[2:]))
    try:
        from longshore.cli.app import command_line

        run_command = command_line(next(iter(sys.argv[1:]), ""))
    except ModuleNotFoundError as missing:
        sys.exit(f"{missing.name} is not installed: this command needs pip install 'longshore[server]'.")
    run_command()
