"""The command line as a whole."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from longshore.agent.version import VERSION
from longshore.cli.app import command_line


def test_help_says_a_whole_sentence_of_every_command() -> None:
    told = " ".join(CliRunner().invoke(command_line(), ["--help"]).stdout.split())
    assert "watch Show a deployment until it ends." in told
    assert "server Run the control plane: CodeDeploy's API, the agents' service and object storage on one port." in told
    assert "..." not in told.partition("Commands:")[2]


@pytest.mark.parametrize("words", [[], ["watch"], ["keys", "create"]])
def test_help_may_be_asked_for_in_short(words: list[str]) -> None:
    short, long = (CliRunner().invoke(command_line(), [*words, option]) for option in ("-h", "--help"))
    assert short.exit_code == 0
    assert short.stdout == long.stdout


def test_the_version() -> None:
    assert CliRunner().invoke(command_line(), ["--version"]).stdout == f"longshore {VERSION}\n"


@pytest.mark.parametrize("asked", ["watch", "keys"])
def test_a_command_is_the_same_alone_as_among_all(asked: str) -> None:
    alone, among_all = (CliRunner().invoke(command_line(name), [asked, "--help"]) for name in (asked, ""))
    assert alone.exit_code == 0
    assert alone.stdout == among_all.stdout


def test_a_command_that_is_none_is_met_with_the_nearest_one() -> None:
    ended = CliRunner().invoke(command_line("serve"), ["serve"])
    assert ended.exit_code == 2
    assert "Did you mean 'server'?" in ended.output
