"""Where revisions come from: one module a kind of source, each with one function `fetch`.

Each is loaded by a worker that downloads from it; the idle poller has S3 alone, from which most revisions come.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from longshore.agent.config import HostConfig
from longshore.agent.errors import BundleError
from longshore.agent.specification import Specification


class Fetched(NamedTuple):
    """A revision that is on this host."""

    path: Path
    #: tar, tgz or zip; or directory: what is there already unpacked.
    kind: str


class Fetching(NamedTuple):
    """What a source is given to work with."""

    specification: Specification
    config: HostConfig
    #: Where an archive is put.
    target: Path
    #: Told in a sentence, every few seconds, how far it is.
    progress: Callable[[str], None]


def fetch(asked: Fetching) -> Fetched:
    """The whole, verified revision, wherever it comes from; raises `BundleError`."""
    # The official agent may have left a link to somebody's file here.
    asked.target.unlink(missing_ok=True)
    match asked.specification.revision.kind:
        case "S3":
            from longshore.agent.sources.s3 import fetch as from_source
        case "GitHub":
            from longshore.agent.sources.github import fetch as from_source
        case "Git":
            from longshore.agent.sources.git import fetch as from_source
        case "Local File" | "Local Directory":
            from longshore.agent.sources.local_files import fetch as from_source
        case _ as kind:
            raise BundleError(f"revisions of type {kind} are not supported by this agent")
    return from_source(asked)
