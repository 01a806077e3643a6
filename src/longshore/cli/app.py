"""The command line, put together."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any

import typer

from longshore.agent.version import VERSION
from longshore.cli.listing import Listing

#: Every command or group of commands, and where it is.
_WHERE = {
    "server": "server:server",
    "appspec": "appspec:app",
    "agent": "agent:agent",
    "local": "agent:local",
    "tokens": "tokens:app",
    "keys": "keys:app",
    "github-token": "github_token:app",
    "audit": "audit:app",
    "backup": "backup:backup",
    "restore": "backup:restore",
    "migrate": "migrate:migrate",
    "plan": "plan:plan",
    "deploy": "deploy:deploy",
    "watch": "watch:watch",
    "logs": "logs:logs",
    "demo": "demo.command:demo",
}
#: These parse their words themselves, for they are also installed alone.
_OF_THE_AGENT = ("agent", "local")
_EVERYTHING = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


def command_line(asked: str = "") -> typer.Typer:
    """The command that is asked for, alone: each loads what only it needs, and a server lives long. Otherwise all."""
    made = typer.Typer(
        cls=Listing,
        context_settings={"help_option_names": ["-h", "--help"]},
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        help="AWS CodeDeploy on your own machines. Deploy with the ordinary `aws deploy` commands; this runs the rest.",
    )
    made.callback()(_longshore)
    for name in (asked,) if asked in _WHERE else _WHERE:
        part = _load(name)
        if isinstance(part, typer.Typer):
            made.add_typer(part, name=name)
        elif name in _OF_THE_AGENT:
            made.command(name, context_settings=_EVERYTHING)(part)
        else:
            made.command(name)(part)
    return made


def _load(name: str) -> Any:
    module, _, attribute = _WHERE[name].partition(":")
    return getattr(import_module(f"longshore.cli.{module}"), attribute)


def _tell_version(asked: bool) -> None:
    if asked:
        typer.echo(f"longshore {VERSION}")
        raise typer.Exit


def _longshore(
    version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None: ...
