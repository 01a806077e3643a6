"""Every command group, in the order `--help` shows them."""

from __future__ import annotations

import typer

from longshore.cli import (
    agent,
    appspec,
    audit,
    backup,
    deploy,
    github_token,
    keys,
    logs,
    migrate,
    plan,
    server,
    tokens,
    watch,
)
from longshore.cli.demo import command as demo

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="AWS CodeDeploy on your own machines. Deploy with the ordinary `aws deploy` commands; this runs the rest.",
)
app.command("server")(server.server)
app.add_typer(appspec.app, name="appspec")
app.command("agent", context_settings=agent.CONTEXT)(agent.agent)
app.command("local", context_settings=agent.CONTEXT)(agent.local)
app.add_typer(tokens.app, name="tokens")
app.add_typer(keys.app, name="keys")
app.add_typer(github_token.app, name="github-token")
app.add_typer(audit.app, name="audit")
app.command("backup")(backup.backup)
app.command("restore")(backup.restore)
app.command("migrate")(migrate.migrate)
app.command("plan")(plan.plan)
app.command("deploy")(deploy.deploy)
app.command("watch")(watch.watch)
app.command("logs")(logs.logs)
app.command("demo")(demo.demo)
