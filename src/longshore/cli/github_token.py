"""`longshore github-token`: what hosts read private repositories of GitHub with."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from longshore.cli.clients import client, explained
from longshore.cli.listing import Listing

app = typer.Typer(
    cls=Listing,
    no_args_is_help=True,
    help="Tokens of GitHub accounts, by which hosts read private repositories. "
    "List and delete them with aws deploy list-git-hub-account-token-names and delete-git-hub-account-token.",
)


@app.callback()
def _group() -> None:
    """Keeps `put` a command of its own."""


@app.command()
@explained
def put(
    name: Annotated[str, typer.Argument(help="A name for the connection, for example the GitHub account's.")],
    application: Annotated[
        list[str] | None, typer.Option(help="An application whose deployments use it from now on. Repeatable.")
    ] = None,
    endpoint_url: Annotated[str | None, typer.Option(help="The server, if AWS_ENDPOINT_URL does not name it.")] = None,
) -> None:
    """Store a token, read from standard input, in place of one of the same name.

    A fine-grained token with read access to the repositories' contents is enough. Nothing shows it again: it goes into
    the signed specifications of the applications' deployments from GitHub, and hosts send it to GitHub's API alone.

    Example: longshore github-token put octo --application shop < token.txt
    """
    if sys.stdin.isatty():
        import getpass

        token = getpass.getpass("Token (not shown): ")
    else:
        token = sys.stdin.read(4096)
    service = client("longshore", endpoint_url=endpoint_url)
    service.put_git_hub_account_token(tokenName=name, token=token.strip(), applicationNames=application or [])
    using = f", used by {', '.join(application)}" if application else ""
    typer.echo(f"The token is stored as {name}{using}.")
