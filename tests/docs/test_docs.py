"""The docs say what there is, and nothing that there is not."""

from __future__ import annotations

import re
import shlex
from dataclasses import fields
from pathlib import Path

import pytest

from longshore import models
from longshore.api.limits import Limits
from tests.docs import generated, remarks

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").glob("*.md"))]
#: What the agent reads of its configuration file.
_SETTING = re.compile(r"""\btake(?:\.\w+\(|,)\s*"(\w+)"|settings\.get\("(\w+)\"""")
#: Commands in blocks of code, with their continued lines, and in running text.
_BLOCK = re.compile(r"```\w*\n(.*?)```", re.DOTALL)
_INDENTED = re.compile(r"^    (\S.*)$", re.MULTILINE)
_SPAN = re.compile(r"`([^`\n]+)`")


@pytest.mark.parametrize("page", generated.pages(), ids=lambda page: page.name)
def test_what_is_generated_is_as_the_code_has_it(page: Path) -> None:
    """After a change of a command or operation: make docs."""
    assert generated.written(page.read_text()) == page.read_text()


def test_every_section_is_on_a_page() -> None:
    text = "".join(page.read_text() for page in generated.pages())
    assert all(f"<!-- generated: {name} -->" in text for name in generated.SECTIONS)


def test_remarks_are_of_operations_that_there_are() -> None:
    known = set(models.load("codedeploy").operation_names)
    assert len(known) == 47
    assert remarks.NOT_YET.keys() | remarks.DIFFERS.keys() <= known
    assert not remarks.NOT_YET.keys() & remarks.DIFFERS.keys()


def test_every_limit_is_explained_with_its_usual_number_and_no_other_is() -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    table = text[text.index("| name | usual | what |") : text.index("**Health.**")]
    explained = {name: int(number) for name, number in re.findall(r"^\| `([\w-]+)` \| (\d+) \|", table, re.MULTILINE)}
    usual = Limits()
    assert explained == {field.name.replace("_", "-"): getattr(usual, field.name) for field in fields(Limits)}


def test_every_setting_of_the_agent_is_explained() -> None:
    source = (ROOT / "src" / "longshore" / "agent" / "config.py").read_text()
    settings = {one or other for one, other in _SETTING.findall(source)}
    assert len(settings) > 15
    text = (ROOT / "docs" / "agent.md").read_text().partition("## The configuration")[2]
    explained = set(re.findall(r"`(\w+)`", text))
    assert settings - explained == set()


def _said() -> list[tuple[str, str]]:
    """(page, command) for every `longshore …` and `make …` that a page shows."""
    found = []
    for page in PAGES:
        text = page.read_text()
        blocks = "\n".join([*_BLOCK.findall(text), *_INDENTED.findall(text)]).replace("\\\n", " ")
        commands = [*blocks.splitlines(), *_SPAN.findall(text)]
        for command in commands:
            words = re.sub(r"^\s*(\$ |sudo |\w+=\S* )*", "", command)
            if re.match(r"(longshore|make) [a-z]", words):
                found.append((page.name, words))
    return found


SAID = _said()


@pytest.mark.parametrize(("page", "command"), SAID, ids=lambda value: value[:60])
def test_a_command_that_is_shown_is_one(page: str, command: str) -> None:
    words = shlex.split(re.split(r"\s#|[|<>;]|\)$", command)[0].replace("…", ""))
    if words[0] == "make":
        targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert words[1] in targets, f"{page}: {command}"
        return
    known = {each.name: each for each in generated.every_command()}
    groups = {" ".join(path.split()[:count]) for path in known for count in range(1, len(path.split()))}
    path = words[0]
    for word in words[1:]:
        if f"{path} {word}" not in known and f"{path} {word}" not in groups:
            break
        path = f"{path} {word}"
    assert path != "longshore" or len(words) == 1, f"{page}: {command}"
    asked = {word.partition("=")[0] for word in words if word.startswith("--")}
    if path in known:
        assert asked <= known[path].options | {"--help"}, f"{page}: {command}"


def test_commands_are_shown_at_all() -> None:
    assert len(SAID) > 20
    assert {"README.md", "operations.md"} <= {page for page, _ in SAID}
