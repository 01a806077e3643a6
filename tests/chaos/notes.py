"""What hooks noted of themselves: the witness that none ran twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from longshore.domain.lifecycle import IN_PLACE
from tests.acceptance.world import Host

#: The events that run scripts.
SCRIPTED = [event for event in IN_PLACE if event not in ("DownloadBundle", "Install")]


class Notes:
    """A file to which every hook appends one line: deployment, event, host."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.touch()
        #: The words of a script that note its run. The script's own path tells the host: it lies in the agent's folder.
        self.line = f'echo "$DEPLOYMENT_ID $LIFECYCLE_EVENT $0" >> {path}'

    def of(self, deployment_id: str) -> Counter[tuple[str, str]]:
        """How often each (event, host) ran in a deployment."""
        lines = [line.split(" ", 2) for line in self._path.read_text().splitlines()]
        return Counter(
            (event, next(part for part in Path(script).parts if part.startswith("web-")))
            for noted_id, event, script in lines
            if noted_id == deployment_id
        )


def each_once(hosts: Iterable[Host], events: Iterable[str] = SCRIPTED) -> Counter[tuple[str, str]]:
    """Every event on every host, once."""
    names = [host.name for host in hosts]
    return Counter((event, name) for event in events for name in names)
