"""What is written into docs by the code itself: `python -m tests.docs.generated` writes it anew.

It stands between markers, `<!-- generated: NAME -->` and `<!-- end -->`; test_docs.py holds the two together.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import typer

import longshore
from longshore import models
from longshore.agent import command_line
from longshore.api.operations import served
from longshore.cli import app as cli
from longshore.onebox import world as onebox
from longshore.onebox.services.ec2.ports import ControlPlane, Roles
from longshore.onebox.services.s3.routes import operation_names
from longshore.server.services import CODEDEPLOY_OPERATIONS, IAM_OPERATIONS, STS_OPERATIONS
from longshore.wire.service import Service
from tests.docs.remarks import DIFFERS, NOT_YET

INSTALLED = Path(longshore.__file__).parent
DOCS = Path(__file__).parents[2] / "docs"
_SECTION = re.compile(r"(<!-- generated: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def codedeploy() -> str:
    """Every operation of CodeDeploy's model, and how ours compares."""
    ours = served(CODEDEPLOY_OPERATIONS)
    return _table(
        ("operation", "here", "remark"),
        (
            (f"`{name}`", *_standing(name, is_served=name in ours))
            for name in sorted(models.load("codedeploy").operation_names)
        ),
    )


def others() -> str:
    """The operations of the other services on the port."""
    return _table(
        ("service", "operations"),
        (
            ("IAM", _names(served(IAM_OPERATIONS))),
            ("STS", _names(served(STS_OPERATIONS))),
            ("S3", _names(operation_names())),
            *((box.model.metadata["serviceId"], _names(box.handlers)) for box in _onebox()),
            ("the agents' service", _names(models.load("codedeploy-commands").operation_names)),
            ("our own", _names(models.load("longshore").operation_names)),
        ),
    )


def _onebox() -> Sequence[Service]:
    with tempfile.TemporaryDirectory() as folder:
        box = onebox.build(
            Path(folder),
            url="",
            mail_server=None,
            roles=cast("Roles", None),  # nobody asks for one here
            plane=ControlPlane(url="", specification_signer=""),
            hidden=Path(folder),
        )
        box.records.close()
    return box.services


def commands() -> str:
    """Every command of `longshore`, with its options."""
    # Where it is installed is another place on every machine.
    return "\n".join(map(_shown, every_command())).replace(str(INSTALLED), "…/longshore")


SECTIONS: dict[str, Callable[[], str]] = {"codedeploy": codedeploy, "others": others, "commands": commands}


@dataclass(frozen=True, kw_only=True, slots=True)
class Word:
    """An option or argument of a command."""

    #: As it is typed: ``--data-dir PATH``, or ``FILE``.
    usage: str
    what: str
    usual: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """A command that does something by itself."""

    #: All its words, from ``longshore`` on.
    name: str
    what: str
    words: tuple[Word, ...]

    @property
    def options(self) -> set[str]:
        return {word for each in self.words for word in re.findall(r"--[\w-]+", each.usage)}


def every_command() -> list[Command]:
    """Each command, those of the agent among them, which parses its words itself."""
    return [*_of_typer("longshore", typer.main.get_command(cli.command_line())), *_of_argparse(command_line._parser())]


def _of_typer(name: str, command: Any) -> Iterator[Command]:
    # Typer brings a click of its own, so its commands are told by what they have.
    below = getattr(command, "commands", None)
    if name == "longshore agent":
        return
    context = command.make_context(name, [], resilient_parsing=True)
    words = tuple(_typer_word(each, context) for each in command.params if not getattr(each, "hidden", False))
    if below is None or (command.invoke_without_command and words):
        # Where this very installation lies is none of the page's business.
        what = (command.help or "").replace(str(models.DATA_PATH), "…/longshore/models")
        yield Command(name=name, what=what, words=words)
    for word, each in (below or {}).items():
        yield from _of_typer(f"{name} {word}", each)


def _typer_word(parameter: Any, context: Any) -> Word:
    if parameter.param_type_name == "argument":
        return Word(usage=" ".join(parameter.get_usage_pieces(context)), what=getattr(parameter, "help", "") or "")
    value = parameter.default
    usual = str(getattr(value, "value", value)) if value and isinstance(value, str | int | float | Path) else ""
    return Word(usage=parameter.get_help_record(context)[0], what=parameter.help or "", usual=usual)


def _of_argparse(parser: argparse.ArgumentParser) -> Iterator[Command]:
    actions = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    for action in actions:
        said = {each.dest: each.help or "" for each in action._choices_actions}
        for name, command in action.choices.items():
            words = tuple(_argparse_word(each) for each in command._actions if each.dest != "help")
            yield Command(name=f"{parser.prog} {name}", what=command.description or said.get(name, ""), words=words)


def _argparse_word(action: argparse.Action) -> Word:
    value = "" if action.nargs == 0 else str(action.metavar or "|".join(action.choices or ()) or action.dest.upper())
    usual = str(action.default) if isinstance(action.default, str) else ""
    return Word(
        usage=f"{', '.join(action.option_strings)} {value}".strip(),
        what=(action.help or "") % vars(action),
        usual=usual,
    )


def _shown(command: Command) -> str:
    arguments = " ".join(word.usage for word in command.words if not word.usage.startswith("-"))
    said = "\n\n".join(" ".join(part.split()) for part in command.what.split("\n\n"))
    rows = [(f"`{_cell(each.usage)}`", _cell(each.what), each.usual and f"`{each.usual}`") for each in command.words]
    table = f"\n{_table(('', 'what', 'usual'), rows)}" if rows else ""
    return f"## `{f'{command.name} {arguments}'.strip()}`\n\n{said}\n{table}"


def _standing(name: str, *, is_served: bool) -> tuple[str, str]:
    if not is_served:
        return "not yet", "OperationNotSupportedException"
    if name in NOT_YET:
        return "not yet", NOT_YET[name]
    return ("differs", DIFFERS[name]) if name in DIFFERS else ("the same", "")


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [heads, ("---",) * len(heads), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")


def written(text: str) -> str:
    """The text of a page with its generated sections as they should be."""
    return _SECTION.sub(lambda found: f"{found[1]}{SECTIONS[found[2]]()}{found[3]}", text)


def pages() -> list[Path]:
    """The pages that have generated sections."""
    return [page for page in sorted(DOCS.glob("*.md")) if "<!-- generated:" in page.read_text()]


if __name__ == "__main__":
    for page in pages():
        page.write_text(written(page.read_text()))
