"""`longshore backup` and `longshore restore`: the embedded database and the objects as one file."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from longshore.cli.clients import show_json


class Output(StrEnum):
    TEXT = "text"
    JSON = "json"


_Output = Annotated[Output, typer.Option(help="text to read, json for a script.")]
_DataDir = Annotated[Path, typer.Option(help="The server's.")]
_DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        envvar="LONGSHORE_DATABASE_URL",
        show_envvar=True,
        help="The server's, if it has one: PostgreSQL is backed up with its own tools.",
    ),
]


def backup(
    file: Annotated[Path, typer.Argument(help="Where to write it. It holds every key: keep it as safe as those.")],
    data_dir: _DataDir = Path("data"),
    database_url: _DatabaseUrl = None,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it is there.")] = False,
    output: _Output = Output.TEXT,
) -> None:
    """Write a backup of everything that the server keeps, while it runs.

    One tar file with the database, which holds all keys and signers, and the objects of the embedded storage;
    readable by its owner only. It is written whole or not at all.
    """
    from longshore.server.backup import back_up

    _refuse_postgresql("backup", database_url)
    if file.exists() and not force:
        _fail("backup", f"{file} is there already. Give another name, or --force to replace it.")
    with _explained("backup"), _progress(output) as progress:
        manifest = back_up(data_dir.resolve(), file.absolute(), progress)
    size = file.stat().st_size
    if output is Output.JSON:
        show_json({"File": str(file), "Bytes": size, "Schema": manifest.schema, "Time": _moment(manifest.time)})
    else:
        typer.echo(f"{file}: {size} bytes, the state of {_moment(manifest.time):%Y-%m-%dT%H:%M:%SZ}.")


def restore(
    file: Annotated[Path, typer.Argument(help="A backup that `longshore backup` wrote.", exists=True, dir_okay=False)],
    data_dir: _DataDir = Path("data"),
    database_url: _DatabaseUrl = None,
    force: Annotated[
        bool, typer.Option("--force", help="Take the place of what is in DATA_DIR, which is moved aside.")
    ] = False,
    output: _Output = Output.TEXT,
) -> None:
    """Make a data directory what it was when the backup was taken. No server may run on it.

    The backup is checked before anything is replaced. Start the server on DATA_DIR afterwards; keys, hosts and
    their pinned signer are those of the backup.
    """
    from longshore.server.restore import restore as put_back

    _refuse_postgresql("restore", database_url)
    with _explained("restore"), _progress(output) as progress:
        manifest, replaced = put_back(file, data_dir.resolve(), progress, replace=force)
    if output is Output.JSON:
        shown = {"DataDir": str(data_dir.resolve()), "Schema": manifest.schema, "Time": _moment(manifest.time)}
        show_json(shown | ({"Replaced": str(replaced)} if replaced else {}))
        return
    typer.echo(f"{data_dir} is as it was at {_moment(manifest.time):%Y-%m-%dT%H:%M:%SZ}.")
    if replaced:
        typer.echo(f"What was there before is in {replaced}; delete it when you are sure.")


def _refuse_postgresql(command: str, database_url: str | None) -> None:
    if database_url is not None and not database_url.startswith("sqlite"):
        typer.echo(
            f"longshore {command}: this is for the embedded database. PostgreSQL has tools of its own: pg_dump and "
            "pg_restore; copy DATA_DIR/onebox beside it, after pg_dump, if bundles are kept there.",
            err=True,
        )
        raise typer.Exit(2)


@contextlib.contextmanager
def _explained(command: str) -> Iterator[None]:
    """Turn what may go wrong into a sentence and exit code 1; let a SIGTERM tidy up."""
    from longshore.onebox.machinery.objects import StoreInUse
    from longshore.server.backup import BackupError
    from longshore.store.errors import NewerSchemaError
    from longshore.store.snapshot import DamagedError

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        yield
    except (BackupError, DamagedError, NewerSchemaError) as error:
        _fail(command, str(error))
    except StoreInUse:
        _fail(command, "A server uses this data directory. Stop it first.")
    except (OSError, sqlite3.Error) as error:
        _fail(command, f"{error}. Nothing was changed.")


def _fail(command: str, sentence: str) -> NoReturn:
    typer.echo(f"longshore {command}: {sentence}", err=True)
    raise typer.Exit(1)


@contextlib.contextmanager
def _progress(output: Output) -> Iterator[Callable[[str, int, int], None]]:
    """A bar for each thing that is copied, on a terminal."""
    console = Console(stderr=True)
    if output is Output.JSON or not console.is_terminal:
        yield lambda _what, _done, _total: None
        return
    with Progress(TextColumn("{task.description}"), BarColumn(), DownloadColumn(), console=console) as bars:
        tasks: dict[str, Any] = {}

        def tell(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done, total=total)

        yield tell


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
