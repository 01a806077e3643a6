"""Where we read a host's AppSpec otherwise than the official agent, as docs/appspec.md has it."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parents[3] / "docs" / "appspec.md"


def documented() -> frozenset[str]:
    """The names of the rows of the page's table."""
    return frozenset(re.findall(r"^\| `([a-z-]+)` \|", PAGE.read_text(), re.MULTILINE))
