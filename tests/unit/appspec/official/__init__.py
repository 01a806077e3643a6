"""AppSpec files of our own, and what the official agent's parser makes of them: see README.md."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from longshore.appspec import ServerAppSpec

FOLDER = Path(__file__).parent
TOP = "version: 0.0\nos: linux\n"


@dataclass(frozen=True, kw_only=True)
class Case:
    """One AppSpec file."""

    name: str
    text: bytes
    #: The host's operating system, which the official parser compares with the file's.
    host: str
    #: The row of docs/appspec.md that says why we answer something else.
    differs: str | None


def cases() -> Iterator[Case]:
    """Every case of cases.yml; `below` goes below a version and an os, `whole` stands alone."""
    for name, said in yaml.safe_load((FOLDER / "cases.yml").read_text()).items():
        text = said["whole"] if "whole" in said else TOP + said["below"]
        yield Case(name=name, text=text.encode(), host=said.get("host", "linux"), differs=said.get("differs"))


def as_official(spec: ServerAppSpec) -> dict[str, Any]:
    """What was parsed, as the official parser's result is written down."""
    return {
        "version": spec.version,
        "os": spec.os,
        "file_exists_behavior": spec.file_exists_behavior,
        "hooks": {
            event: [{"location": s.location, "timeout": s.timeout, "runas": s.runas, "sudo": s.sudo} for s in scripts]
            for event, scripts in spec.hooks.items()
        },
        "files": [{"source": file.source, "destination": file.destination} for file in spec.files],
        "permissions": [
            {
                "object": entry.object,
                "pattern": entry.pattern,
                "except": list(entry.except_),
                "type": list(entry.type),
                "owner": entry.owner,
                "group": entry.group,
                "mode": entry.mode,
                "acls": None if entry.acls is None else [str(acl) for acl in entry.acls],
                "context": entry.context
                and {
                    "user": entry.context.user,
                    "role": None,
                    "type": entry.context.type,
                    "range": entry.context.range,
                },
            }
            for entry in spec.permissions
        ],
    }


def with_truth(parsed: dict[str, Any]) -> dict[str, Any]:
    """The official result with `sudo` as Ruby's truth of it, which is all that the agent asks."""
    for scripts in parsed["hooks"].values():
        for script in scripts:
            script["sudo"] = script["sudo"] is not None and script["sudo"] is not False
    return parsed
