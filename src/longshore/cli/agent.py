"""`longshore agent`: the host's side."""

from __future__ import annotations

import typer

app = typer.Typer(no_args_is_help=True, help="The agent that runs on each host.")


@app.command("run", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def run(context: typer.Context) -> None:
    """Poll for deployments and carry them out, in the foreground: --config FILE names its settings."""
    from longshore.agent.main import run as run_agent

    raise typer.Exit(run_agent(["run", *context.args]))
