"""`longshore agent`: the host's side, which parses its words itself, for it is also installed alone."""

from __future__ import annotations

import typer


def agent(context: typer.Context) -> None:
    """Run, enroll and look after the agent of this host: longshore agent --help."""
    from longshore.agent.main import run

    raise typer.Exit(run(context.args))


def local(context: typer.Context) -> None:
    """Deploy a revision on this host, with no control plane: codedeploy-local's options. See longshore local --help."""
    from longshore.agent.local.command import run as run_local

    raise typer.Exit(run_local(context.args))
