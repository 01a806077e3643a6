"""`longshore migrate`: the database's schema, seen and brought up."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from longshore.cli.clients import show_json


class Output(StrEnum):
    TEXT = "text"
    JSON = "json"


def migrate(
    data_dir: Annotated[Path, typer.Option(help="The server's, if its database is the embedded one.")] = Path("data"),
    database_url: Annotated[
        str | None,
        typer.Option(
            envvar="LONGSHORE_DATABASE_URL",
            show_envvar=True,
            metavar="postgresql://USER:PASSWORD@HOST:PORT/DATABASE",
            help="The server's, if it has one.",
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; exit with 1 unless the schema is this version's.")
    ] = False,
    output: Annotated[Output, typer.Option(help="text to read, json for a script.")] = Output.TEXT,
) -> None:
    """Bring the database to the schema of this version, all steps or none.

    A server does the same when it starts; this is for doing it by itself, before the servers are replaced. Servers of
    an older version that still run write nothing from then on. There is no way back but a backup.
    """
    from longshore.server.data_dir import DATABASE
    from longshore.store import migrations, schema
    from longshore.store.database import sqlite_url
    from longshore.store.errors import DatabaseError, DatabaseUrlError

    file = data_dir.resolve() / DATABASE
    if database_url is None and not file.exists():
        _fail(f"There is no database in {data_dir}: the first start of a server makes it.")
    url = database_url or sqlite_url(file)
    try:
        if check:
            before, newest = schema.step(url), migrations.newest()
            migrations.require_known(before)
        else:
            before, newest = schema.bring_up(url)
    except DatabaseError as error:
        _fail(str(error), code=2 if isinstance(error, DatabaseUrlError) else 1)
    is_current = before == newest or not check
    if output is Output.JSON:
        show_json({"From": before, "To": newest if not check else before, "Newest": newest, "IsCurrent": is_current})
    elif before == newest:
        typer.echo(f"The database is at schema {newest}, this version's.")
    elif check:
        typer.echo(f"The database is at schema {before or 'none'}; this version's is {newest}. Run: longshore migrate")
    else:
        typer.echo(f"The database was at schema {before or 'none'} and is at {newest} now.")
    raise typer.Exit(0 if is_current else 1)


def _fail(sentence: str, *, code: int = 1) -> NoReturn:
    typer.echo(f"longshore migrate: {sentence}", err=True)
    raise typer.Exit(code)
