"""`longshore logs`: what the scripts of a deployment say."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import typer
from botocore.exceptions import ClientError
from rich.console import Console
from rich.text import Text

from longshore.cli.clients import client, explained
from longshore.cli.log_lines import HookLog, Line, LogFollower, LogLook
from longshore.cli.watch import INTERRUPTED, USED_WRONGLY, Output
from longshore.cli.watch_follow import Follower, follow

#: Given to hosts in turn.
_COLOURS = ("cyan", "green", "magenta", "blue", "yellow", "bright_cyan", "bright_green", "bright_magenta")
#: Host names longer than this move their line's text to the right.
_WIDEST = 24


@explained
def logs(
    deployment_id: Annotated[str, typer.Argument(help="The deployment's id, d-…, as create-deployment printed it.")],
    host: Annotated[str | None, typer.Option(help="Only what is said on this host.")] = None,
    event: Annotated[str | None, typer.Option(help="Only what is said in this lifecycle event.")] = None,
    is_followed: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the deployment ends; exit as `longshore watch` does.")
    ] = False,
    output: Annotated[Output, typer.Option(help="text to read; json for a script: one object a line.")] = Output.TEXT,
    endpoint_url: Annotated[str | None, typer.Option(help="The server, if AWS_ENDPOINT_URL does not name it.")] = None,
) -> None:
    """Show what the scripts of a deployment say, on all of its hosts, in the order in which it came.

    A Longshore agent tells it while they run; of one event on one host the first megabyte is kept, then the end. Of
    other agents there is the end of the log that they report with an event. All of it stays on the host, in
    deployment-root/GROUP/DEPLOYMENT/logs/scripts.log.

    Exit code: 0 the deployment succeeded, or goes on; 1 it failed or was stopped, or the server is gone; 2 no such
    deployment or host. Ctrl-C ends the looking, not the deployment.
    """
    follower = LogFollower(
        HookLog(client("longshore", endpoint_url=endpoint_url), deployment_id, host=host, event=event),
        Follower(client("codedeploy", endpoint_url=endpoint_url), deployment_id, only=host),
        event=event,
    )
    show = _as_json if output is Output.JSON else _Text()
    try:
        status = _shown(follow(follower, away=_say) if is_followed else iter([follower.look()]), show)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code == "DeploymentNotStartedException":
            _say("nothing has been said yet.")
            return
        if code not in USED_WRONGLY:
            raise
        _say(error.response["Error"]["Message"])
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    raise typer.Exit(1 if status in ("Failed", "Stopped") else 0)


def _shown(looks: Iterator[LogLook], show: Callable[[Line], None]) -> str:
    status = ""
    for look in looks:
        for line in look.lines:
            show(line)
        sys.stdout.flush()
        status = look.progress.status
    return status


def _as_json(line: Line) -> None:
    said: dict[str, Any] = {
        "time": line.time and line.time.isoformat(),
        "targetId": line.target,
        "lifecycleEventName": line.event,
    }
    typer.echo(json.dumps(said | ({"droppedLines": line.dropped} if line.dropped else {"line": line.text})))


class _Text:
    """Lines for people: the host first, in a colour of its own where there are colours."""

    def __init__(self) -> None:
        self._console = Console(highlight=False) if sys.stdout.isatty() else None
        self._colours: dict[str, str] = {}
        self._width = 0

    def __call__(self, line: Line) -> None:
        self._width = max(self._width, min(len(line.target), _WIDEST))
        text = f"… {line.dropped} lines that are not kept here" if line.dropped else line.text
        if self._console is None:
            typer.echo(f"{line.target:{self._width}} | {text}")
            return
        colour = self._colours.setdefault(line.target, _COLOURS[len(self._colours) % len(_COLOURS)])
        head = (f"{line.target:{self._width}} │ ", colour)
        self._console.print(Text.assemble(head, (text, _style(line))), soft_wrap=True)


def _style(line: Line) -> str:
    if line.dropped or line.text.startswith("Script - "):
        return "dim"
    if line.text.startswith("LifecycleEvent - "):
        return "bold"
    return "red" if line.text.startswith("[stderr]") else ""


def _say(what: str) -> None:
    typer.echo(f"longshore logs: {what}", err=True)
