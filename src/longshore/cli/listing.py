"""How a group's `--help` lists its commands."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup


class Listing(TyperGroup):
    """Each command with its whole first sentence, on as many lines as that takes: half a sentence helps nobody."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, each.get_short_help_str(_LONGEST)) for name, each in commands if each])


#: Characters; no first sentence is longer.
_LONGEST = 500
