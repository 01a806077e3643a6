"""A bundle that lies on this host already: for `longshore local` alone (agent.md 3.6)."""

from __future__ import annotations

from pathlib import Path

from longshore.agent.sources import Fetched, Fetching


def fetch(asked: Fetching) -> Fetched:
    """Nothing is fetched; an archive is linked to where a bundle is kept."""
    revision = asked.specification.revision
    place = Path(revision.key)
    if revision.kind == "Local File":
        asked.target.symlink_to(place)
    return Fetched(place, revision.bundle_type)
