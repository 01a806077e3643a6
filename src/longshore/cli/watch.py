"""`longshore watch`: a deployment while it happens."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

import typer
from botocore.exceptions import ClientError
from rich.console import Console, RenderableType
from rich.live import Live

from longshore.cli.clients import client, explained, show_json
from longshore.cli.log_lines import HookLog, LastWords
from longshore.cli.watch_follow import Follower, follow
from longshore.cli.watch_progress import Changes, Progress
from longshore.cli.watch_table import deployment_table, said_last

#: What was asked for does not exist or is no deployment id: the command was used wrongly.
USED_WRONGLY = frozenset(
    {"DeploymentDoesNotExistException", "InvalidDeploymentIdException", "DeploymentTargetDoesNotExistException"}
)
INTERRUPTED = 130
#: Lines of the table that are no targets: headline, column names, what is hidden, bar, footer, and one to spare.
_OTHER_LINES = 8


class Output(StrEnum):
    TEXT = "text"
    JSON = "json"


@explained
def watch(
    deployment_id: Annotated[str, typer.Argument(help="The deployment's id, d-…, as create-deployment printed it.")],
    output: Annotated[
        Output, typer.Option(help="text to read; json for a script: one document, printed when the deployment ends.")
    ] = Output.TEXT,
    endpoint_url: Annotated[str | None, typer.Option(help="The server, if AWS_ENDPOINT_URL does not name it.")] = None,
) -> None:
    """Show a deployment until it ends.

    In a terminal: a table that moves, worst and active targets first, at most 40 of them; below it what the hooks that
    run said last (`longshore logs` shows all of it). In a pipe: one line for
    each change (of a deployment with more than 40 targets, the counts and the failures). With --output json: nothing
    until the end, then its status, counts, error and (at most 40) failed targets with script, error code and log tail.

    Exit code: 0 the deployment succeeded; 1 it failed or was stopped, or the server is gone; 2 no such deployment.
    Ctrl-C ends the watching, not the deployment.
    """
    seen = follow(Follower(client("codedeploy", endpoint_url=endpoint_url), deployment_id), away=_say_away)
    try:
        if output is Output.JSON:
            *_, last = seen
        else:
            words = LastWords(HookLog(client("longshore", endpoint_url=endpoint_url), deployment_id))
            looks = words.along(seen) if sys.stdout.isatty() else seen
            last = show(looks, footer=lambda: said_last(words.lines()))
    except ClientError as error:
        if error.response["Error"]["Code"] not in USED_WRONGLY:
            raise
        typer.echo(f"longshore watch: {error.response['Error']['Message']}", err=True)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        typer.echo("No longer watching; the deployment goes on.", err=True)
        raise typer.Exit(INTERRUPTED) from None
    if output is Output.JSON:
        show_json(as_json(last))
    raise typer.Exit(0 if last.status == "Succeeded" else 1)


def show(
    seen: Iterator[Progress],
    *,
    footer: Callable[[], list[RenderableType]] = list,
    line: Callable[[str], None] = typer.echo,
) -> Progress:
    """Show each look as fits where the output goes: a moving table, or lines. Returns the last one."""
    last: Progress | None = None
    if not sys.stdout.isatty():
        changes = Changes()
        for progress in seen:
            for change in changes.since_last(progress):
                line(f"{datetime.now():%H:%M:%S} {change}")
            last = progress
    else:
        console = Console()
        with Live(console=console, auto_refresh=False) as live:
            for progress in seen:
                below = footer()
                rows = max(5, console.height - _OTHER_LINES - len(below))
                live.update(deployment_table(progress, datetime.now(UTC), *below, rows=rows), refresh=True)
                last = progress
    assert last is not None
    return last


def as_json(progress: Progress) -> dict[str, Any]:
    """A deployment's end for a script, in the words of the AWS API."""
    ended: dict[str, Any] = {
        "deploymentId": progress.id,
        "applicationName": progress.application,
        "deploymentGroupName": progress.group,
        "status": progress.status,
        "createTime": progress.created,
        "completeTime": progress.completed,
        "deploymentOverview": dict(progress.counts),
        "failedTargets": [],
    }
    if progress.error_code:
        ended["errorInformation"] = {"code": progress.error_code, "message": progress.error_message}
    if progress.status_message:
        ended["deploymentStatusMessages"] = [progress.status_message]
    if progress.rollback_message:
        ended["rollbackInfo"] = {"rollbackMessage": progress.rollback_message}
        if progress.rollback_id:
            ended["rollbackInfo"]["rollbackDeploymentId"] = progress.rollback_id
    for target in progress.failed_targets:
        event = target.failed_event
        ended["failedTargets"].append(
            {
                "targetId": target.id,
                "lifecycleEventName": event.name if event else None,
                "errorCode": event.error_code if event else None,
                "scriptName": event.script if event else None,
                "message": event.message if event else None,
                "logTail": event.log_tail if event else None,
            }
        )
    return ended


def _say_away(error: str) -> None:
    # Above a table that moves, which takes the place of sys.stderr meanwhile; typer would write past it.
    sys.stderr.write(f"longshore watch: {error} Trying again for a minute.\n")
