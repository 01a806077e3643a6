"""`longshore appspec`: what will become of a revision, told before it is pushed."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from longshore.appspec import MAX_BYTES
from longshore.appspec.check import Platform, check
from longshore.appspec.problems import Problem
from longshore.appspec.server import ServerAppSpec
from longshore.cli.listing import Listing

app = typer.Typer(cls=Listing, no_args_is_help=True, help="AppSpec files: what a revision says should happen to it.")

#: The names an AppSpec is looked for under, best first.
NAMES = ("appspec.yml", "appspec.yaml", "appspec.json")


class Output(StrEnum):
    TEXT = "text"
    JSON = "json"


@dataclass(frozen=True, kw_only=True)
class Report:
    """What there is to say of one revision."""

    #: The AppSpec file as a user can find it: a path, or bundle.zip: appspec.yml.
    file: str
    platform: Platform
    problems: tuple[Problem, ...]

    @property
    def errors(self) -> int:
        """How many problems would fail a deployment."""
        return sum(not problem.is_warning for problem in self.problems)


@app.callback()
def group() -> None:
    """AppSpec files: what a revision says should happen to it."""


@app.command("check")
def check_appspec(
    path: Annotated[Path, typer.Argument(help="An AppSpec file, a revision's directory, or its zip, tar or tgz.")],
    platform: Annotated[
        Platform | None, typer.Option(help="Where it is deployed to; by default what the file looks like.")
    ] = None,
    appspec_filename: Annotated[
        str | None, typer.Option("--appspec-filename", "-A", help="Name of the AppSpec file in a directory or bundle.")
    ] = None,
    output: Annotated[Output, typer.Option(help="text to read, json for a script.")] = Output.TEXT,
) -> None:
    """Tell everything that is wrong with an AppSpec file, or would surprise, with line and remedy.

    With a directory or a bundle it also tells what is wrong between the AppSpec and the files: sources and scripts that
    are not there, two files for one destination, permissions that apply to nothing. Nothing is deployed, and no server
    is asked.

    Exit code 0: it can be deployed, perhaps with warnings. 1: it cannot. 2: there is nothing to check at PATH.
    """
    with tempfile.TemporaryDirectory(prefix="longshore-appspec-") as room:
        report = _reported(path, platform, appspec_filename, Path(room))
    if output is Output.JSON:
        _print_json(report)
    else:
        _print_text(report)
    raise typer.Exit(1 if report.errors else 0)


def _reported(path: Path, platform: Platform | None, named: str | None, room: Path) -> Report:
    if not path.exists():
        _unusable(f"there is no {path}.")
    if path.is_dir():
        return _of_bundle(path, f"{path}/", platform, named)
    try:
        kind = _bundle_type(path)
        if kind is None:
            if named is not None:
                _unusable(f"{path} is one file; --appspec-filename is for a directory or a bundle.")
            return _of_text(_read(path), str(path), platform)
    except OSError as error:
        _unusable(f"cannot read {path}: {error.strerror}.")
    return _of_archive(path, kind, platform, named, room)


def _of_text(text: bytes, file: str, platform: Platform | None) -> Report:
    # What bundleType JSON asks of Lambda and ECS; a host takes JSON as the YAML it is.
    is_json = file.lower().endswith(".json") and platform is not Platform.SERVER
    checked = check(text, platform, is_json=is_json)
    problems = list(checked.problems)
    if isinstance(checked.spec, ServerAppSpec):
        from longshore.cli import appspec_bundle

        problems += appspec_bundle.without_files(checked.spec)
        problems.sort(key=lambda problem: problem.line or 0)
    return Report(file=file, platform=checked.platform, problems=tuple(problems))


def _of_archive(path: Path, kind: str, platform: Platform | None, named: str | None, room: Path) -> Report:
    """Unpack the bundle as an agent would, with all that an agent refuses."""
    from longshore.agent import archive
    from longshore.agent.errors import ArchiveError

    target = room / "bundle"
    try:
        archive.unpack(path, kind, target, archive.Limits())
    except ArchiveError as error:
        refused = Problem(what=str(error), remedy="Make the archive anew; agents refuse this one.")
        return Report(file=str(path), platform=platform or Platform.SERVER, problems=(refused,))
    except OSError as error:
        _unusable(f"cannot unpack {path}: {error.strerror} ({room} needs room for it).")
    return _of_bundle(archive.strip_wrapper(target), f"{path}: ", platform, named)


def _of_bundle(root: Path, prefix: str, platform: Platform | None, named: str | None) -> Report:
    from longshore.cli import appspec_bundle

    name = named or next((name for name in NAMES if (root / name).is_file()), None)
    if name is None or not (root / name).is_file():
        missing = Problem(
            what=f"has no {named or ' or '.join(NAMES[:2])} at its root",
            remedy="Put the AppSpec file there; a single directory around everything is allowed in a bundle.",
        )
        return Report(file=prefix.rstrip("/: "), platform=platform or Platform.SERVER, problems=(missing,))
    text = _read(root / name)
    is_json = name.endswith(".json") and platform is not Platform.SERVER
    checked = check(text, platform, is_json=is_json)
    problems = list(checked.problems)
    if checked.platform is Platform.SERVER:
        problems += appspec_bundle.about_name(name, root)
    if isinstance(checked.spec, ServerAppSpec):
        problems += appspec_bundle.problems(checked.spec, root)
    problems.sort(key=lambda problem: problem.line or 0)
    return Report(file=f"{prefix}{name}", platform=checked.platform, problems=tuple(problems))


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)


def _bundle_type(path: Path) -> str | None:
    """What kind of archive the file is, by its first bytes, as tar(1) and unzip(1) know it; None: none."""
    if not path.is_file():
        # What comes through a pipe comes once.
        return None
    with path.open("rb") as file:
        head = file.read(512)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    is_tar = head[257:262] == b"ustar" or path.suffix == ".tar"
    return "tar" if is_tar or head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0")) else None


def _print_text(report: Report) -> None:
    for problem in report.problems:
        place = f"{report.file}:{problem.line}" if problem.line else report.file
        typer.echo(f"{place}: {'warning' if problem.is_warning else 'error'}: {problem}")
    warnings = len(report.problems) - report.errors
    found = ", ".join(
        f"{count} {word}{'' if count == 1 else 's'}"
        for count, word in ((report.errors, "error"), (warnings, "warning"))
        if count
    )
    verdict = "cannot be deployed" if report.errors else "can be deployed"
    typer.echo(f"{report.file}: {verdict} to {_TITLES[report.platform]}{f' ({found})' if found else ''}.")


def _print_json(report: Report) -> None:
    told = {
        "file": report.file,
        "platform": report.platform.value,
        "deployable": not report.errors,
        "problems": [
            {
                "severity": "warning" if problem.is_warning else "error",
                "line": problem.line,
                "column": problem.column,
                "key": problem.key,
                "what": problem.what,
                "remedy": problem.remedy,
            }
            for problem in report.problems
        ],
    }
    typer.echo(json.dumps(told, indent=2))


_TITLES = {Platform.SERVER: "hosts", Platform.LAMBDA: "AWS Lambda", Platform.ECS: "Amazon ECS"}


def _unusable(why: str) -> NoReturn:
    typer.echo(f"longshore: {why}", err=True)
    raise typer.Exit(2)
